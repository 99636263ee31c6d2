"""What all servers have in common, wherever they run: `RunningServer` to use, `Server` to own.

Who uses a server knows a `RunningServer`: a plain value, so that it may be handed to another
process. Who owns it (the pool) has a `Server`, which waits for it and ends it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pytest_triton.client.endpoints import Endpoints
from pytest_triton.servers.server_log import ServerLog
from pytest_triton.servers.spec import ServerSpec


@dataclass(frozen=True)
class RunningServer:
    """A server that answers.

    `name` is its `--id`, `endpoints` say where it answers. `log_file` is None where the log can't
    be read (attached servers, if nobody names it), `log_start` where in it this server begins, in
    bytes. `control_file` where its GPUs aren't simulated. `backends` are
    those that it can load, None if that isn't known. `notes` are worth reporting: the image's
    digest, how the repository got into the container. `image` and `image_digest` are a
    container's; an image that was never in a registry has its id in place of a digest.
    """

    spec: ServerSpec
    name: str
    endpoints: Endpoints
    log_file: Path | None = None
    log_start: int = 0
    control_file: Path | None = None
    backends: frozenset[str] | None = None
    notes: tuple[str, ...] = ()
    image: str | None = None
    image_digest: str | None = None

    @property
    def description(self) -> str:
        """Which server this is, for people: `tritonserver 2.51.0 (process, installed release)`."""
        return self.endpoints.server

    @property
    def http(self) -> str:
        """`host:port`; "" where it has no such endpoint, or none is known."""
        return self.endpoints.http

    @property
    def grpc(self) -> str:
        """`host:port`; "" where it has no such endpoint, or none is known."""
        return self.endpoints.grpc

    @property
    def metrics(self) -> str:
        """`host:port`; "" where it has no such endpoint, or none is known."""
        return self.endpoints.metrics

    @property
    def log(self) -> ServerLog:
        """What it wrote, as far as that can be read here."""
        file = self.log_file or Path(os.devnull)
        return ServerLog(file, self.log_start, self.spec.as_given)


class Server(Protocol):
    """A server and the way to end it. Made by launching, which doesn't wait."""

    @property
    def spec(self) -> ServerSpec:
        """As it was asked for."""

    @property
    def log(self) -> ServerLog:
        """What it wrote; readable until `stop`."""

    @property
    def view(self) -> RunningServer:
        """For its users. Addresses may still change before `wait_until_live` returned."""

    def wait_until_live(self) -> None:
        """Return when it answers. Raises PytestTritonError with the named cause otherwise."""

    def check_alive(self) -> None:
        """Raise PytestTritonError, with exit code, cause and the log's last lines, if it ended."""

    def begin_stop(self) -> None:
        """Ask it to end, without waiting."""

    def stop(self) -> None:
        """End it, wait for that, remove all that it left. Safe to call twice."""
