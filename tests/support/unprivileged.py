"""Tests of places that the user may not read: as root, another user for as long as it takes."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

NOBODY = 65534


@contextlib.contextmanager
def without_rights() -> Iterator[None]:
    """Nothing of root's rights. What is imported meanwhile must be readable by all."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextlib.contextmanager
def closed_folder() -> Iterator[Path]:
    """A folder that nobody may search, with `bin/tritonserver` in it."""
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    place.chmod(0o755)
    closed = place / "closed"
    (closed / "bin").mkdir(parents=True)
    (closed / "bin" / "tritonserver").write_bytes(b"\x7fELF")
    closed.chmod(0)
    try:
        yield closed
    finally:
        closed.chmod(0o755)
        shutil.rmtree(place)
