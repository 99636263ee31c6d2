"""Unknown clients at the broker: they hold no connection for long, and end nothing."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_triton.servers import shared_pool as broker
from pytest_triton.servers.shared_pool import Broker, PoolMaker, RemotePool
from support.watching import wait_until


@pytest.fixture(params=["users", "loopback"])
def invited(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    monkeypatch.setattr(broker, "_HAS_USERS", request.param == "users")
    made = Broker(PoolMaker())
    yield made
    made.close()


def connect(invitation: dict[str, Any]) -> socket.socket:
    if "name" not in invitation:
        return socket.create_connection(("127.0.0.1", invitation["port"]), 10)
    connected = socket.socket(socket.AF_UNIX)
    connected.connect("\0" + invitation["name"])
    connected.settimeout(10)
    return connected


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_hundreds_of_idle_connections_end_nothing(
    invited: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "_HANDSHAKE", 600.0)  # it's not that which drops them
    before = open_files()
    with contextlib.ExitStack() as held:
        for _ in range(400):
            held.enter_context(connect(invited.invitation))
        wait_until(lambda: len(invited._unverified) <= 64, "the oldest to be dropped")
        assert open_files() - before < 400 + 3 * 64
        worker = RemotePool(invited.invitation, "gw0")
        worker._ask("done", None)
        worker.close()
    wait_until(lambda: not invited._unverified, "their end")


def test_connection_without_the_key_is_ended_after_a_while(
    invited: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "_HANDSHAKE", 0.3)
    with connect(invited.invitation) as client:
        received = b"x"
        while received:  # the challenge, and then the end
            client.sendall(b"\0")  # a byte now and then does not help
            received = client.recv(1 << 10)
    assert invited._unverified == {}


def test_accepting_goes_on_after_too_many_open_files(invited: Broker) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with connect(invited.invitation):
        pass
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files() + 4, hard))
    try:
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            while True:
                held.enter_context(connect(invited.invitation))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    worker = RemotePool(invited.invitation, "gw0")
    worker._ask("done", None)
    worker.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_hung_up_on_at_once() -> None:
    made = Broker(PoolMaker())
    code = (
        "import os, socket, sys; os.setuid(12345); s = socket.socket(socket.AF_UNIX);"
        "s.connect('\\0' + sys.argv[1]); s.settimeout(5)\n"
        "try: print(s.recv(100))\n"
        "except ConnectionError: print(b'')"
    )
    asked = subprocess.run(
        [sys.executable, "-c", code, made.invitation["name"]], capture_output=True, text=True
    )
    made.close()
    assert asked.stdout == "b''\n", asked.stderr
