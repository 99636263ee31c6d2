"""A model that is READY on none of a run's hardware is one failure, where that has GPUs."""

from __future__ import annotations

import pytest

from pytest_triton.ledger import read_ledger
from support.builders import RepositoryBuilder

pytestmark = pytest.mark.server

ENSEMBLE = """\
platform: "ensemble"
max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
ensemble_scheduling { step [ { model_name: "big" model_version: -1
  input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" } } ] }
"""


def run(
    pytester: pytest.Pytester, repository: RepositoryBuilder, *arguments: str
) -> pytest.RunResult:
    plain = ("-p", "no:cacheprovider", "-p", "no:randomly")
    return pytester.runpytest(*plain, f"--triton-repo={repository.path}", *arguments)


def gpus(*specs: str) -> list[str]:
    return [f"--triton-gpus={spec}" for spec in specs]


@pytest.fixture
def big(repository: RepositoryBuilder) -> RepositoryBuilder:
    repository.add("big", "{ kind: KIND_GPU gpus: [ 6 ] }", backend="onnxruntime")
    return repository


@pytest.mark.parametrize("hardware", [["sim:1"], ["none", "sim:2"], ["sim:2", "none", "sim:4"]])
def test_pinned_model_ready_nowhere_fails_once_with_the_options_that_show_it(
    pytester: pytest.Pytester, big: RepositoryBuilder, hardware: list[str]
) -> None:
    result = run(pytester, big, "-k", "placement", *gpus(*hardware))
    result.assert_outcomes(failed=1, passed=len(hardware), deselected=2)
    result.stdout.fnmatch_lines(
        [
            "*big::test_placement[[]sim-*",
            "READY on none of this run's hardware",
            "  needs *GPU 6, so 7 GPUs",
            "*GPU* refused: no such GPU",
            "    --triton-gpus=none --triton-gpus=sim:7",
            "big *GPU 6 *<- READY*",
        ]
    )
    shown = run(pytester, big, *gpus("none", "sim:7"))
    shown.assert_outcomes(passed=5)


def test_pinned_model_without_any_gpu_in_the_run_passes(
    pytester: pytest.Pytester, big: RepositoryBuilder
) -> None:
    run(pytester, big, *gpus("none")).assert_outcomes(passed=4)


def test_gpu_model_on_gpus_that_are_too_old_fails(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    repository.add("pinned", "{ kind: KIND_GPU }", backend="onnxruntime")
    result = run(pytester, repository, "-k", "placement", *gpus("none", "sim:2@5.2"))
    result.assert_outcomes(failed=1, passed=2, deselected=2)
    result.stdout.fnmatch_lines(["  needs *a GPU", "    --triton-gpus=none --triton-gpus=sim:2"])


def test_model_for_the_cpu_only_fails_in_a_run_with_gpus_only(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    repository.add("vino", "{ count: 1 }", backend="openvino")
    result = run(pytester, repository, "-k", "test_placement", *gpus("sim:2"))
    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.fnmatch_lines(["*a server without GPUs", "    --triton-gpus=none*=sim:2"])


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["alone", "workers"])
def test_ensemble_of_a_model_ready_nowhere_is_skipped_and_not_proven(
    pytester: pytest.Pytester, big: RepositoryBuilder, workers: list[str]
) -> None:
    big.add_config("chain", ENSEMBLE)
    result = run(pytester, big, *gpus("sim:1"), "--triton-ledger=ledger.json", "-rs", *workers)
    result.assert_outcomes(failed=1, skipped=1, passed=6)
    result.stdout.fnmatch_lines(["SKIPPED*chain*its model big is READY on none *see test_placem*"])
    entries = read_ledger(pytester.path / "ledger.json").placements
    assert {one.model: one.verdict for one in entries} == {
        "big": "not proven",
        "chain": "not proven",
    }


def test_ensemble_alone_fails_for_its_model(
    pytester: pytest.Pytester, big: RepositoryBuilder
) -> None:
    big.add_config("chain", ENSEMBLE)
    result = run(pytester, big, *gpus("sim:1"), "-k", "chain and test_placement")
    result.assert_outcomes(failed=1, deselected=7)
    result.stdout.fnmatch_lines(["  needs *GPU 6, so 7 GPUs"])


@pytest.mark.parametrize("hardware", [["none"], ["none", "sim:2"], ["sim:2"]])
def test_model_refused_on_any_hardware_fails_where_test_config_is_not_selected(
    pytester: pytest.Pytester, repository: RepositoryBuilder, hardware: list[str]
) -> None:
    repository.add("never", "{ kind: KIND_GPU gpus: [ -1 ] }", backend="onnxruntime")
    result = run(pytester, repository, "-k", "test_placement", *gpus(*hardware))
    result.assert_outcomes(failed=1, passed=len(hardware) - 1, deselected=3)
    result.stdout.fnmatch_lines(
        ["READY on none of this run's hardware", "`gpus` *", "*kind: KIND_GPU"]
    )


def test_model_refused_on_any_hardware_fails_in_test_config_only(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    repository.add("never", "{ kind: KIND_CPU gpus: [ 6 ] }")
    run(pytester, repository).assert_outcomes(failed=1, passed=4)
