"""example_project/ci: the files are sound, and every command in them works.

Commands run in the order of the pipelines, in a copy of the example project, as their CI would
run them. Only what a machine without GPUs and images can't do is replaced (`_replaced`): real GPUs
by simulated ones, the official image by the installed release.
"""

from __future__ import annotations

import json
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

pytestmark = pytest.mark.server

EXAMPLE = Path(__file__).parents[2] / "example_project"
CI = EXAMPLE / "ci"
INSTALL = "python -m pip install pytest-triton"  # it is installed where tests run


class Workplace:
    """A checkout of the example project. `ran` are the commands as they were run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("models", "ci", "deploy"):
            shutil.copytree(EXAMPLE / name, folder / name)
        shutil.copy(EXAMPLE / "pyproject.toml", folder)
        (folder / "bin").mkdir()
        (folder / "bin/python").symlink_to(sys.executable)
        self.ran: list[str] = []

    def run(self, script: str, variables: Mapping[str, object]) -> int:
        """The exit status of a step or a job's script."""
        if script == INSTALL:
            return 0
        script = _replaced(script)
        self.ran.append(script)
        environ = {name: value for name, value in os.environ.items() if name != "CI"}
        environ |= {name: str(value) for name, value in variables.items()}
        environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
        environ["DOCKER_HOST"] = "tcp://127.0.0.1:1"
        environ["GITHUB_OUTPUT"] = str(self.folder / "output")
        environ["GITHUB_STEP_SUMMARY"] = str(self.folder / "summary.md")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=environ,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        print(f"$ {script}\n{done.stdout}")
        return done.returncode


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    for name in list(os.environ):
        if name.startswith(("GITHUB_", "CI_")):
            monkeypatch.delenv(name)
    return Workplace(tmp_path)


def _replaced(script: str) -> str:
    script = re.sub(r"--require=container(-gpus)?", "--require=rehearsal", script)
    script = re.sub(r'--triton-image="[^"]*"', "", script)
    script = re.sub(r"--triton-require=gpus=\d+", "", script)
    script = re.sub(r"--triton-gpus=(\d+)", r"--triton-gpus=sim:\1", script)
    return re.sub(r"(pytest-triton merge .*)", r"\1 --rehearsals=everywhere", script)


def _read(name: str) -> dict[str, Any]:
    value: dict[str, Any] = yaml.safe_load((CI / name).read_text("utf-8"))
    return value


# --- GitHub ------------------------------------------------------------------------------------


def _scripts(job: str) -> list[str]:
    steps = _read("github-actions.yml")["jobs"][job]["steps"]
    return [step["run"] for step in steps if "run" in step]


def _output(workplace: Workplace) -> dict[str, str]:
    lines = (workplace.folder / "output").read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_github_from_the_first_push_to_the_required_check(workplace: Workplace) -> None:
    variables = _read("github-actions.yml")["env"]
    for first in ("rehearsal", "plan"):
        for script in _scripts(first):
            assert workplace.run(script, variables) == 0
    output = _output(workplace)
    matrix = json.loads(output["gpu_matrix"])["include"]
    assert len(matrix) == int(output["gpu_jobs"]) == 1

    for job in matrix:
        job = {**job, "arguments": _replaced(job["arguments"])}
        declared: dict[str, str] = _read("github-actions.yml")["jobs"]["gpu"]["env"]
        own = {
            name: job[re.fullmatch(r"\$\{\{ matrix\.(\w+) \}\}", value)[1]]  # type: ignore[index]
            for name, value in declared.items()
        }
        for script in _scripts("gpu"):
            assert workplace.run(script, {**variables, **own}) == 0
    assert len(list(workplace.folder.glob("ledgers/*.json"))) == 2
    for script in _scripts("merge"):
        assert workplace.run(script, variables) == 0
    assert "<!doctype html>" in (workplace.folder / "reports/triton.html").read_text("utf-8")
    assert "Triton placement" in (workplace.folder / "summary.md").read_text("utf-8")
    assert (workplace.folder / "reports/rehearsal.html").is_file()


