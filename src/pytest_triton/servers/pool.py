"""The servers of a test session: one for each spec, started when first needed, a few at a time.

`Pool` is what a session asks for servers. `ServerPool` owns them; in a worker of pytest-xdist the
pool is that of the controller (see broker.py). A ServerPool may be asked from several threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from pytest_triton.errors import PytestTritonError, says_all
from pytest_triton.servers.launching import launch
from pytest_triton.servers.running_server import RunningServer, Server
from pytest_triton.servers.spec import ServerSpec

__tracebackhide__ = says_all

MAX_RUNNING = 4


class Pool(Protocol):
    """Where a session has its servers from."""

    def launch(self, specs: Sequence[ServerSpec]) -> None:
        """Begin starting servers side by side; errors are kept for `get`."""

    def get(self, spec: ServerSpec) -> RunningServer:
        """The live server of a spec, started if need be. It stays until `done` or `release`.

        Raises the error that prevented it.
        """

    def done(self) -> None:
        """All servers that were got aren't needed any more, for now (the end of a test)."""

    def release(self, spec: ServerSpec) -> None:
        """A server has answered all that it will ever be asked: it may end."""

    def handed_out(self) -> tuple[RunningServer, ...]:
        """The servers that have been handed out and whose logs can be read."""

    def close(self) -> None:
        """The session is over."""


class ServerPool:
    """Hands out one running server a spec; the least recently used ends when there are too many.

    A server that somebody uses is never ended for want of room, and a start that failed is
    remembered: asking again fails at once with the same error.
    """

    def __init__(
        self,
        *,
        max_running: int = MAX_RUNNING,
        launch: Callable[[ServerSpec], Server] = launch,
    ) -> None:
        self._max_running = max_running
        self._launch_one = launch
        self._lock = threading.RLock()
        self._closing = False
        self._servers: dict[ServerSpec, Server] = {}  # least recently used first
        self._live: set[ServerSpec] = set()
        self._waits: dict[ServerSpec, threading.Lock] = {}
        self._users: dict[ServerSpec, set[str]] = {}
        self._released: dict[ServerSpec, Server] = {}  # ending, kept for their logs
        self._failed: dict[ServerSpec, PytestTritonError] = {}

    def launch(self, specs: Sequence[ServerSpec]) -> None:
        """Begin starting servers side by side, as many as may run; errors are kept for `get`."""
        with self._lock:
            for spec in specs[: self._max_running]:
                self._launch(spec)

    def get(self, spec: ServerSpec, user: str = "") -> RunningServer:
        """The live server of a spec, started if need be. Raises the error that prevented it.

        Who waits for a start keeps nobody from the other servers.
        """
        with self._lock:
            self._users.setdefault(spec, set()).add(user)
            self._launch(spec)
            wait = self._waits.setdefault(spec, threading.Lock())
        with wait:
            with self._lock:
                self._launch(spec)  # again, if it was reported as ended meanwhile
                if spec in self._failed:
                    raise self._failed[spec].with_traceback(None)
                server = self._servers.pop(spec)
                self._servers[spec] = server
                if spec in self._live:
                    self._check_alive(spec, server)
                    return server.view
            self._wait_for(spec, server)
            return server.view

    def done(self, user: str = "") -> None:
        """This user needs none of the servers that it got any more, for now."""
        with self._lock:
            for users in self._users.values():
                users.discard(user)

    def release(self, spec: ServerSpec) -> None:
        """Let a server end while the tests go on; its log stays readable for a while.

        Who asks for it again gets a new one.
        """
        with self._lock:
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
        with self._lock:
            running = [server for spec, server in self._servers.items() if spec in self._live]
            return tuple(server.view for server in (*self._released.values(), *running))

    def close(self) -> None:
        """End all servers, at the same time, also those that are still waited for."""
        self._closing = True
        servers = dict(self._servers)
        if len(servers) > 1 or not self._live.issuperset(servers):
            for server in servers.values():
                server.begin_stop()  # who waits for one in another thread lets go of the lock
        with self._lock:
            for servers in (self._released, self._servers):
                while servers:
                    _, server = servers.popitem()
                    server.stop()
            self._live.clear()

    def _launch(self, spec: ServerSpec) -> None:
        if spec in self._servers or spec in self._failed:
            return
        if self._closing:
            raise PytestTritonError(
                f"{spec}: not started, since the test session is ending", fix="nothing to do"
            )
        self._make_room()
        try:
            self._servers[spec] = self._launch_one(spec)
        except PytestTritonError as error:
            self._failed[spec] = error

    def _wait_for(self, spec: ServerSpec, server: Server) -> None:
        try:
            server.wait_until_live()
        except PytestTritonError as error:
            with self._lock:
                self._failed[spec] = error
                self._servers.pop(spec, None)
            server.stop()
            raise
        with self._lock:
            self._live.add(spec)

    def _check_alive(self, spec: ServerSpec, server: Server) -> None:
        """A server that exited in a test is reported once, and replaced for those that follow."""
        try:
            server.check_alive()
        except PytestTritonError:
            self._live.discard(spec)
            del self._servers[spec]
            server.stop()
            raise

    def _make_room(self) -> None:
        unused = [spec for spec in self._servers if not self._users.get(spec)]
        # A server that nobody got yet was started ahead, and will be asked for.
        unused.sort(key=lambda spec: spec not in self._live)
        for spec in unused[: max(0, len(self._servers) - self._max_running + 1)]:
            self._live.discard(spec)
            self._servers.pop(spec).stop()
