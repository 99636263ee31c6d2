"""The resolved configurations of many models, asked for in one go.

http.client takes several times as long to read an answer as Triton does to write it, which counts
for thousands of models: so this is plain HTTP/1.1 on a few connections, with one request under way
on each (several on one connection, pipelined, made Triton hang).
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, BinaryIO

from pytest_triton.client.bounded_http import LARGEST
from pytest_triton.client.http import ServerSilent

_CONNECTIONS = 4
_LONGEST = 1 << 16  # bytes of a line
_TIMEOUT = 10.0  # seconds, for each answer


def model_configs(address: str, models: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and configuration (as JSON) of each READY model, in their order.

    `address` is `host:port`; the names are such as can stand in a URL. Raises ServerSilent.
    """
    host, _, port = address.rpartition(":")
    asked = models[0] if models else ""
    try:
        with ExitStack() as stack:
            connections = []
            for _ in models[:_CONNECTIONS]:
                connection = socket.create_connection((host, int(port)), _TIMEOUT)
                stack.enter_context(connection)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connections.append((connection, stack.enter_context(connection.makefile("rb"))))
            count = len(connections)
            for (connection, _), asked in zip(connections, models, strict=False):
                connection.sendall(_request(asked, address))
            for number, asked in enumerate(models):
                connection, answers = connections[number % count]
                body = _body(answers)
                if number + count < len(models):
                    connection.sendall(_request(models[number + count], address))
                yield asked, json.loads(body)
    except (OSError, ValueError) as error:
        raise ServerSilent(
            f"The server at {address} gave no answer to GET {_path(asked)}: {error!r}",
            fix="it may have ended or be stuck; see its log (shown in the report)",
        ) from error


def _path(model: str) -> str:
    return f"/v2/models/{model}/config"


def _request(model: str, address: str) -> bytes:
    return f"GET {_path(model)} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()


def _body(answers: BinaryIO) -> bytes:
    """The body of the next answer. Raises ValueError if it isn't a good one, and complete."""
    status = answers.readline(_LONGEST)
    length = -1
    while (line := answers.readline(_LONGEST)) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    if status.split(b" ")[1:2] != [b"200"] or length < 0:
        raise ValueError(status.decode(errors="replace").strip() or "it closed the connection")
    if length > LARGEST:
        raise ValueError("the answer is too large")
    body = answers.read(length)
    if len(body) < length:
        raise ValueError("the answer broke off")
    return body
