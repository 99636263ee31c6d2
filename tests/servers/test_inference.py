"""Inference on a real tritonserver, over both protocols.

The models of `answering` have stand-in backends, which answer zeros of the declared types and
shapes; those of `behaving` a backend of this test's own, which echoes, crashes, hangs or streams.
"""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from pytest_triton.audit import audit
from pytest_triton.client.endpoints import Endpoints
from pytest_triton.client.inference import Client, Protocol
from pytest_triton.inference.arrays import randoms
from pytest_triton.inference.errors import InferenceFailed
from pytest_triton.inference.golden import GoldenMismatch, compare_with_golden
from pytest_triton.inference.infer import (
    Asked,
    Inference,
    UnhealthyAfterInference,
    infer,
    read_signature,
)
from pytest_triton.options.hosts import ProcessHost
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.rehearsal.simulation import NATIVE_DIRECTORY, OFFICIAL_BACKENDS
from pytest_triton.repository import read_repository
from pytest_triton.servers.launching import launch
from pytest_triton.servers.process.releases import RELEASES, Release, install
from pytest_triton.servers.process.server import ServerExited
from pytest_triton.servers.running_server import RunningServer, Server
from pytest_triton.servers.spec import ServerSpec
from support.builders import RepositoryBuilder

TYPES = (
    *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "FP32", "FP64", "BF16", "STRING"),
)
PROTOCOLS = get_args(Protocol)
NEEDS_HTTP_CLIENT = pytest.mark.skipif(
    importlib.util.find_spec("geventhttpclient") is None, reason="needs tritonclient[http]"
)
both_protocols = pytest.mark.parametrize(
    "protocol", ["grpc", pytest.param("http", marks=NEEDS_HTTP_CLIENT)]
)

_ALL_INPUTS = "\n".join(
    f'input {{ name: "{t}" data_type: TYPE_{t} dims: [2, -1] }}'
    f'output {{ name: "{t}" data_type: TYPE_{t} dims: [2, -1] }}'
    for t in TYPES
)
ANSWERING = {
    "types": f'backend: "onnxruntime" max_batch_size: 4 {_ALL_INPUTS}',
    "unbatched": f'backend: "onnxruntime" {_ALL_INPUTS}',
    "two": """backend: "pytorch" max_batch_size: 8
        input [{ name: "a" data_type: TYPE_FP32 dims: [4] },
               { name: "b" data_type: TYPE_INT64 dims: [-1, 2] }]
        output { name: "y" data_type: TYPE_FP32 dims: [-1] }""",
    "reshaped": """platform: "tensorflow_savedmodel" max_batch_size: 4
        input { name: "x" data_type: TYPE_FP32 dims: [1] reshape { shape: [] } }
        output { name: "y" data_type: TYPE_FP32 dims: [2, 3] reshape { shape: [6] } }""",
    "optional": """backend: "python"
        input [{ name: "x" data_type: TYPE_FP32 dims: [-1] optional: true },
               { name: "w" data_type: TYPE_FP32 dims: [-1] }]
        output { name: "y" data_type: TYPE_FP32 dims: [-1] }""",
    "no_input": """backend: "python" max_batch_size: 2
        output { name: "y" data_type: TYPE_FP32 dims: [3] }""",
    "shape_tensor": """backend: "tensorrt" max_batch_size: 8
        instance_group { kind: KIND_GPU }
        input [{ name: "x" data_type: TYPE_FP32 dims: [-1] },
               { name: "s" data_type: TYPE_INT32 dims: [1] is_shape_tensor: true }]
        output { name: "y" data_type: TYPE_FP32 dims: [-1] }""",
    "sequence": """backend: "onnxruntime" max_batch_size: 2
        sequence_batching { control_input [
          { name: "START" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [0, 1] } },
          { name: "END" control { kind: CONTROL_SEQUENCE_END int32_false_true: [0, 1] } },
          { name: "READY" control { kind: CONTROL_SEQUENCE_READY bool_false_true: [0, 1] } },
          { name: "ID" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } }] }
        input { name: "x" data_type: TYPE_FP32 dims: [-1] }
        output { name: "y" data_type: TYPE_FP32 dims: [-1] }""",
    "text_sequence": """backend: "onnxruntime" max_batch_size: 2
        sequence_batching { control_input [
          { name: "ID" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_STRING } }] }
        input { name: "x" data_type: TYPE_FP32 dims: [-1] }
        output { name: "y" data_type: TYPE_FP32 dims: [-1] }""",
    "decoupled": """backend: "vllm" model_transaction_policy { decoupled: true }
        input { name: "x" data_type: TYPE_STRING dims: [1] }
        output { name: "y" data_type: TYPE_STRING dims: [-1] }""",
    "ensemble": """platform: "ensemble" max_batch_size: 4
        input { name: "in" data_type: TYPE_FP32 dims: [1] }
        output { name: "out" data_type: TYPE_FP32 dims: [2, 3] }
        ensemble_scheduling { step { model_name: "reshaped" model_version: -1
          input_map { key: "x" value: "in" } output_map { key: "y" value: "out" } } }""",
    "decoupled_ensemble": """platform: "ensemble"
        input { name: "in" data_type: TYPE_STRING dims: [1] }
        output { name: "out" data_type: TYPE_STRING dims: [-1] }
        ensemble_scheduling { step { model_name: "decoupled" model_version: -1
          input_map { key: "x" value: "in" } output_map { key: "y" value: "out" } } }""",
    "unpolled": 'name: "another" backend: "python"',
    "of_unpolled": """platform: "ensemble"
        input { name: "x" data_type: TYPE_FP32 dims: [1] }
        output { name: "y" data_type: TYPE_FP32 dims: [1] }
        ensemble_scheduling { step { model_name: "unpolled" model_version: -1
            input_map { key: "x" value: "x" } output_map { key: "y" value: "y" } } }""",
    "refused": """backend: "onnxruntime" instance_group { kind: KIND_GPU gpus: [7] }
        input { name: "x" data_type: TYPE_FP32 dims: [1] }
        output { name: "y" data_type: TYPE_FP32 dims: [1] }""",
}
NOT_SERVED = {"refused", "unpolled", "of_unpolled"}
_NUMBER = """backend: "behaving" input { name: "x" data_type: TYPE_FP32 dims: [1] }
    output { name: "Y" data_type: TYPE_INT32 dims: [1] }"""
