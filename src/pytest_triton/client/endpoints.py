"""Where a running server answers, and what it wants before it does."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_triton.client.address import Endpoint
from pytest_triton.client.tls import OPEN, Access


@dataclass(frozen=True)
class Endpoints:
    """The addresses of a server, `host:port`, or "" where it has none or none is known.

    `server` says which one it is, for people. With `secure` it speaks TLS. `direct`: no proxy of
    the environment is used to reach it. Of a server that somebody else runs `metrics` ends with the
    path of their page, and `metrics_secure` says whether they are behind TLS.
    """

    server: str
    http: str = ""
    grpc: str = ""
    metrics: str = ""
    access: Access = OPEN
    secure: bool = False
    direct: bool = True
    metrics_secure: bool = False

    @classmethod
    def at(
        cls, endpoint: Endpoint, access: Access, server: str, metrics: Endpoint | None = None
    ) -> Endpoints:
        """Of a server that somebody else runs, of which this one endpoint (and its metrics) is
        known."""
        return cls(
            server,
            http="" if endpoint.is_grpc else endpoint.address,
            grpc=endpoint.address if endpoint.is_grpc else "",
            access=access,
            secure=endpoint.secure,
            direct=False,
            metrics=metrics.address if metrics is not None else "",
            metrics_secure=metrics is not None and metrics.secure,
        )
