"""The servers of our own tests: a port that somebody else took is no finding."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from support import bare_server as module
from support.bare_server import PortTaken, bare_server, free_ports
from support.components import RELEASES, do_without
from support.core_oracle import server_of_release

pytestmark = pytest.mark.server


def release(version: str) -> Path:
    return server_of_release(version) or do_without(RELEASES, f"{RELEASES.reason}: {version}")


@pytest.mark.parametrize("version", ["2.51.0", "2.36.0"])
@pytest.mark.parametrize("place", [0, 1, 2], ids=["http", "grpc", "metrics"])
def test_start_with_a_taken_port_is_repeated(
    version: str, place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[int]] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:

        def ports(count: int) -> list[int]:
            found = free_ports(count)
            if not asked:
                found[place] = taken.getsockname()[1]
            asked.append(found)
            return found

        monkeypatch.setattr(module, "free_ports", ports)
        with bare_server(tmp_path, binary=release(version)) as server:
            assert server.request("/v2")["name"] == server.name
    assert len(asked) == 2


def test_another_servers_answers_are_not_taken_for_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = release("2.51.0")
    with bare_server(tmp_path, binary=binary) as other:
        port = int(other.url.rpartition(":")[2])
        monkeypatch.setattr(module, "free_ports", lambda count: [port, *free_ports(count - 1)])
        with pytest.raises(PortTaken), bare_server(tmp_path, binary=binary):
            pass
        assert other.request("/v2")["name"] == other.name
