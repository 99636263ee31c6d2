"""Removes a container when pytest can't: what its guard (guard.py) runs when pytest has ended.

The guard is given the name before the container is made, so there is no moment in which nobody
would remove it: what the daemon was still making when pytest ended, appears a moment later.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from pytest_triton.servers import folders
from pytest_triton.servers.container.ownership import SESSION

_PATIENCE = 60.0  # seconds, for a daemon that is being restarted
_IN_FLIGHT = 10.0  # seconds, for a container that is just being made


def removal(name: str, folder: Path, session: str) -> tuple[list[str], dict[str, str]]:
    """The command, and its environment, that removes a container and its folder."""
    search_path = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-m", __name__, name, str(folder), session]
    return command, {**os.environ, "PYTHONPATH": search_path}


def remove_when_there(name: str, folder: Path, session: str) -> None:
    """Remove a container, or wait for it if it is just being made; then the folder."""
    began = time.monotonic()
    while time.monotonic() - began < _PATIENCE:
        try:
            if remove(name, session) or time.monotonic() - began > _IN_FLIGHT:
                break
        except Exception:  # whatever keeps the daemon from answering: nobody is left to hear it
            pass
        time.sleep(0.2)
    folders.remove_owned(folder, anywhere=True)


def remove(name: str, session: str) -> bool:
    """Remove a session's container and its volumes; False if there is none of that name."""
    import docker
    from docker.errors import NotFound

    client = docker.from_env(use_ssh_client=os.environ.get("DOCKER_HOST", "").startswith("ssh://"))
    try:
        found = client.containers.get(name)
        if found.labels.get(SESSION) == session:  # else somebody has taken the name
            found.remove(force=True, v=True)
    except NotFound:
        return False
    finally:
        client.close()
    return True


if __name__ == "__main__":
    remove_when_there(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
