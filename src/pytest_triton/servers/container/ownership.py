"""Whose container it is: labels, and the removal of those whose owner has died.

Every container of ours names its owner: the machine, the process, and when that was started, so
that another process with the same id is never taken for it. Others' containers are not touched.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

OURS = "pytest-triton"  # on all of ours, whoever owns them; the value is a server's name
HOST = "pytest-triton.host"
OWNER = "pytest-triton.owner"
SESSION = "pytest-triton.session"
REUSE = "pytest-triton.reuse"  # it waits for the next session; its owner may have ended
FOLDER = "pytest-triton.folder"

_SESSION_ID = uuid.uuid4().hex


def labels(name: str, folder: Path) -> dict[str, str]:
    """Of a container that this process owns; `folder` is removed with it."""
    return {
        OURS: name,
        HOST: this_host(),
        OWNER: _identity(os.getpid()),
        SESSION: _SESSION_ID,
        FOLDER: str(folder),
    }


@functools.cache
def this_host() -> str:
    """The machine, as far as process ids mean the same on it."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()} {namespace}".strip()


def kept(client: docker.DockerClient, key: str) -> list[Container]:
    """The containers of this machine that are kept for reuse under a key."""
    wanted = {"label": [f"{REUSE}={key}", f"{HOST}={this_host()}"]}
    found: list[Container] = client.containers.list(all=True, filters=wanted, ignore_removed=True)
    return found


def is_orphan(found: dict[str, str]) -> bool:
    """Whether the owner that the labels name was a process of this machine and has ended."""
    if REUSE in found or found.get(HOST) != this_host() or OWNER not in found:
        return False
    pid = found[OWNER].partition(" ")[0]
    return not pid.isdecimal() or _identity(int(pid)) != found[OWNER]


def all_of_ours(client: docker.DockerClient) -> list[Container]:
    """Every container of pytest-triton that the daemon knows, running or not."""
    listed: list[Container] = client.containers.list(
        all=True, filters={"label": OURS}, ignore_removed=True
    )
    return listed


def remove_orphans(client: docker.DockerClient) -> list[str]:
    """Remove what dead owners left on this machine; returns the names."""
    removed = []
    for container in all_of_ours(client):
        if is_orphan(container.labels):
            remove(container)
            removed.append(str(container.name))
    return removed


def clean(client: docker.DockerClient, *, others: bool = False) -> list[str]:
    """Remove what is kept for reuse and what dead owners left; returns the names.

    With `others` also what belongs to other machines, of which nobody here knows who lives.
    """
    removed = []
    for container in all_of_ours(client):
        labels = container.labels
        is_ours = labels.get(HOST) == this_host()
        if (others and not is_ours) or (is_ours and REUSE in labels) or is_orphan(labels):
            remove(container)
            removed.append(str(container.name))
    return removed


def remove(container: Container) -> None:
    """Kill and remove a container with its volumes, and its folder where that is ours to remove."""
    from docker.errors import APIError, NotFound

    with contextlib.suppress(NotFound):
        try:
            container.remove(force=True, v=True)
        except APIError as error:
            if error.status_code != 409:  # somebody is removing it already
                raise
    folder = container.labels.get(FOLDER, "")
    if container.labels.get(HOST) == this_host() and Path(folder).name.startswith("pytest-triton-"):
        shutil.rmtree(folder, ignore_errors=True)


def _identity(pid: int) -> str:
    """`pid start boot`; "" if there is no such process. Without /proc just the id."""
    try:
        start = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        if Path("/proc/self/stat").exists():
            return ""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return ""
        except OSError:  # of another user
            pass
        return str(pid)
    return f"{pid} {start} {boot}"
