"""What a config needs to know of its model's directory: files that it names, libraries, code."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_triton.placement.named_files import NamedFile, NamedFiles, paths_named

if TYPE_CHECKING:
    from pytest_triton.repository.schema import ModelConfig

_MOST_BYTES = 1024 * 1024  # of a file that is read


def named_files(directory: Path, config: ModelConfig) -> NamedFiles:
    """What stands where a config names files, by the relative paths that it gives."""
    return {path: _look_at(directory, path) for path in paths_named(config)}


def _look_at(directory: Path, relative: str) -> NamedFile:
    path = os.path.join(directory, relative.lstrip("/"))
    outside = not _is_within(path, directory)
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        elsewhere = misplaced(directory, relative)
        return NamedFile(path, error=why, elsewhere=elsewhere, outside=outside)
    if os.path.isdir(path):
        return NamedFile(path, is_directory=True, outside=outside)
    data = None
    if os.path.isfile(path) and found.st_size <= _MOST_BYTES:
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            return NamedFile(path, error=error.strerror or str(error), outside=outside)
    return NamedFile(path, found.st_size, data, outside=outside)


def _is_within(path: str, directory: Path) -> bool:
    """Whether a path, links followed, lies in a directory."""
    try:
        real, parent = os.path.realpath(path), os.path.realpath(directory)
    except (OSError, ValueError):
        return True
    return real == parent or real.startswith(parent.rstrip(os.sep) + os.sep)


def misplaced(directory: Path, relative: str) -> str:
    """A file of this name in another place of the model's directory: people put it there."""
    name = os.path.basename(relative)
    places = ["", "warmup", "initial_state", "labels"]
    try:
        places += sorted(entry.name for entry in os.scandir(directory) if entry.name.isdigit())
    except OSError:
        return ""
    for place in places:
        candidate = os.path.join(place, name) if place else name
        if name and candidate != relative and os.path.isfile(os.path.join(directory, candidate)):
            return candidate
    return ""


def libraries_in(directory: Path, versions: Iterable[int]) -> frozenset[str]:
    """Shared libraries in the model's directory and its versions', where Triton looks first."""
    found: set[str] = set()
    for place in (directory, *(directory / str(version) for version in versions)):
        try:
            names = os.listdir(place)
        except OSError:
            continue
        found.update(name for name in names if name.endswith(".so"))
    return frozenset(found)


def may_complete(directory: Path, versions: Sequence[int], backend: str, file: str) -> bool:
    """Whether a model's backend can complete its config: python's asks the model's code.

    Code that isn't there may arrive later, with a function for it.
    """
    if backend != "python" or not versions:
        return True
    path = directory / str(max(versions)) / (file or "model.py")
    try:
        if not os.path.isfile(path):  # a pipe would be waited for
            return True
        with path.open("rb") as code:
            return b"auto_complete_config" in code.read(_MOST_BYTES)
    except (OSError, ValueError):
        return True
