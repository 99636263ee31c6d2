"""What must be proven against what was: one state for each model and number of GPUs, and check.

The plan says what is expected, never the ledgers: a job that didn't run leaves its cells "never
proven". An entry proves a need if it is of the same deployment, model and identity, and if the
model came to what Triton's rules say today. Without a GPU the server must have had none; with GPUs
it must have had at least as many as needed, and of several the answers on the fewest decide. Every
model must have passed the plan's checks as well, wherever. A failure, and a fallback that nobody
allowed, fail the whole wherever they happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_triton.checks.result import DEPLOYMENT_TEST, SERVICE, Outcome
from pytest_triton.ledger.entries import Entry, Job, Ledger, Rehearsals
from pytest_triton.ledger.fold import is_answer
from pytest_triton.plan.plan_file import Need, Plan

State = Literal[
    "failed", "fallback", "other outcome", "other identity", "never", "rehearsed", "real"
]
"""The worst first."""


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
        return _IN_A_CELL[self.state]


_IN_A_CELL: dict[State, str] = {
    "failed": "failed",
    "fallback": "fell back to the CPU",
    "other outcome": "not as predicted today",
    "other identity": "proven for another version of the model",
    "never": "never proven",
}


@dataclass(frozen=True, slots=True)
class MissingCheck:
    """A check that a model hasn't passed as it is; `note` says what is known instead."""

    deployment: str
    model: str
    test: str
    note: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """What counts for nothing: entries of models that the plan doesn't know, and entries of other
    versions of those that it knows."""

    unknown: tuple[Entry, ...] = ()
    other_identity: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Assessment:
    """`cells` in the plan's order. `missing` are checks that aren't proven, `failures` other failed
    entries, `failed_runs` runs that failed though none of their tests did."""

    cells: tuple[Cell, ...]
    missing: tuple[MissingCheck, ...] = ()
    failures: tuple[Entry, ...] = ()
    failed_runs: tuple[Job, ...] = ()
    ignored: Ignored = Ignored()

    @property
    def ok(self) -> bool:
        proven = bool(self.cells) and all(cell.ok for cell in self.cells)
        return proven and not (self.missing or self.failures or self.failed_runs)


def assess(plan: Plan, ledger: Ledger, rehearsals: Rehearsals = "no-gpu") -> Assessment:
    """What of the plan is proven by a merged ledger (`fold.merged`).

    `rehearsals` says where a rehearsal is proof enough. By default where no GPU is needed: there
    Triton's core, which is real in a rehearsal, decides, and only the backends are stand-ins.
    With GPUs a rehearsal simulates the very thing that is to be proven.
    """
    identities = {(need.deployment, need.model): need.identity for need in plan.needs}
    by_model: dict[tuple[str, str], list[Entry]] = {key: [] for key in identities}
    # A server of a deployment file is proven by runs of its repository, too.
    counts_for: dict[tuple[str, str], dict[tuple[str, str], None]] = {}
    for need in plan.needs:
        for name in {need.deployment, need.repository or need.deployment}:
            key = need.deployment, need.model
            counts_for.setdefault((name, need.model), {})[key] = None
    titles = {need.deployment for need in plan.needs if need.repository}
    unknown: list[Entry] = []
    services: list[Entry] = []
    for entry in ledger.entries:
        keys = counts_for.get((entry.deployment, entry.model), {})
        for key in keys:
            by_model[key].append(entry)
        if not keys:
            of_service = entry.test == DEPLOYMENT_TEST and entry.deployment in titles
            (services if of_service else unknown).append(entry)
    cells = tuple(
        [_cell(need, by_model[need.deployment, need.model], rehearsals) for need in plan.needs]
    )
    missing: list[MissingCheck] = [
        one
        for key, identity in identities.items()
        for one in _missing(key, identity, plan.checks, by_model[key])
    ]
    missing += _missing_services(titles, services)
    shown = {id(cell.entry) for cell in cells}
    failures = {id(entry): entry for entry in services if entry.verdict == "failed"}
    others: dict[int, Entry] = {}
    for key, identity in identities.items():
        for entry in by_model[key]:
            if entry.identity != identity:
                others[id(entry)] = entry
            elif _is_failure(entry) and id(entry) not in shown:
                failures[id(entry)] = entry
    return Assessment(
        cells,
        tuple(missing),
        tuple(failures.values()),
        tuple(_failed_runs(ledger.jobs)),
        Ignored(tuple(unknown), tuple(others.values())),
    )


def _missing_services(titles: Iterable[str], entries: Sequence[Entry]) -> Iterator[MissingCheck]:
    """Servers of deployment files whose own test has neither passed nor failed."""
    answered = {one.deployment for one in entries if is_answer(one.verdict)}
    for title in sorted({*titles} - answered):
        yield MissingCheck(title, SERVICE, DEPLOYMENT_TEST, _IN_A_CELL["never"])


def headline_of(entry: Entry) -> str:
    """Why an entry fails the whole, in a line."""
    if entry.verdict != "failed" and is_unallowed_fallback(entry):
        return "falls back to the CPU, and nobody allowed it"
    return entry.headline


