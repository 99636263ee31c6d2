"""How files get into a container: mounted read-only, or copied, under the paths they have here.

With the same paths inside and outside, links and messages mean the same in both places. What is
shown is container_reach.py's to say.

Where the daemon has other files than this machine (a remote one, or pytest runs in a container
beside it), mounts would come up empty or wrong, and everything is copied, into volumes that go
with the container.
"""

from __future__ import annotations

import base64
import json
import re
import stat
import tarfile
import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_triton.servers.container.reach import Shown, walk

if TYPE_CHECKING:
    from docker.models.containers import Container


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
    for source, target in what.paths:
        into = target if source.is_dir() else target.parent
        with tempfile.TemporaryFile() as spooled:
            with tarfile.open(fileobj=spooled, mode="w") as archive:
                for entry, inside in [(source, target), *walk(source, target)]:
                    if inside != into:
                        _add(archive, entry, inside, into)
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


def _add(archive: tarfile.TarFile, entry: Path, inside: Path, into: Path) -> None:
    """Add a file, a folder or a link, which is never followed: `shown` has seen to its target."""
    mode = entry.lstat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
        return

    def prepared(member: tarfile.TarInfo) -> tarfile.TarInfo:
        if member.issym() and ".." in member.linkname.split("/") and member.linkname[0] != "/":
            # The daemon refuses relative links that leave the folder it unpacks into.
            member.linkname = f"{inside.parent}/{member.linkname}"
        return _readable_by_all(member)

    archive.add(entry, str(inside.relative_to(into)), recursive=False, filter=prepared)


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