_DECOUPLED = _NUMBER + " model_transaction_policy { decoupled: true }"
BEHAVING = {
    "echo": f'backend: "behaving" {_ALL_INPUTS}',
    "echo_batches": f'backend: "behaving" max_batch_size: 4 {_ALL_INPUTS}',
    "echo_raw_sequence": """backend: "behaving" max_batch_size: 2
        sequence_batching { control_input [
          { name: "ID" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_STRING } }] }
        input { name: "x" data_type: TYPE_FP32 dims: [1] }
        output { name: "ID" data_type: TYPE_UINT8 dims: [-1] }""",
    # Triton pads such an id, so that it is no proper BYTES tensor when it is answered.
    "echo_broken_text": """backend: "behaving" max_batch_size: 2
        sequence_batching { control_input [
          { name: "ID" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_STRING } }] }
        input { name: "x" data_type: TYPE_FP32 dims: [1] }
        output { name: "ID" data_type: TYPE_STRING dims: [1] }""",
    "many": _DECOUPLED,
    "many_failing": _DECOUPLED,
    "none": _DECOUPLED,
    "hang": _DECOUPLED,
    "hang_once": _NUMBER,
    "crash": _NUMBER,
    "crash_stream": _DECOUPLED,
}


def write(repository: RepositoryBuilder, models: dict[str, str], library: Path | None) -> None:
    for name, config in models.items():
        repository.add_config(name, config)
        if library is not None:
            shutil.copy(library, repository.path / name / "libtriton_behaving.so")


def running(repository: RepositoryBuilder, gpus: str = "none", **changes: Any) -> Server:
    values = {"stand_ins": OFFICIAL_BACKENDS, **changes}
    server = launch(ServerSpec((repository.path,), HardwareRequest.parse(gpus), **values))
    try:
        server.wait_until_live()
    except BaseException:
        server.stop()
        raise
    return server


def address(server: RunningServer, protocol: Protocol) -> str:
    return server.grpc if protocol == "grpc" else server.http


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("behaving") / "libtriton_behaving.so"
    source = Path(__file__).with_name("behaving_backend.c")
    subprocess.run(
        ["cc", "-shared", "-fPIC", f"-I{NATIVE_DIRECTORY}", "-o", str(made), str(source)],
        check=True,
    )
    return made


