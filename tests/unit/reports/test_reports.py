"""What reports say of a ledger: Markdown, annotations, code quality, and the page as a text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as replaced

from pytest_triton.__main__ import main
from pytest_triton.checks.result import Declaration
from pytest_triton.ledger import Entry, Ledger, read_ledger, write_ledger
from pytest_triton.ledger.entries import Job
from pytest_triton.placement.declared import DeclaredGroup
from pytest_triton.reports.annotations import diagnostics, from_root
from pytest_triton.reports.github import github
from pytest_triton.reports.gitlab import gitlab
from pytest_triton.reports.html import html
from pytest_triton.reports.markdown import markdown
from pytest_triton.reports.matrix import Matrix, kind_of
from pytest_triton.reports.report import Report
from support import sample_ledgers as ledgers
from support.ledger_strategies import changed

# --- the matrix --------------------------------------------------------------------------------


def test_every_kind_of_the_sample_is_distinguished() -> None:
    kinds = {(one.model, one.hardware.spec): kind_of(one) for one in _sample().placements}
    assert kinds["detector", "none"] == "refused"
    assert kinds["detector", "2"] == "gpu"
    assert kinds["ranker", "sim:2"] == "mixed"
    assert kinds["ranker", "2"] == "failed"
    assert kinds["tokenizer", "none"] == "cpu"
    assert kinds["legacy", "none"] == "fallback"
    assert kinds["spellcheck", "none"] == "fallback-allowed"
    assert kinds["cleanup", "none"] == "ready"
    assert kinds["llm", "none"] == "model"
    assert kinds["lost", "none"] == "not-proven"
    assert kinds["lost", "sim:2"] == "skipped"


def test_what_was_rehearsed_never_shares_a_column_with_a_real_run() -> None:
    entry = ledgers.entry("a", ledgers.ready("GPU 0"), hardware=ledgers.REAL_TWO)
    real = changed(entry, server=ledgers.REAL, run="real run")
    matrix = Matrix.of(Ledger((ledgers.CPU_JOB,), (entry, real)))
    assert [column.is_real for column in matrix.columns] == [False, True]
    assert matrix.evidence == "both"


def test_entry_without_a_server_stands_beside_its_jobs_others() -> None:
    matrix = Matrix.of(_sample())
    assert [column.label for column in matrix.columns] == [
        "no GPU",
        "2 GPUs (simulated)",
        "2 GPUs",
    ]


def test_of_several_runs_the_worst_counts() -> None:
    good = ledgers.entry("a", ledgers.ready("CPU"))
    bad = replace(good, verdict="failed", job=ledgers.GPU_JOB)
    for entries in ((good, bad), (bad, good)):
        (row,) = Matrix.of(Ledger((ledgers.CPU_JOB, ledgers.GPU_JOB), entries)).rows
        assert row.cells[0] is not None
        assert (row.cells[0].kind, len(row.cells[0].entries)) == ("failed", 2)


def test_empty_ledger_is_never_good_news() -> None:
    empty = Ledger()
    assert "Nothing was checked" in html(empty)
    assert 'class="verdict bad"' in html(empty)
    assert markdown(empty).startswith("## ❌")
    assert github(empty).startswith("::error")


def test_good_news_where_all_is_proven() -> None:
    assert (
        Matrix.of(ledgers.all_proven()).verdict() == "All 2 models did as predicted in a rehearsal"
    )
    assert markdown(ledgers.all_proven()).startswith("## ✅")
    assert github(ledgers.all_proven()) == ""
    assert json.loads(gitlab(ledgers.all_proven())) == []


def test_model_that_one_hardware_has_not_seen_is_reported() -> None:
    proven = ledgers.all_proven()
    verdict = Matrix.of(replace(proven, entries=proven.entries[1:])).verdict()
    assert "1 not on all hardware" in verdict


# --- diagnostics -------------------------------------------------------------------------------


def test_findings_are_reported_once_and_the_worst_first() -> None:
    found = [(one.model, one.name, one.severity) for one in diagnostics(Report.of(_sample()))]
    assert found == [
        ("legacy", "test_explicit_placement", "error"),
        ("ranker", "2 GPUs, real run", "error"),
        ("lost", "no GPU, rehearsal", "error"),
        ("lost", "2 GPUs (simulated), rehearsal", "warning"),
    ]


def test_fallback_without_its_failed_check_is_a_finding_of_its_own() -> None:
    sample = replace(_sample(), entries=_sample().placements)
    assert ("legacy", "no GPU, rehearsal") in {
        (one.model, one.name) for one in diagnostics(Report.of(sample))
    }


def test_config_that_cannot_be_read_is_reported_once_at_its_line() -> None:
    text = "models/typo/config.pbtxt:10:5: `gpu` is not a field of instance_group"
    checks = (
        ledgers.check("typo", "test_config", text),
        ledgers.check("typo", "test_explicit_placement", "nothing to check, since ..."),
    )
    entry = ledgers.entry("typo", None, verdict="failed", server=None, headline="nothing to place")
    (one,) = diagnostics(Report.of(Ledger((ledgers.CPU_JOB,), (entry, *checks))))
    assert (one.line, one.message) == (10, "`gpu` is not a field of instance_group")


@pytest.mark.parametrize(
    ("path", "start", "seen"),
    [
        ("models/a/config.pbtxt", "", "models/a/config.pbtxt"),
        ("models/a/config.pbtxt", "services/ranking", "services/ranking/models/a/config.pbtxt"),
        ("../models/a/config.pbtxt", "tests", "models/a/config.pbtxt"),
        ("/srv/models/a/config.pbtxt", "tests", "/srv/models/a/config.pbtxt"),
    ],
)
def test_paths_are_seen_from_the_root(path: str, start: str, seen: str) -> None:
    assert from_root(Path(path), start) == seen


# --- GitHub and GitLab -------------------------------------------------------------------------

COMMAND = re.compile(r"::(error|warning) (?:(\w+=[^:,\r\n]*)(?:,\w+=[^:,\r\n]*)*)::[^\r\n]*")


def test_annotations_stand_at_the_line_of_the_config() -> None:
    lines = github(_sample()).splitlines()
    assert len(lines) == 4
    assert all(COMMAND.fullmatch(line) for line in lines)
    ranker = next(line for line in lines if "ranker" in line)
    assert "file=models/ranker/config.pbtxt" in ranker
    assert ",line=4::" in ranker
    assert "%0A" in ranker


def test_of_many_annotations_the_last_says_how_many_more() -> None:
    entries = tuple(
        ledgers.entry(f"m{number}", ledgers.ready("CPU"), verdict="failed") for number in range(25)
    )
    lines = github(Ledger((ledgers.CPU_JOB,), entries)).splitlines()
    assert len(lines) == 10
    assert "16 more" in lines[-1]


def test_code_quality_has_what_gitlab_asks_for() -> None:
    issues = json.loads(gitlab(_sample(), start="ml"))
    assert len(issues) == 4
    for issue in issues:
        assert set(issue) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert issue["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert issue["location"]["path"].startswith("ml/models/")
        assert issue["location"]["lines"]["begin"] >= 1
    assert len({issue["fingerprint"] for issue in issues}) == 4


def test_finding_keeps_its_fingerprint_when_lines_move() -> None:
    def prints(line: int) -> list[str]:
        entry = ledgers.entry("a", ledgers.ready("CPU"), verdict="failed", line=line)
        issues = json.loads(gitlab(Ledger((ledgers.CPU_JOB,), (entry,))))
        return [issue["fingerprint"] for issue in issues]

    assert prints(4) == prints(40)


def test_each_finding_has_a_fingerprint_of_its_own_whatever_job_found_it() -> None:
    other = replace(ledgers.CPU_JOB, name="other", id="other")

    def failing(headline: str, job: Job = ledgers.CPU_JOB) -> Entry:
        found = ledgers.check("a", "test_audit", headline)
        return changed(found, headline=headline, job=job)

    def prints(*entries: Entry) -> list[str]:
        issues = json.loads(gitlab(Ledger((ledgers.CPU_JOB, other), entries)))
        return [one["fingerprint"] for one in issues]

    one = failing("m:1: TRT101 x")
    found = prints(one, failing("m:2: TRT103 y"), failing("m:9: TRT101 x", other))
    assert len({*found}) == len(found) == 3
    assert prints(one, failing("m:1: TRT101 x", other)) == prints(one), "the same, twice"
    assert prints(failing("m:7: TRT101 x")) == prints(one)


# --- any text, in any report -------------------------------------------------------------------

NASTY = st.text(
    alphabet=st.one_of(
        st.sampled_from("|`*_[]<>&\"'%:,\n\r\t\\{}#@\u202e\u2028\x00\x1b\udcff"), st.characters()
    ),
    max_size=30,
)


@settings(max_examples=150)
@given(model=NASTY.filter(bool), text=NASTY, path=NASTY)
def test_no_text_breaks_a_report(model: str, text: str, path: str) -> None:
    entry = ledgers.entry(model, ledgers.ready("CPU"), verdict="failed", text=text, headline=text)
    entry = changed(
        entry,
        config=replaced(entry.config, path=path),
        declared=Declaration("groups", (DeclaredGroup(host_policy=text),)),
    )
    ledger = Ledger((ledgers.CPU_JOB,), (entry,))

    for line in github(ledger).split("\n")[:-1]:
        assert COMMAND.fullmatch(line), line
    (issue,) = json.loads(gitlab(ledger))
    assert issue["description"].isprintable()
    summary = markdown(ledger)
    summary.encode("utf-8")
    rows = [line for line in summary.split("\n") if line.startswith("| <code>")]
    assert [line.count("|") for line in rows] == [5, 4]
    assert "\x1b" not in summary

    page = html(ledger)
    page.encode("utf-8")
    parsed = _Parsed()
    parsed.feed(page)
    assert parsed.scripts == 2
    assert parsed.rows == 2
    assert json.loads(parsed.data)["entries"][0].get("text", "") == text


def test_markup_in_a_ledger_is_no_markup_in_a_page() -> None:
    evil = "</script><script>hurt()</script><b>"
    entry = ledgers.entry(evil, ledgers.ready("CPU"), verdict="failed", text=evil, declared=evil)
    entry = replace(entry, job=replace(entry.job, name=evil, started=evil, ended=None))
    page = html(Ledger((entry.job,), (entry, ledgers.check(evil, evil, evil))), title=evil)
    parsed = _Parsed()
    parsed.feed(page)
    assert parsed.scripts == 2
    assert "<b>" not in page.replace("<b>1</b>", "").replace("<b>2</b>", "")
    assert json.loads(parsed.data)["entries"][0]["text"] == evil


class _Parsed(HTMLParser):
    """What a parser sees in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts = self.rows = 0
        self.data = ""
        self._in_data = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.rows += tag == "tr"
        self._in_data = ("id", "data") in attributes

    def handle_data(self, text: str) -> None:
        if self._in_data:
            self.data += text


