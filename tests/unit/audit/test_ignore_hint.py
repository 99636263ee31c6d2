"""What a failure offers to suppress a finding does suppress it."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_triton.__main__ import main
from pytest_triton.audit import RULES, Rule, audit, parse_ignored
from pytest_triton.audit.ignore_hint import ignore_hint, ignoring_value
from pytest_triton.audit.rules import KNOWN
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.placement.predict import ServerTraits
from pytest_triton.placement.releases import NEWEST_RELEASE, read_release
from pytest_triton.repository import read_repository
from support.audit_examples import DEPLOYMENT, write_files

_COMMENT = re.compile(r"a comment on a line of its own above line (\d+), `(.*)`")
_OPTION = re.compile(r"(--triton-audit-ignore=.*), or in pytest's ini file: (.*)")


def _same(one: Diagnostic, other: Diagnostic) -> bool:
    return (one.rule, one.model, one.message) == (other.rule, other.model, other.message)


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if DEPLOYMENT not in rule.failing.files], ids=lambda one: one.id
)
def test_hint_of_each_rule_suppresses_its_finding(rule: Rule, tmp_path: Path) -> None:
    directories = write_files(tmp_path, rule.failing.files)
    release = rule.failing.release
    server = ServerTraits(version=read_release(release) if release else NEWEST_RELEASE)

    def found(*ignored: str) -> list[Diagnostic]:
        ignore = [parse_ignored(text, KNOWN) for text in ignored]
        target = rule.failing.target
        findings = audit(read_repository(directories), target=target, ignore=ignore, server=server)
        return [one for one in findings if one.rule == rule.id]

    configs = {model.name: model.config_file for model in read_repository(directories).models}
    assert found()
    for finding in found():
        config = configs.get(finding.model)
        hint = ignore_hint(finding, config)
        comment, option = _COMMENT.fullmatch(hint), _OPTION.fullmatch(hint)
        if comment is not None:
            assert config is not None
            assert finding.path.is_file()
            before = finding.path.read_text()
            lines = before.split("\n")
            lines.insert(int(comment[1]) - 1, comment[2])
            finding.path.write_text("\n".join(lines))
            left = found()
            finding.path.write_text(before)
        else:
            assert option is not None
            (given,) = shlex.split(option[1])
            value = option[2].removeprefix("triton_audit_ignore = ")
            assert given == f"--triton-audit-ignore={value}"
            left = found(value)
        assert not any(_same(one, finding) for one in left), hint


@pytest.mark.parametrize("name", ["a, b", "a:b", "tok[1]*?", " a", "it's", "a\nb"])
def test_value_for_an_odd_name_fits_that_name_only(tmp_path: Path, name: str) -> None:
    finding = Diagnostic(rule="TRT503", model=name, path=tmp_path / name)
    ignored = parse_ignored(ignoring_value(finding), KNOWN)
    assert ignored.covers(finding)
    assert not ignored.covers(replace(finding, model=f"{name}1"))
    assert not ignored.covers(replace(finding, model="tok1xx"))


@pytest.mark.parametrize(
    "text", ['backend: "pytorch" # since 2024\n', '# small\nbackend: "pytorch"\n\n']
)
def test_comment_beside_other_comments_suppresses(
    tmp_path: Path,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    directories = write_files(tmp_path, {"m/config.pbtxt": text, "m/1/.gitkeep": ""})
    repository = read_repository(directories)
    (finding,) = audit(repository)
    comment = _COMMENT.fullmatch(ignore_hint(finding, repository.models[0].config_file))
    assert comment is not None
    lines = text.split("\n")
    lines.insert(int(comment[1]) - 1, comment[2])
    finding.path.write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    assert main(["audit", "models"]) == 0
    assert "nothing found" in capsys.readouterr().out


def test_comment_is_not_offered_in_code(tmp_path: Path) -> None:
    files = {
        "m/config.pbtxt": 'backend: "python"\ninstance_group [ { kind: KIND_GPU } ]\n',
        "m/1/model.py": "class TritonPythonModel:\n    def execute(self, requests)\n",
    }
    repository = read_repository(write_files(tmp_path, files))
    (finding,) = audit(repository)
    assert (finding.rule, finding.path.name) == ("TRT230", "model.py")
    hint = ignore_hint(finding, repository.models[0].config_file)
    assert hint == (
        "--triton-audit-ignore='TRT230: m', or in pytest's ini file: "
        "triton_audit_ignore = TRT230: m"
    )
