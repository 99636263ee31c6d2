"""action.yml: each of its steps, run as GitHub's runner would run it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_triton.ledger import read_ledger

pytestmark = pytest.mark.server

ROOT = Path(__file__).resolve().parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))

# All but pip, which is to install the action's own checkout: it is installed where tests run.
_PYTHON = """#!/bin/sh
if [ "$2" = pip ]; then test -f "$5/pyproject.toml"; exit $?; fi
exec {python} "$@"
"""


class Runner:
    """Runs the steps of the action in a copy of the example project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "project"
        shutil.copytree(ROOT / "example_project", self.project)
        (folder / "bin").mkdir()
        (folder / "bin/python").write_text(_PYTHON.format(python=sys.executable))
        (folder / "bin/python").chmod(0o755)
        self.failed = False
        self.output = ""
        self.uploaded: list[Path] = []

    def run(self, **given: str) -> bool:
        """Whether the job would be green."""
        inputs = ACTION["inputs"]
        assert {name for name, one in inputs.items() if one.get("required")} <= set(given)
        values = {f"inputs.{name}": one.get("default", "") for name, one in inputs.items()}
        values |= {f"inputs.{name.replace('_', '-')}": value for name, value in given.items()}
        values |= {"github.action_path": str(ROOT), "runner.temp": str(self.folder / "temp")}
        for step in ACTION["runs"]["steps"]:
            if not self._is_due(step.get("if", "success()"), values):
                continue
            if "run" in step:
                self._script(step, values)
            else:
                self._uses(step, values)
        return not self.failed

    def _is_due(self, condition: str, values: Mapping[str, str]) -> bool:
        parts = condition.split(" && ")
        runs_anyway = "always()" in parts
        for part in parts:
            if found := re.fullmatch(r"([\w.-]+) != ''", part):
                if not values.get(found[1]):
                    return False
            else:
                assert part in ("always()", "success()"), part
        return runs_anyway or not self.failed

    def _script(self, step: dict[str, Any], values: dict[str, str]) -> None:
        assert step["shell"] == "bash"
        assert "${{" not in step["run"], "what is put in there could be a script"
        hidden = ("CI", "GITHUB_", "PYTEST_")
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(hidden) or name == "PYTEST_TRITON_CACHE"
        }
        environ |= {name: _filled(value, values) for name, value in step.get("env", {}).items()}
        output = self.folder / "output"
        environ |= {
            "PATH": os.pathsep.join(
                [str(self.folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
            ),
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(self.project),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md"),
        }
        output.write_text("")
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = subprocess.run(
            command, cwd=self.project, env=environ, capture_output=True, text=True
        )
        self.failed = self.failed or done.returncode != 0
        self.output += done.stdout + done.stderr
        for line in output.read_text().splitlines():
            name, _, value = line.partition("=")
            values[f"steps.{step['id']}.outputs.{name}"] = value

    def _uses(self, step: dict[str, Any], values: Mapping[str, str]) -> None:
        name = step["uses"].partition("@")[0]
        filled = {key: _filled(value, values) for key, value in step["with"].items()}
        if name == "actions/upload-artifact":
            self.uploaded += [Path(path) for path in filled["path"].split()]
        else:
            assert (name, filled) == ("actions/setup-python", {"python-version": "3.12"})


def _filled(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda found: values[found[1]], text)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def test_sound_repository_is_green_with_page_ledger_and_summary(runner: Runner) -> None:
    assert runner.run(repository="models", gpus="none sim:4", python_version="3.12"), runner.output
    page, ledger = runner.uploaded
    assert "<!doctype html>" in page.read_text("utf-8")
    labels = {entry.hardware.label for entry in read_ledger(ledger).entries}
    assert labels - {""} == {"no GPU", "4 GPUs (simulated)"}
    assert "Triton placement" in (runner.folder / "summary.md").read_text("utf-8")


def test_broken_repository_is_red_and_annotated_and_its_page_is_uploaded(runner: Runner) -> None:
    assert not runner.run(repository="models\nbroken_models", job="night")
    assert re.search(r"^::error .*file=broken_models/undeclared/config.pbtxt", runner.output, re.M)
    assert [path.name for path in runner.uploaded] == ["night.html", "night.json"]
    assert all(path.is_file() for path in runner.uploaded)


def test_deployment_and_further_arguments_are_checked(runner: Runner) -> None:
    green = runner.run(
        repository="models",
        deployment="deploy/compose.yaml\ndeploy/kubernetes.yaml\n",
        arguments="--triton-deployment-repo=/models=models\n--junit-xml=report with spaces.xml",
    )
    assert green, runner.output
    report = (runner.project / "report with spaces.xml").read_text("utf-8")
    assert "compose.yaml" in report, report
    assert "kubernetes.yaml" in report, report


def test_run_that_cannot_start_uploads_nothing(runner: Runner) -> None:
    assert not runner.run(repository="models", release="1.0")
    assert "There is no tritonserver release '1.0'" in runner.output
    assert runner.uploaded == []


def test_outputs_are_of_a_step() -> None:
    for one in ACTION["outputs"].values():
        found = re.fullmatch(r"\$\{\{ steps\.(\w+)\.outputs\.(\w+) \}\}", one["value"])
        assert found is not None
        (step,) = [step for step in ACTION["runs"]["steps"] if step.get("id") == found[1]]
        assert f"{found[2]}=" in step["run"]