@pytest.fixture(scope="module")
def answering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    repository = RepositoryBuilder(tmp_path_factory.mktemp("answering") / "models")
    write(repository, ANSWERING, None)
    server = running(repository, "sim:2")
    yield server.view
    server.stop()


@pytest.fixture
def behaving(repository: RepositoryBuilder, library: Path) -> Iterator[Server]:
    write(repository, BEHAVING, library)
    server = running(repository)
    yield server
    server.stop()


# ---- inputs and outputs ------------------------------------------------------------------------


@both_protocols
@pytest.mark.parametrize("kind", ["zeros", "random"])
@pytest.mark.parametrize(
    "model", sorted(ANSWERING.keys() - NOT_SERVED - {"decoupled", "decoupled_ensemble"})
)
def test_every_kind_of_model_answers(
    answering: RunningServer, model: str, kind: str, protocol: Protocol
) -> None:
    signature = read_signature(answering.endpoints, model, protocol=protocol)
    result = infer(answering.endpoints, model, kind, protocol=protocol)
    assert list(result) == [output.name for output in signature.outputs]
    assert result.version == "1"
    for tensor in signature.outputs:
        pairs = zip(result[tensor.name].shape, tensor.shape, strict=True)
        assert all(said in (-1, have) for have, said in pairs)
    assert len(result.raw) == 1


@both_protocols
@pytest.mark.parametrize("kind", ["zeros", "random"])
def test_all_types_arrive_as_they_were_sent(
    behaving: Server, kind: str, protocol: Protocol
) -> None:
    for model, batch in (("echo", 1), ("echo_batches", 3)):
        result = infer(
            behaving.view.endpoints,
            model,
            kind,
            protocol=protocol,
            batch_size=batch,
            shapes={"FP16": (2, 5), "STRING": (2, 3)},
        )
        assert list(result) == list(TYPES)
        for name, sent in result.inputs.items():
            assert result[name].shape == sent.shape
            assert (result[name] == sent).all(), name
        assert result["FP16"].shape == ((3, 2, 5) if batch == 3 else (2, 5))


@both_protocols
def test_given_arrays_and_lists_arrive_as_they_were_sent(
    behaving: Server, protocol: Protocol
) -> None:
    given: dict[str, Any] = {name: [[0], [1]] for name in TYPES}
    given["STRING"] = [["héllo"], ["b"]]
    given["BF16"] = np.array([[1.5], [-2.0]], np.float32)
    given["FP64"] = np.array([[1e300], [np.nan]])
    given["BOOL"] = np.array([[True], [False]])
    result = infer(behaving.view.endpoints, "echo", given, protocol=protocol)
    assert result["STRING"].tolist() == [["héllo".encode()], [b"b"]]
    assert result["BF16"].astype(np.float32).tolist() == [[1.5], [-2.0]]
    np.testing.assert_array_equal(result["FP64"], given["FP64"])
    assert result["BOOL"].tolist() == [[True], [False]]
    assert result["UINT64"].dtype == np.uint64
    given["STRING"] = np.array([[b"\0\xff"], [b""]], dtype=object)
    result = infer(behaving.view.endpoints, "echo", given, protocol=protocol)
    assert result["STRING"].tolist() == [[b"\0\xff"], [b""]]


def test_random_inputs_are_reproducible_and_the_seed_is_reported(behaving: Server) -> None:
    def asked(seed: int) -> Inference:
        return infer(behaving.view.endpoints, "echo", seed=seed)

    first, second, other = asked(3), asked(3), asked(4)
    assert all((first[name] == second[name]).all() for name in TYPES)
    assert any((first[name] != other[name]).any() for name in TYPES)
    assert "random, seed 3" in repr(first)


def test_optional_inputs_can_be_left_out(answering: RunningServer) -> None:
    shapes = {"x": (2,), "w": (4,)}
    assert infer(answering.endpoints, "optional", shapes=shapes)["y"].shape == (2,)
    without = infer(answering.endpoints, "optional", shapes=shapes, optional=False)
    assert list(without.inputs) == ["w"]
    assert without["y"].shape == (4,)


def test_only_the_outputs_that_are_asked_for(answering: RunningServer) -> None:
    assert list(infer(answering.endpoints, "types", outputs=["FP32", "INT8"])) == ["INT8", "FP32"]


