"""What a model needs and its directory hasn't: assumed, where weights are kept elsewhere.

Only what a config names is assumed, where Triton would look for it. What lies in a wrong place or
has a wrong name (`v1`, `01`, a model file beside config.pbtxt) stays a problem: fetching the
weights would not change it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_triton.placement.data_types import BYTE_SIZES
from pytest_triton.placement.named_files import INITIAL_STATE, WARM_UP, NamedFile
from pytest_triton.placement.polling import versions_to_load
from pytest_triton.placement.tensors import element_count
from pytest_triton.repository.lookups import misplaced
from pytest_triton.repository.reading import Added

if TYPE_CHECKING:
    from pytest_triton.repository.schema import ModelConfig

DVC = ".dvc"

_LARGEST = 1 << 30  # bytes of an assumed file
_SMALL = 1 << 20  # bytes of a file whose content is looked at


def pulled(names: Iterable[str]) -> Iterator[str]:
    """The names that `dvc pull` would add to a directory with these."""
    return (name[: -len(DVC)] for name in names if name.endswith(DVC) and name != DVC)


def stand_in(directory: Path, name: str) -> Added:
    """For what a pointer or a link to nowhere stands for: a version, or a file."""
    return Added(directory / name, is_directory=name.isascii() and name.isdigit())


def assumed_versions(config: ModelConfig, there: Sequence[int]) -> tuple[int, ...]:
    """The versions that the version policy asks for and that aren't there; else 1."""
    if config.version_policy.WhichOneof("policy_choice") == "specific":
        wanted = {int(number) for number in config.version_policy.specific.versions}
        return tuple(sorted(number for number in wanted - set(there) if number > 0))
    return () if versions_to_load(config, there) else (1,)


def assumed_files(config: ModelConfig, directory: Path) -> Iterator[Added]:
    """The label, warm-up and state files that a config names and that aren't there."""
    for relative, size in sorted(_sizes(config).items()):
        path = directory / relative
        is_inside = not relative.startswith("/") and ".." not in relative.split("/")
        if not is_inside or size > _LARGEST or os.path.exists(path):
            continue
        if not misplaced(directory, relative):
            yield Added(path, size=size)


def _sizes(config: ModelConfig) -> Mapping[str, int]:
    """The bytes that each file needs, by its path in the model's directory."""
    sizes: dict[str, int] = {}

    def need(relative: str, size: int) -> None:
        sizes[relative] = max(size, sizes.get(relative, 0))

    for output in config.output:
        if output.label_filename:
            need(output.label_filename, 0)
    for sample in config.model_warmup:
        for tensor in sample.inputs.values():
            if tensor.WhichOneof("input_data_type") == "input_data_file":
                need(f"{WARM_UP}/{tensor.input_data_file}", _bytes(tensor))
    if config.WhichOneof("scheduling_choice") == "sequence_batching":
        for state in config.sequence_batching.state:
            for initial in state.initial_state:
                if initial.WhichOneof("state_data") == "data_file":
                    need(f"{INITIAL_STATE}/{initial.data_file}", _bytes(initial))
    return sizes


def _bytes(tensor: Any) -> int:
    """Of zeros, which are numbers of any type, and strings without characters (4 bytes each)."""
    return max(0, element_count(tensor.dims) * (BYTE_SIZES.get(tensor.data_type) or 4))


def with_assumed(
    files: Mapping[str, NamedFile], assumed: Iterable[Added], directory: Path
) -> Mapping[str, NamedFile]:
    """What stands where a config names files, with those that are assumed."""
    found = dict(files)
    for one in assumed:
        relative = os.path.relpath(one.path, directory)
        if not one.is_directory and relative in found:
            data = bytes(one.size) if one.size <= _SMALL else None
            found[relative] = replace(
                found[relative], size=one.size, data=data, elsewhere="", outside=False
            )
    return found
