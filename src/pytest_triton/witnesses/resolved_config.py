"""Witness: the configuration as core resolved it (ModelConfig), which only READY models have.

Core writes kind, count and gpus of every instance group into it before it makes the instances:
trust it for what core decided, not for what a backend then did.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_triton.placement.values import NOTHING, Placement, cpu, gpu, on_model


def placement_of(config: Mapping[str, Any]) -> Placement:
    """The placement that a resolved configuration (as JSON) describes."""
    placement = NOTHING
    for group in config.get("instance_group", ()):
        count = int(group.get("count", 1))
        if group["kind"] == "KIND_GPU":
            for device in group["gpus"]:
                placement += gpu(int(device), count=count)
        elif group["kind"] == "KIND_CPU":
            placement += cpu(count=count)
        else:
            placement += on_model(count=count)
    return placement
