"""How files get into a container: mounted read-only, or copied, under the paths they have here.

With the same paths inside and outside, links and messages mean the same in both places. Links
that lead out of what is shown get their targets shown as well.

Where the daemon has other files than this machine (a remote one, or pytest runs in a container
beside it), mounts would come up empty or wrong, and everything is copied, into volumes that go
with the container.
"""

from __future__ import annotations

import base64
import json
import os
import re
import stat
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_triton.errors import PytestTritonError

if TYPE_CHECKING:
    from docker.models.containers import Container

_MOST_MOUNTS = 100
_SYSTEM = tuple(
    map(Path, ("/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr"))
)
# Containers need their own of these.
_TAKEN = frozenset(
    map(Path, ("/", "/home", "/opt", "/opt/tritonserver", "/root", "/run", "/tmp", "/var"))
).union(_SYSTEM)


class InTheWay(PytestTritonError):
    """A path that can't be shown in a container, since the container needs its own there."""


@dataclass(frozen=True)
class Shown:
    """What a container is to see: (the path here, the path in the container) pairs.

    `needs_rights`: root without any capability could not read it all.
    """

    paths: tuple[tuple[Path, Path], ...]
    needs_rights: bool = False

    @property
    def mountable(self) -> bool:
        return len(self.paths) <= _MOST_MOUNTS


def shown(paths: Iterable[Path]) -> Shown:
    """Everything that must be shown for these files and folders, links and all.

    Raises InTheWay for a path that the container needs itself. Missing paths are left out: Triton
    says best what it lacks.
    """
    pairs: list[tuple[Path, Path]] = []
    needs_rights = False
    waiting = [(Path(os.path.abspath(path)), Path(os.path.abspath(path))) for path in paths]
    for path, _ in waiting:
        if path in _TAKEN:
            raise InTheWay(
                f"{path} can't be shown in a container: the container needs its own {path}",
                cure="move the model repository into a folder of its own",
            )
    waiting.sort(key=lambda pair: len(pair[1].parts))
    while waiting:
        source, target = waiting.pop(0)
        if _is_shown(target, pairs) or not source.exists():
            continue
        pairs.append((source, target))
        for entry, inside in walk(source, target):
            if not entry.is_symlink():
                needs_rights = needs_rights or not _readable_by_bare_root(entry.stat())
                continue
            goal = Path(os.path.normpath(inside.parent / os.readlink(entry)))
            if not any(goal.is_relative_to(folder) for folder in _SYSTEM) and goal not in _TAKEN:
                waiting.append((Path(os.path.realpath(entry)), goal))
    return Shown(tuple(pairs), needs_rights)


def mounts(what: Shown) -> list[Any]:
    """For docker-py's `create`. Unlike `volumes=`, these never make a missing folder here."""
    from docker.types import Mount

    return [
        Mount(target=str(target), source=str(source), type="bind", read_only=True)
        for source, target in what.paths
    ]


def volumes(what: Shown) -> list[Any]:
    """For docker-py's `create`: empty ones, into which `copy_into` copies."""
    from docker.types import Mount

    return [
        Mount(target=str(target), source=None, type="volume", no_copy=True)
        for source, target in what.paths
        if source.is_dir()
    ]


def have_arrived(container: Container, what: Shown) -> bool:
    """Whether the container, created with mounts, really has the files of this machine.

    A daemon elsewhere may have a folder of the same name with other contents.
    """
    import requests

    try:
        return all(
            _seconds(_stat_in(container, target)["mtime"]) == int(source.stat().st_mtime)
            for source, target in what.paths
        )
    except requests.HTTPError:
        return False


def copy_into(container: Container, what: Shown) -> None:
    """Copy everything into a container that has been created with `volumes`."""
    targets = [target for _, target in what.paths]
    for source, target in what.paths:
        into = target if source.is_dir() else target.parent
        with tempfile.TemporaryFile() as spooled:
            with tarfile.open(fileobj=spooled, mode="w") as archive:
                for entry, inside in [(source, target), *walk(source, target)]:
                    if inside != into:
                        _add(archive, entry, str(inside.relative_to(into)), inside, targets)
            spooled.seek(0)
            container.put_archive(str(into), spooled)


def is_mount_refused(message: str) -> bool:
    """Whether an error of the daemon says that it has no such path (or may not show it)."""
    return bool(
        re.search(
            r"bind source path does not exist|[Mm]ounts denied|is not shared from|"
            r"error while creating mount source path|no such file or directory.*mount|"
            r"statfs .*no such file or directory",
            message,
        )
    )


def _is_shown(target: Path, pairs: Sequence[tuple[Path, Path]]) -> bool:
    return any(target == other or other in target.parents for _, other in pairs)


def walk(source: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    """All that a folder holds, links not followed: (the path here, the path inside)."""
    if source.is_symlink() or not source.is_dir():
        return
    try:
        names = sorted(os.listdir(source))
    except OSError:
        return  # Triton says so too
    for name in names:
        yield source / name, target / name
        yield from walk(source / name, target / name)


def _readable_by_bare_root(status: os.stat_result) -> bool:
    """Whether user 0 in group 0 may read it (and enter it, if a folder) without any capability."""
    wanted = 0o5 if stat.S_ISDIR(status.st_mode) else 0o4
    shift = 6 if status.st_uid == 0 else 3 if status.st_gid == 0 else 0
    return (status.st_mode >> shift) & wanted == wanted


def _add(
    archive: tarfile.TarFile, entry: Path, name: str, inside: Path, targets: Sequence[Path]
) -> None:
    """Add a file, a folder or a link. A link that leads out of what is copied is followed."""
    if entry.is_symlink():
        goal = Path(os.path.normpath(inside.parent / os.readlink(entry)))
        if not any(goal == target or target in goal.parents for target in targets):
            if entry.exists():
                archive.dereference = True
                archive.add(os.path.realpath(entry), name, filter=_readable_by_all)
                archive.dereference = False
            return
    if not stat.S_ISSOCK(entry.lstat().st_mode):
        archive.add(entry, name, recursive=False, filter=_readable_by_all)


def _readable_by_all(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mode |= 0o555 if member.isdir() else 0o444
    member.uid = member.gid = 0
    return member


def _stat_in(container: Container, path: Path) -> dict[str, Any]:
    api = container.client.api  # docker-py's own get_archive would fetch the contents as well
    url = f"{api.base_url}/v{api.api_version}/containers/{container.id}/archive"
    answer = api.head(url, params={"path": str(path)}, timeout=api.timeout)
    answer.raise_for_status()
    found: dict[str, Any] = json.loads(
        base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"])
    )
    return found


def _seconds(text: str) -> int:
    """Unix time of `2024-05-01T10:20:30.123456789+02:00`, without the fraction."""
    return int(
        datetime.fromisoformat(re.sub(r"\.\d+", "", text).replace("Z", "+00:00")).timestamp()
    )
