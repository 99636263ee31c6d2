"""The few questions that the plugin asks a server, over the protocol that it is known by."""

from __future__ import annotations

import math
from typing import TypeAlias

from pytest_triton.client.endpoints import Endpoints
from pytest_triton.client.grpc import GrpcApi
from pytest_triton.client.http import HttpApi

Api: TypeAlias = "HttpApi | GrpcApi"


def open_api(server: Endpoints, *, timeout: float = 10.0, until: float = math.inf) -> Api:
    """A connection to close after use. Raises BadCredentials.

    `timeout` is for each answer, in seconds; there is none after `until` (of time.monotonic).
    """
    access = server.access
    if server.http:
        return HttpApi(
            server.http,
            timeout=timeout,
            context=access.context("http/1.1") if server.secure else None,
            headers=access.header_values(),
            until=until,
            access=access,
        )
    return GrpcApi(
        server.grpc,
        timeout=timeout,
        access=access if server.secure else None,
        headers=access.header_values(),
        until=until,
        hidden=access,
        direct=server.direct,
    )
