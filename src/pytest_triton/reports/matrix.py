"""A ledger as the matrix that all reports show: models x hardware, and a kind for each cell.

    Ledger -> Matrix -> rows (models) x columns (hardware, as a server had it) -> Cell -> entries

A column is a hardware on a certain Triton, real or rehearsed: what was rehearsed and what was run
for real never share one. Pure; no texts for a certain format are made here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from pytest_triton.checks.result import SERVICE, own_hardware
from pytest_triton.ledger.entries import Entry, Job, Ledger

Kind = Literal[
    "failed",
    "not-proven",
    "fallback",
    "skipped",
    "fallback-allowed",
    "refused",
    "gpu",
    "mixed",
    "cpu",
    "model",
    "ready",
]
"""What a model did on some hardware, the worst first. The last six are what was declared."""

KINDS: dict[Kind, str] = {
    "failed": "failed",
    "not-proven": "not proven",
    "fallback": "fell back to the CPU",
    "skipped": "skipped",
    "fallback-allowed": "fell back, allowed",
    "refused": "refused, as predicted",
    "gpu": "on GPUs",
    "mixed": "on GPUs and CPU",
    "cpu": "on the CPU",
    "model": "where the model decides",
    "ready": "ready (no instances of its own)",
}
DEPLOYED = "deployed"
"""The title of the column that servers with different GPUs share: each has what is its own."""
ATTENTION: frozenset[Kind] = frozenset(("failed", "not-proven", "fallback", "skipped"))
_SEVERITY: dict[Kind, int] = {kind: number for number, kind in enumerate(KINDS)}


def kind_of(entry: Entry) -> Kind:
    """What an entry's model did, as one of the kinds."""
    if entry.verdict == "failed":
        return "failed"
    if entry.verdict == "skipped":
        return "skipped"
    if entry.verdict != "proven" or entry.observed is None:
        return "not-proven"
    observed = entry.observed
    if observed.reason:
        return "refused"
    if observed.fallback or (entry.predicted is not None and entry.predicted.fallback):
        return "fallback-allowed" if entry.fallback_allowed else "fallback"
    kinds = observed.kinds
    if "GPU" in kinds:
        return "gpu" if kinds == ("GPU",) else "mixed"
    if not kinds:
        return "ready"
    return "cpu" if "CPU" in kinds else "model"


def outcome_text(entry: Entry) -> str:
    """What the model did, in a few words, without the marks of the terminal's table."""
    if entry.observed is None:
        return "skipped" if entry.verdict == "skipped" else "no answer"
    return entry.observed.where


def evidence_of(run: str) -> str:
    """A ledger's `run` without what is simulated, `no server` for ""."""
    return _kind_of_run(run) or "no server"


def _kind_of_run(run: str) -> str:
    return run.partition(" (")[0]


@dataclass(frozen=True)
class Column:
    """A hardware on a certain Triton. `run` is the ledger's, "" where no server was asked.

    `deployed`: it is that of servers in deployment files, and others aren't expected to be there.
    """

    label: str
    run: str
    version: str
    gpus: int | None
    deployed: bool = False

    @property
    def is_real(self) -> bool:
        return self.run == "real run"

    @property
    def evidence(self) -> str:
        """`real run`, `rehearsal`, `attached server` (nobody knows which) or `no server`."""
        return evidence_of(self.run)

    @property
    def title(self) -> str:
        """`2 GPUs (simulated), tritonserver 2.51.0, rehearsal`."""
        parts = [self.label]
        if self.version:
            parts.append(f"tritonserver {self.version}")
        parts.append(self.evidence)
        return ", ".join(parts)


@dataclass(frozen=True)
class Cell:
    """All that was reported of a model on a column's hardware; `entries` holds the worst first."""

    kind: Kind
    entries: tuple[Entry, ...]

    @property
    def worst(self) -> Entry:
        return self.entries[0]

    @property
    def needs_attention(self) -> bool:
        return self.kind in ATTENTION

    def hardware_in(self, column: Column) -> str:
        """`2 GPUs`, where the column's title doesn't say it; else ""."""
        return own_hardware(self.worst.hardware.label) if column.label == DEPLOYED else ""


