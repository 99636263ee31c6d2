"""Where the repositories of a deployed server are on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pytest_triton.deployment.deployed_server import DeployedServer
from pytest_triton.errors import PytestTritonError


class NotMounted(PytestTritonError):
    """A deployed server's repository isn't on this machine."""


def repository_paths(deployed: DeployedServer, mapped: Mapping[str, Path]) -> tuple[Path, ...]:
    """The directories of this machine that a server serves. Raises NotMounted."""
    named = deployed.line.repositories
    if not named:
        raise NotMounted(
            f"{deployed.place('command')}: tritonserver is given no --model-repository, and ends.",
            fix="name the repository in the command",
        )
    found = []
    for name in named:
        path = mapped.get(name.rstrip("/") or "/") or deployed.directory(name)
        if path is None or not os.path.isdir(path):
            where = f"{path} isn't there" if path is not None else "no folder beside it is mounted"
            raise NotMounted(
                f"{deployed.place('command')}: the repository {name} isn't on this machine: "
                f"{where}.",
                fix=f"say which directory it is: --triton-deployment-repo={name}=DIR "
                f"(--deployment-repo of the commands)",
            )
        found.append(path)
    return tuple(found)
