"""A server's metrics, as text."""

from __future__ import annotations

import http.client
import time

from pytest_triton.client.bounded_http import BoundedConnection
from pytest_triton.client.endpoints import Endpoints
from pytest_triton.errors import PytestTritonError, says_all

__tracebackhide__ = says_all

_ANSWER = 10.0  # seconds
_OPENED = 3.0  # seconds until a port that refuses connections is taken for closed
_STEP = 0.01


class NoMetrics(PytestTritonError):
    """A server whose metrics can't be had."""


def read_metrics(server: Endpoints) -> str:
    """In Prometheus' text format. Raises NoMetrics."""
    if not server.metrics and not server.direct:
        raise NoMetrics(
            f"{server.server}: the address of its metrics isn't known",
            fix="let pytest-triton start the server (a process or a container)",
        )
    if not server.metrics:
        raise NoMetrics(
            f"{server.server} has no metrics: this release can't keep them on the loopback",
            fix="take a newer release",
        )
    try:
        status, body = _get(server.metrics)
    except (OSError, http.client.HTTPException) as error:
        raise NoMetrics(
            f"{server.server} gave no metrics at {server.metrics}",
            tried=[f"GET /metrics: {error!r}"],
            fix="leave --allow-metrics on, or take a newer release: 2.33.0 can't show metrics to "
            "this machine alone, so that pytest-triton switches them off",
        ) from error
    if status != 200:
        raise NoMetrics(
            f"{server.server} answered {server.metrics}/metrics with {status}",
            fix="check that this port is the server's own",
        )
    return body.decode(errors="replace")


def _get(address: str) -> tuple[int, bytes]:
    """Triton opens this port last, a little after it says that it is live."""
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + _OPENED
    while True:
        connection = BoundedConnection(host, int(port))
        try:
            return connection.exchange("GET", "/metrics", seconds=_ANSWER)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_STEP)
        finally:
            connection.close()
