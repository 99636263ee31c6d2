"""tritonclient's clients of one server: made when first used, closed together."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_triton.client.control import Control
from pytest_triton.client.native import connect_grpc, connect_http

if TYPE_CHECKING:
    from pytest_triton.client.endpoints import Endpoints


class Clients:
    """The clients of a server, for the time of a test."""

    def __init__(self, server: Endpoints) -> None:
        self._server = server
        self._closing: list[Callable[[], None]] = []

    @cached_property
    def grpc(self) -> Any:
        client = connect_grpc(self._server)
        self._closing.append(client.close)
        return client

    @cached_property
    def http(self) -> Any:
        client = connect_http(self._server)
        self._closing.append(client.close)
        return client

    @property
    def known(self) -> Any:
        """gRPC's, or HTTP's where only that endpoint is known."""
        return self.grpc if self._server.grpc else self.http

    @cached_property
    def control(self) -> Control:
        """To load and unload with."""
        return Control(self.known, self._server.access)

    def close(self) -> None:
        while self._closing:
            self._closing.pop()()
