"""The few questions that the plugin itself asks a server, over Triton's HTTP/REST protocol.

A plain `http.client` connection, since importing tritonclient takes longer than a whole run
over a small repository. Users get tritonclient's own clients.
"""

from __future__ import annotations

import http.client
import json
import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pytest_triton.client.answer_types import is_config, is_index, is_metadata
from pytest_triton.client.bounded_http import BoundedConnection
from pytest_triton.client.tls import OPEN, Access
from pytest_triton.errors import PytestTritonError, says_all

if TYPE_CHECKING:
    import ssl


__tracebackhide__ = says_all


_QUOTED = 1 << 16  # bytes of an answer; only what they begin with is shown


class ServerSilent(PytestTritonError):
    """The server did not answer, or not in Triton's protocol."""


class NotAllowed(ServerSilent):
    """The server, or a proxy before it, wants other credentials."""


class NotAddressable(PytestTritonError):
    """A model whose name can't be said over HTTP."""


class HttpApi:
    """One keep-alive connection to a server's HTTP endpoint, `host:port`. Not thread-safe.

    Behind a proxy the address may end with a path. With a TLS `context` it is https; `headers`
    are sent with every request, and the credentials of `access` hidden in all answers. `timeout`
    is for each answer, as a whole; there is none after `until` (of time.monotonic).
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: float = 10.0,
        context: ssl.SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
        until: float = math.inf,
        access: Access = OPEN,
    ) -> None:
        self.address = address
        self._until = until
        self._access = access
        netloc, slash, path = address.partition("/")
        host, _, port = netloc.rpartition(":")
        self._prefix = slash + path
        self._headers = dict(headers or {})
        self._timeout = timeout
        self._connection = BoundedConnection(host.strip("[]"), int(port), context)

    def __enter__(self) -> HttpApi:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def live(self, name: str) -> bool | None:
        """Whether the server of this name (its `--id`) says that it lives. Never raises.

        None if nobody answers, or somebody else, who took the port first.
        """
        try:
            _, body = self._exchange("GET", "/v2")
            if json.loads(body).get("name") != name:
                return None
            status, _ = self._exchange("GET", "/v2/health/live")
        except (OSError, http.client.HTTPException, ValueError, AttributeError, RecursionError):
            return None
        return status == 200

    def ready(self) -> bool:
        """Whether the server says that it is ready; it isn't while any model is refused."""
        try:
            status, _ = self._exchange("GET", "/v2/health/ready")
        except (OSError, http.client.HTTPException):
            return False
        return status == 200

    def metadata(self) -> dict[str, Any]:
        """Name, version and extensions of the server."""
        answer: dict[str, Any] = self._ask("GET", "/v2", is_metadata)
        return answer

    def index(self) -> list[dict[str, str]]:
        """The repository index: name, and where known version, state and reason of each model."""
        answer: list[dict[str, str]] = self._ask("POST", "/v2/repository/index", is_index)
        return answer

    def model_config(self, model: str) -> dict[str, Any]:
        """The configuration of a READY model as core resolved it, as JSON.

        Raises NotAddressable for a name that Triton's HTTP endpoint can't find: it takes the path
        as it is, and a URL has no way to say a space, for instance.
        """
        if quote(model, safe="") != model:
            raise NotAddressable(f"{model!r} can't stand in a URL", fix="ask over gRPC")
        answer: dict[str, Any] = self._ask("GET", f"/v2/models/{model}/config", is_config)
        return answer

    def close(self) -> None:
        self._connection.close()

    def _ask(self, method: str, path: str, is_right: Callable[[object], bool]) -> Any:
        """The JSON of an answer of the right types. Raises ServerSilent."""
        try:
            status, body = self._exchange(method, path)
        except (OSError, http.client.HTTPException) as error:
            raise ServerSilent(
                f"The server at {self.address} gave no answer to {method} {path}: "
                f"{self._access.hide(repr(error))}",
                fix="it may have ended or be stuck; see its log (shown in the report)",
            ) from error
        try:
            answer = self._access.hide_in(json.loads(body))
        except (ValueError, RecursionError):
            answer = None
        if status in (401, 403):
            raise NotAllowed(
                f"The server at {self.address} answered {method} {path} with status {status}.",
                fix="give the credentials that it wants: --triton-header=Authorization=env:TOKEN",
            )
        if status != 200 or answer is None:
            raise ServerSilent(
                f"The server at {self.address} answered {method} {path} with status {status}: "
                f"{self._access.hide(body[:_QUOTED].decode(errors='replace'))[:300]}",
                fix="check that this is a Triton server and that the model is still loaded",
            )
        if not is_right(answer):
            raise ServerSilent(
                f"The server at {self.address} answered {method} {path} with JSON that is not "
                f"Triton's: {self._access.hide(body[:_QUOTED].decode(errors='replace'))[:300]}",
                fix="check that this is a Triton server, and no proxy answers in its place",
            )
        return answer

    def _exchange(self, method: str, path: str) -> tuple[int, bytes]:
        return self._connection.exchange(
            method,
            self._prefix + path,
            self._headers,
            seconds=min(self._timeout, self._until - time.monotonic()),
        )
