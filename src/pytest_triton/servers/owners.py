"""Who owns what is left: a process, named so that no other is taken for it.

The name of a process is its id, its start and the machine's; an id alone is given to another
process in time, and means nothing on another machine.
"""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path


@functools.cache
def this_host() -> str:
    """The machine, as far as process ids mean the same on it."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()} {namespace}".strip()


def identity(pid: int) -> str:
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


def has_ended(owner: str) -> bool:
    """Whether a process of this machine, as `identity` named it, has ended."""
    pid = owner.partition(" ")[0]
    return not pid.isdecimal() or identity(int(pid)) != owner
