"""Something that is wrong, and what to do: one value from the reader of a config to SARIF."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

from pytest_triton.diagnostics.reasons import Reason
from pytest_triton.text.paths import shown_path

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""From the worst on: won't load or may run where nobody wants it; a risk; good to know."""

Version = tuple[int, int, int]
NEVER: Version = (9999, 0, 0)

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


@dataclass(frozen=True)
class Edit:
    """Replace the characters from `start` to `end` of a file's text by `text`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Diagnostic:
    """What is wrong in one place, and what to do. What isn't known, or doesn't apply, is empty.

    Of what Triton does: `reason` is the class of its refusal, `triton` its text, `effect` what
    else comes of it. Releases from `since` on and before `until` do so. `code` stands before the
    text where the model is refused while it loads.

    Of the place: `model` ("" for a repository), `field` in its config, such as `input[0].name`,
    `path`, and in it `line` and `column`, from 1, with the line's text. A rule of Triton knows the
    field; the file is added where the model's directory is known. `also` are places in other
    models' configs that contradict this one.

    For people: `message` is what is wrong, `details` more lines about it, `fix` what
    to do, `lines` those of config.pbtxt that do it, `edits` changes of the file at `path` that are
    safe to apply unseen.

    Of who found it: `rule` (an id, `TRT101`) with its `name`, or the check of a `deployment`.
    `reported_by` is the bundled check that fails for the same cause.
    """

    reason: Reason | Literal[""] = ""
    triton: str = ""
    field: str = ""
    message: str = ""
    fix: str = ""
    _: KW_ONLY
    rule: str = ""
    name: str = ""
    severity: Severity = "error"
    effect: Effect = Effect.POLL_FAILED
    deployment: str = ""
    model: str = ""
    path: Path = Path()
    line: int | None = None
    column: int | None = None
    source_line: str = ""
    also: tuple[Diagnostic, ...] = ()
    details: str = ""
    lines: str = ""
    edits: tuple[Edit, ...] = ()
    reported_by: str = ""
    code: str = "Invalid argument"
    since: Version = (0, 0, 0)
    until: Version = NEVER

    @property
    def refuses(self) -> bool:
        """Whether Triton doesn't load the model for it."""
        return self.effect is not Effect.ACCEPTED

    @property
    def lasting(self) -> bool:
        """Whether newer releases do so too."""
        return self.until == NEVER

    def holds(self, version: Version) -> bool:
        """Whether this release does so."""
        return self.since <= version < self.until

    @property
    def place(self) -> str:
        """`path:line:column`, as far as they are known, relative to the current directory."""
        known = [str(part) for part in (self.line, self.column) if part is not None]
        return ":".join([shown_path(self.path), *known])

    def __str__(self) -> str:
        rule = f"{self.rule} {self.name} ({self.severity}): " if self.rule else ""
        lines = [f"{self.place}: {rule}{self.message}"]
        if self.line is not None and self.column is not None and self.source_line:
            shown, caret = _window(self.source_line, self.column)
            number = str(self.line)
            lines.append(f"  {number} | {shown}")
            lines.append(f"  {' ' * len(number)} | {' ' * caret}^")
        if self.fix:
            lines.append(f"  {self.fix}")
        return "\n".join(lines)


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
