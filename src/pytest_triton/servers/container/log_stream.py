"""A container's log, both of its streams, written to a file while the container runs."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docker.models.containers import Container


class LogStream:
    """Copies a container's log into a file, from its first line on, in a thread."""

    def __init__(self, container: Container, path: Path) -> None:
        self._stream = container.logs(stream=True, follow=True, stdout=True, stderr=True)
        self._path = path
        self._thread = threading.Thread(
            target=self._copy, name=f"log of {container.name}", daemon=True
        )
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come: the container has ended, or its daemon."""
        return not self._thread.is_alive()

    def wait_for_end(self, seconds: float) -> None:
        """Of a container that has ended: until all that it wrote is in the file."""
        self._thread.join(seconds)

    def close(self) -> None:
        """Stop copying."""
        with contextlib.suppress(Exception):  # the connection may have gone with the daemon
            self._stream.close()
        self._thread.join(5)

    def _copy(self) -> None:
        with self._path.open("wb", buffering=0) as file, contextlib.suppress(Exception):
            for chunk in self._stream:
                file.write(chunk)
