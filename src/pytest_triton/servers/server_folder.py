"""The folder of a server, in the temporary directory, and what can be wrong with that."""

from __future__ import annotations

import contextlib
import errno
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pytest_triton.errors import PytestTritonError


class FolderUnusable(PytestTritonError):
    """The files that a server needs can't be written."""


def new_folder() -> Path:
    """A new folder. Raises FolderUnusable."""
    with folder_errors():
        return Path(tempfile.mkdtemp(prefix="pytest-triton-"))


@contextlib.contextmanager
def folder_errors() -> Iterator[None]:
    """Turn the errors of writing there into FolderUnusable."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise FolderUnusable(
            f"The files of a server can't be written: {error.strerror or error}{where}.",
            cure=("make room there" if full else "make that directory writable")
            + ", or name another in the environment variable TMPDIR",
        ) from error
