"""A ledger as every format shows it: one verdict, the problems behind it, and the matrix.

The verdict is `merge`'s where the ledger says what was expected; else it is what the runs found.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pytest_triton.checks.result import SERVICE
from pytest_triton.ledger.entries import Entry, Ledger
from pytest_triton.ledger.fold import latest
from pytest_triton.reports.matrix import Matrix, Row
from pytest_triton.reports.overview import Problem, problems_of, problems_of_proof
from pytest_triton.reports.proof import Open, Proof


@dataclass(frozen=True)
class Report:
    """`ledger` and `matrix` have what counts today, `proof` what `merge` says (None without one).

    `is_good` and `verdict` are what the whole comes to; no format decides that by itself.
    """

    ledger: Ledger
    matrix: Matrix
    proof: Proof | None

    @classmethod
    def of(cls, ledger: Ledger) -> Report:
        """Of a merged ledger (`fold.merged`)."""
        shown = latest(ledger)
        proof = Proof.of_ledger(ledger) if ledger.expected is not None else None
        return cls(shown, Matrix.of(shown), proof)

    @property
    def is_good(self) -> bool:
        if self.proof is not None:
            return self.proof.ok
        return bool(self.matrix.cells) and not self.matrix.attention

    @property
    def verdict(self) -> str:
        """One sentence."""
        return self.matrix.verdict() if self.proof is None else self.proof.verdict

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """All that keeps the verdict from being good, the worst first."""
        if self.proof is None:
            return problems_of(self.matrix)
        return problems_of_proof(self.proof, self.matrix)

    @cached_property
    def open(self) -> dict[tuple[str, str], list[Open]]:
        """What keeps each model from being proven; {} without a merge."""
        found: dict[tuple[str, str], list[Open]] = {}
        for one in self.proof.open if self.proof is not None else ():
            found.setdefault((one.deployment, one.model), []).append(one)
        return found

    def why_open(self, row: Row) -> str:
        """What keeps a model from being proven, in a line; "" if nothing does."""
        found = self.open.get((row.deployment, row.model), ())
        return "; ".join(f"{one.where}: {one.what}" for one in found)

    def is_planned(self, row: Row) -> bool:
        """Whether the verdict is about this row, too: a merge's is about what its plan has."""
        return self.proof is None or (row.deployment, row.model) not in self.proof.unplanned

    def needs_attention(self, row: Row) -> bool:
        if self.proof is None:
            return row.deserves_attention
        return (row.deployment, row.model) in self.open

    def severity(self, row: Row) -> tuple[int, int]:
        """For sorting: the worst first."""
        found = self.open.get((row.deployment, row.model), ())
        failed = any(one.failed for one in found)
        return 0 if failed else 1 if self.needs_attention(row) else 2, row.severity

    @cached_property
    def rows(self) -> list[Row]:
        """Models, and deployed servers that need attention; the worst first."""
        rows = self.matrix.rows
        shown = [row for row in rows if row.model != SERVICE or self.needs_attention(row)]
        return sorted(shown, key=self.severity)

    @cached_property
    def attention(self) -> list[Row]:
        """The rows that need attention, the worst first."""
        rows = [row for row in self.matrix.rows if self.needs_attention(row)]
        return sorted(rows, key=self.severity)

    @cached_property
    def any_entry(self) -> dict[tuple[str, str], Entry]:
        """An entry of each model, which knows its config."""
        return {(one.deployment, one.model): one for one in reversed(self.ledger.entries)}
