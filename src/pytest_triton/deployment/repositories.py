"""Where the repositories of a deployed server are on this machine."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path

from pytest_triton.deployment.deployed_server import DeployedServer
from pytest_triton.errors import PytestTritonError
from pytest_triton.text.credentials import without_user


class NotMounted(PytestTritonError):
    """A deployed server's repository isn't on this machine."""


def repository_paths(
    deployed: DeployedServer, mapped: Mapping[str, Path], copies: Collection[Path] = ()
) -> tuple[Path, ...]:
    """The directories of this machine that a server serves. Raises NotMounted.

    `copies` are those of object stores, which need not be there yet.
    """
    named = deployed.line.repositories
    if not named:
        raise NotMounted(
            f"{deployed.place('command')}: tritonserver is given no --model-repository, and ends.",
            fix="name the repository in the command",
        )
    found = []
    for written in named:
        name = without_user(written)  # a URL's credentials are never shown
        given = mapped.get(name.rstrip("/") or "/") or _of_source(deployed, name, mapped)
        path = given or deployed.directory(name)
        if path is None or not (path in copies or os.path.isdir(path)):
            raise _not_here(deployed, written, path, is_mapped=given is not None)
        found.append(path)
    return tuple(found)


def _of_source(deployed: DeployedServer, name: str, mapped: Mapping[str, Path]) -> Path | None:
    """Where a repository is that is mounted from what a URL names."""
    target = deployed.mount_of(name)
    source = mapped.get(deployed.sources.get(target or "", ""))
    return None if source is None or target is None else source / name[len(target) :].strip("/")


def _not_here(
    deployed: DeployedServer, written: str, path: Path | None, *, is_mapped: bool
) -> NotMounted:
    name = without_user(written)
    target = deployed.mount_of(name)
    place = None if target is None else deployed.mounted_at.get(target)
    where = "" if place is None else f" ({place})"
    source = deployed.sources.get(target or "", "")
    asked = f"--triton-deployment-repo={source or name}=DIR"
    fix = f"say which directory it is: {asked}"
    if path is not None:
        why = f"{path} isn't there" + ("" if is_mapped else where)
        close = _beside(path)
        if close is not None:
            fix = f"did you mean {close}? Else {fix}"
    elif target is not None and target in deployed.unset:
        variable = deployed.unset[target]
        why = f"what is mounted at {target}{where} is ${{{variable}}}, which has no value here"
        fix = f"set {variable} in the environment or in .env beside the file, or {fix}"
    elif target is not None:
        why = f"what is mounted at {target}{where} is {source or 'a volume of production'}"
    elif "://" in name:
        why = "it is in an object store"
        fix = f"copy it to this machine's disk, and say where: {asked}; or read it there: " + (
            f"--triton-deployment-repo={name}={name}"
        )
    elif not deployed.mounts:
        why = "no folder beside it is mounted"
    else:
        why = f"nothing is mounted there; mounted are {_mounted(deployed)}"
        near = deployed.mount_like(name)
        if near is not None:
            mounted = deployed.mounted_at.get(near)
            at = "" if mounted is None else f" (mounted at {mounted})"
            fix = f"did you mean {near}{at}? If the image has {name}, {fix}"
        else:
            fix = f"mount it; or, if the image has {name}, {fix}"
    return NotMounted(
        f"{deployed.place_of_word(written)}: the repository {name} isn't on this machine: {why}.",
        fix=fix,
    )


def _mounted(deployed: DeployedServer) -> str:
    shown = [
        f"{target} ({deployed.mounted_at[target]})" if target in deployed.mounted_at else target
        for target in list(deployed.mounts)[:5]
    ]
    return ", ".join(shown)


def _beside(path: Path) -> Path | None:
    """A directory whose name is nearly that of one that isn't there."""
    try:
        names = [one.name for one in path.parent.iterdir() if one.is_dir()]
    except OSError:
        return None
    close = get_close_matches(path.name, names, n=1, cutoff=0.75)
    return path.parent / close[0] if close else None
