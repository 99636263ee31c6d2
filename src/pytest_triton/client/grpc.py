"""The questions of http.py, asked over gRPC, for servers of which only that endpoint is known."""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pytest_triton.client.bounded_http import LARGEST
from pytest_triton.client.channels import direct_channel_args
from pytest_triton.client.http import NotAllowed, ServerSilent
from pytest_triton.client.tls import OPEN, Access, Secret

if TYPE_CHECKING:
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.grpc.aio import InferenceServerClient as AsyncInferenceServerClient

_NOT_ALLOWED = ("StatusCode.UNAUTHENTICATED", "StatusCode.PERMISSION_DENIED")


class GrpcApi:
    """A connection to a server's gRPC endpoint, `host:port`; `HttpApi`'s methods.

    Can say every model's name. `access` None: no TLS; the credentials of
    `hidden` are hidden in all answers. Importing grpc takes a while.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: float = 10.0,
        access: Access | None = None,
        headers: Mapping[str, str] | None = None,
        until: float = math.inf,
        hidden: Access = OPEN,
        direct: bool = False,
    ) -> None:
        self.address = address
        self._timeout = timeout
        self._until = until
        self._hidden = hidden
        self._headers = _metadata(headers or {}) or None
        self._client = grpc_client(address, access, direct=direct, most=LARGEST)

    def __enter__(self) -> GrpcApi:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def live(self, name: str) -> bool | None:
        """Whether the server of this name says that it lives; None if it isn't there."""
        try:
            if self.metadata().get("name") != name:
                return None
            return bool(self._ask("is_server_live"))
        except ServerSilent:
            return None

    def ready(self) -> bool:
        """Whether the server says that it is ready; it isn't while any model is refused."""
        try:
            return bool(self._ask("is_server_ready"))
        except ServerSilent:
            return False

    def metadata(self) -> dict[str, Any]:
        """Name, version and extensions of the server."""
        return dict(self._ask("get_server_metadata", as_json=True))

    def index(self) -> list[dict[str, str]]:
        """The repository index: name, and where known version, state and reason of each model."""
        answer = self._ask("get_model_repository_index", as_json=True)
        return list(answer.get("models", ()))

    def model_config(self, model: str) -> dict[str, Any]:
        """The configuration of a READY model as core resolved it, as JSON."""
        return dict(self._ask("get_model_config", model, as_json=True)["config"])

    def close(self) -> None:
        self._client.close()

    def _ask(self, method: str, *arguments: str, **named: Any) -> Any:
        from tritonclient.utils import InferenceServerException

        call: Callable[..., Any] = getattr(self._client, method)
        seconds = max(0.001, min(self._timeout, self._until - time.monotonic()))
        try:
            answer = call(*arguments, headers=self._headers, client_timeout=seconds, **named)
            return self._hidden.hide_in(answer)
        except InferenceServerException as error:
            kind = NotAllowed if error.status() in _NOT_ALLOWED else ServerSilent
            asked = " of ".join([method, *map(repr, arguments)])
            raise kind(
                f"The server at {self.address} did not answer {asked} over gRPC: "
                f"{self._hidden.hide(str(error))}",
                fix="give the credentials that it wants: --triton-header=Authorization=env:TOKEN"
                if kind is NotAllowed
                else "it may have ended or be stuck; see its log",
            ) from error


def grpc_client(
    address: str,
    access: Access | None = None,
    headers: Mapping[str, Secret] | None = None,
    *,
    direct: bool = False,
    most: int | None = None,
) -> InferenceServerClient:
    """tritonclient's own client, which sends these headers with everything it asks.

    `direct`: the proxies of the environment aren't used. With `most` it takes no answer of more
    bytes.
    """
    from tritonclient.grpc import InferenceServerClient

    settings = {**_tls(access), **_channel(direct, most)}
    return _with_headers(InferenceServerClient(address, **settings), headers)


def async_grpc_client(
    address: str,
    access: Access | None = None,
    headers: Mapping[str, Secret] | None = None,
    *,
    direct: bool = False,
) -> AsyncInferenceServerClient:
    """The same of asyncio."""
    from tritonclient.grpc.aio import InferenceServerClient

    settings = {**_tls(access), **_channel(direct)}
    return _with_headers(InferenceServerClient(address, **settings), headers)


def _channel(direct: bool, most: int | None = None) -> dict[str, Any]:
    given = dict(direct_channel_args()) if direct else {}
    if most is not None:
        given["grpc.max_receive_message_length"] = most
    return {"channel_args": list(given.items())} if given else {}


def _tls(access: Access | None) -> dict[str, Any]:
    if access is None:
        return {}
    # Without a file grpc trusts a list of its own instead of this machine's authorities.
    ca = access.ca or ssl.get_default_verify_paths().cafile
    return {
        "ssl": True,
        "root_certificates": str(ca) if ca else None,
        "private_key": str(access.key or access.certificate) if access.certificate else None,
        "certificate_chain": str(access.certificate) if access.certificate else None,
    }


def _with_headers(client: Any, headers: Mapping[str, Secret] | None) -> Any:
    if headers:
        client.register_plugin(_headers_plugin(headers))
    return client


def _metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers as gRPC takes them: a key with a capital letter is refused."""
    return {header.lower(): value for header, value in headers.items()}


def _headers_plugin(headers: Mapping[str, Secret]) -> Any:
    from tritonclient.grpc import InferenceServerClientPlugin

    class Headers(InferenceServerClientPlugin):  # type: ignore[misc]
        def __call__(self, request: Any) -> None:
            request.headers.update(_metadata(headers))

    return Headers()
