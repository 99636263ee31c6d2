"""One set of servers for all workers of pytest-xdist: the controller owns them, workers ask.

The controller listens on a socket that only this user's processes may talk to, where there are
such (Linux), else on the loopback, with a random key that only its own workers are given.
A worker sends what it wants of the pool and gets a RunningServer, or the error's text. Without
pytest-xdist nothing of this is used: the pool is asked directly.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import secrets
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_triton.errors import PytestTritonError, says_all
from pytest_triton.servers.running_server import RunningServer
from pytest_triton.servers.server_errors import ServerExited
from pytest_triton.servers.spec import ServerSpec

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from pytest_triton.servers.pool import ServerPool


__tracebackhide__ = says_all


_HAS_USERS = sys.platform == "linux"  # whose sockets say which user is at the other end
_HANDSHAKE = 10.0  # seconds for a worker to show the key
_MOST_UNVERIFIED = 64
_ATTEMPTS = 20  # of a worker, to connect
_PAUSE = 0.05  # seconds


class BrokerGone(PytestTritonError):
    """The controller of the workers does not answer."""


class FailedInController(PytestTritonError):
    """The controller could not give a server; the text is its error's."""

    def __init__(self, text: str) -> None:
        super().__init__(text)


class WorkerTooFar(PytestTritonError):
    """A worker of pytest-xdist on another machine."""


