"""A ledger as GitHub's workflow commands: annotations at the lines of config.pbtxt.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions

GitHub shows 10 errors and 10 warnings of a step. The worst come first; when there are more, the
last place says how many.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_triton.ledger.entries import Ledger
from pytest_triton.reports.annotations import Complaint, complaints, from_root
from pytest_triton.reports.matrix import Matrix
from pytest_triton.repository.problems import printable

_MOST = 10  # of a severity in a step
_LONGEST = 2000  # characters of a message


def github(ledger: Ledger, *, start: str = "") -> str:
    """The workflow commands, one a line; "" when nothing needs attention.

    `start` is where pytest ran, as seen from the repository's root.
    """
    matrix = Matrix.of(ledger)
    if not matrix.cells and not matrix.rows:
        return f"::error title=pytest-triton::{_data(matrix.verdict())}\n"
    found = complaints(matrix)
    lines = []
    for severity in ("error", "warning"):
        those = [one for one in found if one.severity == severity]
        lines += list(_commands(severity, those, start))
    return "".join(f"{line}\n" for line in lines)


def _commands(severity: str, those: Sequence[Complaint], start: str) -> Iterator[str]:
    shown = those if len(those) <= _MOST else those[: _MOST - 1]
    for one in shown:
        properties = {"file": from_root(one.path, start), "title": f"{one.model}: {one.where}"}
        if one.line is not None:
            properties["line"] = str(one.line)
        listed = ",".join(f"{name}={_property(text)}" for name, text in properties.items())
        text = one.text if one.what in one.text else f"{one.what}\n\n{one.text}".rstrip()
        yield f"::{severity} {listed}::{_data(text)}"
    if len(shown) < len(those):
        more = f"{len(those) - len(shown):,} more like these: see the job's summary"
        yield f"::{severity} title=pytest-triton::{_data(more)}"


def _data(text: str) -> str:
    lines = "\n".join(printable(line) for line in text.split("\n"))
    if len(lines) > _LONGEST:
        lines = lines[:_LONGEST] + " ..."
    return lines.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