def is_unallowed_fallback(entry: Entry) -> bool:
    return entry.result.is_fallback and not entry.fallback_allowed


def _is_failure(entry: Entry) -> bool:
    return entry.verdict == "failed" or is_unallowed_fallback(entry)


def _cell(need: Need, entries: Sequence[Entry], rehearsals: Rehearsals) -> Cell:
    there = [entry for entry in entries if entry.is_placement and _fits(need, entry)]
    current = [entry for entry in there if entry.identity == need.identity]
    real = _fewest_gpus(entry for entry in current if not _is_rehearsal(entry))
    rehearsed = _fewest_gpus(entry for entry in current if _is_rehearsal(entry))
    for one in (*real, *rehearsed):
        if one.verdict == "failed":
            return Cell(need, "failed", False, one, one.headline)
        if is_unallowed_fallback(one):
            return Cell(need, "fallback", False, one, "nobody allowed it")
    for one in real:
        if _is_expected(need, one):
            return Cell(need, "real", True, one)
    for one in rehearsed:
        if _is_expected(need, one):
            enough = rehearsals == "everywhere" or (rehearsals == "no-gpu" and need.gpus == 0)
            return Cell(need, "rehearsed", enough, one)
    for one in (*real, *rehearsed):
        return Cell(need, "other outcome", False, one, _difference(need, one))
    for one in there:
        if one.verdict == "proven" and one not in current:
            note = "" if one.is_real else "in a rehearsal"
            return Cell(need, "other identity", False, one, note)
    unproven = _unproven(current)
    return Cell(need, "never", False, *unproven)


def _unproven(current: Sequence[Entry]) -> tuple[Entry | None, str]:
    """The entry that says why there is no proof, and its text."""
    for verdict in ("not proven", "skipped"):
        for one in current:
            if one.verdict == verdict:
                reason = one.headline.removeprefix("not proven: ")
                return one, f"{verdict}: {reason}".rstrip(": ")
    return None, ""


def _missing(
    key: tuple[str, str], identity: str, tests: Sequence[str], entries: Sequence[Entry]
) -> Iterator[MissingCheck]:
    for test in tests:
        there = [entry for entry in entries if entry.test == test]
        current = [entry for entry in there if entry.identity == identity]
        verdicts = {entry.verdict for entry in current}
        if verdicts & {"proven", "failed"}:
            continue  # a failure is reported as such
        note = _unproven(current)[1]
        if not note:
            stale = any(entry.verdict == "proven" for entry in there)
            note = _IN_A_CELL["other identity" if stale else "never"]
        yield MissingCheck(*key, test, note)


def _failed_runs(jobs: Sequence[Job]) -> Iterator[Job]:
    """Runs that failed, though none of their tests did, and that no good one replaces."""
    replaced = {one for job in jobs if job.ended and job.exit_status == 0 for one in job.replaces}
    for job in jobs:
        if job.unexplained and job.id not in replaced:
            yield job


def _fits(need: Need, entry: Entry) -> bool:
    """Whether the entry's hardware is one to fulfil the need on."""
    count = entry.hardware.gpus
    if count is None:  # all GPUs, of a server that never reported how many there are
        return need.gpus > 0
    return count >= need.gpus if need.gpus else count == 0


def _is_expected(need: Need, entry: Entry) -> bool:
    """Whether the model came to what today's rules say."""
    observed = entry.observed
    if observed is None:
        return False
    if need.reason or observed.reason:
        return _alike(need.reason, observed.reason)
    if entry.hardware.gpus == need.gpus:
        return observed.placement == need.placement
    return observed.kinds == Outcome(need.placement).kinds  # on more GPUs there are more instances


def _alike(predicted: str, observed: str) -> bool:
    """Whether two refusals are for the same reason.

    A server that was built without GPU support says so, where others miss a GPU.
    """
    if observed == "no-gpu-support":
        return predicted in ("no-gpu", "gpu-id", "no-gpu-support")
    return predicted == observed


def _difference(need: Need, entry: Entry) -> str:
    today = Outcome(need.placement, need.reason).where
    version = entry.server.version if entry.server is not None else ""
    on = f" on tritonserver {version}" if version else ""
    seen = entry.observed.where if entry.observed is not None else "nothing"
    return f"{seen}{on}; predicted: {today}"


def _is_rehearsal(entry: Entry) -> bool:
    """Whether something was simulated; of an entry without a server its hardware says so."""
    return entry.hardware.simulated if entry.server is None else not entry.is_real


def _fewest_gpus(entries: Iterable[Entry]) -> list[Entry]:
    """Of the entries that are answers those with the fewest GPUs."""
    answers = [entry for entry in entries if is_answer(entry.verdict)]
    fewest = min((_count(entry) for entry in answers), default=0)
    return [entry for entry in answers if _count(entry) == fewest]


def _count(entry: Entry) -> float:
    return float("inf") if entry.hardware.gpus is None else entry.hardware.gpus
