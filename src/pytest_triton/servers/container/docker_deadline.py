"""Docker's API with a deadline and a size limit for every answer.

docker-py's time-out is for each read, and what it reads it keeps. A call that is late goes on in a
thread that nobody waits for: there is no other way to leave it, whatever the daemon's transport.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import requests

from pytest_triton.client.bounded_http import LARGEST

if TYPE_CHECKING:
    import docker

T = TypeVar("T")
_PIECE = 1 << 16


def within(seconds: float, call: Callable[[], T]) -> T:
    """What the call returns or raises; requests.Timeout if that takes longer."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="triton-docker", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise requests.Timeout(f"no answer within {seconds:g} s")
    return results[0]


def bound(client: docker.DockerClient, seconds: float) -> docker.DockerClient:
    """Hold all answers to the client to this time, but for streams and what is uploaded."""
    session: Any = client.api
    send = session.send

    def bounded(request: requests.PreparedRequest, **given: Any) -> requests.Response:
        if request.method == "PUT" or "/images/create" in str(request.url):  # of any size
            response: requests.Response = send(request, **given)
            return response
        return within(seconds, lambda: _read(send, request, given))

    session.send = bounded
    return client


def _read(
    send: Callable[..., requests.Response], request: requests.PreparedRequest, given: dict[str, Any]
) -> requests.Response:
    response = send(request, **{**given, "stream": True})
    if given.get("stream"):
        return response
    pieces: list[bytes] = []
    size = 0
    for piece in response.iter_content(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST:
            response.close()
            raise requests.RequestException(f"the answer is larger than {LARGEST >> 20} MB")
    response._content = b"".join(pieces)
    return response
