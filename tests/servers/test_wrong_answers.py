"""Attached servers whose JSON is of the wrong types. They are fakes: no Triton does so."""

from __future__ import annotations

import json
import socket

import pytest

from pytest_triton.client.http import HttpApi, ServerSilent
from pytest_triton.errors import PytestTritonError
from pytest_triton.evidence.observe import observe
from pytest_triton.evidence.usable_gpus import reported_by
from pytest_triton.options.hosts import AttachedHost
from pytest_triton.placement.hardware import OWN_GPUS
from pytest_triton.servers.attached.server import AttachedServer
from pytest_triton.servers.spec import ServerSpec
from support.fake_servers import HEAD, Answer, fake_server

GOOD: dict[str, object] = {
    "/v2": {"name": "x", "version": "2.51.0", "extensions": []},
    "/v2/repository/index": [{"name": "m", "version": "1", "state": "READY"}],
    "/v2/models/m/config": {"name": "m", "instance_group": [{"kind": "KIND_GPU", "gpus": [0]}]},
}


def answering(changed: dict[str, object]) -> Answer:
    answers = {**GOOD, **changed}

    def answer(connection: socket.socket, request: bytes) -> None:
        said = answers.get(request.split(b" ")[1].decode(errors="replace"), "")
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    return answer


def test_answers_of_the_right_types_are_taken() -> None:
    with fake_server(answering({})) as address:
        spec = ServerSpec((), OWN_GPUS, AttachedHost.at(f"http://{address}"), timeout=20)
        server = AttachedServer(spec)
        server.wait_until_live()
        assert observe(server.view, ["m"])["m"].state == "READY"
        assert reported_by(server.view).gpus == (0,)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v2", []),
        ("/v2", "text"),
        ("/v2", {"name": ["x"], "version": "1", "extensions": []}),
        ("/v2", {"name": "x", "version": "1", "extensions": "all"}),
        ("/v2/repository/index", {}),
        ("/v2/repository/index", "READY"),
        ("/v2/repository/index", ["m"]),
        ("/v2/repository/index", [{"state": "READY"}]),
        ("/v2/repository/index", [{"name": {"a": 1}, "state": "READY"}]),
        ("/v2/repository/index", [{"name": "m", "state": 1}]),
        ("/v2/repository/index", [{"name": "m", "state": "UNAVAILABLE", "reason": [1]}]),
        ("/v2/repository/index", b"[" * 100_000 + b"]" * 100_000),
        ("/v2/repository/index", b"\xff\xfe"),
        ("/v2/models/m/config", []),
        ("/v2/models/m/config", {"instance_group": "KIND_GPU"}),
        ("/v2/models/m/config", {"instance_group": ["KIND_GPU"]}),
        ("/v2/models/m/config", {"instance_group": [{"kind": ["KIND_GPU"]}]}),
        ("/v2/models/m/config", {"instance_group": [{"count": "many"}]}),
        ("/v2/models/m/config", {"instance_group": [{"gpus": "0"}]}),
        ("/v2/models/m/config", {"instance_group": [{"gpus": [None]}]}),
        ("/v2/models/m/config", b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    ],
)
def test_answer_of_the_wrong_types_is_an_error_that_names_server_and_answer(
    path: str, said: object
) -> None:
    with fake_server(answering({path: said})) as address:
        spec = ServerSpec((), OWN_GPUS, AttachedHost.at(f"http://{address}"), timeout=20)
        server = AttachedServer(spec)
        with pytest.raises(PytestTritonError) as raised:
            _use(server)
        assert address in str(raised.value)
        assert raised.value.fix
        with HttpApi(address) as api, pytest.raises(ServerSilent, match=f" {path} with "):
            {"/v2": api.metadata, "/v2/repository/index": api.index}.get(
                path, lambda: api.model_config("m")
            )()


def _use(server: AttachedServer) -> None:
    server.wait_until_live()
    observe(server.view, ["m"])
