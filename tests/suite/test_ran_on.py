"""`assert_ran_on` in a project's own tests, on real servers with simulated GPUs."""

from __future__ import annotations

import pytest

from support.builders import RepositoryBuilder
from support.components import need_release

pytestmark = pytest.mark.usefixtures("folders_left")

HEAD = """
import pytest
from pytest_triton import *
"""

ENSEMBLE = """\
platform: "ensemble"
max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
ensemble_scheduling {
  step [ {
    model_name: "small" model_version: -1
    input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" }
  } ]
}
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with models of all kinds, and an ini file that names their repository."""
    repository = RepositoryBuilder(pytester.path / "models")
    repository.add("pinned", "{ kind: KIND_GPU count: 2 }", backend="onnxruntime")
    repository.add("mixed", "{ kind: KIND_GPU }, { kind: KIND_CPU }", backend="pytorch")
    repository.add("second", "{ kind: KIND_GPU gpus: [ 1 ] }", backend="tensorrt")
    repository.add("small", "{ kind: KIND_CPU count: 2 }")
    repository.add("decides", "{ kind: KIND_MODEL }", backend="pytorch")
    repository.add("free", backend="onnxruntime")
    repository.add("sequence", "{ kind: KIND_GPU }", more="sequence_batching {}\n")
    repository.add(
        "passive", "{ kind: KIND_GPU gpus: 0 }, { kind: KIND_GPU gpus: 1 passive: true }"
    )
    repository.add_config("pipeline", ENSEMBLE)
    pytester.makeini("[pytest]\ntriton_repo = models\n")
    return pytester


def run(project: pytest.Pytester, code: str, *arguments: str) -> pytest.RunResult:
    project.makepyfile(test_own=HEAD + code)
    return project.runpytest_subprocess("test_own.py", "--tb=short", *arguments)


CLAIMS = """
pytestmark = pytest.mark.triton(gpus="sim:2", changes=True{more})
BOTH = gpu(0) + gpu(1)

@pytest.mark.parametrize(("model", "where"), [
    ("pinned", BOTH),
    ("mixed", BOTH + cpu()),
    ("second", 1),
    ("second", gpu(1, count=7)),
    ("small", cpu()),
    ("decides", on_model()),
    ("free", BOTH),
    ("sequence", BOTH),
    ("passive", 0),
])
def test_it(triton_server, model, where):
    assert_ran_on(triton_server, model, where)

@pytest.mark.parametrize(("model", "where"), [
    ("pinned", 0),
    ("pinned", BOTH + cpu()),
    ("mixed", BOTH),
    ("mixed", cpu()),
    ("second", 0),
    ("small", 0),
    ("small", on_model()),
    ("decides", cpu()),
    ("free", cpu()),
    ("passive", BOTH),
    ("pipeline", cpu()),
])
def test_wrong(triton_server, model, where):
    with pytest.raises(AssertionError, match=f"^{{model}} was to run on .*, and "):
        assert_ran_on(triton_server, model, where)

def test_ensembles_stay(triton_server):
    assert_ran_on(triton_server, "small", cpu())
    assert triton_server.infer("pipeline").outputs
"""


@pytest.mark.parametrize("release", ["2.36.0", "2.39.0", "2.42.0", "2.51.0"])
def test_claims(project: pytest.Pytester, release: str) -> None:
    need_release(release)
    code = CLAIMS.format(more=f", version={release!r}, backends='stand-in'")
    run(project, code).assert_outcomes(passed=21)


def test_server_that_may_not_be_changed_proves_nothing_of_gpus(project: pytest.Pytester) -> None:
    """Its models were loaded at the start, so that "no label" says nothing, of the CPU neither."""
    result = run(
        project,
        """
@pytest.mark.triton(gpus="sim:2")
@pytest.mark.parametrize(("model", "where"), [("second", 1), ("small", cpu())])
def test_it(triton_server, model, where):
    assert_ran_on(triton_server, model, where)
""",
    )
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "*second was to run on GPU 1, and that is not proven: it was loaded when the server*",
            "*hardware   2 GPUs (simulated)",
            "*@pytest.mark.triton(changes=True)*",
            "*small was to run on CPU, and that is not proven: *",
        ]
    )


def test_without_gpus_nothing_needs_to_be_reloaded(project: pytest.Pytester) -> None:
    code = """
@pytest.mark.triton(gpus="none")
def test_it(triton_server):
    assert_ran_on(triton_server, "small", cpu())

@pytest.mark.triton(gpus="none")
def test_refused(triton_server):
    assert_ran_on(triton_server, "second", 1)
"""
    result = run(project, code)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*second was to run on GPU 1, and is not loaded: refused: no such*"]
    )