def test_test_data_of_the_model(behaving: Server, tmp_path: Path) -> None:
    for name, sent in infer(behaving.view.endpoints, "echo").inputs.items():
        kind = {"STRING": "S3", "BF16": "f4"}.get(name, sent.dtype)
        np.save(tmp_path / f"{name}.npy", np.ones((2, 1)).astype(kind))
    result = infer(behaving.view.endpoints, "echo_batches", tmp_path)
    assert result["STRING"].tolist() == [[[b"1.0"], [b"1.0"]]]
    assert result["FP32"].tolist() == [[[1.0], [1.0]]]
    assert "test data" in repr(result)


# ---- sequences and streams ---------------------------------------------------------------------


@both_protocols
@pytest.mark.parametrize("model", ["sequence", "text_sequence"])
def test_sequence_of_several_requests(
    answering: RunningServer, model: str, protocol: Protocol
) -> None:
    of = 4711 if model == "sequence" else "mine"
    at = answering.endpoints
    for start, end in [(True, False), (False, False), (False, True)]:
        infer(at, model, protocol=protocol, sequence_id=of, sequence_start=start, sequence_end=end)
    with pytest.raises(InferenceFailed) as caught:
        infer(at, model, protocol=protocol, sequence_id=of, sequence_end=True)
    assert caught.value.reason == "sequence"
    assert "START flag" in caught.value.text


@both_protocols
def test_model_that_wants_texts_for_ids_is_given_one(behaving: Server, protocol: Protocol) -> None:
    at = behaving.view.endpoints
    raw = [infer(at, "echo_raw_sequence", protocol=protocol)["ID"].tobytes() for _ in range(2)]
    ids = [one[4 : 4 + int.from_bytes(one[:4], "little")] for one in raw]  # as BYTES are encoded
    assert all(one.startswith(b"pytest-triton-") for one in ids)
    assert ids[0] != ids[1]


def test_decoupled_models_stream(answering: RunningServer, behaving: Server) -> None:
    assert len(infer(answering.endpoints, "decoupled").responses) == 1
    assert len(infer(answering.endpoints, "decoupled_ensemble").responses) == 1
    result = infer(behaving.view.endpoints, "many")
    assert [response["Y"].tolist() for response in result.responses] == [[0], [1], [2]]
    assert len(result.raw) == 3
    with pytest.raises(Exception, match=r"gave 3 responses.*\n.*\.responses"):
        result["Y"]
    assert infer(behaving.view.endpoints, "none").responses == ()
    with pytest.raises(InferenceFailed, match=r"out of words.*after 2 responses") as caught:
        infer(behaving.view.endpoints, "many_failing")
    assert caught.value.reason == "other"


@NEEDS_HTTP_CLIENT
def test_decoupled_models_over_http_are_sent_to_grpc(answering: RunningServer) -> None:
    with pytest.raises(InferenceFailed, match="protocol='grpc'") as caught:
        infer(answering.endpoints, "decoupled", protocol="http")
    assert caught.value.reason == "streaming"


# ---- failures ----------------------------------------------------------------------------------

A, B = np.zeros((1, 4), np.float32), np.zeros((1, 3, 2), np.int64)
REFUSED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "shape": ("wrong-shape", "two", {"inputs": {"a": np.zeros((1, 5), np.float32), "b": B}}),
    "rank": ("wrong-shape", "two", {"inputs": {"a": A[0], "b": B}}),
    "batches": ("wrong-shape", "two", {"inputs": {"a": A.repeat(2, 0), "b": B}}),
    "batch size": ("wrong-shape", "two", {"batch_size": 9}),
    "fixed dimension": ("wrong-shape", "two", {"shapes": {"a": (7,)}}),
    "type": ("wrong-type", "two", {"inputs": {"a": A.astype(np.float64), "b": B}}),
    "missing": ("missing-input", "two", {"inputs": {"a": A}}),
    "more": ("unknown-input", "two", {"inputs": {"a": A, "b": B, "c": A}}),
    "other": ("unknown-input", "two", {"inputs": {"a": A, "c": B}}),
    "output": ("unknown-output", "two", {"outputs": ["z"]}),
    "model": ("unknown-model", "nobody", {}),
    "version": ("unknown-model", "two", {"version": "3"}),
    "not loaded": ("not-ready", "refused", {}),
    "not polled": ("not-ready", "unpolled", {}),
    "of an unpolled model": ("not-ready", "of_unpolled", {}),
    "sequence": ("sequence", "sequence", {"sequence_id": 0}),
}


