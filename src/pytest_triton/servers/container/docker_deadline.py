"""Docker's API with a deadline and a size limit for every answer.

docker-py's time-out is for each read, and what it reads it keeps. A call that is late goes on in a
thread that nobody waits for: there is no other way to leave it, whatever the daemon's transport.
"""

from __future__ import annotations

import math
import threading
import time
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


class AnswerTime:
    """How long Docker may take: `seconds` for each answer, or for all of a start together.

    What takes as long as it is large, images and files on their way, doesn't count.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.left = math.inf  # of a start
        self.until = math.inf  # on the monotonic clock

    def start(self) -> None:
        """From here on, all answers together have `seconds`."""
        self.left = self.seconds

    def end_start(self) -> None:
        """From here on, each answer has `seconds` of its own."""
        self.left = self.until = math.inf

    def within(self, call: Callable[[], T]) -> T:
        """What the call returns or raises; requests.Timeout if that takes too long."""
        begun, left = time.monotonic(), self.left
        limit = max(0.0, min(self.seconds, left, self.until - begun))
        try:
            return within(limit, call)
        except requests.Timeout:
            if limit == self.seconds:
                raise
            raise requests.Timeout(
                f"its answers to a start took more than {self.seconds:g} s, all together"
            ) from None
        finally:
            # The call may have asked several questions by this way: their time counts once.
            self.left = min(self.left, left - (time.monotonic() - begun))


def bound(
    client: docker.DockerClient, seconds: float, answers: AnswerTime | None = None
) -> docker.DockerClient:
    """Hold all answers to the client to this time, but for streams and what is uploaded."""
    session: Any = client.api
    send = session.send
    time_of_answers = answers or AnswerTime(seconds)

    def bounded(request: requests.PreparedRequest, **given: Any) -> requests.Response:
        if request.method == "PUT" or "/images/create" in str(request.url):  # of any size
            response: requests.Response = send(request, **given)
            return response
        if given.get("stream"):  # who reads it counts the time
            return within(seconds, lambda: _read(send, request, given))
        return time_of_answers.within(lambda: _read(send, request, given))

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
