"""Servers that drip, never end, or are silent: fakes, as no real one does so."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

Answer = Callable[[socket.socket, bytes], None]


@contextlib.contextmanager
def fake_server(answer: Answer) -> Iterator[str]:
    """`host:port` of a server that answers each request so."""
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while not ended.is_set():
                request = connection.recv(1 << 16)
                if not request:
                    return
                answer(connection, request)

    def listen() -> None:
        while not ended.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=listen, daemon=True).start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            ended.set()
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)


def drip(connection: socket.socket, text: bytes) -> None:
    for byte in text:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def drips_body(connection: socket.socket, request: bytes) -> None:
    connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")
    drip(connection, b"[" + b" " * 99998)


def drips_headers(connection: socket.socket, request: bytes) -> None:
    drip(connection, HEAD + b"X: " + b"x" * 60000)


def drips_chunks(connection: socket.socket, request: bytes) -> None:
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"1\r\n \r\n")
        time.sleep(0.05)


def is_silent(connection: socket.socket, request: bytes) -> None:
    time.sleep(30)


def never_ends(connection: socket.socket, request: bytes) -> None:
    connection.sendall(HEAD + b"Connection: close\r\n\r\n")
    while True:
        connection.sendall(b" " * (1 << 16))


def claims_much(connection: socket.socket, request: bytes) -> None:
    connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n{}" % (1 << 50))


def chunks_without_end(connection: socket.socket, request: bytes) -> None:
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


@contextlib.contextmanager
def fake_grpc_server(models: Sequence[str], *, reason: str = "") -> Iterator[str]:
    """`host:port` of a server that is ready, with an index of these models."""
    from concurrent.futures import ThreadPoolExecutor

    import grpc  # type: ignore[import-untyped]
    from tritonclient.grpc import service_pb2, service_pb2_grpc

    class Service(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
        def RepositoryIndex(self, request: object, context: object) -> object:  # noqa: N802
            entry = service_pb2.RepositoryIndexResponse.ModelIndex
            return service_pb2.RepositoryIndexResponse(
                models=[entry(name=name, state="UNAVAILABLE", reason=reason) for name in models]
            )

        def ServerReady(self, request: object, context: object) -> object:  # noqa: N802
            return service_pb2.ServerReadyResponse(ready=True)

    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait(10)