@both_protocols
@pytest.mark.parametrize(("reason", "model", "asked"), REFUSED.values(), ids=REFUSED)
def test_refusals_are_explained(
    answering: RunningServer, protocol: Protocol, reason: str, model: str, asked: dict[str, Any]
) -> None:
    with pytest.raises(InferenceFailed) as caught:
        infer(answering.endpoints, model, protocol=protocol, **asked)
    reported = str(caught.value)
    assert caught.value.reason == reason, reported
    assert caught.value.text in reported
    assert f"{protocol} to {address(answering, protocol)}" in reported
    assert "What to do:" in reported
    if model == "two" and "version" not in asked:
        assert "takes    a FP32 [-1, 4]; b INT64 [-1, -1, 2] (batches of up to 8)" in reported
    if reason == "missing-input":
        assert "missing  b" in reported
    if reason == "unknown-input":
        assert "unknown  c" in reported
    if model == "refused":
        assert "invalid or unsupported gpu id 7" in reported
    if reason == "not-ready":
        assert "correct the model's name" not in reported
        assert "`pytest-triton audit` and the server's log say why" in reported


@both_protocols
def test_output_that_cannot_be_read(behaving: Server, protocol: Protocol) -> None:
    with pytest.raises(InferenceFailed, match=r"output 'ID' can't be read") as caught:
        infer(behaving.view.endpoints, "echo_broken_text", protocol=protocol)
    assert caught.value.reason == "other"


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.version)
def test_every_release_answers_and_refuses_in_known_texts(
    repository: RepositoryBuilder, release: Release
) -> None:
    write(repository, ANSWERING, None)
    server = running(
        repository, "sim:2", host=ProcessHost(version=install(release).release.version)
    )
    try:
        for model in ANSWERING.keys() - NOT_SERVED:
            assert infer(server.view.endpoints, model).responses
        for reason, model, asked in REFUSED.values():
            with pytest.raises(InferenceFailed) as caught:
                infer(server.view.endpoints, model, **asked)
            assert caught.value.reason == reason, caught.value.text
    finally:
        server.stop()


def test_inference_that_takes_too_long(behaving: Server) -> None:
    for model in ("hang", "hang_once"):
        with pytest.raises(InferenceFailed, match=r"within 0.3 s") as caught:
            infer(behaving.view.endpoints, model, timeout=0.3)
        assert caught.value.reason == "timeout"


@NEEDS_HTTP_CLIENT
def test_inference_that_takes_too_long_over_http(behaving: Server) -> None:
    with pytest.raises(InferenceFailed, match=r"within 0.3 s") as caught:
        infer(behaving.view.endpoints, "hang_once", timeout=0.3, protocol="http")
    assert caught.value.reason == "timeout"


@pytest.mark.parametrize("model", ["crash", "crash_stream"])
def test_inference_that_kills_the_server_shows_exit_and_log(behaving: Server, model: str) -> None:
    with pytest.raises(ServerExited, match=r"SIGABRT(.|\n)*Started GRPCInferenceService"):
        infer(behaving.view.endpoints, model, check_alive=behaving.check_alive)
    with pytest.raises(InferenceFailed) as caught:
        infer(behaving.view.endpoints, model)
    assert caught.value.reason == "gone"


@NEEDS_HTTP_CLIENT
def test_inference_that_kills_the_server_over_http(behaving: Server) -> None:
    with pytest.raises(ServerExited, match="SIGABRT"):
        infer(behaving.view.endpoints, "crash", protocol="http", check_alive=behaving.check_alive)
    with pytest.raises(InferenceFailed) as caught:
        infer(behaving.view.endpoints, "crash", protocol="http")
    assert caught.value.reason == "gone"


def check_health(server: Endpoints, model: str, protocol: Protocol) -> None:
    with Client(server, protocol, timeout=10) as client:
        Asked(client, model, "", None).check_health()


@both_protocols
def test_health_after_an_inference(
    answering: RunningServer, behaving: Server, protocol: Protocol
) -> None:
    check_health(answering.endpoints, "two", protocol)
    with pytest.raises(
        UnhealthyAfterInference, match=r"refused is not ready: UNAVAILABLE: .*gpu id 7"
    ):
        check_health(answering.endpoints, "refused", protocol)
    behaving.stop()
    with pytest.raises(UnhealthyAfterInference, match="server is not live"):
        check_health(behaving.view.endpoints, "echo", protocol)


