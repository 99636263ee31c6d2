"""A project's tests as its type checkers see them: all public names. Checked, never run."""

from __future__ import annotations

from pathlib import Path

import pytest

import pytest_triton
from pytest_triton import (
    NO_GPU,
    NOTHING,
    REASONS,
    Declared,
    Gpu,
    GpuLoss,
    Hardware,
    Inference,
    MakeTritonServer,
    Model,
    ModelRefused,
    Observed,
    Placement,
    Prediction,
    PytestTritonError,
    Refusal,
    Repository,
    RepositoryBuilder,
    ServerTraits,
    TritonServer,
    Verdict,
    assert_complete,
    assert_no_fallback,
    assert_placed,
    assert_placed_as_declared,
    assert_ran_on,
    assert_ready_models,
    assert_refused,
    compare,
    compare_with_golden,
    cpu,
    factories,
    gpu,
    on_model,
    predict,
    read_repository,
    simulated_gpus,
)

gpu_server = factories.triton_server(
    gpus="sim:2", environment={"A": "b"}, arguments=["--log-verbose=1"]
)


@pytest.mark.triton(gpus="none")
def test_claims(triton_server: TritonServer, triton_model: Model) -> None:
    assert_refused(triton_server, triton_model, reason="no-gpu")
    assert_placed(triton_server, "ranker", gpu(0) + gpu(1, count=2) + cpu() + on_model())
    assert_placed_as_declared(triton_server, "ranker", triton_model)
    assert_complete(triton_server, "ranker")
    assert_no_fallback(triton_server, allow=["tokenizer_*"])
    assert_ready_models(triton_server, {"ranker"})


@pytest.mark.triton(changes=True)
def test_changes(triton_server: TritonServer) -> None:
    with pytest.raises(ModelRefused) as raised:
        triton_server.reload("ranker", instance_group="{ kind: KIND_GPU }")
    refusal: Refusal = raised.value.refusal
    assert refusal.reason in REASONS
    triton_server.load("other", directory=Path("elsewhere/other"))
    triton_server.unload("other")
    observed: Observed = triton_server.load_or_refuse("ranker", config={"backend": "python"})
    assert observed.ready
    assert_ran_on(triton_server, "ranker", gpu(0) + gpu(1) + cpu())
    assert_ran_on(triton_server, "ranker", 1, send=lambda: triton_server.infer("ranker", "zeros"))
    assert "nv_inference_count" in triton_server.metrics_text()
    loss: GpuLoss = triton_server.lose_gpus(keep=1, fault="driver-too-old")
    assert loss.fallbacks == ()


def test_values(triton_server: TritonServer, make_triton_server: MakeTritonServer) -> None:
    placement: Placement = triton_server.placement("ranker")
    assert placement != NOTHING
    declared: Declared = triton_server.declared("ranker")
    prediction: Prediction = predict(declared, NO_GPU, server=ServerTraits())
    verdict: Verdict = compare(declared, prediction, triton_server.observed("ranker"))
    assert verdict.ok
    hardware: Hardware = simulated_gpus(2)
    first: Gpu = hardware.gpus[0]
    assert first.index == 0
    own: TritonServer = make_triton_server("models", gpus="sim:1")
    answer: Inference = own.infer("ranker", {"X": [[1.0, 2.0, 3.0, 4.0]]}, timeout=5.0)
    compare_with_golden(answer, "golden/ranker", rtol=1e-3)
    assert own.client.is_server_live()


def test_repository(triton_repository: RepositoryBuilder, triton_gpu_loss: GpuLoss) -> None:
    triton_repository.add("detector", "{ kind: KIND_GPU }", backend="onnxruntime")
    repository: Repository = read_repository([triton_repository.path])
    assert repository.models
    assert triton_gpu_loss.live
    with pytest.raises(PytestTritonError):
        read_repository([Path("no/where")])
    assert pytest_triton.__version__
