"""Looks at places that the user may not be allowed to look at: those count as not there.

`Path.exists` and `is_dir` raise PermissionError below a directory that may not be entered.
"""

from __future__ import annotations

from pathlib import Path


def exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def is_closed(path: Path) -> bool:
    """Whether a directory on the way to it may not be searched."""
    try:
        path.lstat()
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return False
