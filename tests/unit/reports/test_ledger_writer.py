"""A run's ledger: what pytest reports goes in, and the end of the run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace as replaced

from pytest_triton.ledger import Job, read_ledger
from pytest_triton.reports.ledger_writer import LedgerWriter, entry_of
from support.ledger_strategies import check, entry

JOB = Job("one", "c", "2026-01-31T12:00:00Z", "0.1.0", id="1")


def report(outcome: str = "passed", text: str = "", **more: Any) -> pytest.TestReport:
    made = SimpleNamespace(
        outcome=outcome,
        passed=outcome == "passed",
        failed=outcome == "failed",
        skipped=outcome == "skipped",
        longrepr=more.pop("longrepr", text),
        longreprtext=text,
        sections=more.pop("sections", []),
        **more,
    )
    return cast("pytest.TestReport", made)


@pytest.mark.parametrize(
    ("reports", "exit_status", "unexplained"),
    [
        (["passed"], 0, False),
        (["passed"], 1, True),
        (["passed"], 3, True),
        (["passed"], 2, False),
        ([], 5, False),
        (["failed", "passed"], 1, False),
    ],
)
def test_run_that_failed_without_a_failed_test_is_unexplained(
    reports: list[str], exit_status: int, unexplained: bool, tmp_path: Path
) -> None:
    writer = LedgerWriter(tmp_path / "ledger.json", JOB)
    writer.start()
    for outcome in reports:
        writer.add(report(outcome), check().result)
    writer.close(exit_status)
    (job,) = read_ledger(writer.path).jobs
    assert (job.exit_status, job.unexplained) == (exit_status, unexplained)
    assert job.ended is not None


def test_failures_of_other_tests_are_counted_and_explain_the_run(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path / "ledger.json", JOB)
    writer.start()
    for outcome in ("failed", "passed", "failed", "skipped"):
        writer.add(report(outcome), None)
    writer.close(1)
    (job,) = read_ledger(writer.path).jobs
    assert (job.other_failures, job.unexplained) == (2, False)


def test_file_is_written_while_the_run_goes_on_but_not_for_each_report(tmp_path: Path) -> None:
    now = 100.0
    writer = LedgerWriter(tmp_path / "ledger.json", JOB, clock=lambda: now)

    def written(test: str) -> int:
        writer.add(report(), check(test=test).result)
        return len(read_ledger(writer.path).entries)

    writer.start()
    assert [written("a"), written("b")] == [0, 0]
    now += 1.0
    assert [written("c"), written("d")] == [3, 3]
    now += 0.9
    assert written("e") == 3
    now += 0.2
    assert written("f") == 6
    writer.close(0)


def test_file_is_not_written_anew_where_nothing_is_new(tmp_path: Path) -> None:
    now = 100.0
    writer = LedgerWriter(tmp_path / "ledger.json", JOB, clock=lambda: now)
    writer.start()
    now += 10
    writer.add(report(), check().result)
    before = writer.path.stat()
    now += 10
    writer.add(report("passed"), None)
    assert writer.path.stat().st_ino == before.st_ino
    assert writer.path.stat().st_mtime_ns == before.st_mtime_ns
    writer.close(0)


@pytest.mark.parametrize(
    ("outcome", "unproven", "verdict"),
    [
        ("failed", "", "failed"),
        ("failed", "no server", "not proven"),
        ("failed", "ready nowhere", "not proven"),
        ("skipped", "", "skipped"),
        ("skipped", "no backend", "not proven"),
        ("passed", "", "proven"),
    ],
)
def test_verdict_is_that_of_the_report_unless_nothing_was_asked(
    outcome: str, unproven: Any, verdict: str
) -> None:
    result = replaced(check().result, unproven=unproven)
    assert entry_of(report(outcome, "why"), result, JOB).verdict == verdict


def test_placement_that_passed_without_a_server_is_not_proven() -> None:
    result = replaced(entry().result, server=None)
    assert entry_of(report(), result, JOB).verdict == "not proven"
    assert entry_of(report(), entry().result, JOB).verdict == "proven"


def test_worst_of_several_tries_counts(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path / "ledger.json", JOB)
    writer.start()
    for outcome in ("passed", "failed", "rerun", "passed"):
        writer.add(report(outcome, "first line\nmore"), check().result)
    writer.close(1)
    (found,) = read_ledger(writer.path).entries
    assert (found.verdict, found.headline) == ("failed", "first line")


@pytest.mark.parametrize(
    ("made", "headline"),
    [
        (report("failed", "\n  what is wrong \nmore"), "what is wrong"),
        (report("failed", "[gw1] linux -- Python 3.11 python\nwhat is wrong"), "what is wrong"),
        (report("skipped", longrepr=("file", 1, "Skipped: no GPU")), "no GPU"),
        (report("skipped", "another reason\nmore"), "another reason"),
        (report("skipped", wasxfail="a known bug"), "xfail: a known bug"),
        (report("skipped", wasxfail=""), "xfail"),
    ],
)
def test_headline_of_an_entry_is_the_reports_reason(made: pytest.TestReport, headline: str) -> None:
    assert entry_of(made, check().result, JOB).headline == headline


def test_failed_entry_has_the_text_and_the_servers_last_lines() -> None:
    log = ("triton server log of models", "\n".join(f"line {number}" for number in range(60)))
    made = report("failed", "[gw1] linux\nwhat\nmore", sections=[("stdout", "no"), log])
    found = entry_of(made, entry().result, JOB)
    assert found.text == "what\nmore"
    assert found.log.splitlines() == [f"line {number}" for number in range(10, 60)]
