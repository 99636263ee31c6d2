"""A diagnostic as a workflow command of GitHub Actions, which becomes an annotation.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_triton.diagnostics.diagnostic import Severity
from pytest_triton.text.shown_text import printable

_LEVELS: Mapping[Severity, str] = {"error": "error", "warning": "warning", "note": "notice"}
_LONGEST = 2000  # characters of a message


def annotation(
    severity: Severity,
    text: str,
    *,
    title: str,
    file: str = "",
    line: int | None = None,
    column: int | None = None,
) -> str:
    """The command, one line."""
    properties = {"file": file} if file else {}
    properties["title"] = title
    if line is not None:
        properties["line"] = str(line)
        if column is not None:
            properties["col"] = str(column)
    listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{_LEVELS[severity]} {listed}::{_data(text)}"


def _data(text: str) -> str:
    lines = "\n".join(printable(line) for line in text.split("\n"))
    if len(lines) > _LONGEST:
        lines = lines[:_LONGEST] + " ..."
    return lines.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
