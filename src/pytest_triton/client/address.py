"""The URL of a server that somebody else runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import urlsplit

from pytest_triton.errors import PytestTritonError

Scheme = Literal["grpc", "grpcs", "http", "https"]
_METRICS = 8002
_PORTS = {"grpc": 8001, "grpcs": 443, "http": 8000, "https": 443}


class BadUrl(PytestTritonError):
    """Not the URL of a server. The text doesn't repeat it if it holds credentials."""


@dataclass(frozen=True)
class Endpoint:
    """`host` without brackets; `path` is what stands before /v2 behind a proxy, "" or `/x`."""

    scheme: Scheme
    host: str
    port: int
    path: str = ""

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Of `grpc://host:8001`, `grpcs://`, `http://` or `https://`. Raises BadUrl."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            parts, host, port = urlsplit(""), None, None
        scheme = next((known for known in get_args(Scheme) if known == parts.scheme), None)
        if "@" in url:
            raise BadUrl(
                "The server's URL has a user or password in it.",
                fix="leave it out; give credentials as headers that are read from the "
                "environment: --triton-header=Authorization=env:TOKEN",
            )
        path = parts.path.rstrip("/")
        if scheme is None or not host or port == 0 or parts.query or parts.fragment:
            raise BadUrl(
                f"{_without_query(url)!r} is not the URL of a Triton server.",
                fix="grpc://host:8001, grpcs://host, http://host:8000 or https://host",
            )
        if path and scheme.startswith("grpc"):
            raise BadUrl(
                f"{_without_query(url)!r}: gRPC knows no path.", fix=f"{scheme}://{parts.netloc}"
            )
        return cls(scheme, host, port if port is not None else _PORTS[scheme], path)

    @classmethod
    def of_metrics(cls, url: str) -> Endpoint:
        """Of the page of a server's metrics, `http://host:8002/metrics`. Raises BadUrl."""
        fix = "http://host:8002/metrics, or https://..."
        if not url.startswith(("http://", "https://")):
            raise BadUrl(f"{_without_query(url)!r} is not the URL of metrics.", fix=fix)
        found = cls.parse(url)
        port = found.port
        if found.scheme == "http" and urlsplit(url).port is None:
            port = _METRICS
        return cls(found.scheme, found.host, port, found.path or "/metrics")

    @property
    def secure(self) -> bool:
        return self.scheme in ("grpcs", "https")

    @property
    def is_grpc(self) -> bool:
        return self.scheme in ("grpc", "grpcs")

    @property
    def address(self) -> str:
        """`host:port`, and behind a proxy its path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}{self.path}"

    @property
    def is_local(self) -> bool:
        return self.host in ("localhost", "127.0.0.1", "::1")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.address}"


def _without_query(url: str) -> str:
    """Query and fragment may hold credentials."""
    start = re.split("[?#]", url, maxsplit=1)[0]
    return start if start == url else f"{start}?..."
