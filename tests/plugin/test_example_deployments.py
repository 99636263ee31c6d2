"""The deployments of the example project, and their broken variants."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_triton.__main__ import main
from pytest_triton.audit.rules import RULES

DEPLOY = Path(__file__).parents[2] / "example_project" / "deploy"
MODELS = f"/models={DEPLOY.parent / 'models'}"
BROKEN = {
    "unnoticed.yaml": {"TRT614"},
    "gpus.yaml": {"TRT601", "TRT603", "TRT604", "TRT606"},
    "hosts-numbers.yaml": {"TRT602", "TRT613"},
    "hidden.yaml": {"TRT608"},
    "image.yaml": {"TRT615", "TRT620", "TRT622", "TRT623", "TRT624", "TRT628"},
    "cluster.yaml": {"TRT604", "TRT607", "TRT626"},
    "mounts.yaml": {"TRT627"},
    "ports.yaml": {"TRT616", "TRT617"},
    "probes.yaml": {"TRT605", "TRT610", "TRT611", "TRT612", "TRT621", "TRT625"},
}


def rules(file: Path, capsys: pytest.CaptureFixture[str]) -> set[str]:
    named = [f"--deployment-repo={MODELS}"] if "/models:/models" not in file.read_text() else []
    main(["audit", f"--deployment={file}", *named, "--format=json"])
    found = json.loads(capsys.readouterr().out)["findings"]
    return {one["rule"] for one in found if one["rule"].startswith("TRT6")}


@pytest.mark.parametrize("name", ["compose.yaml", "kubernetes.yaml"])
def test_example_deployment_has_no_finding(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert rules(DEPLOY / name, capsys) == set()


@pytest.mark.parametrize("name", BROKEN)
def test_broken_example_breaks_its_rules(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert rules(DEPLOY / "broken" / name, capsys) == BROKEN[name]


def test_every_broken_example_is_tested_here() -> None:
    assert {path.name for path in (DEPLOY / "broken").glob("*.yaml")} == set(BROKEN)


def test_every_rule_about_deployments_has_a_broken_example() -> None:
    broken = {rule for rules in BROKEN.values() for rule in rules}
    assert broken == {rule.id for rule in RULES if rule.scope == "deployment"}


@pytest.mark.server
def test_example_deployments_are_noticed_when_gpus_are_lost(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess(
        *(f"--triton-deployment={DEPLOY / name}" for name in ("compose.yaml", "kubernetes.yaml")),
        f"--triton-deployment={DEPLOY / 'broken' / 'unnoticed.yaml'}",
        f"--triton-deployment-repo={MODELS}",
        "-ktest_deployment",
    )
    result.assert_outcomes(passed=2, failed=1, deselected=None)
    result.stdout.fnmatch_lines(["When its GPUs are lost, triton comes up READY on the CPU*"])
