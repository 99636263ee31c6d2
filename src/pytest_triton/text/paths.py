"""Paths: absolute ones without `..`, as the kernel understands them, and paths as text.

A path in the copy of a repository from an object store is shown as what it is a copy of:
`s3://bucket/models/m/config.pbtxt`.
"""

from __future__ import annotations

import errno
import os
import re
from functools import lru_cache
from pathlib import Path

from pytest_triton.text.cache_folder import cache_dir
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


def is_circle(path: Path | str) -> bool:
    """Whether links lead from a path back to itself, so that it leads to nothing."""
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


STORES = "stores"  # in the cache folder: copies, as KEY/NAME beside KEY/url
COPY_URL = "url"


def shown_path(path: Path) -> str:
    """`path`, printable, relative to the current directory if it is below it."""
    absolute = os.path.abspath(path)
    here = os.getcwd().rstrip(os.sep) + os.sep
    near = absolute[len(here) :] if absolute.startswith(here) else str(path)
    return printable(url_of_copy(absolute) or near)


def path_from(path: Path, start: Path | str) -> str:
    """`path` relative to `start`."""
    return url_of_copy(os.path.abspath(path)) or os.path.relpath(path, start)


def url_of_copy(absolute: str) -> str:
    """What an absolute path is a copy of, in an object store; "" if it isn't one."""
    stores = os.path.join(cache_dir(), STORES) + os.sep
    if not absolute.startswith(stores):
        return ""
    key, _, inside = absolute[len(stores) :].partition(os.sep)
    url = _url_in(os.path.join(stores, key, COPY_URL))
    _, _, rest = inside.partition(os.sep)  # without the copy's name
    return f"{url}/{rest}".rstrip("/") if url and inside else ""


def place_of(path: Path | str) -> str:
    """`path` for programs: as it is, or the URL of what it is a copy of."""
    return url_of_copy(os.path.abspath(path)) or str(path)


def with_urls(text: str) -> str:
    """A text of others (Triton's) with URLs in place of the copies' paths in it."""
    stores = os.path.join(cache_dir(), STORES) + os.sep
    if stores not in text:
        return text
    return re.sub(rf"{re.escape(stores)}[0-9a-f]+/[\w.-]+", _url_or_same, text)


def _url_or_same(found: re.Match[str]) -> str:
    return url_of_copy(found[0]) or found[0]


def move(source: str, target: str) -> str:
    """What moves a file or folder, both as they are shown: a command, but not for URLs."""
    return f"move {source} to {target}" if "://" in source else f"mv {source} {target}"


@lru_cache
def _url_in(file: str) -> str:
    try:
        return Path(file).read_text("utf-8", "surrogateescape")
    except OSError:
        return ""
