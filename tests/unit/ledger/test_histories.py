"""merge against a simple model of what is proven now, for random histories of runs.

A history has some jobs that write to some files; between runs the models change, clocks jump, and
runs select, skip and crash. The files are written by the writer of real runs; only pytest's reports
are made here. The model keeps all that ever happened and asks: is each model, as it is now, proven
wherever it must be, and has no check of it failed that hasn't passed again?
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as replaced

from pytest_triton.checks.result import CheckResult, ConfigFacts, ServerFacts
from pytest_triton.ledger import Job, read_ledger
from pytest_triton.ledger.assess import Assessment, assess
from pytest_triton.ledger.fold import merged
from pytest_triton.plan.plan_file import CHECKS, Need, Plan
from pytest_triton.reports.ledger_writer import LedgerWriter
from support.ledger_strategies import GPU, REHEARSAL, hardware, outcome

pytestmark = pytest.mark.slow

MODELS = ("a", "b")
SPECS = ("none", "2")
TESTS = (*CHECKS, *(f"test_placement {spec}" for spec in SPECS))
Result = Literal["passed", "failed", "skipped", "deselected"]


@dataclass(frozen=True)
class Run:
    """One run of pytest, and what the models were then. `results` are those of each model's tests,
    in the order of TESTS; after `crash` tests nothing more was written."""

    number: int
    job: str
    file: str
    started: str
    real: bool
    states: tuple[int, ...]
    results: tuple[tuple[Result, ...], ...]
    crash: int | None


@st.composite
def histories(draw: st.DrawFn) -> list[Run]:
    states = [0 for _ in MODELS]
    runs = []
    for number in range(draw(st.integers(1, 5))):
        for index in range(len(MODELS)):
            if draw(st.integers(0, 4)) == 0:
                states[index] = draw(st.integers(0, 1))  # a change, or back to what it was
        wrong = draw(st.booleans())
        results: st.SearchStrategy[Result] = (
            st.sampled_from((*["passed"] * 9, "failed", "skipped", "deselected"))
            if wrong
            else st.just("passed")
        )
        runs.append(
            Run(
                number,
                job=draw(st.sampled_from(["one", "two"])),
                file=draw(st.sampled_from(["a.json", "b.json"])),
                started=draw(st.sampled_from(["2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"])),
                real=draw(st.integers(0, 3)) > 0,
                states=tuple(states),
                results=tuple(draw(st.tuples(*[results] * len(TESTS))) for _ in MODELS),
                crash=draw(st.sampled_from([None, None, 3, 7])) if wrong else None,
            )
        )
    return runs


# --- what really writes --------------------------------------------------------------------------


def write(run: Run, folder: Path) -> None:
    job = Job(run.job, "c", run.started, "0.1.0", id=str(run.number))
    writer = LedgerWriter(folder / run.file, job, clock=lambda: 0.0)
    writer.start()
    done = 0
    failed = False
    for model, state, results in zip(MODELS, run.states, run.results, strict=True):
        for test, result in zip(TESTS, results, strict=True):
            if result == "deselected":
                continue
            if run.crash is not None and done >= run.crash:
                writer._write()  # what had been due before
                writer._file.close()  # as the system does for a process that is killed
                return
            writer.add(_report(result), _found(run, model, state, test, result))
            failed = failed or result == "failed"
            done += 1
    writer.close(int(failed))


def _report(result: Result) -> pytest.TestReport:
    made = SimpleNamespace(
        outcome=result,
        passed=result == "passed",
        failed=result == "failed",
        skipped=result == "skipped",
        longrepr=("file", 1, "why"),
        longreprtext="what",
        sections=[],
    )
    return cast("pytest.TestReport", made)


def _found(run: Run, model: str, state: int, test: str, result: Result) -> CheckResult:
    name, _, spec = test.partition(" ")
    kind = "real run" if run.real else REHEARSAL
    config = ConfigFacts(f"models/{model}/config.pbtxt", f"h{state}")
    one = CheckResult("models", model, name, config, GPU, identity=f"i{state}", run=kind)
    if not spec or result == "skipped":
        facts: dict[str, Any] = {"hardware": hardware(spec)} if spec else {}
        return _with(one, **facts)
    seen = outcome("GPU 0 · GPU 1" if spec == "2" else "refused: no GPU")
    return _with(
        one,
        hardware=hardware(spec),
        predicted=seen,
        observed=seen,
        server=ServerFacts("tritonserver", "2.51.0"),
    )


def _with(one: CheckResult, **changes: Any) -> CheckResult:
    return replaced(one, **changes)


# --- the model -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Event:
    run: Run
    model: str
    state: int
    test: str
    result: Result


def events(runs: Sequence[Run]) -> list[Event]:
    found = []
    for run in runs:
        mine = [
            Event(run, model, state, test, result)
            for model, state, results in zip(MODELS, run.states, run.results, strict=True)
            for test, result in zip(TESTS, results, strict=True)
            if result != "deselected"
        ]
        found += mine if run.crash is None else mine[: run.crash]
    return found


def is_proven(runs: Sequence[Run]) -> bool:
    """Whether all that must be proven is proven now."""
    happened = events(runs)
    now = dict(zip(MODELS, runs[-1].states, strict=True))
    current = [one for one in happened if one.state == now[one.model]]
    for one in current:
        if one.result == "failed" and not any(_passed_again(one, other) for other in current):
            return False
    for model in MODELS:
        for test in TESTS:
            proofs = [
                one
                for one in current
                if (one.model, one.test, one.result) == (model, test, "passed")
                and (one.run.real or test != "test_placement 2")
            ]
            if not proofs:
                return False
    return True


def _passed_again(failed: Event, other: Event) -> bool:
    return (
        other.result == "passed"
        and (other.model, other.test) == (failed.model, failed.test)
        and other.run.number > failed.run.number
        and (other.run.job, other.run.file) == (failed.run.job, failed.run.file)
        and other.run.real == failed.run.real
    )


# --- both ----------------------------------------------------------------------------------------


def plan(states: Sequence[int]) -> Plan:
    return Plan(
        tuple(
            Need(
                "models",
                model,
                gpus,
                "GPU",
                "GPU 0",
                "why",
                f"i{state}",
                outcome("GPU 0 · GPU 1").placement if gpus else (),
                "" if gpus else "no-gpu",
            )
            for model, state in zip(MODELS, states, strict=True)
            for gpus in (0, 2)
        )
    )


def judge(runs: Sequence[Run], folder: Path) -> Assessment:
    for run in runs:
        write(run, folder)
    ledgers = [read_ledger(path) for path in sorted(folder.glob("*.json"))]
    found = merged(ledgers)
    assert merged([found]) == found
    assert merged(reversed(ledgers)) == found
    return assess(plan(runs[-1].states), found)


@settings(max_examples=200, deadline=None)
@given(histories())
def test_merge_is_green_just_when_all_is_proven_now(runs: list[Run]) -> None:
    with tempfile.TemporaryDirectory() as name:
        assert judge(runs, Path(name)).ok == is_proven(runs)


def _all(results: Sequence[Result]) -> tuple[tuple[Result, ...], ...]:
    return tuple(tuple(results) for _ in MODELS)


def test_histories_that_are_proven_are_among_the_examples(tmp_path: Path) -> None:
    passed: list[Result] = ["passed" for _ in TESTS]
    good = Run(0, "one", "a.json", "2026-01-01T00:00:00Z", True, (0, 0), _all(passed), None)
    assert judge([good], tmp_path).ok
    bad = replace(good, number=1, results=_all(["passed", "failed", *passed[2:]]))
    assert not judge([bad], tmp_path).ok
    rehearsed = replace(good, number=2, real=False)
    assert not judge([rehearsed], tmp_path).ok, "no rehearsal replaces a real run"
    assert judge([replace(good, number=3)], tmp_path).ok
