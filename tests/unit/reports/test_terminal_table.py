"""The table at the end of a run: all of a small repository, and of a large one what matters."""

from __future__ import annotations

from pytest_triton.checks.result import CheckResult, HardwareFacts
from pytest_triton.reports.terminal import PlacementTable
from support.ledger_strategies import changed, entry, outcome


def _result(model: str, hardware: str, observed: str) -> CheckResult:
    cell = observed.removesuffix(" (allowed)")
    return changed(
        entry(model=model),
        hardware=HardwareFacts(hardware, hardware),
        observed=outcome(cell),
        fallback_allowed=cell != observed,
    ).result


def _lines(count: int, **odd: tuple[str, bool]) -> list[str]:
    """The table of `count` models on two hardware; `odd` are cells that differ without a GPU."""
    table = PlacementTable(["no GPU", "2 GPUs"])
    for number in range(count):
        name = f"m{number:04}"
        cell, failed = odd.get(name, ("refused: no GPU", False))
        table.add(_result(name, "no GPU", cell), failed=failed)
        on_gpus = "GPU 0 · GPU 1" if number % 10 else "GPU 0 · CPU x2"
        table.add(_result(name, "2 GPUs", on_gpus), failed=False)
    return _text(table)


def _text(table: PlacementTable) -> list[str]:
    return [line for lines, _ in table.lines() for line in lines]


def test_small_repository_is_shown_whole() -> None:
    assert len(_lines(50)) == 51


def test_large_one_shows_what_deserves_attention_and_counts_the_rest() -> None:
    lines = _lines(
        1000,
        m0007=("CPU  <- fallback", False),
        m0008=("CPU  <- fallback (allowed)", False),
        m0500=("CPU x2", True),
    )
    assert [line.split()[0] for line in lines[1:3]] == ["m0007", "m0500"]
    assert lines[3:] == [
        "2 of 1,000 models need attention",
        "  no GPU  997 refused, 1 fallback, 1 fallback (allowed), 1 failed",
        "  2 GPUs  900 GPU, 100 GPU + CPU",
    ]


def test_too_many_that_deserve_attention_are_counted_too() -> None:
    names = [f"m{number:04}" for number in range(300)]
    lines = _lines(300, **dict.fromkeys(names, ("CPU  <- fallback", False)))
    assert len(lines) == 1 + 50 + 3
    assert "300 of 300 models need attention, the first 50 of them are shown" in lines


def test_what_has_not_run_is_reported() -> None:
    table = PlacementTable(["no GPU", "2 GPUs"])
    for number in range(60):
        table.add(_result(f"m{number}", "no GPU", "refused: no GPU"), failed=False)
    assert "  2 GPUs  60 not run" in _text(table)
