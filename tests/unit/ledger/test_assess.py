"""A plan against what was proven."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replaced

from pytest_triton.ledger import VERDICTS, Entry
from pytest_triton.ledger.assess import Rehearsals, assess
from pytest_triton.plan.plan_file import Need, Plan
from support.ledger_strategies import changed, check, entry, ledger


def need(gpus: int = 0, model: str = "detector") -> Need:
    return Need("models", model, gpus, "GPU", "GPU 0", "runs on GPUs", "h1")


def state(gpus: int, *told: Entry, rehearsals: Rehearsals = "no-gpu") -> tuple[str, bool]:
    (cell,) = assess(Plan((need(gpus),)), ledger(*told), rehearsals).cells
    return str(cell), cell.ok


@pytest.mark.parametrize(
    ("gpus", "told", "expected"),
    [
        (0, [], ("never proven", False)),
        (0, [entry()], ("rehearsed", True)),
        (0, [entry(real=True)], ("proven in a real run", True)),
        (0, [entry(spec="sim:2")], ("never proven", False)),
        (0, [entry("failed")], ("failed", False)),
        (0, [entry("failed"), entry(real=True)], ("failed", False)),
        (0, [entry("skipped")], ("never proven", False)),
        (0, [entry("not proven")], ("never proven", False)),
        (0, [entry("skipped"), entry(real=True)], ("proven in a real run", True)),
        (0, [entry(config="h0")], ("proven for another version of the config", False)),
        (0, [entry("failed", config="h0")], ("never proven", False)),
        (0, [entry(deployment="others")], ("never proven", False)),
        (1, [entry(real=True)], ("never proven", False)),
        (1, [entry(spec="sim:1")], ("rehearsed only", False)),
        (1, [entry(spec="1", real=True)], ("proven on a real GPU", True)),
        (1, [entry(spec="1")], ("rehearsed only", False)),  # real GPUs, stand-in backends
        (1, [entry(spec="8", real=True)], ("proven on a real GPU", True)),
        (2, [entry(spec="1", real=True)], ("never proven", False)),
        (1, [entry("skipped", "1"), entry(spec="8", real=True)], ("proven on a real GPU", True)),
        (1, [entry(spec="sim:1"), entry(spec="8", real=True)], ("proven on a real GPU", True)),
        (1, [entry("failed", "sim:1"), entry(spec="1", real=True)], ("failed", False)),
        (
            1,
            [entry("failed", "8", real=True), entry(spec="1", real=True)],
            ("proven on a real GPU", True),
        ),
    ],
)
def test_each_state(gpus: int, told: list[Entry], expected: tuple[str, bool]) -> None:
    assert state(gpus, *told) == expected
    assert state(gpus, *reversed(told)) == expected


def test_where_rehearsals_are_enough_can_be_said() -> None:
    assert state(1, entry(spec="sim:1"), rehearsals="everywhere") == ("rehearsed", True)
    assert state(0, entry(), rehearsals="nowhere") == ("rehearsed only", False)
    assert state(0, entry("failed"), rehearsals="everywhere") == ("failed", False)


def test_all_gpus_of_a_server_that_never_answered_are_no_proof_and_told() -> None:
    unknown = entry("not proven", "1", headline="no server to ask: port taken")
    unknown = changed(unknown, hardware=replaced(unknown.hardware, spec="all", gpus=None))
    (cell,) = assess(Plan((need(2),)), ledger(unknown)).cells
    assert (cell.state, cell.note) == ("never", "not proven: no server to ask: port taken")
    assert state(0, unknown) == ("never proven", False)


def test_failures_beside_the_plan_fail_the_whole() -> None:
    plan = Plan((need(1),))
    proof = entry(spec="1", real=True)
    on_eight = entry("failed", "8", real=True)
    assert assess(plan, ledger(proof)).ok
    assert assess(plan, ledger(proof, on_eight)).failures == (on_eight,)
    assert not assess(plan, ledger(proof, on_eight)).ok
    assert not assess(plan, ledger(proof, check("failed"))).ok
    assert assess(plan, ledger(proof, check("failed", config="h0"))).ok, "of an older config"


def test_strangers_are_told_and_fail_nothing() -> None:
    stranger = entry("failed", model="new")
    found = assess(Plan((need(0),)), ledger(entry(), stranger))
    assert found.ok
    assert found.strangers == (stranger,)


def test_a_plan_of_nothing_is_never_fulfilled() -> None:
    assert not assess(Plan(()), ledger(entry())).ok


@given(
    gpus=st.integers(0, 3),
    told=st.lists(
        st.builds(
            entry,
            st.sampled_from(VERDICTS),
            st.sampled_from(["none", "sim:1", "sim:2", "1", "2", "8"]),
            real=st.booleans(),
            config=st.sampled_from(["h1", "h2"]),
            model=st.sampled_from(["detector", "ranker"]),
        ),
        max_size=6,
    ),
)
def test_nothing_is_proven_without_an_entry_that_proves_it(gpus: int, told: list[Entry]) -> None:
    (cell,) = assess(Plan((need(gpus),)), ledger(*told)).cells
    if cell.ok:
        proof = cell.entry
        assert proof is not None
        assert (proof.verdict, proof.model, proof.config.hash) == ("proven", "detector", "h1")
        assert proof.is_real or gpus == 0
        count = proof.hardware.gpus
        assert count is not None
        assert count >= gpus
        assert gpus or count == 0
