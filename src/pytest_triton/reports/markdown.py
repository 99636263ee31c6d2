"""A ledger as a Markdown summary: for GitHub's job page, a merge request, a wiki.

What deserves attention comes first and in full; the whole matrix follows, folded, as long as
it fits. GitHub takes 1 MiB a step; what is longer is cut, and says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pytest_triton.ledger.entries import Ledger
from pytest_triton.reports.annotations import diagnostics
from pytest_triton.reports.matrix import (
    KINDS,
    Cell,
    Column,
    Matrix,
    count_kinds,
    outcome_text,
)
from pytest_triton.reports.overview import Problem
from pytest_triton.reports.report import Report
from pytest_triton.text.shown_text import printable

_MOST_ROWS = 200  # of what needs attention; and of the whole matrix
_MOST_PLACES = 8  # of a problem; all are in the matrix
_LIMIT = 1_000_000  # bytes; GitHub takes 1,048,576

_SIGNS: dict[str, str] = {
    "failed": "❌",
    "not-proven": "❓",
    "fallback": "🔻",
    "skipped": "⏭️",
    "fallback-allowed": "▽",
    "refused": "⛔",
    "gpu": "🟦",
    "mixed": "🟪",
    "cpu": "🟢",
    "model": "⬡",
    "ready": "▫️",
}


def markdown(ledger: Ledger, *, title: str = "Triton placement") -> str:
    """The summary of a merged ledger, in GitHub's Markdown."""
    report = Report.of(ledger)
    matrix = report.matrix
    parts = [
        *_head(report, title),
        *(_attention(report) if report.proof is None else _proof(report)),
        *_evidence_lines(matrix),
        *_whole(report),
        *_foot(matrix),
    ]
    text = ""
    for part in parts:
        if len((text + part).encode("utf-8", "replace")) > _LIMIT:
            return text + "\n\n*This summary is cut off here: it has grown too long.*\n"
        text += part + "\n"
    return text


def _head(report: Report, title: str) -> Iterator[str]:
    yield f"## {'✅' if report.is_good else '❌'} {_text(title)}: {report.verdict}\n"


def _evidence_lines(matrix: Matrix) -> Iterator[str]:
    """Where what is known comes from, and how much there is of each kind."""
    rehearsed, real = matrix.count(real=False), matrix.count(real=True)
    if matrix.evidence == "nothing":
        yield "**No server was asked.**\n"
    elif matrix.evidence == "rehearsal" and matrix.only_attached:
        yield (
            f"**Attached server**: {rehearsed:,} placements seen on a running server. Whether its "
            "GPUs and backends are real isn't known here.\n"
        )
    elif matrix.evidence == "rehearsal":
        yield (
            f"**Rehearsal**: {rehearsed:,} placements as predicted, with a real Triton core and "
            "simulated GPUs or stand-in backends. Nothing here was run on real hardware.\n"
        )
    elif matrix.evidence == "real run":
        yield f"**Real run**: {real:,} placements as predicted, on real hardware and backends.\n"
    else:
        yield (
            f"**Real run**: {real:,} placements as predicted, on real hardware and backends. "
            f"**Rehearsal**: {rehearsed:,} more with simulated GPUs or stand-in backends.\n"
        )
    for job in matrix.cut_off:
        yield f"> The run {_code(job.name)} was cut off: what it had proven until then counts.\n"
    counts = count_kinds(cell.kind for cell in matrix.cells)
    if counts:
        yield " · ".join(
            f"{_SIGNS[kind]} {count:,} {KINDS[kind]}" for kind, count in counts.items()
        )
        yield ""


def _proof(report: Report) -> Iterator[str]:
    """How much of the plan is proven, and what isn't, for whom and why."""
    assert report.proof is not None
    yield from (f"- {number:,} {_text(label)}" for number, label in report.proof.counts)
    yield ""
    if report.problems:
        yield "| where | why | models | found by |"
        yield "|---|---|---|---|"
        for one in report.problems[:_MOST_ROWS]:
            cells = (_text(one.where), _text(one.what), _models(one, report.matrix))
            yield f"| {_SIGNS[one.kind]} {' | '.join(cells)} | {', '.join(map(_code, one.jobs))} |"
        if len(report.problems) > _MOST_ROWS:
            yield f"\n… and {len(report.problems) - _MOST_ROWS:,} more."
        yield ""
    for remark in report.proof.remarks:
        yield f"> {_text(remark)}\n"


