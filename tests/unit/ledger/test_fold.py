"""What stands when several runs have found something about the same check."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replaced

from pytest_triton.ledger import VERDICTS, Entry, Ledger, Verdict
from pytest_triton.ledger.fold import latest, merged, place, with_replaced
from support.ledger_strategies import after, changed, check, entry, job, ledger, ledgers

pytestmark = pytest.mark.slow

FIRST = job()
SECOND = after(FIRST)


def stand(*found: Entry) -> tuple[Entry, ...]:
    return merged([ledger(*found)]).entries


@pytest.mark.parametrize(
    ("first", "second", "stands"),
    [
        ("proven", "skipped", "proven"),
        ("proven", "not proven", "proven"),
        ("proven", "failed", "failed"),
        ("failed", "proven", "proven"),
        ("failed", "skipped", "failed"),
        ("failed", "not proven", "failed"),
        ("skipped", "not proven", "not proven"),
        ("skipped", "proven", "proven"),
        ("not proven", "skipped", "skipped"),
    ],
)
def test_later_run_of_a_job_replaces_what_it_answers_anew(
    first: Verdict, second: Verdict, stands: Verdict
) -> None:
    answers = stand(entry(first, by=FIRST), entry(second, by=SECOND))
    assert [one.verdict for one in answers if one.verdict in ("proven", "failed")] == (
        [stands] if stands in ("proven", "failed") else []
    )
    checks = stand(check(first, by=FIRST), check(second, by=SECOND))
    assert stands in {one.verdict for one in checks}


@pytest.mark.parametrize(
    "other", ["identity", "release", "rehearsal", "image", "arguments", "gpus"]
)
def test_failure_under_other_conditions_stands(other: str) -> None:
    failed, proven = entry("failed", real=True, by=FIRST), entry(real=True, by=SECOND)
    server = proven.server
    assert server is not None
    if other == "identity":
        proven = changed(proven, identity="h2")
    elif other == "release":
        proven = entry(real=True, by=SECOND, version="2.42.0")
    elif other == "rehearsal":
        proven = entry(by=SECOND)
    elif other == "gpus":
        proven = changed(proven, hardware=replaced(proven.hardware, gpus=4))
    else:
        fields: Any = {"image": {"image_digest": "sha256:2"}, "arguments": {"arguments": ("--x",)}}
        proven = changed(proven, server=replaced(server, **fields[other]))
    assert set(stand(failed, proven)) == {failed, proven}


def test_failure_without_a_server_is_replaced_by_the_same_run_only() -> None:
    failed = changed(entry("failed", real=True, by=FIRST), server=None, observed=None)
    assert stand(failed, entry(real=True, by=SECOND)) == (entry(real=True, by=SECOND),)
    assert failed in stand(failed, entry(by=SECOND))


def test_proof_of_another_identity_is_kept_and_a_skip_is_not() -> None:
    old, new = entry(config="h1", by=FIRST), entry(config="h2", by=SECOND)
    assert set(stand(old, new)) == {old, new}, "the model may be changed back"
    assert stand(changed(old, verdict="skipped", server=None, observed=None), new) == (new,)


@pytest.mark.parametrize("clock", ["2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"])
def test_no_clock_decides(clock: str) -> None:
    failed, passed = replace(FIRST, started=clock), replace(SECOND, started="2026-01-01T00:00:00Z")
    assert stand(entry("failed", by=failed), entry(by=passed)) == (entry(by=passed),)
    assert stand(entry(by=failed), entry("failed", by=passed)) == (entry("failed", by=passed),)


def test_equal_names_of_different_files_replace_nothing() -> None:
    failed, passed = entry("failed", by=FIRST), entry(by=job(started="2026-02-01T12:00:00Z"))
    assert set(merged([ledger(failed), ledger(passed)]).entries) == {failed, passed}
    again = merged([merged([ledger(failed), ledger(passed)])])
    assert set(again.entries) == {failed, passed}, "also once they are in one file"


def test_ledger_that_was_replaced_by_hand() -> None:
    old, new = ledger(entry("failed", by=FIRST)), ledger(entry(by=job(started="later")))
    (one,) = merged(with_replaced([new], [old])).entries
    assert one.verdict == "proven"
    other_name = ledger(entry(by=job("two")))
    assert len(merged(with_replaced([other_name], [old])).entries) == 2
    assert len(merged(with_replaced([old], [old])).entries) == 1


def test_people_see_what_a_job_answered_last() -> None:
    old, new = entry("failed", config="h1", by=FIRST), entry(config="h2", by=SECOND)
    both = merged([ledger(old, new)])
    assert set(both.entries) == {old, new}
    assert latest(both).entries == (new,)
    real = entry("failed", real=True, by=FIRST)
    assert real in latest(merged([ledger(real, new)])).entries, "no rehearsal replaces a real run"


def test_other_jobs_models_and_hardware_stand_beside_each_other() -> None:
    all_of_them = [
        entry(),
        entry(spec="sim:2"),
        entry(model="ranker"),
        entry(deployment="others"),
        entry(by=job("two")),
    ]
    assert set(stand(*all_of_them)) == {*all_of_them}


THIRD = after(SECOND)
_found = st.lists(
    st.builds(
        entry,
        st.sampled_from(VERDICTS),
        st.sampled_from(["none", "sim:2"]),
        real=st.booleans(),
        config=st.sampled_from(["h1", "h2"]),
        by=st.sampled_from([FIRST, SECOND, THIRD, job("two"), job(started="later")]),
        headline=st.sampled_from(["", "x"]),
    ),
    max_size=8,
    unique_by=lambda one: (one.job, place(one)),
)


@given(found=_found, data=st.data())
def test_order_does_not_matter(found: list[Entry], data: st.DataObject) -> None:
    other = data.draw(st.permutations(found))
    assert merged([ledger(*found)]) == merged([ledger(one) for one in other])


@given(_found)
def test_something_stands_of_each_place_and_an_answer_if_there_was_one(found: list[Entry]) -> None:
    standing = stand(*found)
    assert {place(one) for one in standing} == {place(one) for one in found}
    for one in found:
        same = [each for each in standing if place(each) == place(one)]
        assert one.verdict not in ("proven", "failed") or any(
            each.verdict in ("proven", "failed") for each in same
        )
    assert merged([Ledger(merged([ledger(*found)]).jobs, standing)]).entries == standing


@given(ledgers())
def test_ledger_merged_with_itself_is_itself(one: Ledger) -> None:
    once = merged([one])
    assert merged([one, one]) == once
    assert merged([once]) == once
    assert {job.id for job in once.jobs} == {job.id for job in one.jobs}
