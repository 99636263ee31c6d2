"""A server's view of a repository that differs from what is on disk: a folder of links to it.

Nothing is ever written to the repository itself.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from pytest_triton.repository.reading import Added
from pytest_triton.servers.container.never_shown import special_kind

_SMALL = 1 << 20  # bytes


def make_view(
    source: Path, target: Path, hidden: Collection[Path], added: Mapping[Path, Added]
) -> None:
    """Links to what stands in a folder, without what is hidden in it or below it, and with what is
    added, by path.
    """
    changed = {*hidden, *added}
    _link_visible(source, target, changed, {parent for path in changed for parent in path.parents})
    for path, one in added.items():
        if any(parent in hidden for parent in (path, *path.parents)):
            continue
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        if one.is_directory:
            place.mkdir(exist_ok=True)
            continue
        with place.open("xb") as file:
            file.write(one.data)
            file.truncate(max(one.size, len(one.data)))  # zeros that take no room on the disk


def _link_visible(
    source: Path, target: Path, changed: Collection[Path], holds_changed: Collection[Path]
) -> None:
    target.mkdir(parents=True)
    for name in os.listdir(source):
        path = source / name
        if path in changed or _is_special(path):
            continue
        if path in holds_changed:
            _link_visible(path, target / name, changed, holds_changed)
        elif _is_small(path):
            # Triton refuses some files (labels) that are links out of the model's directory.
            shutil.copyfile(path, target / name)
        else:
            (target / name).symlink_to(path)


def _is_special(path: Path) -> bool:
    """Whether it is, or leads to, a socket, a FIFO or a device: no model, whoever may read it."""
    try:
        return bool(special_kind(path.stat().st_mode))
    except OSError:
        return False


def _is_small(path: Path) -> bool:
    """Whether it is a small file that lies in its folder, and no link that leads out of it."""
    try:
        inside = path.resolve().is_relative_to(path.parent.resolve())
        return inside and path.is_file() and path.stat().st_size <= _SMALL
    except OSError:
        return False
