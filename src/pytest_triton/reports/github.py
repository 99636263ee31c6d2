"""A ledger as GitHub's workflow commands: annotations at the lines of config.pbtxt.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions

GitHub shows 10 errors and 10 warnings of a step. The worst come first; when there are more, the
last place says how many.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_triton.diagnostics.annotation import annotation
from pytest_triton.diagnostics.diagnostic import Diagnostic, Severity
from pytest_triton.ledger.entries import Ledger
from pytest_triton.reports.annotations import diagnostics, from_root
from pytest_triton.reports.report import Report

_MOST = 10  # of a severity in a step


def github(ledger: Ledger, *, start: str = "") -> str:
    """The workflow commands, one a line; "" when nothing needs attention.

    `start` is where pytest ran, as seen from the repository's root.
    """
    report = Report.of(ledger)
    matrix = report.matrix
    if not matrix.cells and not matrix.rows:
        return annotation("error", report.verdict, title="pytest-triton") + "\n"
    found = diagnostics(report)
    lines = []
    if report.proof is not None:
        severity: Severity = "note" if report.is_good else "error"
        lines.append(annotation(severity, report.verdict, title="pytest-triton"))
    severities: tuple[Severity, ...] = ("error", "warning")
    for severity in severities:
        those = [one for one in found if one.severity == severity]
        most = _MOST - len(lines)  # the verdict is one of them
        lines += list(_commands(severity, those, start, most))
    return "".join(f"{line}\n" for line in lines)


def _commands(
    severity: Severity, those: Sequence[Diagnostic], start: str, most: int
) -> Iterator[str]:
    shown = those if len(those) <= most else those[: most - 1]
    for one in shown:
        text = one.details
        if one.message not in text:
            text = f"{one.message}\n\n{text}".rstrip()
        title = f"{one.model}: {one.name}"
        yield annotation(
            severity, text, title=title, file=from_root(one.path, start), line=one.line
        )
    if len(shown) < len(those):
        more = f"{len(those) - len(shown):,} more like these: see the job's summary"
        yield annotation(severity, more, title="pytest-triton")
