"""The configurations of READY models as Triton's core resolved them, by the quickest way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from pytest_triton.client.api import open_api
from pytest_triton.client.batch import model_configs
from pytest_triton.client.endpoints import Endpoints
from pytest_triton.client.grpc import GrpcApi
from pytest_triton.client.http import NotAddressable

_MANY = 50  # models

Config = Mapping[str, Any]


def resolved_configs(
    server: Endpoints, models: Sequence[str]
) -> Iterator[tuple[str, Config | None]]:
    """Name and configuration (as JSON) of each of these READY models, in any order.

    None for a name that can't be said over HTTP, where gRPC isn't known. Raises ServerSilent.
    """
    few = models
    if len(models) >= _MANY and server.http and server.direct:
        few = [name for name in models if quote(name, safe="") != name]
        yield from model_configs(
            server.http, [name for name in models if quote(name, safe="") == name]
        )
    if few:
        with open_api(server) as api:
            for name in few:
                try:
                    yield name, api.model_config(name)
                except NotAddressable:
                    yield name, _over_grpc(server, name)


def _over_grpc(server: Endpoints, model: str) -> Config | None:
    """Slower to begin with, since grpc has to be imported; but it can say every name."""
    if not server.grpc:
        return None
    with GrpcApi(server.grpc, direct=server.direct) as api:
        return api.model_config(model)
