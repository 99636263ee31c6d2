"""What is wrong, and where: the few problems behind many models, for the top of a report.

Models of which the same is said at the same place are one problem. Pure, as `matrix` is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pytest_triton.checks.result import SERVICE
from pytest_triton.ledger.entries import Entry
from pytest_triton.reports.matrix import ATTENTION, KINDS, Kind, Matrix, Row
from pytest_triton.reports.proof import Open, Proof

_ORDER = {kind: number for number, kind in enumerate(KINDS)}
_EXPLICIT = "test_explicit_placement"
_CONFIG = "test_config"
_SEE_CONFIG = f"see {_CONFIG}"  # so end the notes about all that an invalid config prevents


@dataclass(frozen=True)
class Place:
    """A model that a problem is about. `column` is the matrix's, None for what concerns checks."""

    deployment: str
    model: str
    column: int | None = None


@dataclass(frozen=True)
class Problem:
    """`where` is a hardware, a check or a run; `jobs` are the runs that found it."""

    kind: Kind
    where: str
    what: str
    places: tuple[Place, ...]
    jobs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """A deployment: its models, and for each column (the first: its checks) how many models need
    attention, of how many that are known there. `rows` are those of its models, `service` is
    that of its server, if it has one.
    """

    deployment: str
    models: int
    counts: tuple[tuple[int, int], ...]
    rows: tuple[Row, ...] = ()
    service: Row | None = None


def problems_of(matrix: Matrix) -> tuple[Problem, ...]:
    """All that needs attention, the worst first, then what concerns most models."""
    return _grouped(one for row in matrix.attention for one in _of_row(row, matrix))


def problems_of_proof(proof: Proof, matrix: Matrix) -> tuple[Problem, ...]:
    """All that keeps a merge from being proven, in the order of the proof."""
    columns = {column.label: number for number, column in enumerate(matrix.columns)}
    columns_of_entries = {
        id(entry): number
        for row in matrix.rows
        for number, cell in enumerate(row.cells)
        for entry in (cell.entries if cell is not None else ())
    }
    failed = {(one.where, (one.deployment, one.model)) for one in proof.open if one.failed}
    explained = {model for where, model in failed if where == _EXPLICIT}
    invalid = {model for where, model in failed if where == _CONFIG}
    return _grouped(
        (_of_open(one, columns_of_entries.get(id(one.entry), columns.get(one.column))), one.job)
        for one in proof.open
        if not (one.is_fallback and (one.deployment, one.model) in explained)
        and not (_SEE_CONFIG in one.what and (one.deployment, one.model) in invalid)
    )


def parts_of(matrix: Matrix) -> tuple[Part, ...]:
    """The deployments, in their order."""
    rows: dict[str, list[Row]] = {}
    for row in matrix.rows:
        rows.setdefault(row.deployment, []).append(row)
    return tuple(_part(name, found, len(matrix.columns)) for name, found in rows.items())


def _part(name: str, found: list[Row], columns: int) -> Part:
    rows = [row for row in found if row.model != SERVICE]
    service = next((row for row in found if row.model == SERVICE), None)
    counts = [(sum(bool(row.failed_checks) for row in rows), sum(bool(row.checks) for row in rows))]
    for number in range(columns):
        cells = [cell for row in rows if (cell := row.cells[number]) is not None]
        counts.append((sum(cell.kind in ATTENTION for cell in cells), len(cells)))
    return Part(name, len(rows), tuple(counts), tuple(rows), service)


_Found = tuple[Problem, str]  # of one model, and the job that found it


def _of_row(row: Row, matrix: Matrix) -> Iterator[_Found]:
    for check in row.failed_checks:
        kind: Kind = "failed" if check.verdict == "failed" else "not-proven"
        place = Place(row.deployment, row.model)
        yield Problem(kind, check.test, check.headline, (place,)), check.job.name
    explained = any(check.test == _EXPLICIT for check in row.failed_checks)
    for number, cell in enumerate(row.cells):
        if cell is None or cell.kind not in ATTENTION:
            continue
        if cell.kind == "fallback" and explained:
            continue  # the check says so already: one cause is one problem
        column = matrix.columns[number]
        place = Place(row.deployment, row.model, number)
        what = _what(cell.worst, cell.kind)
        yield (
            Problem(cell.kind, f"{column.label}, {column.evidence}", what, (place,)),
            cell.worst.job.name,
        )


def _what(entry: Entry, kind: Kind) -> str:
    return KINDS[kind] if kind == "fallback" else entry.headline or KINDS[kind]


def _of_open(one: Open, column: int | None) -> Problem:
    place = Place(one.deployment, one.model, column)
    kind: Kind = "failed" if one.failed else "not-proven"
    return Problem(kind, one.column or one.where, one.what, (place,))


def _grouped(found: Iterable[_Found]) -> tuple[Problem, ...]:
    groups: dict[tuple[Kind, str, str], tuple[dict[Place, None], dict[str, None]]] = {}
    for one, job in found:
        places, jobs = groups.setdefault((one.kind, one.where, one.what), ({}, {}))
        places.update(dict.fromkeys(one.places))
        if job:
            jobs[job] = None
    made = [
        Problem(kind, where, what, tuple(places), tuple(jobs))
        for (kind, where, what), (places, jobs) in groups.items()
    ]
    return tuple(sorted(made, key=lambda one: (_ORDER[one.kind], -len(one.places))))
