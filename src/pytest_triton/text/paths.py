"""Paths: absolute ones without `..`, as the kernel understands them, and paths as text."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_triton.text.shown_text import printable


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


def shown_path(path: Path) -> str:
    """`path`, printable, relative to the current directory if it is below it."""
    absolute = os.path.abspath(path)
    here = os.getcwd().rstrip(os.sep) + os.sep
    return printable(absolute[len(here) :] if absolute.startswith(here) else str(path))
