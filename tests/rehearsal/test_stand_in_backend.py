"""The stand-in backend in a real tritonserver: placement, completion, inference."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_triton.rehearsal.simulation import (
    BACKEND_LIBRARY,
    OFFICIAL_BACKENDS,
    SimulatedGpus,
    assemble_backends,
    library,
)
from support.bare_server import BareServer, bare_server, once_counted, write_model

# ---- placement -------------------------------------------------------------------------------

ONLY_GPU = "unable to load model '{}', TensorRT backend supports only GPU device"
ONLY_CPU = "unable to load model '{}', Triton openVINO backend supports only CPU device"
NO_GPUS = "has kind KIND_GPU but no GPUs are available"
NO_CONFIG = "model configuration is not provided for model '{}'"

# Model -> backend, instance_group, and what 0 and 2 GPUs make of it.
PLACEMENTS = {
    **{
        f"{backend}_{case}": (backend, group, without, with_two)
        for backend in ("dali", "fil", "identity", "python", "pytorch", "tensorrtllm", "vllm")
        for case, group, without, with_two in [
            ("nothing", "", "cpu", "gpu(0) gpu(1)"),
            ("cpu", "KIND_CPU", "cpu", "cpu"),
            ("gpu", "KIND_GPU", NO_GPUS, "gpu(0) gpu(1)"),
            ("model", "KIND_MODEL", "model", "model"),
        ]
    },
    "onnxruntime_nothing": ("onnxruntime", "", "cpu x2", "gpu(0) gpu(1)"),
    "onnxruntime_cpu": ("onnxruntime", "KIND_CPU", "cpu x2", "cpu x2"),
    "onnxruntime_model": ("onnxruntime", "KIND_MODEL", "model", "model"),
    "tensorflow_cpu": ("tensorflow", "KIND_CPU", "cpu x2", "cpu x2"),
    "openvino_nothing": ("openvino", "", "cpu", "cpu"),
    "openvino_auto": ("openvino", "KIND_AUTO", "cpu", ONLY_CPU),
    "openvino_cpu": ("openvino", "KIND_CPU", "cpu", "cpu"),
    "openvino_gpu": ("openvino", "KIND_GPU", NO_GPUS, ONLY_CPU),
    "openvino_model": ("openvino", "KIND_MODEL", ONLY_CPU, ONLY_CPU),
    "tensorrt_nothing": ("tensorrt", "", ONLY_GPU, "gpu(0) gpu(1)"),
    "tensorrt_cpu": ("tensorrt", "KIND_CPU", ONLY_GPU, ONLY_GPU),
    "tensorrt_gpu": ("tensorrt", "KIND_GPU", NO_GPUS, "gpu(0) gpu(1)"),
    "tensorrt_model": ("tensorrt", "KIND_MODEL", ONLY_GPU, ONLY_GPU),
}

# Model without config.pbtxt -> the file in its version directory, and what 0 and 2 GPUs make of it.
WITHOUT_CONFIG = {
    "bare_onnx": ("model.onnx", "cpu x2", "gpu(0) gpu(1)"),
    "bare_plan": ("model.plan", ONLY_GPU, "gpu(0) gpu(1)"),
    "bare_xml": ("model.xml", "cpu", "cpu"),
    "bare_py": ("model.py", "cpu", "gpu(0) gpu(1)"),
    "bare_graphdef": ("model.graphdef", "cpu x2", "gpu(0) gpu(1)"),
    "bare_torch": ("model.pt", NO_CONFIG, NO_CONFIG),
}


@pytest.fixture(scope="module")
def placements(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("placements")
    for name, (backend, kind, *_) in PLACEMENTS.items():
        group = f"instance_group {{ kind: {kind} }}" if kind else ""
        which = f'backend: "{backend}"'
        if backend == "tensorflow":  # refused by core without a platform
            which += ' platform: "tensorflow_savedmodel"'
        write_model(repository, name, f"{which}\n{group}\n")
    for name, (file, *_) in WITHOUT_CONFIG.items():
        (write_model(repository, name, None) / "1" / file).write_text("not a model")
    return repository


@pytest.mark.parametrize("count", [0, 2])
def test_placement_under_every_name(placements: Path, count: int) -> None:
    expected = {
        name: columns[1 if count else 0].format(name)
        for name, (*_, first, second) in (PLACEMENTS | WITHOUT_CONFIG).items()
        for columns in [(first, second)]
    }
    with bare_server(placements, SimulatedGpus(count)) as server:
        found = {name: server.placement(name) for name in server.read_index()}
        log, version = server.log, server.version()
        maps = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert set(found) == set(expected)
    if version < (2, 36) and count == 0:  # core took a preferred GPU group without any GPU
        expected.update(dict.fromkeys(("python_nothing", "vllm_nothing", "bare_py"), NO_GPUS))
    single = "_0" if version >= (2, 37) else ""  # older ones don't number a group's only instance
    for name, outcome in expected.items():
        is_refusal = " " in outcome and "(" not in outcome and " x" not in outcome
        assert (outcome in found[name]) if is_refusal else (found[name] == outcome), name
    # Each instance is logged as real backends do, also one that is refused.
    assert "TRITONBACKEND_ModelInstanceInitialize: onnxruntime_cpu_0_1 (CPU device 0)" in log
    assert f"ModelInstanceInitialize: openvino_model_0{single} (MODEL device 0)" in log
    for device in range(count):
        assert f"ModelInstanceInitialize: python_gpu_0{single} (GPU device {device})" in log
    # All of them are one library to the dynamic linker.
    assert len({line.split()[4] for line in maps.splitlines() if "/libtriton_" in line}) == 1


def test_mixed_groups_that_a_backend_refuses_do_not_crash_the_server(tmp_path: Path) -> None:
    """Refused when the instance is made, about one such model in a hundred crashed core."""
    both = "instance_group [{ kind: KIND_GPU }, { kind: KIND_CPU }]"
    for number in range(200):
        for backend in ("tensorrt", "openvino"):
            write_model(tmp_path, f"{backend}_{number}", f'backend: "{backend}" {both}')
    with bare_server(tmp_path, SimulatedGpus(1)) as server:
        index = server.read_index()
    assert len(index) == 400
    for name, entry in index.items():
        message = ONLY_GPU if name.startswith("tensorrt") else ONLY_CPU
        assert message.format(name) in entry["reason"]


def test_model_that_completes_nothing_keeps_its_config(tmp_path: Path) -> None:
    """A config with inputs and outputs is served as it was written."""
    write_model(
        tmp_path,
        "written",
        """backend: "onnxruntime" max_batch_size: 3 dynamic_batching { }
        input { name: "x" data_type: TYPE_FP16 dims: [2, -1] }
        output { name: "y" data_type: TYPE_STRING dims: [1] }""",
    )
    with bare_server(tmp_path, SimulatedGpus(1)) as server:
        config = server.request("/v2/models/written/config")
    assert config["max_batch_size"] == 3
    assert [(i["name"], i["data_type"], i["dims"]) for i in config["input"]] == [
        ("x", "TYPE_FP16", [2, -1])
    ]
    assert [(o["name"], o["data_type"]) for o in config["output"]] == [("y", "TYPE_STRING")]
    assert "dynamic_batching" in config


def test_names_of_backends_are_checked(tmp_path: Path) -> None:
    for bad in ("", ".", "..", "../b", "a/b/c"):
        with pytest.raises(ValueError, match="not a backend's name"):
            assemble_backends(tmp_path, [bad])
    made = assemble_backends(tmp_path / "made", ["my_own", *OFFICIAL_BACKENDS])
    again = assemble_backends(tmp_path / "made", ["my_own"])
    assert made == again
    stand_in = made / "my_own" / "libtriton_my_own.so"
    assert not stand_in.is_symlink()  # Triton refuses links that lead out of a backend's directory
    assert stand_in.read_bytes() == library(BACKEND_LIBRARY).read_bytes()
    assert (made / "my_own" / "model.py").is_file()
    other = assemble_backends(tmp_path / "other", ["mine/libtriton_x.so"])
    assert (other / "mine" / "libtriton_x.so").is_file()


# ---- inference -------------------------------------------------------------------------------

TYPES = {
    "BOOL": 1,
    "UINT8": 1,
    "UINT16": 2,
    "UINT32": 4,
    "UINT64": 8,
    "INT8": 1,
    "INT16": 2,
    "INT32": 4,
    "INT64": 8,
    "FP16": 2,
    "FP32": 4,
    "FP64": 8,
    "BF16": 2,
    "BYTES": 4,
}

MODELS = {
    "types": 'backend: "onnxruntime"\n'
    + 'input { name: "x" data_type: TYPE_FP32 dims: [2] }\n'
    + "\n".join(
        f'output {{ name: "{t}" data_type: TYPE_{"STRING" if t == "BYTES" else t} dims: [2, 3] }}'
        for t in TYPES
    ),
    "batched": """backend: "pytorch" max_batch_size: 8 dynamic_batching { }
        input [{ name: "a" data_type: TYPE_FP32 dims: [-1] },
               { name: "b" data_type: TYPE_FP32 dims: [-1, -1] }]
        output [{ name: "a" data_type: TYPE_INT64 dims: [-1] },
                { name: "like_b" data_type: TYPE_STRING dims: [-1, 4] },
                { name: "three" data_type: TYPE_FP32 dims: [-1, 5, -1] },
                { name: "fixed" data_type: TYPE_BOOL dims: [7] }]""",
    "unbatched": """backend: "tensorrt" instance_group { kind: KIND_GPU }
        input [{ name: "a" data_type: TYPE_FP32 dims: [-1, 2] },
               { name: "b" data_type: TYPE_FP32 dims: [-1, -1] }]
        output [{ name: "b" data_type: TYPE_FP32 dims: [-1, -1] },
                { name: "other" data_type: TYPE_FP32 dims: [-1, -1] }]""",
    "reshaped": """platform: "tensorflow_savedmodel" max_batch_size: 4
        input { name: "x" data_type: TYPE_FP32 dims: [1] reshape { shape: [] } }
        output { name: "y" data_type: TYPE_FP32 dims: [1] reshape { shape: [] } }
        output { name: "z" data_type: TYPE_FP32 dims: [2, 3] reshape { shape: [6] } }""",
    "optional": """backend: "python"
        input [{ name: "x" data_type: TYPE_FP32 dims: [-1] optional: true },
               { name: "w" data_type: TYPE_FP32 dims: [-1] }]
        output { name: "y" data_type: TYPE_FP32 dims: [-1] }""",
    "no_input": """backend: "python" max_batch_size: 2
        output { name: "y" data_type: TYPE_FP32 dims: [-1, 3] }""",
    "huge": """backend: "identity"
        input { name: "x" data_type: TYPE_FP32 dims: [1] }
        output { name: "y" data_type: TYPE_FP64
                 dims: [4611686018427387904, 4611686018427387904] }""",
    "sequence": """backend: "onnxruntime" max_batch_size: 2
        sequence_batching { control_input [{ name: "START" control [{
            kind: CONTROL_SEQUENCE_START fp32_false_true: [0, 1] }] }] }
        input { name: "x" data_type: TYPE_FP32 dims: [-1] }
        output { name: "y" data_type: TYPE_FP32 dims: [-1] }""",
    "decoupled": """backend: "vllm" model_transaction_policy { decoupled: true }
        input { name: "x" data_type: TYPE_STRING dims: [1] }
        output { name: "y" data_type: TYPE_STRING dims: [-1] }""",
    "warm": """backend: "tensorrt" max_batch_size: 4
        input { name: "x" data_type: TYPE_FP32 dims: [3] }
        output { name: "y" data_type: TYPE_FP32 dims: [3] }
        model_warmup { name: "first" batch_size: 2
            inputs { key: "x" value { data_type: TYPE_FP32 dims: [3] zero_data: true } } }""",
    "ensemble": """platform: "ensemble" max_batch_size: 4
        input { name: "in" data_type: TYPE_FP32 dims: [3] }
        output { name: "out" data_type: TYPE_FP32 dims: [3] }
        ensemble_scheduling { step [
            { model_name: "warm" model_version: -1
              input_map { key: "x" value: "in" } output_map { key: "y" value: "mid" } },
            { model_name: "warm" model_version: -1
              input_map { key: "x" value: "mid" } output_map { key: "y" value: "out" } }] }""",
}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareServer]:
    """A server with 2 simulated GPUs and MODELS."""
    repository = tmp_path_factory.mktemp("inference")
    for name, config in MODELS.items():
        if config:
            write_model(repository, name, config)
    with bare_server(repository, SimulatedGpus(2)) as server:
        states = {name: entry.get("state") for name, entry in server.read_index().items()}
        assert set(states.values()) == {"READY"}, server.log
        yield server


def tensor(name: str, shape: list[int], datatype: str = "FP32") -> dict[str, Any]:
    filler: Any = "text" if datatype == "BYTES" else 1
    return {
        "name": name,
        "shape": shape,
        "datatype": datatype,
        "data": [filler] * math.prod(shape),
    }


def shapes(answer: dict[str, Any]) -> dict[str, list[int]]:
    assert "outputs" in answer, answer
    for output in answer["outputs"]:
        assert len(output["data"]) == math.prod(output["shape"])
        assert set(output["data"]) <= {0, ""}  # False equals 0
    return {output["name"]: output["shape"] for output in answer["outputs"]}


def test_every_type_has_its_size(serving: BareServer) -> None:
    from tritonclient import grpc

    with grpc.InferenceServerClient(serving.grpc_url) as client:
        given = grpc.InferInput("x", [2], "FP32")
        given.set_data_from_numpy(np.zeros(2, np.float32))
        answer = client.infer("types", [given]).get_response()
    found = {
        output.name: (output.datatype, list(output.shape), raw)
        for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }
    assert found == {name: (name, [2, 3], bytes(6 * size)) for name, size in TYPES.items()}


def test_batches_and_variable_dimensions(serving: BareServer) -> None:
    answer = serving.infer("batched", [tensor("a", [3, 5]), tensor("b", [3, 2, 6])])
    assert shapes(answer) == {
        "a": [3, 5],
        "like_b": [3, 2, 4],
        "three": [3, 1, 5, 1],
        "fixed": [3, 7],
    }


def test_only_what_is_asked_for_is_answered(serving: BareServer) -> None:
    answer = serving.infer(
        "batched",
        [tensor("a", [1, 5]), tensor("b", [1, 2, 6])],
        outputs=[{"name": "fixed"}, {"name": "a"}],
    )
    assert shapes(answer) == {"a": [1, 5], "fixed": [1, 7]}


def test_input_of_the_same_name_goes_before_the_first(serving: BareServer) -> None:
    answer = serving.infer("unbatched", [tensor("a", [4, 2]), tensor("b", [9, 8])])
    assert shapes(answer) == {"b": [9, 8], "other": [4, 2]}


def test_reshape(serving: BareServer) -> None:
    answer = serving.infer("reshaped", [tensor("x", [3, 1])])
    assert shapes(answer) == {"y": [3, 1], "z": [3, 2, 3]}


def test_optional_input_may_be_absent(serving: BareServer) -> None:
    assert shapes(serving.infer("optional", [tensor("w", [4])])) == {"y": [4]}
    both = [tensor("w", [4]), tensor("x", [2])]
    assert shapes(serving.infer("optional", both)) == {"y": [2]}


def test_output_that_cannot_be_allocated_is_an_error_answer(serving: BareServer) -> None:
    assert "output 'y' is too large" in serving.infer("huge", [tensor("x", [1])])["error"]
    assert shapes(serving.infer("unbatched", [tensor("a", [1, 2]), tensor("b", [1, 1])]))


def test_sequences(serving: BareServer) -> None:
    for start, end in [(True, False), (False, False), (False, True)]:
        answer = serving.infer(
            "sequence",
            [tensor("x", [1, 4])],
            parameters={"sequence_id": 7, "sequence_start": start, "sequence_end": end},
        )
        assert shapes(answer) == {"y": [1, 4]}


def test_decoupled_model_answers_once_and_finally(serving: BareServer) -> None:
    from tritonclient import grpc

    answers: list[Any] = []
    marks_final = serving.version() >= (2, 34)
    given = grpc.InferInput("x", [1], "BYTES")
    given.set_data_from_numpy(np.array([b"prompt"], dtype=np.object_))
    with grpc.InferenceServerClient(serving.grpc_url) as client:
        client.start_stream(lambda result, error: answers.append(error or result))
        for _ in range(3):
            client.async_stream_infer("decoupled", [given], enable_empty_final_response=marks_final)
        client.stop_stream()
    assert len(answers) == 3
    for answer in answers:
        response = answer.get_response()
        assert not marks_final or response.parameters["triton_final_response"].bool_param
        assert [list(output.shape) for output in response.outputs] == [[1]]


def test_ensembles_and_warm_up(serving: BareServer) -> None:
    assert shapes(serving.infer("ensemble", [tensor("in", [2, 3])])) == {"out": [2, 3]}
    statistics = serving.request("/v2/models/warm/stats")["model_stats"][0]
    assert statistics["inference_stats"]["success"]["count"] >= 2
    assert statistics["inference_stats"]["fail"]["count"] == 0


def test_inferences_are_counted(serving: BareServer) -> None:
    def counted(kind: str) -> int:
        stats = serving.request("/v2/models/huge/stats")["model_stats"][0]
        return int(stats["inference_stats"][kind]["count"])

    before = counted("fail")
    serving.infer("huge", [tensor("x", [1])])
    assert once_counted(lambda: counted("fail"), before + 1) == before + 1
    assert counted("success") == 0


def test_times_of_an_inference_are_those_that_passed(serving: BareServer) -> None:
    """By the clock of core, which a queue's time is counted from."""

    def spent() -> dict[str, int]:
        stats = serving.request("/v2/models/warm/stats")["model_stats"][0]
        kinds = ("success", "queue", "compute_input", "compute_infer", "compute_output")
        return {kind: int(stats["inference_stats"][kind]["ns"]) for kind in kinds}

    start = time.monotonic_ns()
    serving.infer("warm", [tensor("x", [1, 3])])
    once_counted(lambda: int(spent()["success"] > 0), 1)
    hour = 3_600_000_000_000
    assert all(0 <= ns < hour + time.monotonic_ns() - start for ns in spent().values()), spent()


def test_memory_does_not_grow_with_inferences(serving: BareServer) -> None:
    """Heap after many answers is that after a few, within noise."""
    from tritonclient import grpc

    def heap_kib() -> int:
        status = Path(f"/proc/{serving.process.pid}/status").read_text()
        return int(status.partition("RssAnon:")[2].split()[0])

    given = grpc.InferInput("in", [1, 3], "FP32")
    given.set_data_from_numpy(np.zeros((1, 3), np.float32))
    with grpc.InferenceServerClient(serving.grpc_url) as client:

        def ask(times: int) -> None:
            for _ in range(times):
                client.infer("ensemble", [given])

        ask(1000)
        before = heap_kib()
        ask(4000)
        grown = heap_kib() - before
    assert grown < 800, f"{grown} KiB in 4,000 requests (100 bytes each would be 400)"