def test_what_the_test_itself_loaded(project: pytest.Pytester) -> None:
    """It is looked at as it is loaded, and ensembles come back with the models that they use."""
    code = """
pytestmark = pytest.mark.triton(gpus="sim:2", changes=True)

def test_config(triton_server):
    triton_server.reload("small", instance_group="{ kind: KIND_GPU gpus: [1] }")
    assert_ran_on(triton_server, "small", 1)

def test_again(triton_server):
    assert_ran_on(triton_server, "small", cpu())
    assert triton_server.is_ready("pipeline")
    assert triton_server.infer("pipeline").outputs
    assert_placed_as_declared(triton_server)

def test_loss(triton_server):
    triton_server.lose_gpus(keep=1)
    assert_ran_on(triton_server, "pinned", 0)

def test_more(triton_server):
    triton_server.set_gpus(3)
    triton_server.reload("pinned")
    assert_ran_on(triton_server, "pinned", gpu(0) + gpu(1) + gpu(2))
"""
    run(project, code).assert_outcomes(passed=4)


def test_gpus_that_the_metrics_dont_know(project: pytest.Pytester) -> None:
    code = """
@pytest.mark.triton(gpus="sim:2", changes=True, arguments=["--allow-gpu-metrics=false"])
@pytest.mark.parametrize(("model", "where"), [("second", 1), ("small", cpu())])
def test_no_names(triton_server, model, where):
    assert_ran_on(triton_server, model, where)

@pytest.mark.triton(gpus="sim:1", changes=True, arguments=["--allow-metrics=false"])
def test_none(triton_server):
    assert_ran_on(triton_server, "pinned", 0)
"""
    result = run(project, code)
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        [
            "*second was to run on GPU 1, and that is not proven: the metrics know 0 of 2 GPUs*",
            "*Triton asks DCGM for the names*",
            "*small was to run on CPU, and that is not proven: the metrics know 0 of 2 GPUs*",
            "*that is not proven: tritonserver * (*) gave no metrics at 127.0.0.1:*",
        ]
    )


def test_release_without_metrics_proves_nothing(project: pytest.Pytester) -> None:
    need_release("2.33.0")
    code = """
@pytest.mark.triton(gpus="none", version="2.33.0", backends="stand-in")
def test_it(triton_server):
    assert_ran_on(triton_server, "small", cpu())
"""
    result = run(project, code)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*that is not proven: tritonserver 2.33.0*no metrics*"])


def test_requests_of_ones_own(project: pytest.Pytester) -> None:
    code = """
@pytest.mark.triton(gpus="sim:2", changes=True)
def test_it(triton_server):
    sent = []
    def send():
        sent.append(triton_server.infer("mixed", "zeros", batch_size=2))
    assert_ran_on(triton_server, "mixed", gpu(0) + gpu(1) + cpu(), send=send)
    assert len(sent) >= 3

@pytest.mark.triton(gpus="sim:2", changes=True)
def test_that_are_counted_later(triton_server):
    from threading import Timer
    later = [Timer(0.3, triton_server.infer, ["second"]) for _ in range(8)]
    waiting = iter(later)
    assert_ran_on(triton_server, "second", 1, send=lambda: next(waiting).start())

@pytest.mark.triton(gpus="sim:2", changes=True)
def test_that_reach_the_devices_one_by_one(triton_server):
    sent = []
    def send():
        sent.append(None)
        if len(sent) % 2:  # one request in each round of two, counted as two
            triton_server.infer("free", batch_size=2)
    assert_ran_on(triton_server, "free", gpu(0) + gpu(1), send=send)
    assert len(sent) == 4

@pytest.mark.triton(gpus="sim:2", changes=True)
def test_that_run_nothing(triton_server, monkeypatch):
    monkeypatch.setattr("pytest_triton.testing.device_usage._COUNTED", 0.1)
    assert_ran_on(triton_server, "second", 1, send=lambda: None)

@pytest.mark.triton(gpus="sim:2", changes=True)
@pytest.mark.parametrize("where", ["cpu", NOTHING, None, True])
def test_what_is_no_place(triton_server, where):
    with pytest.raises(OptionError, match="a GPU's id, or a placement"):
        assert_ran_on(triton_server, "second", where)
"""
    result = run(project, code)
    result.assert_outcomes(passed=7, failed=1)
    result.stdout.fnmatch_lines(
        ["*second was to run on GPU 1, and that is not proven: the metrics count 0 of 1 inferences"]
    )
