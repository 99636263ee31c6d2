"""What stands when several runs have told about the same thing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_triton.ledger import VERDICTS, Entry, Ledger, Verdict
from pytest_triton.ledger.fold import folded, merged, place
from support.ledger_strategies import changed, check, entry, job, ledger, ledgers

FIRST, SECOND = (job(started=f"2026-01-31T12:0{minute}:00Z") for minute in (1, 2))


@pytest.mark.parametrize(
    ("first", "second", "stands"),
    [
        ("proven", "skipped", "proven"),
        ("proven", "not proven", "proven"),
        ("proven", "failed", "failed"),
        ("failed", "proven", "failed"),
        ("failed", "skipped", "failed"),
        ("skipped", "not proven", "not proven"),
        ("skipped", "proven", "proven"),
        ("not proven", "skipped", "not proven"),
    ],
)
def test_of_one_commit_an_answer_beats_none_and_failed_beats_proven(
    first: Verdict, second: Verdict, stands: Verdict
) -> None:
    (one,) = folded([entry(first, by=FIRST), entry(second, by=SECOND)])
    assert one.verdict == stands
    (other,) = folded([check(first, by=FIRST), check(second, by=SECOND)])
    assert other.verdict == stands


@pytest.mark.parametrize("what", ["config", "commit", "server", "working copy", "no commit"])
def test_of_another_commit_config_or_server_the_later_answer_stands(what: str) -> None:
    old, new = entry("failed", by=FIRST), entry("proven", by=SECOND)
    if what == "config":
        new = entry("proven", by=SECOND, config="h2")
    elif what == "commit":
        new = entry("proven", by=replace(SECOND, commit="d"))
    elif what == "server":
        new = entry("proven", by=SECOND, version="2.42.0")
    else:
        commit = None if what == "no commit" else "c-dirty"
        old = entry("failed", by=replace(FIRST, commit=commit))
        new = entry("proven", by=replace(SECOND, commit=commit))
    assert folded([old, new]) == (new,)
    skipped = changed(new, verdict="skipped", server=None, observed=None)
    assert folded([old, skipped]) == (old,), "a skip takes nothing back"


def test_other_jobs_models_and_hardware_stand_beside_each_other() -> None:
    all_of_them = [
        entry(),
        entry(spec="sim:2"),
        entry(model="ranker"),
        entry(deployment="others"),
        entry(by=job("two")),
    ]
    assert sorted(folded(all_of_them), key=place) == sorted(all_of_them, key=place)


_told = st.lists(
    st.builds(
        entry,
        st.sampled_from(VERDICTS),
        st.sampled_from(["none", "sim:2"]),
        real=st.booleans(),
        config=st.sampled_from(["h1", "h2"]),
        by=st.builds(
            job,
            st.sampled_from(["one", "two"]),
            st.sampled_from(["2026-01-31T12:00:00Z", "2026-01-31T12:00:01Z"]),
            st.sampled_from(["c", "d", None]),
        ),
        headline=st.sampled_from(["", "x"]),
    ),
    max_size=8,
)


@given(told=_told, data=st.data())
def test_the_order_of_what_is_told_does_not_matter(told: list[Entry], data: st.DataObject) -> None:
    other = data.draw(st.permutations(told))
    assert folded(told) == folded(other)
    assert merged([ledger(*told)]) == merged([ledger(one) for one in other])


@given(_told)
def test_one_stands_of_each_place_and_an_answer_if_there_was_one(told: list[Entry]) -> None:
    standing = folded(told)
    assert [place(one) for one in standing] == sorted({place(one) for one in told})
    for one in standing:
        there = {each.verdict for each in told if place(each) == place(one)}
        assert one in told
        assert one.verdict in ("proven", "failed") or not there & {"proven", "failed"}
    assert folded(standing) == standing


@given(ledgers())
def test_a_ledger_merged_with_itself_is_itself(one: Ledger) -> None:
    once = merged([one])
    assert merged([one, one]) == once
    assert merged([once]) == once
    assert set(once.jobs) == set(one.jobs)