@dataclass(frozen=True)
class Row:
    """A model: a cell for each column (None: nothing is known), and the checks that failed."""

    deployment: str
    model: str
    declared: str
    cells: tuple[Cell | None, ...]
    checks: tuple[Entry, ...]

    @property
    def failed_checks(self) -> tuple[Entry, ...]:
        return tuple(check for check in self.checks if check.verdict != "proven")

    @property
    def deserves_attention(self) -> bool:
        cells = (cell.needs_attention for cell in self.cells if cell is not None)
        return bool(self.failed_checks) or any(cells)

    @property
    def severity(self) -> int:
        """0 is the worst; for sorting."""
        found = [_SEVERITY[cell.kind] for cell in self.cells if cell is not None]
        found += [_SEVERITY["failed"]] * bool(self.failed_checks)
        attention = [each for each in found if each <= _SEVERITY["skipped"]]
        return min(attention, default=len(KINDS))


@dataclass(frozen=True)
class Matrix:
    """Rows are sorted by deployment and model, columns by the number of GPUs, rehearsals first."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    jobs: tuple[Job, ...]

    @classmethod
    def of(cls, ledger: Ledger) -> Matrix:
        column_of = _columns(ledger.placements)
        columns = sorted(set(column_of), key=_column_order)
        numbers = {column: number for number, column in enumerate(columns)}
        cells: dict[tuple[str, str], list[list[Entry]]] = {}
        for entry, column in zip(ledger.placements, column_of, strict=True):
            row = cells.setdefault(
                (entry.deployment, entry.model), [[] for _ in range(len(columns))]
            )
            row[numbers[column]].append(entry)
        checks: dict[tuple[str, str], list[Entry]] = {}
        for check in ledger.checks:
            checks.setdefault((check.deployment, check.model), []).append(check)
        needs = ledger.expected.needs if ledger.expected is not None else ()
        expected = {(need.deployment, need.model): need.declared for need in needs}
        rows = []
        for deployment, model in sorted({*cells, *checks, *expected}):
            key = deployment, model
            found = cells.get(key, [[] for _ in range(len(columns))])
            declared = {str(entry.declared) for entries in found for entry in entries}
            rows.append(
                Row(
                    deployment,
                    model,
                    " / ".join(sorted(declared)) or expected.get(key, ""),
                    tuple(_cell(entries) for entries in found),
                    tuple(checks.get(key, ())),
                )
            )
        return cls(tuple(columns), tuple(rows), ledger.jobs)

    @cached_property
    def cells(self) -> list[Cell]:
        """All cells of which something is known."""
        return [cell for row in self.rows for cell in row.cells if cell is not None]

    @cached_property
    def attention(self) -> list[Row]:
        """The rows that deserve attention, the worst first."""
        rows = [row for row in self.rows if row.deserves_attention]
        return sorted(rows, key=lambda row: row.severity)

    @cached_property
    def several_deployments(self) -> bool:
        return len({row.deployment for row in self.rows}) > 1

    @cached_property
    def evidence(self) -> Literal["nothing", "rehearsal", "real run", "both"]:
        """Where what is known comes from."""
        real = {cell.worst.is_real for cell in self.cells if cell.worst.server is not None}
        if not real:
            return "nothing"
        return "both" if len(real) > 1 else "real run" if real == {True} else "rehearsal"

    @property
    def only_attached(self) -> bool:
        """Whether what isn't a real run was seen on running servers that others had started."""
        runs = {cell.worst.run for cell in self.cells if cell.worst.server is not None}
        return bool(runs) and runs <= {"real run", "attached server"}

    @property
    def cut_off(self) -> list[Job]:
        """The runs that were killed, and not done again since."""
        again = {one for job in self.jobs if job.ended is not None for one in job.replaces}
        return [job for job in self.jobs if job.ended is None and job.id not in again]

    def count(self, *, real: bool) -> int:
        """How many cells are proven by real runs, or by rehearsals."""
        return sum(
            cell.worst.verdict == "proven" and cell.worst.is_real == real for cell in self.cells
        )

    def verdict(self) -> str:
        """What it comes to, in one sentence; never good news where nothing was looked at."""
        if not self.cells:
            return "Nothing was checked: no placement is known of any model"
        attention = len(self.attention)
        if not attention:
            known = sum(map(self._is_known, self.models))
            if known == len(self.models):
                every = "All " if known > 1 else ""
                return f"{every}{_number(known, 'model')} did as predicted{self._how()}"
            return (
                f"{_number(len(self.models), 'model')}: nothing wrong where they were looked at"
                f"{self._how()}, but {len(self.models) - known:,} not on all hardware"
            )
        services = len(self.rows) - len(self.models)
        more = f" and {_number(services, 'deployment')}" if services else ""
        return f"{attention:,} of {_number(len(self.models), 'model')}{more} need attention"

    @cached_property
    def models(self) -> list[Row]:
        """The rows that are about models, and not about a deployed server itself."""
        return [row for row in self.rows if row.model != SERVICE]

    @cached_property
    def _hardware_of(self) -> set[tuple[str, Column]]:
        """Which columns each deployment has anything in."""
        return {
            (row.deployment, column)
            for row in self.rows
            for column, cell in zip(self.columns, row.cells, strict=True)
            if cell is not None
        }

    def _is_known(self, row: Row) -> bool:
        """Whether something is known of a model on all hardware that it is expected on."""
        own = self._hardware_of
        deployed = any(name == row.deployment and column.deployed for name, column in own)
        return all(
            cell is not None
            for column, cell in zip(self.columns, row.cells, strict=True)
            if (row.deployment, column) in own or not (column.deployed or deployed)
        )

    def _how(self) -> str:
        """A verdict never reads like that of a real run where there was none."""
        if self.evidence != "rehearsal":
            return ""
        return " on a running server" if self.only_attached else " in a rehearsal"


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' if count != 1 else ''}"


