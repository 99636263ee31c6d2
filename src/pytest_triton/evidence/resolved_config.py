"""Evidence: the configuration as core resolved it (ModelConfig), which only READY models have.

Core writes kind, count and gpus of every instance group into it before it makes the instances:
trust it for what core decided, not for what a backend then did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pytest_triton.placement.instances import Kind, Placement, placed
from pytest_triton.placement.predict import ResolvedGroup

_KINDS: Mapping[str, Kind] = {"KIND_GPU": "GPU", "KIND_CPU": "CPU"}


def groups_of(config: Mapping[str, Any]) -> tuple[ResolvedGroup, ...]:
    """The instance groups of a resolved configuration (as JSON); an ensemble has none."""
    return tuple([_group(group) for group in config.get("instance_group", ())])


def _group(group: Mapping[str, Any]) -> ResolvedGroup:
    return ResolvedGroup(
        name=str(group.get("name", "")),
        kind=_KINDS.get(group.get("kind", ""), "MODEL"),
        count=int(group.get("count", 1)),
        gpus=tuple([int(device) for device in group.get("gpus", ())]),
        passive=bool(group.get("passive", False)),
    )


def placement_of(groups: Iterable[ResolvedGroup]) -> Placement:
    """The placement that resolved groups describe."""
    return placed(*[each for group in groups for each in group.runs])
