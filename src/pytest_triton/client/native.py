"""tritonclient's own clients, connected with the TLS files and headers that a server wants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_triton.client.endpoints import Endpoints
from pytest_triton.client.grpc import async_grpc_client, grpc_client
from pytest_triton.client.tls import Access, Secret
from pytest_triton.errors import PytestTritonError, says_all

if TYPE_CHECKING:
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.grpc.aio import InferenceServerClient as AsyncInferenceServerClient
    from tritonclient.http import InferenceServerClient as HttpClient


__tracebackhide__ = says_all


class NoSuchEndpoint(PytestTritonError):
    """A client was asked for, for an endpoint whose address isn't known or can't be used."""


def connect_grpc(server: Endpoints) -> InferenceServerClient:
    """A gRPC client to close after use. Raises NoSuchEndpoint, BadCredentials."""
    return grpc_client(*_grpc_endpoint(server), direct=server.direct)


def connect_grpc_async(server: Endpoints) -> AsyncInferenceServerClient:
    """A gRPC client of asyncio, to close after use. Raises NoSuchEndpoint, BadCredentials."""
    return async_grpc_client(*_grpc_endpoint(server), direct=server.direct)


def _grpc_endpoint(server: Endpoints) -> tuple[str, Access | None, dict[str, Secret]]:
    if not server.grpc:
        raise _unknown(server, "gRPC", "grpc://host:8001")
    access = server.access
    return server.grpc, access if server.secure else None, access.header_values()


def connect_http(server: Endpoints, *, timeout: float = 60.0) -> HttpClient:
    """An HTTP client to close after use. Raises NoSuchEndpoint, BadCredentials."""
    if not server.http:
        raise _unknown(server, "HTTP", "http://host:8000")
    try:
        from tritonclient.http import InferenceServerClient
    except (ImportError, RuntimeError) as error:
        raise NoSuchEndpoint(
            f"tritonclient has no HTTP client here: {error}",
            fix="pip install 'tritonclient[http]'",
        ) from error
    access = server.access
    more: dict[str, Any] = {}
    if server.secure:
        more = {"ssl": True, "ssl_context_factory": lambda: _gevent_context(access)}
    client = InferenceServerClient(
        server.http, connection_timeout=timeout, network_timeout=timeout, **more
    )
    headers = access.header_values()
    if headers:
        client.register_plugin(_headers_plugin(headers))
    return client


def _unknown(server: Endpoints, protocol: str, url: str) -> NoSuchEndpoint:
    return NoSuchEndpoint(
        f"The {protocol} endpoint of {server.server} is not known.",
        fix=f"attach to it by that endpoint: --triton-server={url}",
    )


def _gevent_context(access: Access) -> Any:
    """The HTTP client's sockets are gevent's, and need a context of gevent's kind."""
    from importlib import import_module

    context = import_module("gevent.ssl").create_default_context(cafile=access.ca)
    access.add_certificate(context)
    return context


def _headers_plugin(headers: Mapping[str, Secret]) -> Any:
    from tritonclient.http import InferenceServerClientPlugin

    class Headers(InferenceServerClientPlugin):  # type: ignore[misc]
        def __call__(self, request: Any) -> None:
            request.headers.update(headers)

    return Headers()