def test_summary_is_never_longer_than_github_takes() -> None:
    entry = ledgers.entry("a", ledgers.ready("CPU"), verdict="failed", headline="x" * 9000)
    entries = tuple(changed(entry, model=f"{'m' * 4000}{n}") for n in range(200))
    text = markdown(Ledger((ledgers.CPU_JOB,), entries))
    assert len(text.encode()) < 1 << 20
    assert "cut off" in text


def test_page_asks_nobody_for_anything() -> None:
    page = html(_sample())
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!#)", page)
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page
    assert "@import" not in page
    assert "url(" not in page


def test_page_is_the_same_each_time() -> None:
    assert html(_sample()) == html(_sample())


# --- the command -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "start"),
    [("r.html", "<!doctype html>"), ("r.md", "## "), ("r.json", "[\n")],
)
def test_format_follows_from_the_name(tmp_path: Path, output: str, start: str) -> None:
    ledger = tmp_path / "ledger.json"
    write_ledger(ledger, _sample())
    assert main(["report", str(ledger), "-o", str(tmp_path / output)]) == 0
    assert (tmp_path / output).read_text("utf-8").startswith(start)


def test_report_whose_name_says_no_format_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = tmp_path / "ledger.json"
    write_ledger(ledger, _sample())
    assert main(["report", str(ledger), "-o", str(tmp_path / "r.csv")]) == 2
    assert "--format=html|markdown" in capsys.readouterr().err
    assert not (tmp_path / "r.csv").exists()
    assert main(["report", str(ledger), "-o", str(tmp_path / "step_summary")]) == 0  # GitHub's


