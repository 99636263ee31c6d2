"""The folders that this plugin makes, and the only way in which any is deleted by its name.

A folder names its owner in a file. Its server's guard removes it (guard.py). What is left when a
guard has been killed as well, `sweep` removes: processes, shared memory and the folder. It
never touches a folder without that file, of another user, of another machine, or elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pytest_triton.errors import PytestTritonError
from pytest_triton.servers.owners import has_ended, identity, this_host
from pytest_triton.servers.process.guard_program import (
    OWNER_FILE,
    kill_processes,
    remove_folder,
    remove_shared_memory,
)
from pytest_triton.servers.process.releases import cache_dir
from pytest_triton.servers.spec import PREFIX as PREFIX

_UNUSED = 3600.0  # seconds after which an empty folder without a named owner is nobody's


class FolderUnusable(PytestTritonError):
    """The files that a server needs can't be written."""


@contextlib.contextmanager
def folder_errors() -> Iterator[None]:
    """Turn the errors of writing there into FolderUnusable."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise FolderUnusable(
            f"The files of a server can't be written: {error.strerror or error}{where}.",
            fix=("make room there" if full else "make that directory writable")
            + ", or name another in the environment variable TMPDIR",
        ) from error


def planned() -> Path:
    """A path for a new folder, which is not made yet."""
    return Path(tempfile.gettempdir(), PREFIX + secrets.token_hex(5))


def mark() -> str:
    """What the folders of this process have in their OWNER_FILE."""
    return f"{this_host()}\n{identity(os.getpid())}\n"


def make(folder: Path) -> None:
    """Make a planned folder, which this process owns. Raises FolderUnusable."""
    with folder_errors():
        folder.mkdir(0o700)
        (folder / OWNER_FILE).write_text(mark(), "utf-8")


def kept_folder(name: str) -> Path:
    """Where the folder of this name is in the cache, which outlives the session."""
    return cache_dir() / "containers" / name


def make_kept(name: str) -> Path:
    """A new folder in the cache; an old one of ours is removed first. Raises FolderUnusable."""
    folder = kept_folder(name)
    remove_owned(folder)
    with folder_errors():
        folder.parent.mkdir(parents=True, exist_ok=True)
    make(folder)
    return folder


@contextlib.contextmanager
def temporary() -> Iterator[Path]:
    """A folder of this process for a while, without a server. Raises FolderUnusable."""
    folder = planned()
    make(folder)
    try:
        yield folder
    finally:
        remove_folder(str(folder))


def remove(folder: Path) -> bool:
    """Remove a folder of ours, the processes of its server, and their shared memory.

    Returns whether it is gone.
    """
    kill_processes(folder.name)
    remove_shared_memory(folder.name)
    return remove_folder(str(folder))


def remove_owned(folder: Path, *, owner: str | None = None, anywhere: bool = False) -> bool:
    """Delete a folder if this plugin made it (with `owner`: that process); False if not.

    Only folders directly in the temporary directory or the cache are. `anywhere` is for who made
    it, and may have had another temporary directory then.
    """
    if not (anywhere or _is_in_its_place(folder)) or not _is_marked(folder, owner):
        return False
    return remove_folder(str(folder))


def sweep() -> list[str]:
    """Remove what dead owners left in the temporary directory; returns the folders' names."""
    try:
        names = os.listdir(tempfile.gettempdir())
    except OSError:
        return []
    swept = []
    for name in names:
        folder = Path(tempfile.gettempdir(), name)
        if name.startswith(PREFIX) and _is_abandoned(folder) and remove(folder):
            swept.append(name)
    return sorted(swept)


@functools.cache
def sweep_once() -> None:
    """`sweep`, at the first call of this process."""
    sweep()


def _is_abandoned(folder: Path) -> bool:
    try:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            return False
        if not (folder / OWNER_FILE).exists():
            # Killed between the two steps of `make`. Removing it fails if anything is in it.
            return time.time() - status.st_mtime > _UNUSED and not os.listdir(folder)
        host, owner, *_ = (folder / OWNER_FILE).read_text("utf-8").split("\n")
    except (OSError, ValueError):
        return False
    return host == this_host() and has_ended(owner)


def _is_in_its_place(folder: Path) -> bool:
    places = {os.path.realpath(place) for place in (tempfile.gettempdir(), kept_folder("x").parent)}
    return folder.name.startswith(PREFIX) and os.path.realpath(folder.parent) in places


def _is_marked(folder: Path, owner: str | None) -> bool:
    file = folder / OWNER_FILE
    try:
        whole, inside = folder.lstat(), file.lstat()
        if not stat.S_ISDIR(whole.st_mode) or not stat.S_ISREG(inside.st_mode):
            return False
        if {whole.st_uid, inside.st_uid} != {os.geteuid()}:
            return False
        host, named, *_ = file.read_text("utf-8").split("\n")
    except (OSError, ValueError):
        return False
    return host == this_host() and owner in (None, named)
