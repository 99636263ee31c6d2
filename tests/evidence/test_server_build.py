"""The build of a server: GPU support and the least compute capability, as it says them itself.

The logs of a build for 7.5 and of one without GPU support are made by hand, in the texts of such
servers (2.70.0): none can be installed here.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_triton.evidence.observe import traits_of
from pytest_triton.evidence.server_build import ServerBuild, build_in_log, build_in_reasons
from pytest_triton.options.hosts import ProcessHost
from pytest_triton.placement.advice import advise_on_refusal
from pytest_triton.placement.declared import Declared, DeclaredGroup
from pytest_triton.placement.hardware import HardwareRequest, simulated_gpus
from pytest_triton.placement.predict import ServerTraits, predict
from pytest_triton.placement.refusal import Refusal
from pytest_triton.rehearsal.simulation import OFFICIAL_BACKENDS
from pytest_triton.servers.process.server import launch
from pytest_triton.servers.spec import ServerSpec
from support.builders import RepositoryBuilder

TABLE = """\
I0102 03:04:05.060708 1 tritonserver.cc:2598]
+----------------------------------+------------------------------------------+
| Option                           | Value                                    |
+----------------------------------+------------------------------------------+
| server_id                        | triton                                   |
| server_version                   | 2.70.0                                   |
| pinned_memory_pool_byte_size     | 268435456                                |
| min_supported_compute_capability | {least}                                      |
| strict_readiness                 | 1                                        |
+----------------------------------+------------------------------------------+
"""
POOLS = """\
I0102 03:04:05.060700 1 cuda_memory_manager.cc:107] "CUDA memory pool is created on device 0 \
with size 67108864"
"""
NO_GPUS = 'I0102 03:04:05.060700 1 cuda_memory_manager.cc:117] "CUDA memory pool disabled"\n'
CONFIG = (
    'I0102 03:04:05.060700 1 model_lifecycle.cc:1] "backend configuration:\\n{\\"cmdline\\":'
    '{\\"auto-complete-config\\":\\"true\\",\\"min-compute-capability\\":\\"7.500000\\"}}"\n'
)


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (POOLS + TABLE.format(least="7.5"), ServerBuild(True, (7, 5))),
        (NO_GPUS + TABLE.format(least="6.0"), ServerBuild(True, (6, 0))),
        (NO_GPUS + TABLE.format(least="0.0"), ServerBuild(True, (0, 0))),  # by its flag
        (TABLE.format(least="0.0"), ServerBuild(False)),
        (NO_GPUS + json.dumps(TABLE.format(least="7.5")), ServerBuild(True, (7, 5))),
        (NO_GPUS + CONFIG, ServerBuild(True, (7, 5))),
        ("", ServerBuild()),
    ],
)
def test_build_is_read_from_the_log(log: str, expected: ServerBuild) -> None:
    assert build_in_log(log) == expected


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (
            "Invalid argument: instance group m_0 of model m has kind KIND_GPU but server does "
            "not support GPUs",
            ServerBuild(False),
        ),
        (
            "Invalid argument: instance group m_0 of model m specifies invalid or unsupported gpu "
            "id 5. GPUs with at least the minimum required CUDA compute compatibility of 7.500000 "
            "are: 0, 1",
            ServerBuild(True, (7, 5)),
        ),
        ("unloaded", ServerBuild()),
    ],
)
def test_build_of_an_attached_server_is_read_from_refusals(
    reason: str, expected: ServerBuild
) -> None:
    assert build_in_reasons(["", reason]) == expected


PINNED = Declared("m", "onnxruntime", "", (DeclaredGroup(kind="GPU"),), versions=(1,))


@pytest.mark.parametrize(
    ("log", "reason"),
    [(TABLE.format(least="0.0"), "no-gpu-support"), (POOLS + TABLE.format(least="7.5"), "no-gpu")],
)
def test_predictions_and_advice_follow_the_build(log: str, reason: str) -> None:
    traits = build_in_log(log).applied(ServerTraits(version=(2, 70, 0)))
    hardware = simulated_gpus(2, (7, 0))
    refusal = predict(PINNED, hardware, server=traits).refusal
    assert refusal is not None
    assert refusal.reason == reason
    advice = advise_on_refusal(PINNED, refusal, hardware, traits)
    assert ("7.5" if reason == "no-gpu" else "built without GPU support") in advice.cause


def test_advice_for_a_backend_without_gpu_support_is_another_server() -> None:
    refusal = Refusal(
        "backend-cpu-only",
        "Internal: onnx runtime error 1: CUDA execution provider is not enabled in this build.",
    )
    advice = advise_on_refusal(PINNED, refusal, simulated_gpus(2), ServerTraits())
    assert "onnxruntime backend of this server is built without GPU" in advice.cause
    assert not advice.lines


@pytest.fixture
def repository(tmp_path: Path) -> RepositoryBuilder:
    repository = RepositoryBuilder(tmp_path / "models")
    repository.add("pinned", "{ kind: KIND_GPU }", backend="onnxruntime")
    return repository


@pytest.mark.server
@pytest.mark.parametrize("version", ["2.33.0", "2.51.0"])
@pytest.mark.parametrize(("flag", "least"), [((), (6, 0)), (("7.5",), (7, 5))])
def test_build_is_read_from_a_real_server(
    repository: RepositoryBuilder, version: str, flag: tuple[str, ...], least: tuple[int, int]
) -> None:
    hardware = HardwareRequest.parse("sim:2@7.0")
    arguments = tuple(f"--min-supported-compute-capability={value}" for value in flag)
    server = launch(
        ServerSpec(
            (repository.path,),
            hardware,
            ProcessHost(version=version),
            stand_ins=OFFICIAL_BACKENDS,
            arguments=arguments,
        )
    )
    try:
        server.wait_until_live()
        assert build_in_log(server.log.since()) == ServerBuild(True, least)
        traits = traits_of(server.view)
        assert (traits.gpu_support, traits.min_compute_capability) == (True, least)
    finally:
        server.stop()


@pytest.mark.server
def test_run_on_a_build_for_newer_gpus_expects_their_refusal(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    result = pytester.runpytest(
        f"--triton-repo={repository.path}",
        "--triton-gpus=none",
        "--triton-gpus=sim:2@7.0",
        "--triton-gpus=sim:2@7.5",
        "--triton-server-args=--min-supported-compute-capability=7.5",
        "--triton-ledger=ledger.json",
    )
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["pinned *refused: no GPU *refused: no GPU *GPU 0 · GPU 1*"])
    entries = json.loads((pytester.path / "ledger.json").read_text())
    assert '"min_compute_capability": "7.5"' in json.dumps(entries)