def test_client_of_the_callers_is_used_and_left_open(answering: RunningServer) -> None:
    from tritonclient.grpc import InferenceServerClient

    with InferenceServerClient(answering.grpc) as client:
        signature = read_signature(Endpoints("it"), "two", client=client)
        for _ in range(2):
            infer(Endpoints("it"), "two", client=client, signature=signature)
        assert client.is_server_live()


def test_golden_files_of_an_answer(behaving: Server, tmp_path: Path) -> None:
    answer = infer(behaving.view.endpoints, "echo", seed=1)
    compare_with_golden(answer, tmp_path, update=True)
    compare_with_golden(infer(behaving.view.endpoints, "echo", seed=1), tmp_path)
    with pytest.raises(GoldenMismatch, match="Not equal to tolerance"):
        compare_with_golden(infer(behaving.view.endpoints, "echo", seed=2), tmp_path)


def test_async_clients_need_nothing_of_ours(answering: RunningServer) -> None:
    from tritonclient.grpc import InferInput
    from tritonclient.grpc.aio import InferenceServerClient

    signature = read_signature(answering.endpoints, "two")

    async def ask() -> list[int]:
        async with InferenceServerClient(answering.grpc) as client:
            arrays = randoms(signature, signature.request_shapes(1, None), seed=0)
            sent = [
                InferInput(name, list(array.shape), {"a": "FP32", "b": "INT64"}[name])
                for name, array in arrays.items()
            ]
            for one, array in zip(sent, arrays.values(), strict=True):
                one.set_data_from_numpy(array)
            answers = await asyncio.gather(*(client.infer("two", sent) for _ in range(3)))
            return [answer.as_numpy("y").size for answer in answers]

    assert asyncio.run(ask()) == [4, 4, 4]


# ---- the real python backend -------------------------------------------------------------------


@pytest.fixture(scope="module")
def python_with_numpy_1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python stubs of the installable releases can't hand tensors to numpy 2."""
    if np.__version__.startswith("1."):
        return Path(sys.executable)
    if sys.version_info >= (3, 13):
        pytest.skip("no numpy older than 2 for this Python")
    folder = tmp_path_factory.mktemp("numpy-1")
    venv.create(folder, symlinks=True)
    python = folder / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "numpy<2"]
    subprocess.run(pip, check=True)
    return python


@both_protocols
def test_real_python_models(
    repository: RepositoryBuilder, python_with_numpy_1: Path, protocol: Protocol
) -> None:
    repository.add("python", "{ kind: KIND_CPU }")
    server = running(repository, stand_ins=(), host=ProcessHost(python=python_with_numpy_1))
    try:
        result = infer(server.view.endpoints, "python", protocol=protocol, batch_size=3)
        np.testing.assert_array_equal(result["Y"], result.inputs["X"])
        assert result["Y"].any()
    finally:
        server.stop()


@pytest.mark.parametrize("wrong", ['model_name="gone"', 'model_name="python", model_version=7'])
def test_request_to_a_model_that_is_not_there_is_an_error_in_the_response_only(
    repository: RepositoryBuilder, python_with_numpy_1: Path, wrong: str
) -> None:
    """As rule TRT237 has it."""
    repository.add("python", "{ kind: KIND_CPU }")
    repository.add("asking", "{ kind: KIND_CPU }")
    (repository.path / "asking/1/model.py").write_text(
        "import triton_python_backend_utils as pb_utils\n"
        "class TritonPythonModel:\n  def execute(self, requests):\n"
        f"    asked = pb_utils.InferenceRequest({wrong}, inputs=requests[0].inputs(),"
        ' requested_output_names=["Y"])\n'
        "    answer = asked.exec()\n    assert answer.has_error()\n"
        "    return [pb_utils.InferenceResponse([], answer.error())]\n"
    )
    server = running(repository, stand_ins=(), host=ProcessHost(python=python_with_numpy_1))
    try:
        name = "gone" if "gone" in wrong else "python"
        with pytest.raises(InferenceFailed, match=f"Model '{name}' is not ready"):
            infer(server.view.endpoints, "asking")
    finally:
        server.stop()
    findings = audit(read_repository([repository.path]), select=("TRT237",))
    assert [one.model for one in findings] == ["asking"]
