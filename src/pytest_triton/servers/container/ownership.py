"""Whose container it is: labels, and the removal of those whose owner has ended.

Every container of ours names its owner: the machine, the process, and when that was started, so
that another process with the same id is never taken for it. Others' containers are not touched,
nor those that only inherit our labels, from an image that was made of a container of ours.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_triton.servers import folders
from pytest_triton.servers.owners import has_ended, identity, this_host

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

OURS = "pytest-triton"  # on all of ours, whoever owns them; the value is a server's name
HOST = "pytest-triton.host"
OWNER = "pytest-triton.owner"
SESSION = "pytest-triton.session"
REUSE = "pytest-triton.reuse"  # it waits for the next session; its owner may have ended
FOLDER = "pytest-triton.folder"

SESSION_ID = uuid.uuid4().hex


def labels(name: str, folder: Path) -> dict[str, str]:
    """Of a container that this process owns; `folder` is removed with it."""
    return {
        OURS: name,
        HOST: this_host(),
        OWNER: identity(os.getpid()),
        SESSION: SESSION_ID,
        FOLDER: str(folder),
    }


def kept(client: docker.DockerClient, key: str) -> list[Container]:
    """The containers of this machine that are kept for reuse under a key."""
    wanted = {"label": [f"{REUSE}={key}", f"{HOST}={this_host()}"]}
    found: list[Container] = client.containers.list(all=True, filters=wanted, ignore_removed=True)
    return [container for container in found if is_ours(container)]


def is_ours(container: Container) -> bool:
    """Whether a container was made by pytest-triton: its labels name it, and are its own."""
    from docker.errors import NotFound

    if container.labels.get(OURS) != container.name:
        return False
    try:
        inherited: dict[str, str] = container.image.labels
    except NotFound:
        return True
    return bool(inherited.get(OURS) != container.labels[OURS])


def is_orphan(found: dict[str, str]) -> bool:
    """Whether the owner that the labels name was a process of this machine and has ended."""
    if REUSE in found or found.get(HOST) != this_host() or OWNER not in found:
        return False
    return has_ended(found[OWNER])


def all_of_ours(client: docker.DockerClient) -> list[Container]:
    """Every container of pytest-triton that the daemon knows, running or not."""
    listed: list[Container] = client.containers.list(
        all=True, filters={"label": OURS}, ignore_removed=True
    )
    return [container for container in listed if is_ours(container)]


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
        is_here = labels.get(HOST) == this_host()
        if (others and not is_here) or (is_here and REUSE in labels) or is_orphan(labels):
            remove(container)
            removed.append(str(container.name))
    return removed


def remove(container: Container) -> None:
    """Kill and remove a container of ours with its volumes, and the folder that its owner made."""
    from docker.errors import APIError, NotFound

    with contextlib.suppress(NotFound):
        try:
            container.remove(force=True, v=True)
        except APIError as error:
            if error.status_code != 409:  # somebody is removing it already
                raise
    labels = container.labels
    if labels.get(HOST) == this_host() and labels.get(FOLDER) and labels.get(OWNER):
        folders.remove_owned(Path(labels[FOLDER]), owner=labels[OWNER])