def test_several_ledgers_become_one_report(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    sample = _sample()
    files = []
    for job in sample.jobs:
        files.append(tmp_path / f"{job.name}.json")
        theirs = tuple(entry for entry in sample.entries if entry.job == job)
        write_ledger(files[-1], Ledger((job,), theirs))
    assert main(["report", *map(str, files), "--format=markdown"]) == 0
    out = capfdbinary.readouterr().out.decode()
    assert "<code>gpu-2</code>" in out
    assert "<code>rehearsal</code>" in out
    assert "**real run**" in out


def test_summary_is_added_to_what_others_wrote(tmp_path: Path) -> None:
    ledger, summary = tmp_path / "ledger.json", tmp_path / "summary.md"
    write_ledger(ledger, ledgers.all_proven())
    summary.write_text("before\n")
    assert main(["report", str(ledger), "--append", "-o", str(summary)]) == 0
    assert summary.read_text("utf-8").startswith("before\n## ✅")


def test_file_that_is_no_ledger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text("{}")
    assert main(["report", str(tmp_path / "x.json")]) == 1
    assert "no ledger" in capsys.readouterr().err


def test_sample_survives_its_file(tmp_path: Path) -> None:
    write_ledger(tmp_path / "x.json", _sample())
    assert read_ledger(tmp_path / "x.json") == _sample()


def _sample() -> Ledger:
    return ledgers.one_of_everything()
