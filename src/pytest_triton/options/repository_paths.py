"""The text that names a deployment's repositories, `DIR` or `DIR:DIR`, as paths on this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pytest_triton.options.values import Deployment, OptionError
from pytest_triton.repository.stores import Store, StoreError
from pytest_triton.text.paths import without_dots
from pytest_triton.text.store_urls import may_hold_credential, url_at_start


class NoDirectories(OptionError):
    """The text names no directories of this machine, and no store."""


_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")

_SERVERS = ("grpc", "grpcs", "http", "https")


def read_deployment_text(text: str, start: Path) -> Deployment:
    """The deployment that a text names; relative paths count from `start`. Raises NoDirectories.

    Names are joined by ':'. A path that exists with a ':' in its name is one path. A URL of an
    object store is the path of its copy here.
    """
    places = _places(text, start)
    return Deployment(
        text,
        tuple(one.path if isinstance(one, Store) else one for one in places),
        tuple(one for one in places if isinstance(one, Store)),
    )


def repository_paths(text: str, start: Path) -> tuple[Path, ...]:
    """The directories of this machine that a text names. Raises NoDirectories, for stores too."""
    found = read_deployment_text(text, start)
    if found.stores:
        raise NoDirectories(
            f"{found.stores[0].url} is in an object store, and a directory is meant here",
            fix="copy the repository to this machine's disk, then name the copy",
        )
    return found.paths


def _places(text: str, start: Path) -> list[Path | Store]:
    if "\0" in text:
        raise NoDirectories("a path can't hold a NUL character")
    parts = text.split(os.pathsep)
    places: list[Path | Store] = []
    while parts:
        taken = next(
            (
                count
                for count in range(len(parts), 0, -1)
                if any(parts[:count])
                and os.path.exists(_path(os.pathsep.join(parts[:count]), start))
            ),
            0,
        )
        rest = os.pathsep.join(parts)
        if not taken and (url := url_at_start(rest)):
            try:
                places.append(Store.of(url))
            except StoreError as error:
                raise NoDirectories(error.what, fix=error.fix, secret=error.secret) from None
            parts = parts[url.count(os.pathsep) + 1 :]
            continue
        if not taken and (not parts[0] or _URL.match(rest)):
            raise _no_directories(text if not parts[0] else rest)
        name = os.pathsep.join(parts[: taken or 1])
        places.append(_path(name, start))
        parts = parts[taken or 1 :]
    return places


def _path(name: str, start: Path) -> Path:
    return without_dots(start / os.path.expanduser(name))


def _no_directories(url: str) -> NoDirectories:
    found = _URL.match(url)
    if found is None:
        return NoDirectories("expected a directory, or several joined by ':' (served together)")
    scheme, secret = found[1].lower(), may_hold_credential(url)
    shown = f"{scheme}://HOST:PORT" if secret else url
    what = f"{shown} is a URL, and a model repository is a directory of this machine."
    if scheme in _SERVERS:
        fix = (
            f"a running server is named by --triton-server={shown}, with its repository on this "
            "machine's disk; files that it offers have to be copied first"
        )
    elif scheme == "file":
        fix = "name the directory itself"
    else:
        fix = "copy the repository to this machine's disk, then name the copy"
    return NoDirectories(what, fix=fix, secret=secret)
