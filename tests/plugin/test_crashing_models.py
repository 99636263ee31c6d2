"""Models that a real server crashes on at its start, though nothing in their configs says so."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from pytest_triton.checks.run import TritonSession
from pytest_triton.options.resolving import read_settings
from pytest_triton.placement.hardware import NO_GPU
from pytest_triton.placement.predict import predict
from pytest_triton.repository import read_repository
from pytest_triton.servers.pool import ServerPool
from pytest_triton.servers.process.server import ProcessServer, launch
from pytest_triton.servers.spec import ServerSpec
from support.builders import RepositoryBuilder

PLAIN = ("-p", "no:cacheprovider", "-p", "no:randomly", "--triton-repo=models")
ENSEMBLE = """\
platform: "ensemble"
input [ { name: "X" data_type: TYPE_FP32 dims: [ -1 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
ensemble_scheduling { step [ { model_name: "greedy" model_version: -1
  input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" } } ] }
"""


def greedy(elements: int) -> str:
    """A model whose warm-up wants more memory than there is: not so much that it is predicted."""
    return f"""\
backend: "onnxruntime"
input [ {{ name: "X" data_type: TYPE_FP32 dims: [ -1 ] }} ]
output [ {{ name: "Y" data_type: TYPE_FP32 dims: [ 4 ] }} ]
instance_group [ {{ kind: KIND_CPU }} ]
model_warmup [ {{ name: "w" batch_size: 1 inputs {{ key: "X" value {{ data_type: TYPE_FP32
  dims: [ {elements} ] zero_data: true }} }} }} ]
"""


@pytest.fixture
def models(pytester: pytest.Pytester) -> RepositoryBuilder:
    repository = RepositoryBuilder(pytester.path / "models")
    for number in range(6):
        repository.add(f"m{number}", "{ kind: KIND_GPU }", backend="onnxruntime")
    return repository


def test_warm_up_data_that_no_machine_has_is_predicted_to_crash(tmp_path: Path) -> None:
    repository = RepositoryBuilder(tmp_path / "models")
    repository.add_config("greedy", greedy(2**40))
    [model] = read_repository([repository.path]).models
    refusal = predict(model.declared, NO_GPU).refusal
    assert refusal is not None
    assert refusal.reason == "crash"


@pytest.mark.server
def test_model_of_which_the_server_exits_is_found_and_the_others_are_proven(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    models.add_config("greedy", greedy(2**36))
    models.add_config("uses_it", ENSEMBLE)
    result = pytester.runpytest(*PLAIN, "-k", "test_placement")
    result.assert_outcomes(failed=2, passed=12, skipped=2, deselected=24)
    result.stdout.fnmatch_lines(
        [
            "*greedy::test_placement[[]no-gpu[]]*",
            "the server crashes on it",
            "  why *ended with signal SIGSEGV*",
            "*no GPU: the server exited at its start; it lives without greedy (*",
        ]
    )


@pytest.mark.server
def test_crash_by_chance_costs_a_start_and_no_verdict(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    started: list[ServerSpec] = []

    def launched(spec: ServerSpec) -> ProcessServer:
        server = launch(spec)
        started.append(spec)
        if len(started) == 1:
            server.wait_until_live()
            os.kill(server.pid, signal.SIGSEGV)
            while server.running:
                time.sleep(0.01)
        return server

    arguments = ("--triton-repo=models", "--triton-gpus=none")
    settings = read_settings(pytester.parseconfig(*arguments), {})
    session = TritonSession(settings, ServerPool(launch=launched))
    try:
        [checked] = session.deployments
        seen = session.seen(checked, settings.gpus[0])
    finally:
        session.close()
    assert not seen.crashed
    assert [str(one.refusal) for one in seen.observed.values()] == ["refused: no GPU"] * 6
    assert seen.notes == (
        "no GPU: the server exited at its start, and with the same models it lived at another: a "
        "crash by chance",
    )
