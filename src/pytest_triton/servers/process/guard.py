"""Ends a server when pytest dies without being able to: SIGKILL, SIGTERM, a crash.

pytest runs no finalizers on SIGTERM, and nothing at all runs on SIGKILL. So each server has a
guard: a shell, in a session of its own, that waits on a pipe whose other end pytest holds. When
pytest ends, however it ends, the pipe closes and the guard stops the server's process group,
which holds the python backend's stubs as well, and removes the server's folder.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

# $1 process id and group of the server, $2 its folder, $3 prefix of its shared memory.
# The line "done" says that pytest has stopped the server itself.
_SCRIPT = """
read -r word
[ "$word" = done ] && exit 0
kill -TERM "$1" 2>/dev/null
tries=0
while kill -0 -- "-$1" 2>/dev/null && [ "$tries" -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
kill -KILL -- "-$1" 2>/dev/null
rm -rf -- "$2"
rm -f -- "/dev/shm/$3"*
"""


class Guard:
    """The guard of one process group. Call `dismiss` once the server has been stopped."""

    def __init__(self, group: int, folder: Path, shared_memory: str) -> None:
        arguments: Sequence[str] = (str(group), str(folder), shared_memory)
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "pytest-triton-guard", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    def dismiss(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # somebody ended the guard already
            os.write(self._process.stdin.fileno(), b"done\n")
        self._process.stdin.close()
        self._process.wait()
