"""`pytest-triton audit` as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from pytest_triton.__main__ import main
from pytest_triton.audit import RULES
from pytest_triton.placement.releases import NEWEST_KNOWN
from support.builders import RepositoryBuilder


def audit(*arguments: str | Path) -> int:
    return main(["audit", *map(str, arguments)])


@pytest.fixture
def _here(repository: RepositoryBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository.path.parent)


@pytest.mark.usefixtures("_here")
def test_text_shows_the_place_and_the_lines_that_fix(
    repository: RepositoryBuilder, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.add("good", "{ kind: KIND_GPU }")
    repository.add("legacy", "{ count: 2 }")
    assert audit("models") == 1
    assert capsys.readouterr().out == (
        "models/legacy/config.pbtxt:5:18: TRT102 kind-left-open (error)\n"
        "  legacy: the group says no kind (or KIND_AUTO): without a GPU it lands on the CPU,\n"
        "  unnoticed\n\n"
        "      instance_group [\n        {\n          kind: KIND_GPU\n          count: 2\n"
        "        }\n      ]\n\n"
        "2 models: 1 error; "
        f"Triton {NEWEST_KNOWN}\n"
    )


def test_exit_codes(repository: RepositoryBuilder, tmp_path: Path) -> None:
    repository.add("good", "{ kind: KIND_GPU }")
    assert audit(repository.path) == 0
    repository.add("mixed", "{ kind: KIND_GPU }, { kind: KIND_CPU }")
    assert audit(repository.path) == 0, "a note only"
    assert audit(repository.path, "--fail-on", "note") == 1
    assert audit(repository.path, "--fail-on", "note", "--ignore", "TRT112: mix*") == 0
    repository.add("undeclared")
    assert audit(repository.path) == 1
    assert audit(repository.path, "--fail-on", "never") == 0
    assert audit(repository.path, "--select", "TRT2") == 0
    assert audit(repository.path, "--ignore", "undeclared") == 0
    assert audit(tmp_path / "gone") == 2
    assert audit() == 2
    for wrong in (["--select", "TRT9"], ["--ignore", "TRT101:"], ["--target", "many"]):
        with pytest.raises(SystemExit, match="2"):
            audit(repository.path, *wrong)


def test_target_is_a_count_or_simulated(
    repository: RepositoryBuilder, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.add("second", "{ kind: KIND_GPU gpus: [ 1 ] }")
    assert audit(repository.path) == 0
    assert audit(repository.path, "--target", "1") == 1
    assert audit(repository.path, "--target", "0") == 1
    assert audit(repository.path, "--target", "sim:2@5.2") == 1
    capsys.readouterr()
    assert audit(repository.path, "--target", "2", "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["target"] == 2
    assert [one["rule"] for one in found["findings"]] == ["TRT401"], "GPU 0 is idle"


def test_json(repository: RepositoryBuilder, capsys: pytest.CaptureFixture[str]) -> None:
    config = repository.add("m", "{ kind: KIND_MODEL gpus: [ 0 ] }")
    assert audit(repository.path, "--format", "json") == 1
    assert json.loads(capsys.readouterr().out) == {
        "format": 1,
        "target": None,
        "findings": [
            {
                "rule": "TRT105",
                "name": "model-with-gpus",
                "severity": "error",
                "model": "m",
                "path": str(config),
                "line": 5,
                "column": 37,
                "message": "a KIND_MODEL group lists gpus: the whole model is refused",
                "fix": "instance_group [\n  {\n    kind: KIND_MODEL\n  }\n]",
                "fixable": True,
                "reported_by": "test_config",
            }
        ],
        "counts": {"error": 1, "warning": 0, "note": 0},
        "fixed": [],
        "assumed": [],
    }


@pytest.mark.usefixtures("_here")
def test_sarif(repository: RepositoryBuilder, capsys: pytest.CaptureFixture[str]) -> None:
    repository.add("a b%ü")
    repository.add("mixed", "{ kind: KIND_GPU }, { kind: KIND_CPU }")
    (repository.path / "notes").mkdir()
    assert audit("models", "--format", "sarif") == 1
    log = json.loads(capsys.readouterr().out)
    assert log["version"] == "2.1.0"
    [run] = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [rule.id for rule in RULES]
    assert all(rule["shortDescription"]["text"] for rule in rules)
    for rule in rules:
        assert rule["helpUri"].startswith("https://")
        assert rule["helpUri"].endswith(f"/rules/{rule['id']}.html")
        assert "\nUse instead\n" in rule["help"]["text"]
        assert "## Use instead\n" in rule["help"]["markdown"]
    reported = {result["ruleId"]: result for result in run["results"]}
    assert set(reported) == {"TRT101", "TRT112", "TRT507"}
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
    place = _location(reported["TRT101"])
    assert place["artifactLocation"]["uri"] == "models/a%20b%25%C3%BC/config.pbtxt"
    assert unquote(place["artifactLocation"]["uri"]) == "models/a b%ü/config.pbtxt"
    assert place["region"] == {"startLine": 1, "startColumn": 1}
    assert "region" not in _location(reported["TRT507"]), "a directory has no lines"


def _location(result: Any) -> Any:
    return result["locations"][0]["physicalLocation"]


@pytest.mark.usefixtures("_here")
def test_annotations_for_github(
    repository: RepositoryBuilder, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.add("100%,a:b", "{ kind: KIND_GPU }, { kind: KIND_CPU }")
    assert audit("models", "--format", "github") == 0
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith(
        "::notice file=models/100%25%2Ca%3Ab/config.pbtxt,title=TRT112 mixed-is-no-fallback,"
        "line=5,col=40::this CPU group is no fallback: "
    )
    assert "%0A  {%0A    kind: KIND_GPU" in line


def test_fix_changes_what_is_safe_and_keeps_the_rest(
    repository: RepositoryBuilder, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        '# ours\r\nbackend: "openvino"  # as ever\r\nmax_batch_size: 1\r\n'
        "instance_group [\r\n  {\r\n    count: 2  # two\r\n  }\r\n]\r\n"
    )
    config = repository.add_config("m", text)
    left = repository.add_config("left", 'backend: "python"\n')
    assert audit(repository.path, "--fix") == 1
    out = capsys.readouterr().out
    assert "fixed: " in out
    assert "TRT203" not in out
    assert "TRT101" in out
    fixed = config.read_bytes().decode()
    assert fixed.replace("    kind: KIND_CPU\n", "") == text
    assert left.read_text() == 'backend: "python"\n'
    assert audit(repository.path, "--fix") == 1
    assert config.read_bytes().decode() == fixed, "nothing is left to fix"


def test_finding_in_a_template_is_not_said_to_be_fixable(
    repository: RepositoryBuilder, capsys: pytest.CaptureFixture[str]
) -> None:
    text = 'backend: "openvino"\nmax_batch_size: ${most}\ninstance_group [ { count: 2 } ]\n'
    config = repository.add_config("m", text)
    assert audit(repository.path, "--fix", "--values", "most=4") == 1
    out = capsys.readouterr().out
    assert "TRT203" in out
    assert "[--fix]" not in out
    assert "can be fixed" not in out
    assert config.read_text() == text


def test_file_stands_for_its_repository_as_for_pre_commit(
    repository: RepositoryBuilder, capsys: pytest.CaptureFixture[str]
) -> None:
    configs = [repository.add("a"), repository.add("b")]
    code = repository.path / "a" / "1" / "model.py"
    assert audit(*configs, code) == 1
    assert "2 models: 2 errors" in capsys.readouterr().out, "read once"


def test_rules_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("TRT115", "trt115", "only-passive"):
        assert audit("--explain", name) == 0
        assert capsys.readouterr().out.startswith(
            "TRT115 only-passive (error)\n\nWhat it does\n  All instance groups are passive.\n"
        )
    assert audit("--explain", "TRT999") == 2
    assert "TRT101" in capsys.readouterr().err


def test_it_runs_without_heavy_imports(repository: RepositoryBuilder) -> None:
    repository.add("good", "{ kind: KIND_GPU }")
    code = (
        "import sys; from pytest_triton.__main__ import main\n"
        f"assert main(['audit', {str(repository.path)!r}]) == 0\n"
        "heavy = {'grpc', 'numpy', 'docker', 'testcontainers', 'pytest'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
