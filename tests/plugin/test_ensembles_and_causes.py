"""An ensemble that fails because a model of its steps does: the cause first, and where to look."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.builders import RepositoryBuilder

pytestmark = [pytest.mark.server, pytest.mark.real_python]

TENSORS = """max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""
STEP = f'backend: "python"\n{TENSORS}instance_group [ {{ kind: KIND_CPU }} ]\n'
ENSEMBLE = (
    f'platform: "ensemble"\n{TENSORS}'
    'ensemble_scheduling { step [ { model_name: "STEP" model_version: -1 '
    'input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" } } ] }\n'
)
BROKEN = """class TritonPythonModel:
    def initialize(self, args):
        raise RuntimeError("weights are missing")
    def execute(self, requests):
        return []
"""
SUITE = """
from pytest_triton import cpu

def test_placement_of_the_ensemble(triton_server):
    assert triton_server.placement("a_pipeline") == cpu()

def test_of_something_else(triton_server):
    assert 1 == 2
"""


@pytest.fixture
def models(pytester: pytest.Pytester) -> RepositoryBuilder:
    """A step that fails, and ensembles of it, also through another one, first by name."""
    builder = RepositoryBuilder(pytester.path / "models")
    builder.add_config("step", STEP)
    (builder.path / "step" / "1" / "model.py").write_text(BROKEN)
    builder.add_config("a_pipeline", ENSEMBLE.replace("STEP", "step"))
    builder.add_config("a_nested", ENSEMBLE.replace("STEP", "a_pipeline"))
    return builder


def run(pytester: pytest.Pytester, *arguments: str | Path) -> pytest.RunResult:
    real = ("--triton-repo=models", "--triton-backends=real", "--triton-gpus=none")
    plain = ("-p", "no:cacheprovider", "-p", "no:randomly", "-rs")
    return pytester.runpytest_subprocess(*plain, *real, *arguments)


@pytest.mark.usefixtures("models")
def test_ensemble_of_a_failing_step_leaves_the_failure_to_it(pytester: pytest.Pytester) -> None:
    result = run(pytester, "-k", "placement", "--triton-markdown=r.md")
    result.assert_outcomes(failed=1, skipped=2, passed=3)
    assert result.ret == 1
    see = "its model step isn't served, see test_placement[[]no-gpu[]] of step"
    result.stdout.fnmatch_lines(
        [
            "*a_nested*not served, as one of its models",
            "*a_pipeline*not served, as one of its models",
            "step *refused: other  <- failed",
            f"*SKIPPED*a_nested*{see}",
            f"*SKIPPED*a_pipeline*{see}",
        ]
    )
    assert "predicted to run on nothing" not in result.stdout.str()
    summary = (pytester.path / "r.md").read_text()
    rows = re.findall(r"^\| <code>(.*?)</code> \| no GPU", summary, re.MULTILINE)
    assert rows[0] == "step", "the cause comes before what it causes"


@pytest.mark.usefixtures("models")
def test_ensemble_fails_with_the_cause_where_its_step_is_not_checked(
    pytester: pytest.Pytester,
) -> None:
    result = run(pytester, "-k", "placement", "--deselect", "models/step/config.pbtxt")
    result.assert_outcomes(failed=2, passed=2, deselected=None)
    result.stdout.fnmatch_lines(
        [
            "refused, since its model step can't be had, though it was predicted to be ready",
            "  cause      its model step: refused: other, though it was predicted to run on CPU",
            "An ensemble is only as ready as its models, and step is not loaded*",
        ]
    )
    text = result.stdout.str()
    assert "instance_group, optimization or warm-up" not in text


@pytest.mark.usefixtures("models")
def test_servers_log_stands_only_where_it_explains_the_failure(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(test_own=SUITE)
    pytester.makeini("[pytest]\ntriton_repo = models\ntriton_backends = real\ntriton_gpus = none\n")
    first = pytester.runpytest_subprocess("test_own.py::test_of_something_else")
    first.assert_outcomes(failed=1)
    assert "triton server log" not in first.stdout.str()
    second = pytester.runpytest_subprocess("test_own.py::test_placement_of_the_ensemble")
    second.stdout.fnmatch_lines(["*What to do: look at step first*", "*triton server log*"])
    log = second.stdout.str().partition("triton server log")[2].partition("short test summary")[0]
    assert "depends on 'step'" in log
    assert not re.search(r"DCGM|NVML|^\s*[|+]", log, re.MULTILINE)
