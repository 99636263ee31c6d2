"""Places that the user may not be allowed to look at.

`Path.exists` and `is_dir` raise PermissionError below a directory that may not be entered, and
`DirEntry.is_dir` raises OSError for links that lead to each other; `os.path.exists` and `isdir`
take such places for not there.
"""

from __future__ import annotations

from pathlib import Path


def is_closed(path: Path) -> bool:
    """Whether a directory on the way to it may not be searched."""
    try:
        path.lstat()
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return False
