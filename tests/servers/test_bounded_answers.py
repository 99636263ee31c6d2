"""Servers that drip, that never end or that shout: every answer has a deadline and a limit.

The servers are fakes: no real one does so.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pytest_triton.client.bounded_http import LARGEST
from pytest_triton.client.http import HttpApi, ServerSilent
from pytest_triton.client.probe import NotReached
from pytest_triton.evidence.observe import observe, served_models
from pytest_triton.placement.hardware import OWN_GPUS
from pytest_triton.servers.attached.server import AttachedServer
from pytest_triton.servers.spec import ServerSpec

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


@pytest.mark.parametrize("answer", [drips_body, drips_headers, drips_chunks, is_silent])
def test_a_server_that_drips_meets_the_timeout(answer: Answer) -> None:
    with fake_server(answer) as address:
        with HttpApi(address, timeout=0.5) as api, pytest.raises(ServerSilent) as raised:
            api.index()
        assert isinstance(raised.value.__cause__, TimeoutError)
        spec = ServerSpec((), OWN_GPUS, where="attached", url=f"http://{address}", timeout=0.5)
        with pytest.raises(NotReached) as not_reached:
            AttachedServer(spec).wait_until_live()
    assert not_reached.value.cause == "timeout"
    assert "no answer within 0.5 s" in str(not_reached.value)


@pytest.mark.parametrize("answer", [never_ends, claims_much, chunks_without_end])
def test_a_body_without_end_is_refused(answer: Answer) -> None:
    with fake_server(answer) as address, HttpApi(address) as api:
        with pytest.raises(ServerSilent, match=f"larger than {LARGEST >> 20} MB"):
            api.index()
        assert api.live("x") is None


def test_the_timeout_holds_for_all_questions_of_a_start_together() -> None:
    asked: list[bytes] = []

    def slow(connection: socket.socket, request: bytes) -> None:
        asked.append(request.split(b" ")[1])
        time.sleep(0.4)
        body = json.dumps({"name": "x", "version": "2", "extensions": []}).encode()
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    with fake_server(slow) as address:
        spec = ServerSpec((), OWN_GPUS, where="attached", url=f"http://{address}", timeout=1.0)
        with pytest.raises(NotReached):
            AttachedServer(spec).wait_until_live()
    assert asked == [b"/v2", b"/v2", b"/v2/health/live"], "0.4 s each"


def test_an_index_of_a_hundred_thousand_models_is_read() -> None:
    index = [{"name": f"model_{n}", "version": "1", "state": "UNAVAILABLE"} for n in range(100_000)]
    body = json.dumps(index).encode()

    def answer(connection: socket.socket, request: bytes) -> None:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    with fake_server(answer) as address:
        spec = ServerSpec((), OWN_GPUS, where="attached", url=f"http://{address}")
        view = AttachedServer(spec).view
        assert len(served_models(view)) == 100_000
        assert len(observe(view, [f"model_{n}" for n in range(100_000)])) == 100_000
