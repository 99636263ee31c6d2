"""The same merged ledger in every format: all have merge's verdict, and lead to what is wrong."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pytest_triton.__main__ import main
from pytest_triton.cli.report import FORMATS, render
from pytest_triton.ledger import Ledger, read_ledger, write_ledger
from pytest_triton.ledger.fold import merged
from pytest_triton.reports.proof import Proof
from support import sample_ledgers as samples

LEDGERS = {
    "proven": samples.merged_and_proven(),
    "rehearsed only": samples.merged_with_plan(samples.all_proven()),
    "one of everything": samples.merged_with_plan(samples.one_of_everything(), "new"),
    "many": samples.merged_with_plan(samples.three_deployments(300), "new"),
    "no plan": samples.all_proven(),
    "no plan, failures": samples.one_of_everything(),
}


def verdict_in(format: str, text: str) -> str:
    """The verdict as a report of this format shows it to its readers."""
    if format == "html":
        found = re.search(r'<p class="verdict (?:good|bad)">(.*?)</p>', text)
        assert found is not None
        return unescape(re.sub("<[^>]*>", "", found[1]))
    if format == "markdown":
        return text.splitlines()[0].partition("Triton placement: ")[2]
    if format == "junit":
        found_property = ElementTree.fromstring(text).find(".//property[@name='triton_verdict']")
        assert found_property is not None
        return found_property.attrib["value"]
    if format == "sarif":
        verdict = json.loads(text)["runs"][0]["invocations"][0]["exitCodeDescription"]
        assert isinstance(verdict, str)
        return verdict
    assert format == "github"
    return text.splitlines()[0].partition("title=pytest-triton::")[2]


def is_good_in(format: str, text: str) -> bool:
    if format == "html":
        return '<p class="verdict good">' in text
    if format == "markdown":
        return text.startswith("## ✅")
    if format == "junit":
        return ElementTree.fromstring(text).attrib["failures"] == "0"
    if format == "sarif":
        return bool(json.loads(text)["runs"][0]["invocations"][0]["exitCode"] == 0)
    if format == "gitlab":
        return not json.loads(text)
    return "::error" not in text


@pytest.mark.parametrize("name", LEDGERS)
def test_verdict_is_the_same_in_every_format(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = merged([LEDGERS[name]])
    texts = {format: render(format, ledger, environ={}) for format in FORMATS}
    has_verdict = [one for one in FORMATS if one != "gitlab"]
    if ledger.expected is None:
        has_verdict.remove("github")  # of a single run pytest itself shows it
    verdicts = {verdict_in(format, texts[format]) for format in has_verdict}
    assert len(verdicts) == 1
    good = {format: is_good_in(format, text) for format, text in texts.items()}
    assert len({*good.values()}) == 1, good
    if ledger.expected is not None:
        proof = Proof.of_ledger(ledger)
        assert verdicts == {proof.verdict}
        assert {*good.values()} == {proof.ok}


@pytest.mark.parametrize("name", [name for name, one in LEDGERS.items() if one.expected])
def test_every_format_names_each_model_that_is_not_proven(name: str) -> None:
    ledger = merged([LEDGERS[name]])
    found = [one for one in Proof.of_ledger(ledger).open if one.deployment]
    for format in ("html", "gitlab", "junit", "sarif"):
        text = render(format, ledger, environ={})
        assert all(one.model in text for one in found), format
    summary = unescape(render("markdown", ledger, environ={}))
    assert all(one.model in summary for one in found if one.failed)


def test_report_of_a_merged_file_has_the_verdict_of_the_merge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = LEDGERS["one of everything"]
    write_ledger("plain.json", replace(whole, expected=None))
    write_ledger("merged.json", whole)
    assert read_ledger("merged.json").expected == whole.expected
    assert main(["report", "merged.json"]) == 0
    merged_text = capsys.readouterr().out
    assert merged_text.startswith("## ❌ Triton placement: Not all is proven: ")
    assert main(["report", "plain.json"]) == 0
    assert "Not all is proven" not in capsys.readouterr().out


def test_rehearsal_is_never_called_a_success_on_real_hardware() -> None:
    ledger = LEDGERS["rehearsed only"]
    assert Proof.of_ledger(ledger).verdict == (
        "Not all is proven: 2 of 3 placements proven, 1 rehearsed only"
    )
    without_plan = render("markdown", Ledger(ledger.jobs, ledger.entries), environ={})
    assert without_plan.splitlines()[0].endswith("All 2 models did as predicted in a rehearsal")


def test_model_that_no_job_looked_at_is_in_the_table_and_needs_attention() -> None:
    page = render("html", merged([LEDGERS["one of everything"]]), environ={})
    (row,) = re.findall(r"<tr[^>]*><th[^>]*><bdi>new</bdi>.*", page)
    assert 'class="attention"' in row
    assert "no GPU: never proven" in row
