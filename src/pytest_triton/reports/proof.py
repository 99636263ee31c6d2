"""merge's verdict, for people: what is proven, what isn't, for whom and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from pytest_triton.checks.result import OWN_HARDWARE, own_hardware
from pytest_triton.ledger.assess import (
    Assessment,
    Cell,
    assess,
    headline_of,
    is_unallowed_fallback,
)
from pytest_triton.ledger.entries import Entry, Ledger
from pytest_triton.ledger.remarks import remarks
from pytest_triton.plan.plan_file import Need, Plan
from pytest_triton.reports.matrix import column_titles

_FAILED = ("failed", "fallback")


@dataclass(frozen=True)
class Open:
    """Something that isn't proven, or `failed`: `where` is a hardware, checks, or a run.

    `job` is the one that found it, "" for what none did; `entry` is what it reported, if anything.
    `column` is the title of a table's column, of what isn't proven on some hardware.
    """

    deployment: str
    model: str
    where: str
    what: str
    job: str = ""
    failed: bool = False
    entry: Entry | None = None
    column: str = ""

    @property
    def is_fallback(self) -> bool:
        """Whether it is a fallback that nobody allowed."""
        return self.entry is not None and is_unallowed_fallback(self.entry)


@dataclass(frozen=True)
class Proof:
    """`verdict` is one sentence, `counts` how many of the plan's cells are in which state. `cells`
    are those that aren't proven, `failed`, `missing` and `failed_runs` what is wrong besides.
    `unplanned` are the models, by deployment, that the plan doesn't know."""

    ok: bool
    verdict: str
    counts: tuple[tuple[int, str], ...]
    cells: tuple[Open, ...]
    failed: tuple[Open, ...] = ()
    missing: tuple[Open, ...] = ()
    failed_runs: tuple[Open, ...] = ()
    remarks: tuple[str, ...] = ()
    unplanned: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of_ledger(cls, ledger: Ledger) -> Proof:
        """Of a merged ledger that says what is expected of it."""
        expected = ledger.expected
        assert expected is not None
        plan = Plan(expected.needs, checks=expected.checks)
        return cls.of(assess(plan, ledger, expected.rehearsals), ledger)

    @classmethod
    def of(cls, found: Assessment, ledger: Ledger) -> Proof:
        columns = columns_of(cell.need for cell in found.cells)
        counts = Counter(
            f"{cell} ({columns[cell.need.deployment, cell.need.gpus]})" for cell in found.cells
        ).most_common()
        return cls(
            found.ok,
            _verdict(found),
            tuple([(number, label) for label, number in counts]),
            tuple([_cell(cell, columns) for cell in found.cells if not cell.ok]),
            tuple(
                [
                    Open(
                        one.deployment,
                        one.model,
                        one.hardware.label if one.is_placement else one.test,
                        headline_of(one),
                        one.job.name,
                        failed=True,
                        entry=one,
                    )
                    for one in found.failures
                ]
            ),
            tuple(_missing(found)),
            tuple(
                [
                    Open(
                        "",
                        job.name,
                        f"exit status {job.exit_status}",
                        "the run failed, and none of its tests did: its output says why",
                        job.name,
                        failed=True,
                    )
                    for job in found.failed_runs
                ]
            ),
            tuple(remarks(found, ledger)),
            frozenset((one.deployment, one.model) for one in found.ignored.unknown),
        )

    @property
    def planned(self) -> int:
        """How many placements the plan wants."""
        return sum(number for number, _ in self.counts)

    @property
    def open(self) -> tuple[Open, ...]:
        """All that keeps it from being proven, failures first."""
        everything = (*self.failed, *self.cells, *self.missing, *self.failed_runs)
        return tuple(sorted(everything, key=lambda one: not one.failed))


def hardware_of(gpus: int) -> str:
    """`no GPU`, `1 GPU`, `2 GPUs`."""
    return {0: "no GPU", 1: "1 GPU"}.get(gpus, f"{gpus} GPUs")


def columns_of(needs: Iterable[Need]) -> dict[tuple[str, int], str]:
    """The title of the column that needs stand in, by their deployment and number of GPUs."""
    labels = {(need.deployment, need.gpus): _label(need) for need in needs}
    titles = column_titles((deployment, label) for (deployment, _), label in labels.items())
    return {key: own_hardware(titles[label]) or titles[label] for key, label in labels.items()}


def _label(need: Need) -> str:
    is_own = need.gpus and need.repository
    return f"{OWN_HARDWARE if is_own else ''}{hardware_of(need.gpus)}"


def _cell(cell: Cell, columns: Mapping[tuple[str, int], str]) -> Open:
    need, entry = cell.need, cell.entry
    what = f"{cell} ({cell.note})" if cell.note else str(cell)
    if cell.state in _FAILED and entry is not None:
        what = headline_of(entry) or what
    return Open(
        need.deployment,
        need.model,
        hardware_of(need.gpus),
        what,
        entry.job.name if entry is not None else "",
        failed=cell.state in _FAILED,
        entry=entry,
        column=columns[need.deployment, need.gpus],
    )


def _missing(found: Assessment) -> Iterator[Open]:
    """The checks of one model that aren't proven for the same reason are one."""
    tests: dict[Open, list[str]] = {}
    for one in found.missing:
        tests.setdefault(Open(one.deployment, one.model, "", one.note), []).append(one.test)
    for known, those in tests.items():
        yield replace(known, where=", ".join(those))


def _verdict(found: Assessment) -> str:
    cells = found.cells
    whole = f"{len(cells):,} placement{'s' if len(cells) != 1 else ''}"
    if found.ok:
        return f"All proven: {whole}"
    proven = sum(cell.ok for cell in cells)
    failed = sum(cell.state in _FAILED for cell in cells)
    rehearsed = sum(cell.state == "rehearsed" and not cell.ok for cell in cells)
    rest = len(cells) - proven - failed - rehearsed
    parts = [f"{proven:,} of {whole} proven"]
    parts += [f"{failed:,} failed"] if failed else []
    parts += [f"{rehearsed:,} rehearsed only"] if rehearsed else []
    parts += [f"{rest:,} not proven"] if rest else []
    if found.missing:
        parts.append(f"{_number(len(found.missing), 'check')} not proven")
    if found.failures:
        parts.append(_number(len(found.failures), "other failure"))
    if found.failed_runs:
        parts.append(_number(len(found.failed_runs), "failed run"))
    return f"Not all is proven: {', '.join(parts)}"


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' if count != 1 else ''}"
