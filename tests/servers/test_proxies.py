"""Proxies of the environment: servers of pytest's own are reached without, attached ones with."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_triton.client.channels import direct_channel_args
from pytest_triton.client.inference import Client
from pytest_triton.client.native import connect_grpc, connect_grpc_async, connect_http
from pytest_triton.evidence.observe import observe
from pytest_triton.options.hosts import AttachedHost
from pytest_triton.placement.hardware import OWN_GPUS, HardwareRequest
from pytest_triton.rehearsal.simulation import OFFICIAL_BACKENDS
from pytest_triton.servers.attached.server import AttachedServer
from pytest_triton.servers.process.server import launch
from pytest_triton.servers.running_server import RunningServer
from pytest_triton.servers.spec import ServerSpec
from support.builders import RepositoryBuilder
from support.proxy import VARIABLES, Proxy, proxy

pytestmark = pytest.mark.usefixtures("folders_left")


@pytest.fixture
def set_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy that all variables name, in both cases; no address is exempt."""
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy", "NO_GRPC_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with proxy() as made:
        for name in VARIABLES:
            monkeypatch.setenv(name, made.url)
        yield made


@pytest.fixture
def server(repository: RepositoryBuilder) -> Iterator[RunningServer]:
    repository.add("cpu", "{ kind: KIND_CPU }")
    repository.add("with space", "{ kind: KIND_CPU }")
    hardware = HardwareRequest.parse("none")
    made = launch(ServerSpec((repository.path,), hardware, stand_ins=OFFICIAL_BACKENDS))
    made.wait_until_live()
    yield made.view
    made.stop()


async def _asked(server: RunningServer) -> bool:
    async with connect_grpc_async(server.endpoints) as client:
        return bool(await client.is_server_live(client_timeout=10))


def ask_async(server: RunningServer) -> bool:
    return asyncio.run(_asked(server))


def ask_grpc(server: RunningServer) -> bool:
    with connect_grpc(server.endpoints) as client:
        return bool(client.is_server_live(client_timeout=10))


def ask_http(server: RunningServer) -> bool:
    with connect_http(server.endpoints) as client:
        return bool(client.is_server_live())


def ask_by_address(server: RunningServer) -> bool:
    with Client(server.endpoints, "grpc", timeout=10) as client:
        return client.is_live()


def ask_for_unusual_name(server: RunningServer) -> bool:
    return observe(server, ["with space"])["with space"].ready


@pytest.mark.parametrize(
    "ask", [ask_grpc, ask_async, ask_http, ask_by_address, ask_for_unusual_name]
)
def test_proxies_with_own_server_are_not_used(
    set_proxy: Proxy, server: RunningServer, ask: Callable[[RunningServer], bool]
) -> None:
    assert ask(server)
    assert set_proxy.requests == []


def test_proxies_with_attached_server_are_used(set_proxy: Proxy, server: RunningServer) -> None:
    url = f"grpc://{server.grpc}"
    attached = AttachedServer(ServerSpec((), OWN_GPUS, AttachedHost.at(url)))
    attached.wait_until_live()
    assert ask_grpc(attached.view)
    assert ask_async(attached.view)
    assert {line.split()[:2] == ["CONNECT", server.grpc] for line in set_proxy.requests} == {True}


def test_channel_args_of_own_servers_are_those_of_tritonclient_and_no_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tritonclient.grpc import InferenceServerClient

    grpc: Any = importlib.import_module("grpc")
    seen: list[dict[str, Any]] = []
    opened = grpc.insecure_channel

    def insecure_channel(address: str, options: Any) -> Any:
        seen.append(dict(options))
        return opened(address, options=options)

    monkeypatch.setattr(grpc, "insecure_channel", insecure_channel)
    for settings in ({}, {"channel_args": direct_channel_args()}):
        InferenceServerClient("127.0.0.1:1", **settings).close()
    assert seen[1] == {**seen[0], "grpc.enable_http_proxy": 0}
