"""Docker daemons that don't answer, or never to the end.

They are fakes: no real one does so, but for one that is stuck.
"""

from __future__ import annotations

import argparse
import json
import socket
import time
from pathlib import Path

import pytest

from pytest_triton import TritonContainer
from pytest_triton.cli import clean
from pytest_triton.servers.container.docker_deadline import within
from pytest_triton.servers.container.engine import NoDocker
from support.fake_servers import HEAD, Answer, drip, fake_server, is_silent, never_ends

VERSION = {"ApiVersion": "1.44", "MinAPIVersion": "1.24", "Version": "25"}


def drips(connection: socket.socket, request: bytes) -> None:
    connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")
    drip(connection, b"{" + b" " * 99999)


def drips_later(connection: socket.socket, request: bytes) -> None:
    if b"/version" not in request.split(b"\r\n")[0]:
        drips(connection, request)
    body = json.dumps(VERSION).encode()
    connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def shouts_later(connection: socket.socket, request: bytes) -> None:
    if b"/version" not in request.split(b"\r\n")[0]:
        never_ends(connection, request)
    drips_later(connection, request)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (is_silent, "no answer within 1.5 s|Read timed out"),
        (drips, "no answer within 1.5 s"),
        (drips_later, "no answer within 1.5 s"),
        (shouts_later, "the answer is larger than 64 MB"),
    ],
)
def test_a_daemon_without_a_proper_answer_meets_the_timeout(
    folders_left: None, monkeypatch: pytest.MonkeyPatch, answer: Answer, said: str
) -> None:
    with fake_server(answer) as address:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://{address}")
        with pytest.raises(NoDocker, match=said) as raised:
            TritonContainer("models", timeout=1.5 if "larger" not in said else 30).start()
    assert ("raise --triton-timeout" in raised.value.cure) is ("larger" not in said)


def test_what_a_late_call_raises_is_raised_and_what_it_returns_is_returned() -> None:
    assert within(5, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 // 0)
    assert within(5, lambda: time.sleep(0.01)) is None


def test_a_context_that_is_not_there_is_an_error(
    folders_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONTEXT", "nosuch")
    with pytest.raises(NoDocker, match="DOCKER_CONTEXT names 'nosuch'"):
        TritonContainer("models")
    with pytest.raises(NoDocker, match="DOCKER_CONTEXT names 'nosuch'"):
        clean.run(argparse.Namespace(others=False))


@pytest.mark.parametrize("config", ['{"proxies": 5}', '{"proxies": {"default": []}}'])
def test_a_config_of_docker_that_is_of_the_wrong_types_is_an_error(
    folders_left: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: str
) -> None:
    (tmp_path / "config.json").write_text(config)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(NoDocker, match="Docker's own configuration can't be used"):
        TritonContainer("models")
