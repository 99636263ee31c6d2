"""The servers of a test session: one for each spec, started when first needed, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_triton.errors import PytestTritonError
from pytest_triton.servers.launching import launch
from pytest_triton.servers.server import RunningServer, Server
from pytest_triton.servers.spec import ServerSpec

MAX_RUNNING = 4


class ServerPool:
    """Hands out one running server a spec; the least recently used ends when there are too many.

    A start that failed is remembered: asking again fails at once with the same error.
    """

    def __init__(
        self,
        *,
        max_running: int = MAX_RUNNING,
        launch: Callable[[ServerSpec], Server] = launch,
    ) -> None:
        self._max_running = max_running
        self._launch_one = launch
        self._servers: dict[ServerSpec, Server] = {}  # least recently used first
        self._live: set[ServerSpec] = set()
        self._released: dict[ServerSpec, Server] = {}  # ending, kept for their logs
        self._failed: dict[ServerSpec, PytestTritonError] = {}

    def launch(self, specs: Sequence[ServerSpec]) -> None:
        """Begin starting servers side by side, as many as may run; errors are kept for `get`."""
        for spec in specs[: self._max_running]:
            if spec in self._servers or spec in self._failed:
                continue
            self._make_room()
            try:
                self._servers[spec] = self._launch_one(spec)
            except PytestTritonError as error:
                self._failed[spec] = error

    def get(self, spec: ServerSpec) -> RunningServer:
        """The live server of a spec, started if need be. Raises the error that prevented it."""
        self.launch([spec])
        if spec in self._failed:
            raise self._failed[spec].with_traceback(None)
        server = self._servers.pop(spec)
        self._servers[spec] = server
        if spec in self._live:
            server.check_alive()
            return server.view
        try:
            server.wait_until_live()
        except PytestTritonError as error:
            self._failed[spec] = error
            del self._servers[spec]
            server.stop()
            raise
        self._live.add(spec)
        return server.view

    def release(self, spec: ServerSpec) -> None:
        """Let a server end while the tests go on; its log stays readable for a while.

        Who asks for it again gets a new one.
        """
        server = self._servers.pop(spec, None)
        self._live.discard(spec)
        if server is None:
            return
        server.begin_stop()
        earlier = self._released.pop(spec, None)
        if earlier is not None:
            earlier.stop()
        while len(self._released) >= self._max_running:
            oldest = next(iter(self._released))
            self._released.pop(oldest).stop()
        self._released[spec] = server

    def handed_out(self) -> tuple[RunningServer, ...]:
        """The servers that have been handed out and whose logs can be read."""
        running = [server for spec, server in self._servers.items() if spec in self._live]
        return tuple(server.view for server in (*self._released.values(), *running))

    def close(self) -> None:
        """End all servers, at the same time."""
        for server in self._servers.values():
            server.begin_stop()
        for servers in (self._released, self._servers):
            while servers:
                _, server = servers.popitem()
                server.stop()
        self._live.clear()

    def _make_room(self) -> None:
        while len(self._servers) >= self._max_running:
            oldest = next(iter(self._servers))
            self._live.discard(oldest)
            self._servers.pop(oldest).stop()
