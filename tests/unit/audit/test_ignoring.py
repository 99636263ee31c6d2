"""Findings that are ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.__main__ import main
from pytest_triton.audit import Ignored, IgnoreError, audit, parse_ignored, parse_selected
from pytest_triton.audit.fixing import apply_edits
from pytest_triton.audit.rules import KNOWN
from pytest_triton.repository import read_repository
from support.audit_examples import audit_config, ids, write_files

ONNX = 'backend: "onnxruntime"\n'


@pytest.mark.parametrize(
    ("text", "ignored"),
    [
        ("TRT101", Ignored(("TRT101",))),
        ("trt101", Ignored(("TRT101",))),
        ("undeclared: tokenizer_*", Ignored(("undeclared",), ("tokenizer_*",))),
        ("TRT101, TRT2: a, legacy/*", Ignored(("TRT101", "TRT2"), ("a", "legacy/*"))),
    ],
)
def test_texts(text: str, ignored: Ignored) -> None:
    assert parse_ignored(text, KNOWN) == ignored


@pytest.mark.parametrize("text", ["", ":", "TRT9", "TRT101:", "TRT101: ,", "undeclare", "*: a"])
def test_texts_that_name_nothing(text: str) -> None:
    with pytest.raises(IgnoreError):
        parse_ignored(text, KNOWN)


def test_selected_rules_are_ids_prefixes_and_names() -> None:
    assert parse_selected("TRT1, undeclared trt205", KNOWN) == ("TRT1", "undeclared", "TRT205")


def test_by_model_and_by_path(tmp_path: Path) -> None:
    files = {f"{name}/config.pbtxt": ONNX for name in ("old_a", "old_b", "new")}
    files |= {f"{name}/1/.gitkeep": "" for name in ("old_a", "old_b", "new")}
    repository = read_repository(write_files(tmp_path, files))

    def left(*texts: str) -> list[str]:
        ignored = [parse_ignored(text, KNOWN) for text in texts]
        return [finding.model for finding in audit(repository, ignore=ignored)]

    assert left() == ["new", "old_a", "old_b"]
    assert left("TRT101: old_*") == ["new"]
    assert left("TRT1: old_a", "undeclared: new") == ["old_b"]
    assert left("TRT101: models/old_*/*") == ["new"]
    assert left("TRT102: *") == ["new", "old_a", "old_b"]
    assert left("TRT101") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('backend: "pytorch"  # triton: ignore TRT101\n', []),
        ('backend: "pytorch"  # triton: ignore TRT102\n', ["TRT101", "TRT529"]),
        ('# triton: ignore TRT101\n\n# why: it is small\nbackend: "pytorch"\n', []),
        ('# triton: ignore TRT101\nmax_batch_size: 1\nbackend: "pytorch"\n', ["TRT101", "TRT529"]),
        ('# triton: ignore-file TRT1\nmax_batch_size: 1\nbackend: "pytorch"\n', []),
        ('#triton:ignore undeclared\nbackend: "pytorch"\n', []),
        ('backend: "pytorch" # triton: ignore TRT109, TRT101\n', ["TRT529"]),
        ('backend: "pytorch" # triton: ignore TRT101 -- small\n', []),
        ('backend: "pytorch" # Triton: ignore TRT101\n', ["TRT101", "TRT529"]),
        ('backend: "pytorch" # triton ignore TRT101\n', ["TRT101", "TRT529"]),
        ('backend: "pytorch" # triton: ignore trt101\n', ["TRT101", "TRT529"]),
        ('backend: "pytorch" # triton: ignore TRT999\n', ["TRT101", "TRT529"]),
        ('backend: "pytorch" # triton: ignored here before\n', ["TRT101"]),
        ('backend: "pytorch" # triton: ignore TRT101, TRT529\n# triton: ignore TRT1\n', ["TRT529"]),
        ('backend: "pytorch" # triton: ignore TRT101 TRT107\n', []),  # 107 depends on --target
        ('backend: "pytorch" name: "m # triton: ignore TRT101"\n', ["TRT502"]),
        ('backend: "pytorch"  # triton: ignore\n', ["TRT101", "TRT529"]),
    ],
)
def test_by_a_comment_in_the_config(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert ids(audit_config(tmp_path, text)) == expected


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("# triton: ignore TRT102", "it suppresses nothing: TRT102 finds nothing on line 1"),
        (
            "# triton: ignore-file TRT102",
            "it suppresses nothing: TRT102 finds nothing in",
        ),
        ("# triton: ignore", "it names no rule, and suppresses nothing: write"),
        ("# triton: ignore undeclare", "`undeclare` is no rule (did you mean undeclared?)"),
        (
            "# TRITON: IGNORE TRT101",
            "`# TRITON: IGNORE` suppresses nothing: write",
        ),
    ],
)
def test_comment_without_effect_says_why(tmp_path: Path, comment: str, message: str) -> None:
    found = audit_config(tmp_path, f'backend: "pytorch"  {comment}\n')
    (finding,) = [one for one in found if one.rule == "TRT529"]
    assert finding.message.startswith(message)
    assert (finding.line, finding.column) == (1, 21)


def test_comment_that_is_misspelt_is_corrected_by_its_fix(tmp_path: Path) -> None:
    text = 'backend: "pytorch"  #Triton: Ignore TRT101\n'
    found = audit_config(tmp_path, text)
    (finding,) = [one for one in found if one.rule == "TRT529"]
    fixed = apply_edits(text, finding.edits)
    assert fixed == 'backend: "pytorch"  # triton: ignore TRT101\n'
    assert audit_config(tmp_path / "fixed", fixed) == ()


def test_suppressed_findings_are_the_others(tmp_path: Path) -> None:
    files = {"m/config.pbtxt": ONNX + "# triton: ignore-file TRT101\n", "m/1/.gitkeep": ""}
    repository = read_repository(write_files(tmp_path, files))
    assert ids(audit(repository)) == []
    assert ids(audit(repository, suppressed=True)) == ["TRT101"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", "[pytest]\ntriton_audit_ignore =\n    TRT101: m\n"),
        ("pyproject.toml", "[tool.pytest.ini_options]\ntriton_audit_ignore = ['TRT101: m']\n"),
        ("pyproject.toml", "[tool.pytest]\ntriton_audit_ignore = ['TRT101: m']\n"),
        ("tox.ini", "[pytest]\ntriton_audit_ignore = TRT101\n"),
        ("setup.cfg", "[tool:pytest]\ntriton_audit_ignore = TRT101\n"),
    ],
)
def test_pytests_ini_file_holds_for_the_command_too(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    text: str,
) -> None:
    write_files(tmp_path, {"m/config.pbtxt": ONNX, "m/1/.gitkeep": ""})
    monkeypatch.chdir(tmp_path)
    assert main(["audit", "models"]) == 1
    (tmp_path / name).write_text(text)
    assert main(["audit", "models"]) == 0
    assert "nothing found" in capsys.readouterr().out
    assert main(["audit", "models", "--ignore", "TRT102"]) == 1, "what is given here wins"
    (tmp_path / name).write_text(text.replace("TRT101", "TRT999"))
    assert main(["audit", "models"]) == 2
    assert "there is no rule 'TRT999'" in capsys.readouterr().err


def test_fallback_that_pytests_ini_file_allows_is_no_finding_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {f"{name}/config.pbtxt": ONNX for name in ("tok_a", "other")}
    files |= {f"{name}/1/.gitkeep": "" for name in ("tok_a", "other")}
    write_files(tmp_path, files)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntriton_allow_fallback =\n    tok_*\n")
    assert main(["audit", "models", "--ignore", "TRT102"]) == 1
    printed = capsys.readouterr().out
    assert "other: no instance_group" in printed
    assert "tok_a" not in printed
    (tmp_path / "models/tok_a/config.pbtxt").write_text('backend: "none"\n')
    monkeypatch.setenv("PYTEST_TRITON_ALLOW_FALLBACK", "other")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    assert main(["audit", "models"]) == 1
    printed = capsys.readouterr().out
    assert "TRT101" not in printed
    assert "TRT215" in printed, "what is no fallback is still a finding"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("mixed", "Did you mean mixed-is-no-fallback"),
        ("undeclare", "Did you mean undeclared"),
    ],
)
def test_name_of_no_rule_names_the_one_that_was_meant(
    capsys: pytest.CaptureFixture[str], name: str, meant: str
) -> None:
    assert main(["audit", "--explain", name]) != 0
    assert meant in capsys.readouterr().err
    with pytest.raises(IgnoreError, match=meant):
        parse_ignored(name, KNOWN)
    assert main(["audit", "--explain", "qqq"]) != 0
    assert "Did you mean" not in capsys.readouterr().err