def test_github_nightly_container(workplace: Workplace) -> None:
    for script in _scripts("container"):
        assert workplace.run(script, _read("github-actions.yml")["env"]) == 0
    assert (workplace.folder / "ledgers/container.json").is_file()


def test_github_a_gpu_job_that_never_ran_fails_the_required_check(workplace: Workplace) -> None:
    for script in (*_scripts("rehearsal"), *_scripts("plan")):
        assert workplace.run(script, {}) == 0
    merge, *reports = [script for script in _scripts("merge") if script != INSTALL]
    script = merge  # as it is, and with rehearsals taken for nothing but rehearsals
    assert "pytest-triton merge" in script
    replaced = re.sub("--rehearsals=everywhere", "", _replaced(script))
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", replaced], cwd=workplace.folder, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "detector" in done.stdout
    for script in reports:
        assert workplace.run(script, {}) == 0, "what was proven is shown all the same"


def test_github_merge_waits_for_all_that_it_judges() -> None:
    jobs = _read("github-actions.yml")["jobs"]
    assert set(jobs["merge"]["needs"]) == {"plan", "rehearsal", "gpu"}
    assert "always()" in jobs["merge"]["if"]


# --- GitLab ------------------------------------------------------------------------------------


def test_gitlab_from_the_first_push_to_the_merge(workplace: Workplace) -> None:
    parent, child = _read("gitlab-ci.yml"), _read("gitlab-prove.yml")
    variables = {"TRITON_RELEASE": parent["variables"]["TRITON_RELEASE"]}
    scripts = [*parent["rehearsal"]["script"], *parent["plan"]["script"]]
    scripts += parent["container"]["script"]
    for script in scripts:
        assert workplace.run(script, variables) == 0
    assert isinstance(
        json.loads((workplace.folder / "reports/quality.json").read_text("utf-8")), list
    )
    shutil.rmtree(workplace.folder / "ledgers")  # of another pipeline: the child proves all

    plan = yaml.safe_load((workplace.folder / "plan.yml").read_text("utf-8"))
    matrix = plan[".triton-plan"]["parallel"]["matrix"]
    assert [job["TRITON_GPUS"] for job in matrix] == ["0", "1"]
    for job in matrix:
        own = {**job, "TRITON_ARGUMENTS": _replaced(job["TRITON_ARGUMENTS"])}
        for script in child["prove"]["script"]:
            script = script.replace('--triton-image="$IMAGE"', "")
            assert workplace.run(script, {**variables, **own}) == 0
    for script in (*child["merge"]["script"], *child["merge"]["after_script"]):
        assert workplace.run(script, variables) == 0
    assert (workplace.folder / "reports/triton.html").is_file()


# --- both --------------------------------------------------------------------------------------


def _lint(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_files_fit_their_schemas() -> None:
    schema = "check_jsonschema", "--builtin-schema"
    _lint(*schema, "vendor.github-workflows", str(CI / "github-actions.yml"))
    gitlab = [str(CI / "gitlab-ci.yml"), str(CI / "gitlab-prove.yml")]
    _lint(*schema, "vendor.gitlab-ci", "--data-transform", "gitlab-ci", *gitlab)


def test_workflow_is_safe(tmp_path: Path) -> None:
    """zizmor: unpinned actions, injected expressions, too many permissions, kept credentials."""
    workflow = tmp_path / ".github/workflows/triton.yml"
    workflow.parent.mkdir(parents=True)
    shutil.copy(CI / "github-actions.yml", workflow)
    program = shutil.which("zizmor", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert program is not None, "zizmor is one of the dev dependencies"
    done = subprocess.run(
        [program, "--offline", "--no-progress", str(workflow)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_is_tested_here() -> None:
    assert {path.name for path in CI.iterdir()} == {
        "github-actions.yml",
        "gitlab-ci.yml",
        "gitlab-prove.yml",
    }
    workflow = _read("github-actions.yml")["jobs"]
    assert set(workflow) == {"rehearsal", "plan", "gpu", "container", "merge"}
