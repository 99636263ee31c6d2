"""Which test runs, for its golden files: where relative paths start, and whether to write them.

Set by the plugin, for each test; without it paths start at the current directory. Imported at every
start of pytest, so it must be cheap.
"""

from __future__ import annotations

import os
from pathlib import Path


class GoldenPlace:
    """`start` is the directory of the test's file. `written` are folders that a test has written.

    There is one for a process: tests run one after the other, and in threads of theirs, too.
    """

    def __init__(self) -> None:
        self.start: Path | None = None
        self.update = False
        self.written: list[str] = []

    def folder(self, given: Path) -> Path:
        """The folder that a test means, absolute."""
        start = self.start if self.start is not None else Path.cwd()
        return Path(os.path.normpath(start / given.expanduser()))


CURRENT = GoldenPlace()
