"""A ledger as a JUnit file, which CI systems show as tests: one for each model and hardware.

Of a merge they are the placements that its plan asks for, and what is wrong besides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from pytest_triton.ledger.entries import Ledger
from pytest_triton.reports.annotations import diagnostics
from pytest_triton.reports.matrix import KINDS
from pytest_triton.reports.proof import hardware_of
from pytest_triton.reports.report import Report
from pytest_triton.text.shown_text import printable


@dataclass(frozen=True)
class _Case:
    deployment: str
    name: str
    failure: str = ""
    details: str = ""


def junit(ledger: Ledger, *, title: str = "Triton placement") -> str:
    """The file's text, of a merged ledger."""
    report = Report.of(ledger)
    cases = [*_failed(report), *_passed(report)]
    failures = sum(bool(case.failure) for case in cases)
    counts = f'tests="{len(cases)}" failures="{failures}" errors="0"'
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        f"<testsuites name={_attribute(title)} {counts}>",
        f'<testsuite name={_attribute(title)} {counts} skipped="0" time="0">',
        f'<properties><property name="triton_verdict" value={_attribute(report.verdict)}/>'
        "</properties>",
    ]
    for case in cases:
        head = f"<testcase classname={_attribute(case.deployment)} name={_attribute(case.name)}"
        if not case.failure:
            lines.append(f'{head} time="0"/>')
            continue
        details = _escaped(case.details or case.failure)
        lines.append(
            f'{head} time="0"><failure message={_attribute(case.failure)}>{details}</failure>'
            "</testcase>"
        )
    return "\n".join([*lines, "</testsuite>", "</testsuites>"]) + "\n"


def _failed(report: Report) -> Iterator[_Case]:
    for one in diagnostics(report):
        name = f"{one.model}[{one.name}]"
        yield _Case(one.deployment or "runs", name, one.message, one.details)
    if not report.is_good and not report.problems:
        yield _Case("runs", "verdict", report.verdict)


def _passed(report: Report) -> Iterator[_Case]:
    expected = report.ledger.expected
    if expected is not None:
        bad = {
            (one.deployment, one.model, one.where) for each in report.open.values() for one in each
        }
        for need in expected.needs:
            where = hardware_of(need.gpus)
            if (need.deployment, need.model, where) not in bad:
                yield _Case(need.deployment, f"{need.model}[{where}]")
        return
    for row in report.matrix.rows:
        for column, cell in zip(report.matrix.columns, row.cells, strict=True):
            if cell is not None and not cell.needs_attention:
                where = f"{cell.worst.hardware.label}, {column.evidence}"
                name = f"{row.model}[{where}]: {KINDS[cell.kind]}"
                yield _Case(row.deployment, name)


def _attribute(text: str) -> str:
    return quoteattr(printable(" ".join(text.split())))


def _escaped(text: str) -> str:
    return escape("\n".join(printable(line) for line in text.split("\n")))
