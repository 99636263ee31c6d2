"""Backends that aren't Triton's, and models that bring their library, in a rehearsal."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_checks import outcomes, run

from support.builders import RepositoryBuilder

pytestmark = pytest.mark.server

CPU = "{ kind: KIND_CPU count: 1 }"
CHECKS = (
    "test_config",
    "test_explicit_placement",
    "test_audit",
    "test_placement[no-gpu]",
    "test_placement[sim-2]",
)


def passed(*models: str) -> dict[str, str]:
    return {f"{model}::{check}": "PASSED" for model in models for check in CHECKS}


def test_library_in_the_repository_is_stood_in_for_and_not_loaded(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    """Loaded, an empty file would be `file too short`."""
    repository.add("plain", CPU, backend="ours")
    repository.add("other", CPU, backend="theirs", more='runtime: "libtriton_x.so"\n')
    (repository.path / "plain" / "1" / "libtriton_ours.so").touch()
    (repository.path / "other" / "libtriton_x.so").touch()
    (repository.path / "other" / "1" / "batchstrategy.so").touch()
    result = run(pytester, "-v", f"--triton-repo={repository.path}")
    assert outcomes(result) == passed("plain", "other")
    assert (repository.path / "plain" / "1" / "libtriton_ours.so").exists()


def test_python_based_runtime_is_ready(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    repository.add("net", CPU, backend="pytorch", more='runtime: "model.py"\n')
    result = run(pytester, "-v", f"--triton-repo={repository.path}")
    assert outcomes(result) == passed("net")


def test_name_that_nobody_knows_is_refused_unless_it_is_named(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    repository.add("m", CPU, backend="ours")
    repository.add("n", CPU, backend="onnx")
    result = run(pytester, "-v", f"--triton-repo={repository.path}")
    assert outcomes(result) == passed("m", "n") | {
        "m::test_config": "FAILED",
        "n::test_config": "FAILED",
    }
    result.stdout.fnmatch_lines(["*triton_own_backends = ours*", '*Write backend: "onnxruntime".*'])
    result = run(pytester, "-v", f"--triton-repo={repository.path}", "--triton-own-backends=ours")
    assert outcomes(result) == passed("m", "n") | {"n::test_config": "FAILED"}


def test_missing_repository_agent_is_not_proven(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    agents = 'model_repository_agents { agents { name: "checksum" } }\n'
    repository.add("m", CPU, more=agents)
    result = run(pytester, "-v", f"--triton-repo={repository.path}")
    assert outcomes(result) == passed("m") | {
        "m::test_placement[no-gpu]": "FAILED",
        "m::test_placement[sim-2]": "FAILED",
    }
    result.stdout.fnmatch_lines(["not proven: the server has no repository agent for it"])


def test_ensemble_that_contradicts_its_model_is_refused_at_both_places(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    repository.add("a", CPU)
    repository.add_config(
        "e",
        'platform: "ensemble"\ninput [ { name: "I" data_type: TYPE_INT64 dims: [ 4 ] } ]\n'
        'output [ { name: "O" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
        'ensemble_scheduling { step [ { model_name: "a" model_version: -1\n'
        '  input_map { key: "NOTHING" value: "I" } output_map { key: "Y" value: "O" } } ] }\n',
    )
    result = run(pytester, "-v", f"--triton-repo={repository.path}")
    assert outcomes(result) == passed("a", "e") | {"e::test_config": "FAILED"}
    result.stdout.fnmatch_lines(
        ["*e/config.pbtxt:5:13: step 0 names the input `NOTHING`*", "*also *a/config.pbtxt:*"]
    )


def test_model_that_would_crash_the_server_is_kept_from_it(
    pytester: pytest.Pytester, repository: RepositoryBuilder, tmp_path: Path
) -> None:
    """Core often crashes on models that it refuses when it makes their scheduler."""
    state = 'state { input_name: "S" output_name: "T" data_type: TYPE_FP32 dims: [ 4 ] '
    state += 'initial_state { name: "i" data_type: TYPE_FP32 dims: [ 5 ] zero_data: true } }'
    repository.add("good", CPU)
    repository.add("bad", CPU, more=f"sequence_batching {{ {state} }}\n")
    result = run(pytester, "-v", f"--triton-repo={repository.path}")
    found = outcomes(result)
    assert found["bad::test_config"] == "FAILED"
    assert {name: found[name] for name in passed("good")} == passed("good")
