"""Absolute paths without `..`, as the kernel understands them."""

from __future__ import annotations

import os
from pathlib import Path


def without_dots(path: Path | str) -> Path:
    """The absolute path without `..`: after a link, that isn't what the text says.

    `os.path.normpath` would make `folder` of `folder/link/..`.
    """
    clean = Path("/")
    for part in Path(path).absolute().parts[1:]:
        if part == "..":
            clean = (Path(os.path.realpath(clean)) if clean.is_symlink() else clean).parent
        else:
            clean /= part
    return clean
