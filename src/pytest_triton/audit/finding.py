"""What an audit finds: a rule that a model breaks, with the exact place and the lines that mend."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_triton.repository.problems import shown_path

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""From the worst on: won't load or may run where nobody wants it; a risk; good to know."""


@dataclass(frozen=True)
class Edit:
    """Replace the characters from `start` to `end` of a file's text by `text`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Fix:
    """Edits of one file that change nothing but what was never meant: safe to apply unseen."""

    path: Path
    edits: tuple[Edit, ...]


@dataclass(frozen=True)
class Finding:
    """One rule, broken in one place.

    `model` is "" for what concerns the whole repository. `line` and `column` count from 1, None
    where the finding is about a file or directory as a whole. `mend` are the lines of config.pbtxt
    that mend it ("" where a sentence in `message` says more). `told_by` names the bundled check
    that fails for the same cause, "" if none does.
    """

    rule: str
    name: str
    severity: Severity
    model: str
    path: Path
    line: int | None
    column: int | None
    message: str
    mend: str = ""
    fix: Fix | None = None
    told_by: str = ""

    @property
    def place(self) -> str:
        """`path:line:column`, as far as they are known."""
        known = [str(part) for part in (self.line, self.column) if part is not None]
        return ":".join([shown_path(self.path), *known])

    def __str__(self) -> str:
        return f"{self.place}: {self.rule} {self.name} ({self.severity}): {self.message}"
