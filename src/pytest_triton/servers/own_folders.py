"""Folders that this plugin makes, and the only way in which any is deleted by its name.

A name, or a label that holds one, proves nothing: each folder has a file in it that says which
process made it, and lies directly in the temporary directory or in the cache.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

from pytest_triton.servers.process.releases import cache_dir
from pytest_triton.servers.server_folder import folder_errors

PREFIX = "pytest-triton-"
MARKER = ".made-by-pytest-triton"


def make() -> Path:
    """A new folder in the temporary directory. Raises FolderUnusable."""
    with folder_errors():
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        _mark(folder)
    return folder


def kept_folder(name: str) -> Path:
    """Where the folder of this name is in the cache, which outlives the session."""
    return cache_dir() / "containers" / name


def make_kept(name: str) -> Path:
    """A new folder in the cache; an old one of ours is removed first."""
    folder = kept_folder(name)
    remove(folder)
    folder.mkdir(parents=True)
    _mark(folder)
    return folder


def remove(folder: Path, *, owner: str | None = None, anywhere: bool = False) -> bool:
    """Delete a folder if this plugin made it (with `owner`: that process); False if not.

    `anywhere` is for who made it, and may have had another temporary directory then.
    """
    if not (anywhere or _is_in_its_place(folder)) or not _is_marked(folder, owner):
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return True


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


def _mark(folder: Path) -> None:
    (folder / MARKER).write_text(identity(os.getpid()) + "\n")


def _is_in_its_place(folder: Path) -> bool:
    places = {os.path.realpath(place) for place in (tempfile.gettempdir(), kept_folder("x").parent)}
    return folder.name.startswith(PREFIX) and os.path.realpath(folder.parent) in places


def _is_marked(folder: Path, owner: str | None) -> bool:
    try:
        inside = (folder / MARKER).lstat()
        whole = folder.lstat()
        if not stat.S_ISDIR(whole.st_mode) or not stat.S_ISREG(inside.st_mode):
            return False
        if {whole.st_uid, inside.st_uid} != {os.geteuid()}:
            return False
        return owner is None or (folder / MARKER).read_text().strip() == owner
    except (OSError, ValueError):
        return False
