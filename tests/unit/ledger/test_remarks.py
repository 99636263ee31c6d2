"""What merge says beside its verdict."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

from pytest_triton.ledger import Ledger
from pytest_triton.ledger.assess import assess
from pytest_triton.ledger.remarks import remarks
from pytest_triton.plan.plan_file import Need, Plan
from support.ledger_strategies import after, changed, entry, job, ledger, outcome

NOW = datetime(2026, 1, 31, 13, tzinfo=timezone.utc)
PLAN = Plan((Need("models", "detector", 0, "GPU", "", "", "h1", outcome("GPU 0").placement),))


def said(found: Ledger) -> list[str]:
    return [*remarks(assess(PLAN, found), found, NOW)]


def test_nothing_is_reported_of_a_good_run() -> None:
    assert said(ledger(entry())) == []


def test_start_in_the_future_is_reported() -> None:
    ahead = job(started="2026-02-01T12:00:00Z")
    assert said(ledger(entry(by=ahead))) == [
        "one started in the future (2026-02-01T12:00:00Z): is a clock wrong?"
    ]
    assert said(ledger(entry(by=job(started="2026-01-31T13:04:00Z")))) == []
    assert said(ledger(entry(by=job(started="yesterday")))) == []


def test_equal_names_of_different_starts_are_reported() -> None:
    first, other = job(), job(started="2026-01-31T12:30:00Z")
    (text,) = said(ledger(entry(by=first), entry(by=other)))
    assert "2 runs are called one (started 2026-01-31T12:00:00Z, 2026-01-31T12:30:00Z)" in text
    assert said(ledger(entry(by=first), entry(by=after(first)))) == []


def test_run_that_ended_early_is_reported_until_it_was_done_again() -> None:
    killed = replace(job(), ended=None, exit_status=None)
    assert said(ledger(entry(by=killed))) == ["Ended before they were done: one"]
    again = after(killed, ended="2026-01-31T12:01:00Z", exit_status=0)
    assert said(ledger(entry(by=killed), entry(by=again))) == []


def test_other_commits_are_reported() -> None:
    both = ledger(entry(by=job(commit="c" * 40)), entry(by=job("two", commit="d" * 40)))
    assert said(both) == [f"The runs are of 2 commits: {'c' * 12}, {'d' * 12}"]


def test_what_is_not_counted_is_reported() -> None:
    old = changed(entry("failed", config="h0"), job=job("two"))
    new = entry("failed", model="new")
    assert said(ledger(entry(), old, new)) == [
        "Not in the plan, and not counted: new (1 failure there)",
        "  If these models are new, make the plan again.",
        "Not counted, of other versions of these models: 1 result, 1 of them failed (detector)",
    ]