def _models(problem: Problem, matrix: Matrix) -> str:
    places = problem.places
    names = ", ".join(_name(one.deployment, one.model, matrix) for one in places[:_MOST_PLACES])
    more = f" and {len(places) - _MOST_PLACES:,} more" if len(places) > _MOST_PLACES else ""
    return f"{len(places):,} models: {names}{more}" if len(places) > 1 else names


def _attention(report: Report) -> Iterator[str]:
    matrix = report.matrix
    if not matrix.attention:
        return
    yield "### Needs attention\n"
    yield "| model | where | what | config |"
    yield "|---|---|---|---|"
    found = diagnostics(report)
    for one in found[:_MOST_ROWS]:
        name = _name(one.deployment, one.model, matrix)
        path = str(one.path) if one.path != Path() else ""
        place = _code(f"{path}:{one.line}" if one.line is not None else path)
        what = f"{_SIGNS[one.rule]} {_text(one.message)}"
        yield f"| {name} | {_text(one.name)} | {what} | {place} |"
    if len(found) > _MOST_ROWS:
        yield f"\n… and {len(found) - _MOST_ROWS:,} more."
    yield ""


def _whole(report: Report) -> Iterator[str]:
    matrix = report.matrix
    if not matrix.rows:
        return
    count = len(matrix.models)
    shown = report.rows[:_MOST_ROWS]
    opened = " open" if count <= 30 else ""
    deployments = len({row.deployment for row in matrix.models})
    of = f" of {deployments:,} deployments" if matrix.several_deployments else ""
    yield f"<details{opened}><summary>All {count:,} models{of}</summary>\n"
    titles = [f"{_text(one.label)}<br>{_evidence(one)}" for one in matrix.columns]
    if report.proof is not None:
        titles.insert(0, "proven")
    yield f"| model | declared | {' | '.join(titles)} |"
    yield "|---" * (2 + len(titles)) + "|"
    for row in shown:
        cells = [*map(_cell, row.cells, matrix.columns)]
        if report.proof is not None:
            fine = "yes" if report.is_planned(row) else "not in the plan"
            cells.insert(0, _text(report.why_open(row) or fine))
        name = _name(row.deployment, row.model, matrix)
        yield f"| {name} | {_text(row.declared)} | {' | '.join(cells)} |"
    if len(report.rows) > len(shown):
        more = len(report.rows) - len(shown)
        yield f"\n… and {more:,} more: the HTML report has them all."
    yield "\n</details>\n"


def _foot(matrix: Matrix) -> Iterator[str]:
    versions = sorted({column.version for column in matrix.columns if column.version})
    runs = ", ".join(map(_code, list(dict.fromkeys(job.name for job in matrix.jobs))[:20]))
    if versions:
        yield f"tritonserver {', '.join(map(_text, versions))} · runs: {runs}"


def _cell(cell: Cell | None, column: Column) -> str:
    if cell is None:
        return "·"
    hardware = cell.hardware_in(column)
    more = f" ({hardware})" if hardware else ""
    return f"{_SIGNS[cell.kind]} {_text(outcome_text(cell.worst) + more)}"


def _evidence(column: Column) -> str:
    return "**real run**" if column.is_real else column.evidence


def _name(deployment: str, model: str, matrix: Matrix) -> str:
    return _code(f"{deployment}: {model}" if matrix.several_deployments else model)


def _text(text: str) -> str:
    """Any text, in one line, that Markdown and HTML take for nothing but text."""
    line = printable(" ".join(text.split()))
    # As numbers: a backslash would keep neither @name from being a mention nor :x: an emoji.
    return re.sub(r"[\\`*_\[\]<>#!|~&@:$]", lambda found: f"&#{ord(found[0])};", line)


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>"
