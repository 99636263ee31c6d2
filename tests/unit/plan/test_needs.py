"""What must be proven with how many GPUs, and by which jobs."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from hypothesis import given
from tritonclient.grpc.model_config_pb2 import ModelConfig

from pytest_triton.placement.declared import Declared
from pytest_triton.placement.hardware import NO_GPU, Gpu, Hardware
from pytest_triton.placement.predict import predict_all
from pytest_triton.plan.jobs import plan_of
from pytest_triton.plan.needs import PlannedModel, Production, backends_of, needs_of_deployment
from pytest_triton.plan.plan_file import Need, Plan
from pytest_triton.repository import model_config_type
from support.short_configs import config, ensemble
from support.strategies import model_configs

GPU = "instance_group [ { kind: KIND_GPU } ]"
CPU = "instance_group [ { kind: KIND_CPU } ]"
SECOND = "instance_group [ { kind: KIND_GPU gpus: [ 1 ] } ]"
TENSORS = """
    input { name: "X" data_type: TYPE_FP32 dims: [ 4 ] }
    output { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] }
"""


def declared(name: str, text: str, backend: str = "python") -> Declared:
    config = text_format.Parse(f'name: "{name}" backend: "{backend}" {text}', model_config_type()())
    return Declared.of(config)


def needs(*models: Declared) -> list[Need]:
    known = {one.name: PlannedModel(one.name, one, "h") for one in models}
    return list(needs_of_deployment("models", known))


def gpus(*models: Declared) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for need in needs(*models):
        found.setdefault(need.model, []).append(need.gpus)
    return found


@pytest.mark.parametrize(
    ("groups", "backend", "expected"),
    [
        ("{ kind: KIND_CPU }", "python", [0]),
        ("{ kind: KIND_GPU }", "python", [0, 1]),
        ("{ kind: KIND_GPU gpus: [ 0 ] }", "python", [0, 1]),
        ("{ kind: KIND_GPU gpus: [ 3 ] }", "python", [0, 4]),
        ("{ kind: KIND_GPU gpus: [ 1 ] }, { kind: KIND_CPU }", "python", [0, 2]),
        ("{ count: 2 }", "onnxruntime", [0, 1]),
        ("{ kind: KIND_CPU }", "openvino", [0]),
        ("{ kind: KIND_MODEL }", "pytorch", [0, 1]),
        ("{ kind: KIND_CPU }", "vllm", [0, 1]),
        ("{ kind: KIND_CPU gpus: [ 0 ] }", "python", [0]),
        ("{ kind: KIND_GPU gpus: [ 63 ] }", "python", [0, 64]),
        ("{ kind: KIND_GPU gpus: [ 64 ] }", "python", [0]),
        ("{ kind: KIND_GPU gpus: [ 100000 ] }", "python", [0]),
    ],
)
def test_how_many_gpus_a_declaration_needs(groups: str, backend: str, expected: list[int]) -> None:
    assert gpus(declared("m", f"instance_group [ {groups} ]", backend)) == {"m": expected}


@pytest.mark.parametrize(
    ("takes", "production", "expected", "why"),
    [
        (1, None, 1, "KIND_MODEL: vllm decides where it runs"),
        (4, None, 4, "KIND_MODEL: vllm decides where it runs; its engine needs 4 GPUs"),
        (4, 8, 8, "KIND_MODEL: vllm decides where it runs; its engine needs 4 GPUs"),
        (
            4,
            2,
            2,
            "KIND_MODEL: vllm decides where it runs; its engine needs 4 GPUs, and production has 2",
        ),
        (65, None, 1, "KIND_MODEL: vllm decides where it runs; its engine needs 65 GPUs"),
    ],
)
def test_engine_over_several_gpus_is_proven_on_as_many(
    takes: int, production: int | None, expected: int, why: str
) -> None:
    one = declared("llm", "instance_group [ { kind: KIND_MODEL } ]", "vllm")
    models = {"llm": PlannedModel("llm", one, "h", engine_gpus=takes)}
    given_to = None if production is None else Production(production)
    found = list(needs_of_deployment("models", models, production=given_to))
    assert [(need.gpus, need.why) for need in found][1:] == [(expected, why)]


def test_ensemble_of_an_engine_over_several_gpus_is_proven_on_as_many() -> None:
    through = TENSORS.replace('"X"', '"IN"').replace('"Y"', '"OUT"')
    llm = declared("llm", f"instance_group [ {{ kind: KIND_MODEL }} ] {through}", "vllm")
    pinned = declared("pinned", f"{GPU} {through}")
    text = f'name: "chain" {ensemble("llm", "pinned")}'
    chain = Declared.of(text_format.Parse(text, model_config_type()()))
    models = {
        "llm": PlannedModel("llm", llm, "h", engine_gpus=2),
        "pinned": PlannedModel("pinned", pinned, "h"),
        "chain": PlannedModel("chain", chain, "h"),
    }
    found = needs_of_deployment("models", models)
    assert [need.gpus for need in found if need.model == "chain"] == [0, 2]


def test_model_without_a_declaration_is_proven_where_it_runs() -> None:
    assert gpus(declared("m", "", "onnxruntime")) == {"m": [0, 1]}
    assert gpus(declared("m", "", "openvino")) == {"m": [0]}


def test_ensemble_needs_what_its_models_need() -> None:
    tensor = "data_type: TYPE_FP32 dims: [ 4 ]"
    text = f"""
        name: "e" platform: "ensemble"
        input {{ name: "X" {tensor} }} output {{ name: "Y" {tensor} }}
        ensemble_scheduling {{
          step {{
            model_name: "a" model_version: -1
            input_map {{ key: "X" value: "X" }} output_map {{ key: "Y" value: "Y" }}
          }}
        }}
    """
    config = text_format.Parse(text, model_config_type()())
    ensemble = Declared.of(config)
    pinned = declared("a", "instance_group [ { kind: KIND_GPU gpus: [ 1 ] } ]" + TENSORS, "vllm")
    found = {(need.model, need.gpus): need for need in needs(ensemble, pinned)}
    assert sorted(found) == [("a", 0), ("a", 2), ("e", 0), ("e", 2)]
    assert found["e", 2].image == "vllm-python-py3"
    assert found["e", 2].why == "its models need GPUs"
    assert gpus(ensemble, declared("a", CPU + TENSORS))["e"] == [0]


def test_config_that_cannot_be_read_must_be_proven_all_the_same() -> None:
    (need,) = needs_of_deployment("models", {"m": PlannedModel("m", None, "h")})
    assert (need.gpus, need.why) == (0, "its config can't be read")
    assert (need.deployment, need.model, need.identity) == ("models", "m", "h")
    assert (need.declared, need.predicted, need.reason) == ("unreadable", "refused", "config")


@given(model_configs())
def test_every_model_is_needed_without_gpus_and_runs_where_else_it_is_needed(
    config: ModelConfig,
) -> None:
    one = Declared.of(config)
    found = needs(one)
    assert [need.gpus for need in found][:1] == [0]
    assert len(found) <= 2
    for need in found[1:]:
        hardware = Hardware(tuple(Gpu(i, (99, 0)) for i in range(need.gpus)), False)
        assert predict_all({one.name: one}, hardware)[one.name].ready
    if len(found) == 1:
        assert not predict_all({one.name: one}, NO_GPU)[one.name].placement.devices


def plan(*models: Declared, shards: int = 1) -> Plan:
    every = {one.name: one for one in models}
    paths = {("models", name): f"models/{name}" for name in every}
    backends = {("models", name): backends_of(name, every) for name in every}
    return plan_of(needs(*models), paths, backends, shards)


def test_repository_for_the_cpu_needs_no_gpu_job() -> None:
    found = plan(declared("a", CPU), declared("b", "", "openvino"))
    assert [(job.name, job.gpus, job.hardware) for job in found.jobs] == [
        ("rehearsal", 0, ("none",))
    ]
    assert found.gpu_jobs == ()


def test_one_job_for_each_number_of_gpus() -> None:
    found = plan(declared("a", CPU), declared("b", GPU), declared("c", SECOND))
    assert [(job.name, job.hardware, [n.model for n in job.needs]) for job in found.jobs] == [
        ("rehearsal", ("none", "sim:1", "sim:2"), ["a", "b", "c"]),
        ("1-gpu", ("1",), ["b"]),
        ("2-gpus", ("2",), ["c"]),
    ]
    assert found.jobs[2].arguments == (
        "--triton-repo=models",
        "--triton-gpus=2",
        "--triton-require=gpus=2",
        "--triton-job=2-gpus",
    )


def test_job_leaves_out_what_needs_more_gpus() -> None:
    found = plan(declared("a", CPU), declared("b", GPU), declared("c", SECOND))
    assert [job.paths for job in found.jobs] == [(), ("models/b",), ()]


def test_rehearsal_simulates_nothing_if_that_is_too_little_for_a_model() -> None:
    found = plan(declared("b", GPU), declared("c", SECOND.replace("1", "20")))
    assert found.jobs[0].hardware == ("none",)


def test_one_job_for_each_image_with_its_models_only() -> None:
    found = plan(
        declared("a", GPU),
        declared("b", GPU, "vllm"),
        declared("c", GPU, "tensorrtllm"),
        declared("d", GPU, "ours"),
    )
    assert [(job.name, job.image, job.paths) for job in found.gpu_jobs] == [
        ("1-gpu", "py3", ("models/a",)),
        ("1-gpu-own-image", "", ("models/d",)),
        ("1-gpu-trtllm", "trtllm-python-py3", ("models/c",)),
        ("1-gpu-vllm", "vllm-python-py3", ("models/b",)),
    ]


def test_shards_share_a_jobs_models_and_none_is_empty() -> None:
    models = [declared(name, GPU) for name in "abcde"]
    found = plan(*models, shards=4)
    for jobs in ([j for j in found.jobs if not j.gpus], found.gpu_jobs):
        shared = [need.model for job in jobs for need in job.needs]
        assert sorted(shared) == list("abcde")
        for job in jobs:
            assert job.needs
            assert f"--triton-shard={job.shard}" in job.arguments
    assert len({job.name for job in found.jobs}) == len(found.jobs)
    halves = plan(*models, shards=2).gpu_jobs
    assert [(job.name, str(job.shard)) for job in halves] == [
        ("1-gpu-1of2", "1/2"),
        ("1-gpu-2of2", "2/2"),
    ]


def test_shards_of_a_job_have_the_paths_of_their_models() -> None:
    models = [declared(name, SECOND if name == "c" else GPU) for name in "abcde"]
    found = [job for job in plan(*models, shards=4).jobs if job.gpus == 1]
    assert len(found) > 1
    for job in found:
        assert (job.shard, job.why, job.image) == (None, "4 models: runs on GPUs", "py3")
        assert job.paths == tuple(f"models/{need.model}" for need in job.needs)
        assert job.backends == ("python",)


def test_whys_of_a_job_are_counted() -> None:
    first = SECOND.replace("1", "0")
    found = plan(
        *(declared(name, GPU) for name in "ab"), declared("c", first), declared("d", GPU, "ours")
    )
    assert {job.name: job.why for job in found.gpu_jobs} == {
        "1-gpu": "2 models: runs on GPUs; 1 model: is pinned to GPU 0",
        "1-gpu-own-image": "1 model: runs on GPUs; an image of your own that has their backends",
    }


def test_backends_of_an_ensemble_are_those_of_its_models() -> None:
    steps = ensemble("a", "b", "gone")
    every = {
        "e": Declared.of(config(steps, name="e")),
        "a": declared("a", CPU),
        "b": declared("b", CPU, "onnxruntime"),
        "other": declared("other", CPU, "openvino"),
    }
    assert backends_of("e", every) == {"python", "onnxruntime"}
    assert backends_of("other", every) == {"openvino"}
