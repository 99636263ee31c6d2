"""Containers that go on running for the next session: by what they are known again.

A container is used again only if nothing that matters differs: the spec, the image, the files of
the repositories (by name, size and time of change), this plugin's version. One that was made for
the same spec and is out of date is removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace

from pytest_triton._version import __version__
from pytest_triton.options.hosts import ContainerHost
from pytest_triton.servers.container.reach import Shown, walk
from pytest_triton.servers.process.releases import cache_dir
from pytest_triton.servers.spec import ServerSpec

PREFIX = "pytest-triton-reuse-"


def key_of(spec: ServerSpec, host: ContainerHost, more: str) -> str:
    """Of all containers that serve this spec, whatever the files were; `more` counts too."""
    options = replace(host.options, pull="missing", pull_timeout=1.0)
    same = replace(spec, timeout=0.0, host=replace(host, options=options))
    return _hash(repr(same), more)


def signature_of(key: str, image_id: str, what: Shown) -> str:
    """Of the containers that can be used again now."""
    files = []
    for source, target in what.paths:
        for entry, inside in [(source, target), *walk(source, target)]:
            status = entry.lstat()
            files.append(f"{inside} {status.st_mode} {status.st_size} {status.st_mtime_ns}")
    return _hash(key, image_id, __version__, *files)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keep other sessions of this machine from making the same container meanwhile."""
    folder = cache_dir() / "containers"
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
