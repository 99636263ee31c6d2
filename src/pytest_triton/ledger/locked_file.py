"""A file that one run writes, again and again, while no other does.

The lock is one of the system's on the file itself (flock), so that it ends with its process,
however that ends, and leaves nothing behind. Each writing puts a new file in the old one's place;
the new one is locked before it is seen.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pytest_triton.errors import PytestTritonError

try:
    import fcntl
except ImportError:  # Windows, where no server runs that a ledger could be about
    fcntl = None  # type: ignore[assignment]


class FileUnusable(PytestTritonError):
    """A file that can't be written, or that another run writes."""


class LockedFile:
    """Locked from `open` to `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: int | None = None

    def open(self) -> None:
        """Lock the file, made empty if there is none. Raises FileUnusable."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            while self._held is None:
                self._held = self._lock()
        except BlockingIOError:
            raise FileUnusable(
                f"{self.path} is written by another run of pytest.",
                fix="give each run a ledger of its own (--triton-ledger) and merge them, or wait "
                "until the other has ended",
            ) from None
        except OSError as error:
            raise self._unusable(error) from None

    def _lock(self) -> int | None:
        """The locked file; None if another one was put in its place meanwhile."""
        number = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
        try:
            _flock(number)
            if os.path.samestat(os.fstat(number), os.stat(self.path)):
                return number
        except BaseException:
            os.close(number)
            raise
        os.close(number)
        return None

    def write(self, text: str) -> None:
        """Put a text in the file's place, in one piece. Raises FileUnusable."""
        try:
            number, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
            try:
                _flock(number)
                # a name that is no UTF-8 holds surrogates, and this writes them as JSON does
                _write_all(number, text.encode("utf-8", "backslashreplace"))
                os.fchmod(number, _mode(self._held))
                os.replace(name, self.path)
            except BaseException:
                os.close(number)
                os.unlink(name)
                raise
        except OSError as error:
            raise self._unusable(error) from None
        self.close()
        self._held = number

    def close(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def _unusable(self, error: OSError) -> FileUnusable:
        return FileUnusable(
            f"{self.path} can't be written: {error.strerror or error}",
            fix="name a file in a directory that can be written to, with room on its disk",
        )


def _mode(held: int | None) -> int:
    """The permissions of the file that is replaced."""
    return 0o600 if held is None else os.fstat(held).st_mode & 0o777


def _flock(number: int) -> None:
    if fcntl is not None:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _write_all(number: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(number, view) :]
