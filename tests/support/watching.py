"""What tests look at from outside: processes that are there, and things that take their time."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(0.05)


def processes_about(folder: Path) -> list[str]:
    """The command lines, of all processes on this machine, that name the folder."""
    return [line for line in command_lines().values() if str(folder) in line]


def command_lines() -> dict[int, str]:
    """Process id -> command line, of all processes on this machine."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            arguments = entry.read_bytes().rstrip(b"\0").split(b"\0")
            found[int(entry.parent.name)] = " ".join(map(os.fsdecode, arguments))
    return found
