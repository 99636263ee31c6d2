"""This project's own tests on real Triton servers: each shows one thing that the plugin gives."""

import asyncio

import pytest

from pytest_triton import (
    ModelRefused,
    assert_complete,
    assert_no_fallback,
    assert_placed_as_declared,
    assert_ran_on,
    assert_ready_models,
    assert_refused,
    cpu,
    gpu,
)

# Whatever --triton-repo says: these tests know this repository's models.
pytestmark = pytest.mark.triton(repo="models")


@pytest.mark.triton(gpus="none")
def test_detector_never_runs_on_the_cpu(triton_server):
    assert_refused(triton_server, "detector", reason="no-gpu")


@pytest.mark.triton(gpus="sim:2")
def test_ranker_uses_both_gpus_and_the_cpu(triton_server):
    assert triton_server.placement("ranker") == gpu(0) + gpu(1) + cpu()
    assert_complete(triton_server, "ranker")


@pytest.mark.triton(gpus="none")
@pytest.mark.triton_models(declares=["gpu", "mixed"])
def test_what_is_pinned_is_refused_without_a_gpu(triton_server, triton_model):
    assert_refused(triton_server, triton_model)


@pytest.mark.triton(gpus=["none", "sim:1", "sim:4"])
def test_nothing_falls_back_anywhere(triton_server, triton_hardware):
    assert_no_fallback(triton_server)


@pytest.mark.triton(gpus="none")
def test_what_still_works_without_a_gpu(triton_server):
    assert_ready_models(triton_server, {"cleanup", "spellcheck", "tokenizer"})


@pytest.mark.triton(gpus="sim:1")
def test_inference(triton_server):
    answer = triton_server.infer("tokenizer", "random", seed=7)
    assert answer.outputs


@pytest.mark.triton(gpus="sim:1")
def test_tritonclients_own_clients(triton_client):
    assert triton_client.is_model_ready("ranker")


def test_an_asynchronous_client(triton_server):
    async def ask():
        async with triton_server.async_client() as client:
            return await client.is_model_ready("tokenizer")

    assert asyncio.run(ask())


@pytest.mark.triton(gpus="sim:2", changes=True)
def test_what_if_the_tokenizer_were_on_a_gpu(triton_server):
    triton_server.reload("tokenizer", instance_group="{ kind: KIND_GPU gpus: [1] }")
    assert triton_server.placement("tokenizer") == gpu(1)
    with pytest.raises(ModelRefused, match="gpu id 7"):
        triton_server.reload("tokenizer", instance_group="{ kind: KIND_GPU gpus: [7] }")


def test_what_happens_when_the_gpus_are_lost(triton_gpu_loss):
    assert triton_gpu_loss.fallbacks == ()
    assert "detector" in triton_gpu_loss.refused


def test_a_repository_made_for_a_test(make_triton_server, triton_repository):
    triton_repository.add("one", "{ kind: KIND_GPU count: 3 }", backend="onnxruntime")
    server = make_triton_server(triton_repository, gpus="sim:1")
    assert server.placement("one") == gpu(0, count=3)


def test_servers_side_by_side(server_with_gpus, server_without):
    assert_placed_as_declared(server_with_gpus, "detector")
    assert_refused(server_without, "detector", reason="no-gpu")


@pytest.mark.triton_requires(gpus=1)
@pytest.mark.triton(gpus="all")
def test_on_a_real_gpu(triton_server):
    assert_placed_as_declared(triton_server, "detector")


@pytest.mark.triton(gpus="sim:2", changes=True)
def test_inferences_run_on_both_gpus_and_the_cpu(triton_server):
    assert_ran_on(triton_server, "ranker", gpu(0) + gpu(1) + cpu())
