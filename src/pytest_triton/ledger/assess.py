"""What must be proven against what was: one state for each model and number of GPUs.

The plan says what is expected, never the ledgers: a job that didn't run leaves its cells "never
proven". An entry proves a need if it is of the same deployment, model and config. Without a GPU
the server must have had none; with GPUs it must have had at least as many as needed, and of
several the answers on the fewest decide. Any other failure is told as well, and fails the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_triton.ledger.entries import Entry, Ledger
from pytest_triton.ledger.fold import is_answer
from pytest_triton.plan.plan_file import Need, Plan

State = Literal["real", "rehearsed", "failed", "other config", "never"]
Rehearsals = Literal["no-gpu", "everywhere", "nowhere"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One need and its state. `entry` is the one that decided it, if there is any; `note` says
    more than the state does, or is "". `ok`: what is there is proof enough."""

    need: Need
    state: State
    ok: bool
    entry: Entry | None = None
    note: str = ""

    def __str__(self) -> str:
        if self.state == "real":
            return "proven on a real GPU" if self.need.gpus else "proven in a real run"
        if self.state == "rehearsed":
            return "rehearsed" if self.ok else "rehearsed only"
        if self.state == "other config":
            return "proven for another version of the config"
        return "failed" if self.state == "failed" else "never proven"


@dataclass(frozen=True, slots=True)
class Assessment:
    """`cells` in the plan's order. `failures` are other failed entries and checks, `strangers`
    entries of models that the plan doesn't know: they fail nothing."""

    cells: tuple[Cell, ...]
    failures: tuple[Entry, ...] = ()
    strangers: tuple[Entry, ...] = ()

    @property
    def ok(self) -> bool:
        return bool(self.cells) and all(cell.ok for cell in self.cells) and not self.failures


def assess(plan: Plan, ledger: Ledger, rehearsals: Rehearsals = "no-gpu") -> Assessment:
    """What of the plan is proven by a merged ledger (`fold.merged`).

    `rehearsals` says where a rehearsal is proof enough. By default where no GPU is needed: there
    Triton's core, which is real in a rehearsal, decides, and only the backends are stand-ins.
    With GPUs a rehearsal simulates the very thing that is to be proven.
    """
    by_model: dict[tuple[str, str], list[Entry]] = {}
    for entry in ledger.placements:
        by_model.setdefault((entry.deployment, entry.model), []).append(entry)
    cells = tuple(
        [
            _cell(need, by_model.get((need.deployment, need.model), ()), rehearsals)
            for need in plan.needs
        ]
    )
    hashes = {(need.deployment, need.model): need.config_hash for need in plan.needs}
    told = {id(cell.entry) for cell in cells}
    failures: list[Entry] = []
    for one in ledger.entries:
        current = hashes.get((one.deployment, one.model)) == one.config.hash
        if one.verdict == "failed" and current and id(one) not in told:
            failures.append(one)
    strangers = [e for e in ledger.placements if (e.deployment, e.model) not in hashes]
    return Assessment(cells, tuple(failures), tuple(strangers))


def _cell(need: Need, entries: Sequence[Entry], rehearsals: Rehearsals) -> Cell:
    there = [entry for entry in entries if _fits(need, entry)]
    current = [entry for entry in there if entry.config.hash == need.config_hash]
    real = _fewest_gpus(entry for entry in current if not _is_rehearsal(entry))
    rehearsed = _fewest_gpus(entry for entry in current if _is_rehearsal(entry))
    for one in (*real, *rehearsed):
        if one.verdict == "failed":
            return Cell(need, "failed", False, one, one.headline)
    for one in real:
        return Cell(need, "real", True, one)
    for one in rehearsed:
        enough = rehearsals == "everywhere" or (rehearsals == "no-gpu" and need.gpus == 0)
        return Cell(need, "rehearsed", enough, one)
    for one in there:
        if one.verdict == "proven" and one not in current:
            note = "" if one.is_real else "in a rehearsal"
            return Cell(need, "other config", False, one, note)
    for verdict in ("not proven", "skipped"):
        for one in current:
            if one.verdict == verdict:
                reason = one.headline.removeprefix("not proven: ")
                return Cell(need, "never", False, one, f"{verdict}: {reason}".rstrip(": "))
    return Cell(need, "never", False)


def _fits(need: Need, entry: Entry) -> bool:
    """Whether the entry's hardware is one to fulfil the need on."""
    count = entry.hardware.gpus
    if count is None:  # all GPUs, of a server that never told how many there are
        return need.gpus > 0
    return count >= need.gpus if need.gpus else count == 0


def _is_rehearsal(entry: Entry) -> bool:
    """Whether something was simulated; of an entry without a server its hardware tells."""
    return entry.hardware.simulated if entry.server is None else not entry.is_real


def _fewest_gpus(entries: Iterable[Entry]) -> list[Entry]:
    """Of the entries that are answers those with the fewest GPUs."""
    answers = [entry for entry in entries if is_answer(entry.verdict)]
    fewest = min((_count(entry) for entry in answers), default=0)
    return [entry for entry in answers if _count(entry) == fewest]


def _count(entry: Entry) -> float:
    return float("inf") if entry.hardware.gpus is None else entry.hardware.gpus