class Broker:
    """Answers the workers. Costs a socket and a thread until the first of them asks."""

    def __init__(self, pool: PoolMaker) -> None:
        self._pool = pool
        self._key = secrets.token_bytes(32)
        self._socket = _listening()
        self._closed = False
        self._unverified: dict[int, socket.socket] = {}  # which haven't shown the key, oldest first
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, name="triton-broker", daemon=True).start()

    @property
    def invitation(self) -> dict[str, Any]:
        """What a worker needs to know to ask: plain values."""
        address = self._socket.getsockname()
        where = {"name": address[1:].decode()} if isinstance(address, bytes) else {}
        return {"port": 0 if where else address[1], "key": self._key.hex(), **where}

    def close(self) -> None:
        """Stop listening. Who is connected gets no further answers."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the listening thread
        self._socket.close()

    def _listen(self) -> None:
        while not self._closed:
            try:
                connected, _ = self._socket.accept()
            except OSError:  # closed, or too many open files for the moment
                time.sleep(_PAUSE)
                continue
            if not _is_of_this_user(connected):
                connected.close()
                continue
            self._meet(connected)
            threading.Thread(
                target=self._serve, args=(connected,), name="triton-broker-worker", daemon=True
            ).start()

    def _meet(self, connected: socket.socket) -> None:
        """Let nobody hold a connection for long, or many, without the key."""
        with self._lock:
            self._unverified[id(connected)] = connected
            if len(self._unverified) > _MOST_UNVERIFIED:
                _hang_up(self._unverified.pop(next(iter(self._unverified))))

    def _is_known(self, connected: socket.socket) -> None:
        with self._lock:
            self._unverified.pop(id(connected), None)

    def _end_if_unverified(self, connected: socket.socket) -> None:
        with self._lock:
            if self._unverified.pop(id(connected), None) is not None:
                _hang_up(connected)

    def _serve(self, connected: socket.socket) -> None:
        from multiprocessing.connection import Connection, answer_challenge, deliver_challenge

        deadline = threading.Timer(_HANDSHAKE, self._end_if_unverified, (connected,))
        deadline.daemon = True
        worker = ""
        # Clients that don't know the key, and workers that end, end here.
        with connected, contextlib.suppress(OSError, EOFError, _authentication_error()):
            deadline.start()
            with Connection(os.dup(connected.fileno())) as connection:
                deliver_challenge(connection, self._key)
                answer_challenge(connection, self._key)
                self._is_known(connected)
                deadline.cancel()
                worker = connection.recv()
                while True:
                    connection.send(self._answer(worker, *connection.recv()))
        deadline.cancel()
        self._is_known(connected)
        if worker:
            self._pool().done(worker)

    def _answer(self, worker: str, what: str, argument: Any) -> tuple[str, Any]:
        pool = self._pool()
        try:
            if what == "get":
                return "given", pool.get(argument, worker)
            if what == "launch":
                pool.launch(argument)
            elif what == "release":
                pool.release(argument)
            else:
                pool.done(worker)
        except ServerExited as error:  # its cause decides what a worker does next
            return "exited", (error.what, error.cause, error.fix)
        except PytestTritonError as error:
            return "error", str(error)
        except Exception as error:  # a worker must never wait for an answer in vain
            return "error", f"internal error in the controller: {error!r}"
        return "given", None


class PoolMaker:
    """The controller's pool, made when a worker first asks for it.

    `say` is called with what takes long, such as fetching an image.
    """

    def __init__(self, say: Callable[[str], None] = lambda line: None) -> None:
        self._say = say
        self._pool: ServerPool | None = None
        self._lock = threading.Lock()

    def __call__(self) -> ServerPool:
        with self._lock:
            if self._pool is None:
                from pytest_triton.servers.launching import launch
                from pytest_triton.servers.pool import ServerPool

                self._pool = ServerPool(launch=functools.partial(launch, say=self._say))
            return self._pool

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()


class RemotePool:
    """The controller's servers, as a worker has them."""

    def __init__(self, invitation: Mapping[str, Any], worker: str) -> None:
        self._invitation = invitation
        self._worker = worker
        self._connection: Connection[Any, Any] | None = None
        self._got: dict[ServerSpec, RunningServer] = {}
        self._in_use = False

    def launch(self, specs: Sequence[ServerSpec]) -> None:
        """Begin starting servers side by side; errors are kept for `get`."""
        self._ask("launch", tuple(specs))

    def get(self, spec: ServerSpec) -> RunningServer:
        """The live server of a spec. Raises ServerExited, FailedInController, BrokerGone."""
        server = self._ask("get", spec)
        assert isinstance(server, RunningServer)
        self._got[spec] = server
        self._in_use = True
        return server

    def done(self) -> None:
        """The end of a test: the servers that it got may make room for others."""
        if self._in_use:
            self._in_use = False
            self._ask("done", None)

    def release(self, spec: ServerSpec) -> None:
        """A server of this worker's own may end. Shared ones stay: others may still use them."""
        if spec.owner:
            self._got.pop(spec, None)
            self._ask("release", spec)

    def handed_out(self) -> tuple[RunningServer, ...]:
        """The servers that this worker was given."""
        return tuple(self._got.values())

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, what: str, argument: object) -> object:
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.send((what, argument))
            kind, answer = self._connection.recv()
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise BrokerGone(
                f"The controller of the xdist workers doesn't answer worker {self._worker}, so "
                f"that it has no Triton server: {error!r}",
                tried=[self._invitation.get("name") or f"127.0.0.1:{self._invitation.get('port')}"],
                fix="run the workers on the controller's machine (no --tx ssh=...), or run "
                "without -n",
            ) from error
        if kind == "error":
            raise FailedInController(answer)
        if kind == "exited":
            text, cause, fix = answer
            raise ServerExited(text, cause=cause, fix=fix)
        result: object = answer
        return result

    def _connect(self) -> Connection[Any, Any]:
        from multiprocessing.connection import Client

        if self._invitation.get("remote"):
            raise WorkerTooFar(
                f"Worker {self._worker} of pytest-xdist runs on another machine than the "
                "controller, which starts the Triton servers on its own loopback.",
                fix="run the tests that use Triton servers on local workers (-n), not on "
                "others (--tx ssh=...)",
            )
        if "error" in self._invitation:
            raise FailedInController(self._invitation["error"])
        name = self._invitation.get("name")
        address = f"\0{name}" if name else ("127.0.0.1", int(self._invitation["port"]))
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                connection = Client(address, authkey=bytes.fromhex(self._invitation["key"]))
                break
            except (OSError, EOFError):  # in a flood of unknown clients
                if attempt == _ATTEMPTS:
                    raise
                time.sleep(_PAUSE)
        connection.send(self._worker)
        return connection


def _listening() -> socket.socket:
    """A socket in Linux's abstract namespace, which leaves no file behind; else on the loopback."""
    if not _HAS_USERS:
        return socket.create_server(("127.0.0.1", 0))
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"\0pytest-triton-{secrets.token_hex(16)}")
    listening.listen()
    return listening


def _is_of_this_user(connected: socket.socket) -> bool:
    if not _HAS_USERS:
        return True  # the key alone says so
    size = struct.calcsize("3i")
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    _, user, _ = struct.unpack("3i", credentials)
    return bool(user == os.geteuid())


def _hang_up(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


def _authentication_error() -> type[Exception]:
    from multiprocessing import AuthenticationError

    return AuthenticationError
