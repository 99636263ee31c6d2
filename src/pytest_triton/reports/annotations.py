"""What a ledger shows to be wrong, one by one, with the place in the config: for annotations."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pytest_triton.checks.result import ConfigFacts
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.ledger.entries import Verdict
from pytest_triton.reports.matrix import ATTENTION, KINDS, Kind, Matrix, Row
from pytest_triton.reports.proof import Open
from pytest_triton.reports.report import Report

_KIND_OF_CHECK: Mapping[Verdict, Kind] = {
    "failed": "failed",
    "not proven": "not-proven",
    "skipped": "skipped",
}


def diagnostics(report: Report) -> list[Diagnostic]:
    """What a ledger shows to be wrong, the worst models first; of a merge what isn't proven.

    `rule` is the kind of cell, `name` the test, or the hardware with its evidence (`no GPU,
    rehearsal`), `message` one line, `details` all of it.
    """
    if report.proof is not None:
        return [_of_open(one, report) for one in report.proof.open]
    matrix = report.matrix
    return [one for row in matrix.attention for one in _of_row(row, matrix)]


def _of_open(one: Open, report: Report) -> Diagnostic:
    known = one.entry or report.any_entry.get((one.deployment, one.model))
    config = known.config if known is not None else ConfigFacts("", "")
    by = f" ({one.job})" if one.job and one.model != one.job else ""
    return Diagnostic(
        rule="failed" if one.failed else "not-proven",
        name=one.where,
        severity="error",
        deployment=one.deployment,
        model=one.model,
        path=Path(config.path),
        line=config.line,
        message=f"{one.what}{by}",
        details=one.entry.text if one.entry is not None else "",
    )


def _of_row(row: Row, matrix: Matrix) -> Iterator[Diagnostic]:
    reported = {check.test for check in row.failed_checks}
    unusable = "test_config" in reported  # and all else says just that nothing could be looked at
    for check in row.failed_checks:
        said_there = check.headline.startswith("nothing to ") or check.verdict == "not proven"
        if unusable and check.test != "test_config" and said_there:
            continue
        kind = _KIND_OF_CHECK[check.verdict]
        yield _diagnostic(row, check.test, check.headline, check.text, check.config, kind)
    for column, cell in zip(matrix.columns, row.cells, strict=True):
        if cell is None or cell.kind not in ATTENTION:
            continue
        if cell.kind == "fallback" and "test_explicit_placement" in reported:
            continue  # the same, with its fix
        worst = cell.worst
        if unusable and worst.observed is None:
            continue
        what = KINDS["fallback"] if cell.kind == "fallback" else worst.headline
        yield _diagnostic(
            row,
            f"{worst.hardware.label}, {column.evidence}",
            what,
            worst.text,
            worst.config,
            cell.kind,
        )


def _diagnostic(
    row: Row, where: str, what: str, text: str, config: ConfigFacts, kind: Kind
) -> Diagnostic:
    # A problem of the config says its line itself: `models/a/config.pbtxt:10:5: ...`
    place = re.match(rf"{re.escape(config.path)}:(\d+)(:\d+)?: ", what) if config.path else None
    return Diagnostic(
        rule=kind,
        name=where,
        severity="warning" if kind == "skipped" else "error",
        deployment=row.deployment,
        model=row.model,
        path=Path(config.path),
        line=int(place[1]) if place else config.line,
        message=(what[place.end() :] if place else what) or KINDS[kind],
        details=text,
    )


def from_root(path: Path, start: str) -> str:
    """A config's path as seen from the repository's root, when pytest ran in `start` of it.

    With forward slashes, as both GitHub and GitLab want it. An absolute path stays one.
    """
    if path == Path():  # it isn't known
        return path.as_posix()
    return Path(os.path.normpath(os.path.join(start, path))).as_posix()
