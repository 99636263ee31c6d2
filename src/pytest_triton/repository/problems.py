"""What is wrong with a model on disk, and what Triton makes of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

__all__ = ["ConfigProblem", "Effect", "Problem", "printable", "shown_path"]

_SHOWN_WIDTH = 120


class Effect(str, Enum):
    """What Triton does about a problem, from harmless to fatal."""

    ACCEPTED = "accepted"
    """Triton takes it; a person should still look."""
    LOAD_FAILED = "load failed"
    """Polled, then refused. Without a version to load, the model is missing from the index."""
    POLL_FAILED = "poll failed"
    """Refused while polling: the index has the name only, the reason stands in the server's log."""
    BREAKS_SERVER = "breaks the server"
    """No other model is served either: Triton crashes, hangs, skips the whole repository or can't
    print its index. Keep it away from a server that other models need."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something wrong with a model on disk.

    `path` is the file or directory to look at, `message` what is wrong, `cure` what to do,
    `triton` what Triton prints about it ("" where that isn't known), `reason` the kind of problem
    where Triton's words don't tell it.
    """

    path: Path
    message: str
    cure: str = ""
    effect: Effect = Effect.POLL_FAILED
    triton: str = ""
    reason: str = ""

    @property
    def place(self) -> str:
        """`path`, printable, relative to the current directory where that is shorter."""
        return shown_path(self.path)

    def __str__(self) -> str:
        lines = [f"{self.place}: {self.message}"]
        if self.cure:
            lines.append(f"  {self.cure}")
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class ConfigProblem(Problem):
    """Something wrong in a config.pbtxt: `line` and `column` count from 1, None if unknown."""

    line: int | None = None
    column: int | None = None
    source_line: str = ""

    @property
    def place(self) -> str:
        """`path:line:column`, as far as they are known."""
        parts = [shown_path(self.path)]
        if self.line is not None:
            parts.append(str(self.line))
            if self.column is not None:
                parts.append(str(self.column))
        return ":".join(parts)

    def __str__(self) -> str:
        lines = [f"{self.place}: {self.message}"]
        if self.line is not None and self.column is not None and self.source_line:
            shown, caret = _window(self.source_line, self.column)
            number = str(self.line)
            lines.append(f"  {number} | {shown}")
            lines.append(f"  {' ' * len(number)} | {' ' * caret}^")
        if self.cure:
            lines.append(f"  {self.cure}")
        return "\n".join(lines)


def printable(text: str) -> str:
    """`text` with all that a terminal can't show as it is (newlines, broken UTF-8) escaped."""
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "backslashreplace").decode("ascii")
        for character in text
    )


def shown_path(path: Path) -> str:
    """`path`, printable, relative to the current directory if it is below it."""
    absolute = os.path.abspath(path)
    here = os.getcwd().rstrip(os.sep) + os.sep
    return printable(absolute[len(here) :] if absolute.startswith(here) else str(path))


def _window(line: str, column: int) -> tuple[str, int]:
    """The part of a line around `column` that fits a terminal, and the caret's place in it."""
    # One column each, whatever it is: the caret must stand under its character.
    line = "".join(" " if not character.isprintable() else character for character in line)
    line = line.rstrip()
    at = column - 1
    if len(line) <= _SHOWN_WIDTH:
        return line, at
    start = max(0, at - _SHOWN_WIDTH // 2)
    return line[start : start + _SHOWN_WIDTH], at - start
