"""What servers newer than those that can be installed say to clients, in their very texts.

The gRPC server here is a fake: no release that can be installed raises NOT_FOUND for the readiness
of a model that it hasn't loaded, as core newer than 2.70.0 does.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from tritonclient.grpc import InferenceServerClient, service_pb2, service_pb2_grpc

from pytest_triton.client.control import Control
from pytest_triton.client.endpoints import Endpoints
from pytest_triton.client.inference import Client, Refused, says_not_there
from pytest_triton.client.tls import OPEN
from pytest_triton.inference.errors import cause_of_failure
from pytest_triton.inference.infer import Asked, UnhealthyAfterInference
from support.fake_servers import fake_server

UNKNOWN = "Request for unknown model: 'm' has no available versions"
MISSING = "Request for unknown model: 'm' is not found"


class Newer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Has the models `ready` and `dead` (whose python process exited) loaded, and no other."""

    def __init__(self) -> None:
        self.status = grpc.StatusCode.NOT_FOUND
        self.words = UNKNOWN

    def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.name in ("ready", "dead"):
            return service_pb2.ModelReadyResponse(ready=request.name == "ready")
        return context.abort(self.status, self.words)

    def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ServerLiveResponse(live=True)

    def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        entry = service_pb2.RepositoryIndexResponse.ModelIndex(name="dead", state="READY")
        return service_pb2.RepositoryIndexResponse(models=[entry])


@pytest.fixture
def newer() -> Iterator[tuple[str, Newer]]:
    servicer = Newer()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", servicer
    server.stop(None)


def grpc_client(address: str) -> Client:
    return Client(Endpoints("it", grpc=address), "grpc", timeout=10)


def check_healthy(address: str, model: str) -> None:
    with grpc_client(address) as client:
        Asked(client, model, "", None).check_health()


@pytest.mark.parametrize("words", [UNKNOWN, MISSING])
def test_model_that_is_not_there_is_not_ready_over_grpc(
    newer: tuple[str, Newer], words: str
) -> None:
    address, servicer = newer
    servicer.words = words
    with grpc_client(address) as client:
        assert client.is_ready("ready", "")
        assert not client.is_ready("m", "")


def test_another_error_about_readiness_is_no_answer(newer: tuple[str, Newer]) -> None:
    address, servicer = newer
    servicer.status, servicer.words = grpc.StatusCode.UNAVAILABLE, "the server is stopping"
    with (
        grpc_client(address) as client,
        pytest.raises(Refused),
    ):
        client.is_ready("m", "")


def test_model_that_is_not_there_is_not_ready_over_http() -> None:
    pytest.importorskip("gevent", reason="tritonclient[http] isn't installed")
    body = f'{{"error":"{UNKNOWN}"}}'.encode()

    def answer(connection: Any, request: bytes) -> None:
        head = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: "
        connection.sendall(head + str(len(body)).encode() + b"\r\n\r\n" + body)

    with (
        fake_server(answer) as address,
        Client(Endpoints("it", http=address), "http", timeout=10) as client,
    ):
        assert not client.is_ready("m", "")


def test_native_client_raises_what_is_recognised(newer: tuple[str, Newer]) -> None:
    from tritonclient.utils import InferenceServerException

    with InferenceServerClient(newer[0]) as client:
        control = Control(client, OPEN)
        assert control.is_ready("ready")
        assert not control.is_ready("m")
        with pytest.raises(InferenceServerException) as raised:
            client.is_model_ready("m")
    assert says_not_there(str(raised.value))


def test_health_check_of_an_unloaded_model_says_that_it_is_not_ready(
    newer: tuple[str, Newer],
) -> None:
    with pytest.raises(UnhealthyAfterInference, match="After the inference m is not ready: no su"):
        check_healthy(newer[0], "m")


def test_health_check_of_a_python_model_whose_process_exited_says_so(
    newer: tuple[str, Newer],
) -> None:
    with pytest.raises(UnhealthyAfterInference, match=r"dead is not ready: READY .*has exited"):
        check_healthy(newer[0], "dead")


@pytest.mark.parametrize(
    ("words", "reason", "flag"),
    [
        (
            "Raw input has a byte_size (67108868 bytes) that exceeds the maximum allowed value of "
            "67108864 bytes. Use --http-max-input-size to increase the limit.",
            "too-large",
            "--http-max-input-size",
        ),
        (
            "request JSON size of 67108999 bytes exceeds the maximum allowed input size of "
            "67108864 bytes. Use --http-max-input-size to increase the limit.",
            "too-large",
            "--triton-server-args",
        ),
        (
            "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to "
            "enable.",
            "client-shared-memory",
            "--allow-client-shm=true",
        ),
        (f"[404] {UNKNOWN}", "not-ready", ""),
        (f"[404] {MISSING}", "unknown-model", ""),
    ],
)
def test_texts_of_newer_servers_are_explained(words: str, reason: str, flag: str) -> None:
    cause = cause_of_failure(words)
    assert cause.reason == reason
    assert flag in cause.fix
