"""A plan against what was proven."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replaced

from pytest_triton.ledger import VERDICTS, Entry, Verdict
from pytest_triton.ledger.assess import assess
from pytest_triton.ledger.entries import Rehearsals
from pytest_triton.ledger.fold import merged
from pytest_triton.plan.plan_file import Need, Plan
from support.ledger_strategies import (
    CHECKS,
    after,
    changed,
    check,
    entry,
    job,
    ledger,
    outcome,
    with_checks,
)


def need(gpus: int = 0, model: str = "detector") -> Need:
    placement = outcome("GPU 0").placement
    return Need("models", model, gpus, "GPU", "GPU 0", "runs on GPUs", "h1", placement)


def state(gpus: int, *reported: Entry, rehearsals: Rehearsals = "no-gpu") -> tuple[str, bool]:
    (cell,) = assess(Plan((need(gpus),)), ledger(*reported), rehearsals).cells
    return str(cell), cell.ok


@pytest.mark.parametrize(
    ("gpus", "reported", "expected"),
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
        (0, [entry(config="h0")], ("proven for another version of the model", False)),
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
def test_state_of_a_cell_follows_from_its_entries(
    gpus: int, reported: list[Entry], expected: tuple[str, bool]
) -> None:
    assert state(gpus, *reported) == expected
    assert state(gpus, *reversed(reported)) == expected


def test_where_rehearsals_are_enough_can_be_chosen() -> None:
    assert state(1, entry(spec="sim:1"), rehearsals="everywhere") == ("rehearsed", True)
    assert state(0, entry(), rehearsals="nowhere") == ("rehearsed only", False)
    assert state(0, entry("failed"), rehearsals="everywhere") == ("failed", False)


def test_all_gpus_of_a_server_that_never_answered_are_no_proof_and_reported() -> None:
    unknown = entry("not proven", "1", headline="no server to ask: port taken")
    unknown = changed(unknown, hardware=replaced(unknown.hardware, spec="all", gpus=None))
    (cell,) = assess(Plan((need(2),)), ledger(unknown)).cells
    assert (cell.state, cell.note) == ("never", "not proven: no server to ask: port taken")
    assert state(0, unknown) == ("never proven", False)


def test_failures_beside_the_plan_fail_the_whole() -> None:
    plan = Plan((need(1),))
    proof = entry(spec="1", real=True)
    on_eight = entry("failed", "8", real=True)
    other = job("other")
    assert assess(plan, with_checks(proof)).ok
    assert assess(plan, with_checks(proof, on_eight)).failures == (on_eight,)
    assert not assess(plan, with_checks(proof, on_eight)).ok
    assert not assess(plan, with_checks(proof, check("failed", by=other))).ok
    old = check("failed", config="h0", by=other)
    found = assess(plan, ledger(old, *with_checks(proof).entries))
    assert found.ok, "of an older version"
    assert old in found.ignored.other_identity


def test_unknown_models_are_named_and_fail_nothing() -> None:
    unknown = entry("failed", model="new")
    found = assess(Plan((need(0),)), ledger(unknown, *with_checks(entry()).entries))
    assert found.ok
    assert found.ignored.unknown == (unknown,)


@pytest.mark.parametrize("test", CHECKS)
@pytest.mark.parametrize("verdict", ["skipped", "not proven", "stale", "never"])
def test_check_that_is_not_proven_fails_the_whole(test: str, verdict: str) -> None:
    found = with_checks(entry())
    kept = [one for one in found.entries if one.test != test]
    if verdict == "stale":
        kept.append(check(test=test, config="h0"))
    elif verdict != "never":
        kept.append(changed(check(test=test), verdict=verdict, headline="xfail: later"))
    assert assess(Plan((need(0),)), found).ok
    judged = assess(Plan((need(0),)), ledger(*kept))
    assert not judged.ok
    (missing,) = judged.missing
    assert missing.test == test
    assert missing.note == {
        "stale": "proven for another version of the model",
        "never": "never proven",
    }.get(verdict, f"{verdict}: xfail: later")


def test_fallback_that_nobody_allowed_fails_by_itself() -> None:
    fallback = entry(placed="CPU  <- fallback")
    on_cpu = replace(need(0), placement=outcome("CPU").placement)
    assert str(assess(Plan((on_cpu,)), with_checks(fallback)).cells[0]) == "fell back to the CPU"
    allowed = changed(fallback, fallback_allowed=True)
    assert assess(Plan((on_cpu,)), with_checks(allowed)).ok
    beside = with_checks(allowed, changed(fallback, job=job("two")))
    assert not assess(Plan((on_cpu,)), beside).ok
    on_gpus = changed(entry(spec="sim:2", placed="CPU  <- fallback"), job=job("three"))
    found = assess(Plan((on_cpu,)), with_checks(allowed, on_gpus))
    assert found.failures == (on_gpus,)


@pytest.mark.parametrize(
    ("placed", "reason", "good"),
    [
        ("GPU 0", "", True),
        ("GPU 1", "", False),
        ("CPU", "", False),
        ("refused: no GPU", "", False),
        ("GPU 0", "no-gpu", False),
        ("refused: no GPU", "no-gpu", True),
        ("refused: no GPU", "gpu-id", False),
        ("refused: no GPU support", "no-gpu", True),
        ("refused: no GPU support", "ensemble", False),
    ],
)
def test_outcome_that_differs_from_todays_prediction_is_no_proof(
    placed: str, reason: str, good: bool
) -> None:
    one = replace(need(0), reason=reason, placement=() if reason else need(0).placement)
    (cell,) = assess(Plan((one,)), with_checks(entry(placed=placed))).cells
    assert (cell.ok, cell.state) == (good, "rehearsed" if good else "other outcome")


def test_more_gpus_have_more_instances_of_the_same_kinds() -> None:
    eight = entry(spec="8", real=True, placed="GPU 0 · GPU 1")
    assert assess(Plan((need(1),)), with_checks(eight)).ok
    on_cpu = entry(spec="8", real=True, placed="CPU")
    assert not assess(Plan((need(1),)), with_checks(on_cpu)).ok


def test_run_that_failed_without_a_failed_test_fails_the_whole_until_a_good_one() -> None:
    broken = replace(job(), exit_status=1, unexplained=True)
    assert assess(Plan((need(0),)), with_checks(entry(by=broken))).failed_runs == (broken,)
    again = after(broken, exit_status=0, unexplained=False)
    both = merged([with_checks(entry(by=broken), entry(by=again))])
    assert assess(Plan((need(0),)), both).ok
    worse = after(broken, exit_status=1)
    both = merged([with_checks(entry(by=broken), entry(by=worse))])
    assert not assess(Plan((need(0),)), both).ok


def test_plan_of_nothing_is_never_fulfilled() -> None:
    assert not assess(Plan(()), ledger(entry())).ok


@given(
    gpus=st.integers(0, 3),
    reported=st.lists(
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
def test_nothing_is_proven_without_an_entry_that_proves_it(
    gpus: int, reported: list[Entry]
) -> None:
    (cell,) = assess(Plan((need(gpus),)), ledger(*reported)).cells
    if cell.ok:
        proof = cell.entry
        assert proof is not None
        assert (proof.verdict, proof.model, proof.identity) == ("proven", "detector", "h1")
        assert proof.is_real or gpus == 0
        count = proof.hardware.gpus
        assert count is not None
        assert count >= gpus
        assert gpus or count == 0


SMALL, LARGE = "compose.yaml::small", "compose.yaml::large"


def deployed(title: str, gpus: int) -> Need:
    return replace(need(gpus), deployment=title, repository="models")


def service(title: str, verdict: Verdict = "proven") -> Entry:
    return changed(check(verdict, "test_deployment", deployment=title, model="(server)"))


def test_real_run_of_the_repository_counts_for_deployments_of_as_many_gpus() -> None:
    plan = Plan((deployed(SMALL, 1), deployed(LARGE, 4)), checks=())
    real = entry(spec="2", real=True)
    found = assess(plan, ledger(real, service(SMALL), service(LARGE)))
    assert [(cell.need.deployment, str(cell)) for cell in found.cells] == [
        (SMALL, "proven on a real GPU"),
        (LARGE, "never proven"),
    ]
    assert found.ignored.unknown == ()


def test_rehearsal_of_one_deployment_is_none_of_another() -> None:
    plan = Plan((deployed(SMALL, 1), deployed(LARGE, 1)), checks=())
    rehearsed = entry(spec="sim:1", deployment=SMALL)
    found = assess(plan, ledger(rehearsed, service(SMALL), service(LARGE)), "everywhere")
    assert [cell.ok for cell in found.cells] == [True, False]


def test_failure_of_a_repository_is_reported_once_for_all_its_deployments() -> None:
    plan = Plan((deployed(SMALL, 0), deployed(LARGE, 0)), checks=())
    failed = check("failed")
    found = assess(plan, ledger(entry(), failed, service(SMALL), service(LARGE)))
    assert found.failures == (failed,)


def test_deployment_whose_own_test_failed_or_never_ran_is_not_proven() -> None:
    plan = Plan((deployed(SMALL, 0), deployed(LARGE, 0)), checks=())
    failed = service(SMALL, "failed")
    found = assess(plan, ledger(entry(), failed))
    assert found.failures == (failed,)
    assert [(one.deployment, one.test) for one in found.missing] == [(LARGE, "test_deployment")]
    assert not found.ok
