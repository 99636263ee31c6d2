"""HTTP connections on which an answer takes neither for ever nor all memory.

http.client's time-out is for each read: a server that sends a byte a second never meets it. Here
one deadline holds for a whole exchange, from the connection to the last byte of the answer.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any

LARGEST = 64 << 20  # bytes of an answer; the index of 100,000 models is about 20 MB
_PIECE = 1 << 16


class AnswerTooLarge(http.client.HTTPException):
    """An answer that doesn't end, or is larger than any that Triton gives."""

    def __init__(self) -> None:
        super().__init__(f"the answer is larger than {LARGEST >> 20} MB")


class BoundedConnection(http.client.HTTPConnection):
    """A connection to `host:port`, with TLS if there is a `context`."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None = None) -> None:
        super().__init__(host, port)
        self._context = context
        self._deadline = 0.0

    def exchange(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, *, seconds: float
    ) -> tuple[int, bytes]:
        """The status and the body of the answer. Raises OSError or HTTPException.

        The connection stays open for the next exchange, unless this one fails.
        """
        self._deadline = time.monotonic() + seconds
        try:
            self._limit_waiting()
            self.request(method, path, headers=dict(headers or {}))
            response = self.getresponse()
            return response.status, _body(response)
        except BaseException:
            self.close()
            raise

    def connect(self) -> None:
        self.timeout = self._left()
        super().connect()
        if self._context is not None:
            self.sock.settimeout(self._left())
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)
        self.sock = _Sock(self.sock, self)

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        return left

    def _limit_waiting(self) -> None:
        if self.sock is not None:
            self.sock.settimeout(self._left())


class _Sock:
    """What http.client uses of a socket."""

    def __init__(self, sock: socket.socket, connection: BoundedConnection) -> None:
        self._sock = sock
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def sendall(self, data: bytes) -> None:
        self._connection._limit_waiting()
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock, self._connection), _PIECE)


class _Reader(io.RawIOBase):
    def __init__(self, sock: socket.socket, connection: BoundedConnection) -> None:
        self._sock = sock
        self._connection = connection
        self._raw = sock.makefile("rb", buffering=0)  # which keeps the socket open

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._connection._left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _body(response: http.client.HTTPResponse) -> bytes:
    if (response.length or 0) > LARGEST:
        raise AnswerTooLarge()
    pieces: list[bytes] = []
    size = 0
    while piece := response.read(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST:
            raise AnswerTooLarge()
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return b"".join(pieces)
