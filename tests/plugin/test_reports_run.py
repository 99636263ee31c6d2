"""The reports that a run of pytest writes: files, GitHub's summary and annotations, JUnit."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest

from support.builders import RepositoryBuilder

pytestmark = pytest.mark.server

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Checks a repository with a pinned model and one that may fall back, in a process."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE", "CI_PROJECT_DIR"):
        monkeypatch.delenv(name, raising=False)
    repository = RepositoryBuilder(pytester.path / "models")
    repository.add("detector", "{ kind: KIND_GPU }")
    repository.add("legacy")

    def run(*arguments: str) -> pytest.RunResult:
        return pytester.runpytest_subprocess("--triton-repo=models", *arguments)

    return run


def _failures(result: pytest.RunResult) -> int:
    return result.parseoutcomes().get("failed", 0)


@pytest.mark.parametrize("more", [[], ["-n2"]], ids=["alone", "xdist"])
def test_files_are_written(run: Run, pytester: pytest.Pytester, more: list[str]) -> None:
    result = run(
        "--triton-html=out/r.html", "--triton-markdown=r.md", "--triton-gitlab=q.json", *more
    )
    assert _failures(result) == 1
    assert result.ret == 1
    page = (pytester.path / "out/r.html").read_text("utf-8")
    assert "1 of 2 models need attention" in page
    assert "nothing here was run on real hardware" in page
    assert "**Rehearsal**" in (pytester.path / "r.md").read_text("utf-8")
    (issue,) = json.loads((pytester.path / "q.json").read_text("utf-8"))
    assert issue["description"].startswith("legacy (test_explicit_placement): may fall back")
    assert issue["location"]["path"] == "models/legacy/config.pbtxt"


@pytest.mark.parametrize("more", [[], ["-n2"], ["-q"]], ids=["alone", "xdist", "quiet"])
def test_on_github_annotations_and_summary_come_by_themselves(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    summary = pytester.path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(pytester.path.parent))
    result = run(*more)
    (line,) = [line for line in result.outlines if line.startswith("::")]
    name = pytester.path.name
    assert line.startswith(f"::error file={name}/models/legacy/config.pbtxt,")
    assert "::may fall back to the CPU unnoticed%0A" in line
    text = summary.read_text("utf-8")
    assert text.startswith("before\n## ❌")
    assert text.count("## ❌") == 1, "once, not by each worker"


def test_github_report_can_be_turned_off(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = pytester.path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    result = run("--triton-github=off")
    assert not [line for line in result.outlines if line.startswith("::")]
    assert not summary.exists()


def test_elsewhere_nothing_is_written_unasked(run: Run, pytester: pytest.Pytester) -> None:
    result = run()
    assert not [line for line in result.outlines if line.startswith("::")]
    assert not list(pytester.path.glob("*.html"))
    asked = run("--triton-github=on")
    assert [line for line in asked.outlines if line.startswith("::error")]


def test_report_that_cannot_be_written_fails_the_run(run: Run, pytester: pytest.Pytester) -> None:
    (pytester.path / "file").write_text("")
    result = run("-k", "detector", "--triton-html=file/r.html")
    assert _failures(result) == 0
    assert result.ret == 1
    result.stdout.fnmatch_lines(["error: *r.html can't be written: *", "What to do: *"])


def test_nothing_is_left_behind(run: Run, pytester: pytest.Pytester, folders_left: None) -> None:
    run("--triton-html=r.html")
    run("--triton-html=r.html", "--triton-allow-fallback=no_such_model")
    assert not list(pytester.path.glob("*.json"))


def test_report_does_not_need_a_ledger_and_goes_with_one(
    run: Run, pytester: pytest.Pytester
) -> None:
    run("--triton-html=r.html", "--triton-ledger=l.json")
    assert len(json.loads((pytester.path / "l.json").read_text("utf-8"))["entries"]) == 10
    assert (pytester.path / "r.html").exists()


@pytest.mark.parametrize("more", [[], ["-n2"]], ids=["alone", "xdist"])
def test_junit_says_of_each_test_what_it_is_about(
    run: Run, pytester: pytest.Pytester, more: list[str]
) -> None:
    run("--junit-xml=junit.xml", *more)
    reported = _properties(pytester.path / "junit.xml")
    placements = {
        (of["triton_model"], of["triton_hardware"]): of
        for of in reported.values()
        if "triton_hardware" in of
    }
    assert all("triton_model" in of and "triton_repository" in of for of in reported.values())
    assert len(placements) == 4
    detector = placements["detector", "no GPU"]
    assert detector["triton_declared"] == "GPU"
    assert detector["triton_predicted"] == "refused: no GPU"
    assert detector["triton_observed"] == "refused: no GPU"
    assert detector["triton_run"].startswith("rehearsal")
    assert detector["triton_server"].startswith("tritonserver 2.")
    assert placements["legacy", "no GPU"]["triton_observed"] == "CPU  <- fallback"


def _properties(file: Path) -> dict[str, dict[str, str]]:
    """The properties of each test case that has any; each name stands once."""
    found = {}
    for case in ElementTree.parse(file).iter("testcase"):
        pairs = [(one.get("name", ""), one.get("value", "")) for one in case.iter("property")]
        assert len({name for name, _ in pairs}) == len(pairs), pairs
        found[f"{case.get('classname')}::{case.get('name')}"] = dict(pairs)
    return found
