"""Servers that drip, that never end or that shout: every answer has a deadline and a limit.

The servers are fakes: no real one does so.
"""

from __future__ import annotations

import json
import socket
import time

import pytest

from pytest_triton.client import grpc as grpc_module
from pytest_triton.client.bounded_http import LARGEST
from pytest_triton.client.grpc import GrpcApi
from pytest_triton.client.http import HttpApi, ServerSilent
from pytest_triton.client.probe import NotReached
from pytest_triton.evidence.observe import observe, served_models
from pytest_triton.options.hosts import AttachedHost
from pytest_triton.placement.hardware import OWN_GPUS
from pytest_triton.servers.attached.server import AttachedServer
from pytest_triton.servers.spec import ServerSpec
from support.fake_servers import (
    HEAD,
    Answer,
    chunks_without_end,
    claims_much,
    drips_body,
    drips_chunks,
    drips_headers,
    fake_grpc_server,
    fake_server,
    is_silent,
    never_ends,
)


@pytest.mark.parametrize("answer", [drips_body, drips_headers, drips_chunks, is_silent])
def test_server_that_drips_meets_the_timeout(answer: Answer) -> None:
    with fake_server(answer) as address:
        with HttpApi(address, timeout=0.5) as api, pytest.raises(ServerSilent) as raised:
            api.index()
        assert isinstance(raised.value.__cause__, TimeoutError)
        spec = ServerSpec((), OWN_GPUS, AttachedHost.at(f"http://{address}"), timeout=0.5)
        with pytest.raises(NotReached) as not_reached:
            AttachedServer(spec).wait_until_live()
    assert not_reached.value.cause == "timeout"
    assert "no answer within 0.5 s" in str(not_reached.value)


@pytest.mark.parametrize("answer", [never_ends, claims_much, chunks_without_end])
def test_body_without_end_is_refused(answer: Answer) -> None:
    with fake_server(answer) as address, HttpApi(address) as api:
        with pytest.raises(ServerSilent, match=f"larger than {LARGEST >> 20} MB"):
            api.index()
        assert api.live("x") is None


def test_timeout_holds_for_all_questions_of_a_start_together() -> None:
    asked: list[bytes] = []

    def slow(connection: socket.socket, request: bytes) -> None:
        asked.append(request.split(b" ")[1])
        time.sleep(0.4)
        body = json.dumps({"name": "x", "version": "2", "extensions": []}).encode()
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    with fake_server(slow) as address:
        spec = ServerSpec((), OWN_GPUS, AttachedHost.at(f"http://{address}"), timeout=1.0)
        with pytest.raises(NotReached):
            AttachedServer(spec).wait_until_live()
    assert asked == [b"/v2", b"/v2", b"/v2/health/live"], "0.4 s each"


def test_index_of_a_hundred_thousand_models_is_read() -> None:
    index = [{"name": f"model_{n}", "version": "1", "state": "UNAVAILABLE"} for n in range(100_000)]
    body = json.dumps(index).encode()

    def answer(connection: socket.socket, request: bytes) -> None:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    with fake_server(answer) as address:
        spec = ServerSpec((), OWN_GPUS, AttachedHost.at(f"http://{address}"))
        view = AttachedServer(spec).view
        assert len(served_models(view)) == 100_000
        assert len(observe(view, [f"model_{n}" for n in range(100_000)])) == 100_000


def test_answer_over_grpc_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is a fake: a real one with an index of 64 MB takes minutes to start."""
    names = [f"model_{number}" for number in range(2000)]
    monkeypatch.setattr(grpc_module, "LARGEST", 20_000)
    with fake_grpc_server(names[:100]) as address, GrpcApi(address) as api:
        assert len(api.index()) == 100
    with fake_grpc_server(names) as address, GrpcApi(address) as api:
        with pytest.raises(ServerSilent, match=r"larger than max \(\d+ vs\. 20000\)"):
            api.index()
        assert api.ready() is True


def test_limit_over_grpc_is_that_of_http() -> None:
    """A reason of one model is enough: 64 MB."""
    with (
        fake_grpc_server(["m"], reason="x" * LARGEST) as address,
        GrpcApi(address) as api,
        pytest.raises(ServerSilent, match=rf"larger than max .* vs\. {LARGEST}"),
    ):
        api.index()
