"""The text that names a deployment's repositories, `DIR` or `DIR:DIR`, as paths on this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pytest_triton.errors import PytestTritonError
from pytest_triton.text.paths import without_dots
from pytest_triton.text.readable import exists


class NoDirectories(PytestTritonError):
    """The text names no directories of this machine."""


_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")

# What Triton itself reads models from, and how to copy them from there.
_STORES = {
    "s3": ("in Amazon S3 or a store like it", "aws s3 sync {url} models"),
    "gs": ("in Google Cloud Storage", "gcloud storage rsync --recursive {url} models"),
    "as": (
        "in Azure Storage",
        "az storage blob download-batch --account-name ACCOUNT --source CONTAINER --destination "
        "models",
    ),
}
_SERVERS = ("grpc", "grpcs", "http", "https")


def repository_paths(text: str, start: Path) -> tuple[Path, ...]:
    """Absolute paths; relative ones count from `start`. Raises NoDirectories.

    Names are joined by ':'. A path that exists with a ':' in its name is one path.
    """
    parts = text.split(os.pathsep)
    paths = []
    while parts:
        taken = next(
            (
                count
                for count in range(len(parts), 0, -1)
                if any(parts[:count]) and exists(_path(os.pathsep.join(parts[:count]), start))
            ),
            0,
        )
        rest = os.pathsep.join(parts)
        if not taken and (not parts[0] or _URL.match(rest)):
            raise _no_directories(text if not parts[0] else rest)
        name = os.pathsep.join(parts[: taken or 1])
        paths.append(_path(name, start))
        parts = parts[taken or 1 :]
    return tuple(paths)


def _path(name: str, start: Path) -> Path:
    return without_dots(start / os.path.expanduser(name))


def _no_directories(url: str) -> NoDirectories:
    found = _URL.match(url)
    if found is None:
        return NoDirectories("expected a directory, or several joined by ':' (served together)")
    scheme = found[1].lower()
    if scheme in _STORES:
        where, copy = _STORES[scheme]
        return NoDirectories(
            f"{url} is {where}, and config.pbtxt files are read from this machine's disk.",
            fix=f"copy the repository first ({copy.format(url=url)}), then name the copy",
        )
    if scheme in _SERVERS:
        return NoDirectories(
            f"{url} is a URL, and a model repository is a directory of this machine.",
            fix=f"a running server is named by --triton-server={url}, with its repository on "
            "this machine's disk; files that it offers have to be copied first",
        )
    return NoDirectories(
        f"{url} is a URL, and a model repository is a directory of this machine.",
        fix="name the directory itself"
        if scheme == "file"
        else "copy the repository to this machine's disk, then name the copy",
    )
