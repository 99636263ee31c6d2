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
    """In Prometheus' text format. Raises NoMetrics, and BadCredentials for an attached server."""
    if not server.metrics and not server.direct:
        raise NoMetrics(
            f"the address of the metrics of {server.server} isn't known",
            fix="name it: --triton-metrics=http://HOST:8002/metrics (8002 is Triton's port for "
            "them); without a way to it, test this with a server that pytest starts: "
            "server='process' in the marker",
        )
    if not server.metrics:
        raise NoMetrics(
            f"{server.server} has no metrics: this release can't keep them on the loopback",
            fix="take a newer release",
        )
    try:
        status, body = _get(server)
    except (OSError, http.client.HTTPException) as error:
        raise NoMetrics(
            f"{server.server} gave no metrics at {server.metrics}",
            tried=[f"GET {_path(server)}: {error!r}"],
            fix="leave --allow-metrics on, or take a newer release: 2.33.0 can't show metrics to "
            "this machine alone, so that pytest-triton switches them off"
            if server.direct
            else "check the address in --triton-metrics, and that the way there is open: the "
            "server may keep its metrics to its own machine (--metrics-address), or have none "
            "(--allow-metrics=false)",
        ) from error
    if status != 200:
        raise NoMetrics(
            f"{server.server} answered {server.metrics} with {status}",
            fix="check that this port is the server's own"
            if server.direct
            else "check the address and path in --triton-metrics; headers are sent there only if "
            "its host is that of --triton-server",
        )
    return body.decode(errors="replace")


def _get(server: Endpoints) -> tuple[int, bytes]:
    """Triton opens this port last, a little after it says that it is live."""
    deadline = time.monotonic() + (_OPENED if server.direct else 0.0)
    address = server.metrics.partition("/")[0]
    host, _, port = address.rpartition(":")
    known = (server.http or server.grpc).partition("/")[0].rpartition(":")[0]
    headers = server.access.header_values() if known == host else {}
    context = server.access.context("http/1.1") if server.metrics_secure else None
    while True:
        connection = BoundedConnection(host.strip("[]"), int(port), context)
        try:
            return connection.exchange("GET", _path(server), headers, seconds=_ANSWER)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_STEP)
        finally:
            connection.close()


def _path(server: Endpoints) -> str:
    return "/" + (server.metrics.partition("/")[2] or "metrics")
