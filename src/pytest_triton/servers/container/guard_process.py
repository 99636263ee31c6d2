"""Removes a container when pytest dies without being able to: SIGKILL, SIGTERM, a crash.

A process of its own that waits on a pipe whose other end pytest holds. It is started before the
container is made, so there is no moment in which nobody would remove it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from pytest_triton.servers import own_folders
from pytest_triton.servers.container.ownership import SESSION

_PATIENCE = 60.0  # seconds, for a daemon that is being restarted
_IN_FLIGHT = 10.0  # seconds, for a container that is just being made


class ContainerGuard:
    """The guard of one container, by name. Call `dismiss` once the container has been removed."""

    def __init__(self, name: str, folder: Path, session: str) -> None:
        search_path = os.pathsep.join(filter(None, sys.path))
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, name, str(folder), session],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is pytest's to handle
            cwd="/",
            env={**os.environ, "PYTHONPATH": search_path},
        )

    def dismiss(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # somebody ended the guard already
            os.write(self._process.stdin.fileno(), b"done\n")
        self._process.stdin.close()
        self._process.wait()

    def take_over(self) -> None:
        """Let it remove the container by itself: the daemon did not answer us."""
        assert self._process.stdin is not None
        self._process.stdin.close()


def watch(name: str, folder: Path, session: str) -> None:
    """Wait for the end of pytest; remove the container and the folder unless that said "done"."""
    if sys.stdin.readline() == "done\n":
        return
    ended = time.monotonic()
    while time.monotonic() - ended < _PATIENCE:
        try:
            if remove(name, session) or time.monotonic() - ended > _IN_FLIGHT:
                break
        except Exception:  # whatever keeps the daemon from answering: nobody is left to be told
            pass
        time.sleep(0.2)
    own_folders.remove(folder, anywhere=True)


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
    watch(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
