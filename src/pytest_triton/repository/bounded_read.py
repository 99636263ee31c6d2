"""Read files that somebody put into a repository, whatever they are."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path


def read_bytes(path: Path, limit: int) -> bytes | None:
    """Up to `limit` bytes of a regular file; None for anything else, or if it can't be read."""
    try:
        # Not os.stat first: what is opened has to be what was looked at, and a pipe mustn't block.
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        with os.fdopen(file, "rb", closefd=False) as opened:
            return opened.read(limit)
    except OSError:
        return None
    finally:
        os.close(file)


def read_text(path: Path, limit: int) -> str | None:
    """The text of a regular file of at most `limit` bytes, else None."""
    data = read_bytes(path, limit + 1)
    if data is None or len(data) > limit:
        return None
    return data.decode("utf-8", "replace")


def why_unread(path: Path, limit: int) -> str:
    """Why `read_text` has nothing for a file that is there; "" if it has, or if there is none."""
    try:
        found = os.stat(path)
    except OSError as error:
        absent = error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
        return "" if absent else f"can't be read: {error.strerror}"
    if not stat.S_ISREG(found.st_mode):
        return "is not a file"
    if read_bytes(path, 1) is None:
        return "can't be read: permission denied"
    return f"has {found.st_size:,} bytes; up to {limit:,} are read" if found.st_size > limit else ""


def entries(path: Path, limit: int = 1000) -> list[os.DirEntry[str]] | None:
    """Up to `limit` entries of a directory, by name; None if it can't be listed."""
    found: list[os.DirEntry[str]] = []
    try:
        with os.scandir(path) as listed:
            for entry in listed:
                found.append(entry)
                if len(found) == limit:
                    break
    except OSError:
        return None
    return sorted(found, key=lambda entry: entry.name)


def files_below(path: Path, depth: int = 32) -> Iterator[Path]:
    """What isn't a directory in a directory and those below it, by name; links aren't followed."""
    for entry in entries(path) or ():
        try:
            is_directory = entry.is_dir(follow_symlinks=False)
        except OSError:
            continue
        if not is_directory:
            yield Path(entry.path)
        elif depth > 1:
            yield from files_below(Path(entry.path), depth - 1)
