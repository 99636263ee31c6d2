"""merge's verdict, for people: what is proven, what isn't, for whom and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_triton.ledger.assess import Assessment, Cell, headline_of
from pytest_triton.ledger.entries import Ledger
from pytest_triton.ledger.remarks import remarks


@dataclass(frozen=True)
class Open:
    """Something that isn't proven, or failed: `where` is a hardware, checks, or a run."""

    deployment: str
    model: str
    where: str
    what: str


@dataclass(frozen=True)
class Proof:
    """`verdict` is one sentence, `counts` how many of the plan's cells are in which state. `cells`
    are those that aren't proven, `failed`, `missing` and `failed_runs` what is wrong besides."""

    ok: bool
    verdict: str
    counts: tuple[tuple[int, str], ...]
    cells: tuple[Open, ...]
    failed: tuple[Open, ...]
    missing: tuple[Open, ...]
    failed_runs: tuple[Open, ...]
    remarks: tuple[str, ...]

    @classmethod
    def of(cls, found: Assessment, ledger: Ledger) -> Proof:
        counts = Counter(_counted_as(cell) for cell in found.cells).most_common()
        return cls(
            found.ok,
            _verdict(found),
            tuple([(number, label) for label, number in counts]),
            tuple([_cell(cell) for cell in found.cells if not cell.ok]),
            tuple(
                [
                    Open(
                        one.deployment,
                        one.model,
                        one.hardware.label if one.is_placement else one.test,
                        f"{headline_of(one)} ({one.job.name})",
                    )
                    for one in found.failures
                ]
            ),
            tuple(_missing(found)),
            tuple(
                [
                    Open("", job.name, f"exit status {job.exit_status}", "its output says why")
                    for job in found.failed_runs
                ]
            ),
            tuple(remarks(found, ledger)),
        )

    @property
    def open(self) -> tuple[Open, ...]:
        """All that keeps it from being proven, failures first."""
        return (*self.failed, *self.cells, *self.missing, *self.failed_runs)


def hardware_of(gpus: int) -> str:
    """`no GPU`, `1 GPU`, `2 GPUs`."""
    return {0: "no GPU", 1: "1 GPU"}.get(gpus, f"{gpus} GPUs")


def _counted_as(cell: Cell) -> str:
    return f"{cell} ({hardware_of(cell.need.gpus)})"


def _cell(cell: Cell) -> Open:
    what = f"{cell} ({cell.note})" if cell.note else str(cell)
    return Open(cell.need.deployment, cell.need.model, hardware_of(cell.need.gpus), what)


def _missing(found: Assessment) -> Iterator[Open]:
    """The checks of one model that aren't proven for the same reason are one."""
    tests: dict[tuple[str, str, str], list[str]] = {}
    for one in found.missing:
        tests.setdefault((one.deployment, one.model, one.note), []).append(one.test)
    for (deployment, model, note), those in tests.items():
        yield Open(deployment, model, ", ".join(those), note)


def _verdict(found: Assessment) -> str:
    if found.ok:
        return f"All proven: {len(found.cells)} of {len(found.cells)}"
    unproven = sum(not cell.ok for cell in found.cells)
    parts = []
    if unproven:
        parts.append(f"{unproven} of {len(found.cells)} not proven")
    if found.missing:
        parts.append(f"{_number(len(found.missing), 'check')} not proven")
    if found.failures:
        parts.append(_number(len(found.failures), "other failure"))
    if found.failed_runs:
        parts.append(_number(len(found.failed_runs), "failed run"))
    return f"Not all is proven: {', '.join(parts)}"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"
