"""What a server wrote, both streams in one file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from pytest_triton.servers.log_excerpt import without_tables_and_telemetry


class ServerLog:
    """A server's log file, which may still grow. Reading never fails: no file is an empty log.

    What stands before `start` (in bytes) isn't this server's. `as_given` makes of its text one with
    the repositories' own paths (ServerSpec.as_given).
    """

    def __init__(
        self, path: Path, start: int = 0, as_given: Callable[[str], str] = lambda text: text
    ) -> None:
        self.path = path
        self._start = start
        self._as_given = as_given

    def size(self) -> int:
        """Bytes written so far: a mark for `since`."""
        try:
            return max(0, self.path.stat().st_size - self._start)
        except OSError:
            return 0

    def since(self, mark: int = 0) -> str:
        """The text written after `mark` (in bytes)."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._start + mark)
                return self._as_given(file.read().decode(errors="replace"))
        except OSError:
            return ""

    def tail(self, lines: int = 50) -> str:
        """The last lines that may say what went wrong, read from the last 64 KiB.

        If there are only others, the last of these.
        """
        everything = self.since(max(0, self.size() - 65536)).splitlines()
        return "\n".join((without_tables_and_telemetry(everything) or everything)[-lines:])

    def about(self, model: str) -> str:
        """The lines that name a model."""
        name = re.compile(
            rf"(?<![\w.-]){re.escape(model)}(?![\w.-]|$)|(?<![\w.-]){re.escape(model)}_\d"
        )
        return "\n".join(line for line in self.since().splitlines() if name.search(line))
