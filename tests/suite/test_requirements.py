"""Skips for want of hardware, and jobs that require it.

There is no real GPU here. Where a job is to have one, a simulation is preloaded that the plugin
doesn't know, so that the server takes its GPUs for real ones, and the plugin with it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.rehearsal.simulation import SimulatedGpus, write_control
from support.builders import RepositoryBuilder
from support.foreign_gpus import foreign_gpus

SUITE = """
import pytest
from pytest_triton import gpu

@pytest.mark.triton_requires(gpus=2)
@pytest.mark.triton(gpus="2")
def test_on_two(triton_server):
    assert triton_server.placement("pinned") == gpu(0) + gpu(1)

def test_other():
    pass
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    repository = RepositoryBuilder(pytester.path / "models")
    repository.add("pinned", "{ kind: KIND_GPU }", backend="onnxruntime")
    pytester.makeini("[pytest]\ntriton_repo = models\ntriton_backends = stand-in\n")
    pytester.makepyfile(test_own=SUITE)
    return pytester


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes all servers believe in two real GPUs; returns the file that says how many."""
    for name, value in foreign_gpus(tmp_path).items():
        monkeypatch.setenv(name, value)
    return tmp_path / "control"


def test_without_a_requirement_the_test_is_skipped_with_a_reason(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("test_own.py", "-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(
        ["*needs 2 real GPUs, and this run has no GPU, 2 GPUs (simulated) (--triton-gpus)*"]
    )


def test_requirement_that_nothing_can_keep(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("test_own.py", "--triton-require=gpus=2")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*this job requires 2 real GPUs (--triton-require=gpus=2), and this run has *"]
    )
    result.stdout.no_fnmatch_line("*passed*")


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_requirement_that_is_not_met_is_printed_once_with_one_fix(
    project: pytest.Pytester, workers: str
) -> None:
    result = project.runpytest_subprocess(
        "test_own.py", "--triton-require=gpus=2", "--triton-gpus=2", workers
    )
    assert result.ret == 1
    text = result.stdout.str() + result.stderr.str()
    assert text.count("this job requires 2 real GPUs") == 1
    assert text.count("What to do:") == 1
    assert "_pytest.outcomes" not in text


@pytest.mark.usefixtures("gpus")
def test_requirement_that_is_kept(project: pytest.Pytester) -> None:
    arguments = ["--triton-require=gpus=2", "--triton-gpus=2"]
    result = project.runpytest_subprocess("test_own.py", *arguments)
    result.assert_outcomes(passed=2)
    assert result.ret == 0
    result = project.runpytest_subprocess("test_own.py", *arguments, "-n2")
    result.assert_outcomes(passed=2)
    assert result.ret == 0


def test_fewer_gpus_than_required(project: pytest.Pytester, gpus: Path) -> None:
    write_control(gpus, SimulatedGpus(1))
    arguments = ["--triton-require=gpus=2", "--triton-gpus=2"]
    result = project.runpytest_subprocess("test_own.py", *arguments)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*requires 2 real GPUs*2 GPUs asked for, but * can use 1 GPU.*"])


@pytest.mark.usefixtures("gpus")
def test_no_test_that_uses_them_is_a_failure(project: pytest.Pytester) -> None:
    arguments = ["--triton-require=gpus=2", "--triton-gpus=2", "-k", "other"]
    result = project.runpytest_subprocess("test_own.py", *arguments)
    result.assert_outcomes(passed=1, deselected=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*requires 2 real GPUs*no test ran on a real GPU*"])


def test_gpus_that_are_lost_on_the_way(project: pytest.Pytester, gpus: Path) -> None:
    project.makepyfile(
        test_own=SUITE
        + f"""
def test_z_loses_them():
    from pathlib import Path
    from pytest_triton.rehearsal.simulation import SimulatedGpus, write_control
    write_control(Path({str(gpus)!r}), SimulatedGpus(1))
"""
    )
    arguments = ["--triton-require=gpus=2", "--triton-gpus=2"]
    result = project.runpytest_subprocess("test_own.py", *arguments)
    result.assert_outcomes(passed=3)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*requires 2 real GPUs*at the end of the run*"])


@pytest.mark.parametrize(
    ("requirement", "message"),
    [
        ("container", "*requires a container*this run's servers are at: process*"),
        ("real-backends", "*requires real backends*this run has stand-in backends*"),
    ],
)
def test_other_requirements(project: pytest.Pytester, requirement: str, message: str) -> None:
    result = project.runpytest_subprocess("test_own.py", f"--triton-require={requirement}")
    assert result.ret == 1
    result.stdout.fnmatch_lines([message])


def test_what_can_be_required_is_listed(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("test_own.py", "--triton-require=gpu")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--triton-require=gpu*expected gpus, gpus=2*"])