def column_titles(hardware: Iterable[tuple[str, str]]) -> dict[str, str]:
    """By its label the title of each hardware's column, of pairs of a deployment and a label.

    Servers of deployment files that have different GPUs share a column, for each has one
    hardware of its own. They don't if any of them ran on several.
    """
    titles: dict[str, str] = {}
    own: dict[str, set[str]] = {}
    for deployment, label in hardware:
        titles[label] = label
        if own_hardware(label):
            own.setdefault(deployment, set()).add(label)
    labels = {label for those in own.values() for label in those}
    if len(labels) > 1 and all(len(those) == 1 for those in own.values()):
        titles.update(dict.fromkeys(labels, DEPLOYED))
    return titles


def _columns(entries: Sequence[Entry]) -> list[Column]:
    """The column of each entry."""
    titles = column_titles((entry.deployment, entry.hardware.label) for entry in entries)
    return [
        column if titles[column.label] == column.label else _shared(column)
        for column in _own_columns(entries)
    ]


def _shared(column: Column) -> Column:
    """Without what is a single server's: its GPUs, and whether they are simulated."""
    return replace(column, label=DEPLOYED, run=_kind_of_run(column.run), gpus=None)


def _own_columns(entries: Sequence[Entry]) -> list[Column]:
    """One that no server was asked for stands where its job's others of that hardware stand, or
    else anybody's; a column "no server" is only for the rest."""
    known: dict[tuple[str, str], Column] = {}
    for entry in entries:
        if entry.server is not None:
            column = _column(entry)
            known.setdefault((entry.hardware.label, entry.job.name), column)
            known.setdefault((entry.hardware.label, ""), column)
    found = []
    for entry in entries:
        column = _column(entry)
        if entry.server is None:
            label = entry.hardware.label
            column = known.get((label, entry.job.name)) or known.get((label, "")) or column
        found.append(column)
    return found


def _column(entry: Entry) -> Column:
    hardware, server = entry.hardware, entry.server
    return Column(
        hardware.label,
        entry.run,
        server.version if server is not None else "",
        hardware.gpus,
        entry.result.deployed,
    )


def _column_order(column: Column) -> tuple[object, ...]:
    gpus = column.gpus if column.gpus is not None else 1 << 30
    if column.deployed:  # what a server has stands before what it is left with
        gpus = -gpus
    return (
        column.deployed,
        gpus,
        column.is_real,
        column.label,
        _numbers(column.version),
        column.run,
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _cell(entries: Sequence[Entry]) -> Cell | None:
    if not entries:
        return None
    worst_first = sorted(entries, key=lambda entry: _SEVERITY[kind_of(entry)])
    return Cell(kind_of(worst_first[0]), tuple(worst_first))


def count_kinds(kinds: Iterable[Kind]) -> dict[Kind, int]:
    """How many there are of each kind, the worst first; kinds that don't occur are left out."""
    counts = dict.fromkeys(KINDS, 0)
    for kind in kinds:
        counts[kind] += 1
    return {kind: count for kind, count in counts.items() if count}
