"""The owner's side of a guard: the process that starts a server, and ends it in any case.

pytest runs no finalizers on SIGTERM, and nothing at all runs on SIGKILL. So a server is not
started by pytest, but by a guard: a process of its own (guard_program.py) that is there before the
server's folder is, has the server for a child, and reads from a pipe whose other end pytest
holds. When pytest ends, however it ends, the guard ends the server with everything that it
started, and removes the folder. There is no moment in which a process or a folder has nobody.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import marshal
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_triton.errors import PytestTritonError
from pytest_triton.servers import folders
from pytest_triton.servers.process import guard_program

_KILLED = 2.0  # seconds for a guard that has been killed to be gone


class NoGuard(PytestTritonError):
    """The process that would start and end a server can't be started."""


class Guard:
    """The guard of a folder, and of one server at a time. Call `end` at last.

    May be asked from several threads. A fork of the owner (pytest-forked) can't end anything.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._received = b""
        self.guard_pid: int | None = None  # its own process id
        self.pid: int | None = None  # the server's
        self.returncode: int | None = None  # the server's; None while it runs
        self.failure = 0  # errno, if the server could not be executed
        self._has_removed = False
        self._has_ended = False
        self._messages, self._events = _ask_for_guard()
        self._send("folder", str(folder))

    def __del__(self) -> None:
        """Nobody is left to call `end` (it was interrupted): the guard sees that, and does it."""
        if hasattr(self, "_events"):
            self._messages.close()
            self._events.close()

    def start(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        *,
        log: Path,
        grace: float,
    ) -> None:
        """Start the server in the folder, without waiting for that. `poll` says what came of it.

        An earlier one must have ended. `grace`: seconds from SIGTERM to SIGKILL; with 0 there is
        no SIGTERM.
        """
        self.pid = self.returncode = None
        marked = {**environment, guard_program.VARIABLE: self._folder.name}
        self._send("start", str(log), str(self._folder), list(argv), marked, float(grace))

    def poll(self) -> int | None:
        """The server's exit code, negative for a signal; None while it runs.

        If the guard has been killed, the kernel has killed the server.
        """
        with self._lock:
            self._read_events()
            return self.returncode

    @property
    def was_killed(self) -> bool:
        """Whether the guard itself has ended before its time."""
        return self._has_ended and not self._has_removed

    def stop(self) -> None:
        """Ask the server to end, without waiting."""
        self._send("stop")

    def run_at_end(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """Name what else is to be run if pytest can't: an absolute path, and arguments."""
        self._send("at_end", list(argv), dict(environment))

    def forget_at_end(self) -> None:
        """Take back `run_at_end`."""
        self._send("at_end", [], {})

    def let_go(self) -> None:
        """Let the guard end everything by itself, without waiting."""
        if os.getpid() == self._owner:
            self._messages.close()

    def end(self, limit: float) -> bool:
        """End the server and all that it started; remove its shared memory and the folder.

        Waits for `limit` seconds at most. If the guard has not done it by then, it is killed, and
        with it the server, and the rest is tried from here. Returns whether all is gone.
        """
        if os.getpid() != self._owner or self._events.closed:
            return True
        self._send("end")
        in_time = self._wait_for_end(limit)
        if not in_time and self.guard_pid is not None:
            os.kill(self.guard_pid, signal.SIGKILL)
            self._wait_for_end(_KILLED)
        self._messages.close()
        self._events.close()
        if self._has_removed and not self._folder.exists():
            return True
        return folders.remove(self._folder) and in_time

    def _wait_for_end(self, limit: float) -> bool:
        """Wait until the guard has ended; False if it hasn't in time."""
        deadline = time.monotonic() + limit
        readable = select.poll()  # select() fails where many files are open
        readable.register(self._events.fileno(), select.POLLIN)
        while not self._has_ended and (left := deadline - time.monotonic()) > 0:
            readable.poll(left * 1000)
            with self._lock:
                self._read_events()
        return self._has_ended

    def _send(self, *message: Any) -> None:
        if os.getpid() != self._owner or self._messages.closed:
            return
        data = marshal.dumps(message)
        data = len(data).to_bytes(4, "little") + data
        with self._sending:
            try:
                while data:
                    data = data[os.write(self._messages.fileno(), data) :]
            except BrokenPipeError:  # the guard has been killed: `poll` sees it
                pass
            except BaseException:  # Ctrl-C, and nothing can be said after half a message
                self._messages.close()
                raise

    def _read_events(self) -> None:
        """Read what the guard has written."""
        if self._events.closed or self._has_ended:
            return
        try:
            while read := os.read(self._events.fileno(), 4096):
                self._received += read
            self._has_ended = True
        except BlockingIOError:
            pass
        *lines, self._received = self._received.split(b"\n")
        for line in lines:
            self._take(*line.decode().split())
        if self._has_ended and self.returncode is None:
            self.returncode = -signal.SIGKILL  # the guard has been killed, and the server with it

    def _take(self, what: str, number: str = "0") -> None:
        if what == "guard":
            self.guard_pid = int(number)
        elif what == "pid":
            self.pid = int(number)
        elif what == "exit":
            self.returncode = int(number)
        elif what == "failed":
            self.failure, self.returncode = int(number), 127
        elif what == "removed":
            self._has_removed = True


class _Starter:
    """The process that guards are forks of: one for each process that has servers."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        program = [guard_program.__file__, str(self.owner), folders.mark()]
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", f"-Xutf8={sys.flags.utf8_mode}", *program],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is pytest's to handle
                    cwd="/",
                )
        except OSError as error:
            self._requests.close()
            raise NoGuard(
                f"{sys.executable or 'Python'} could not be started for the process that ends "
                f"servers: {error.strerror or error}",
                fix="run pytest with an interpreter that can start itself (sys.executable), on a "
                "machine that allows another process",
            ) from error

    def close(self) -> None:
        """End it; its guards end when their servers have."""
        if self.owner == os.getpid():
            with contextlib.suppress(OSError):  # killed already
                self._requests.shutdown(socket.SHUT_RDWR)  # a fork may have it open as well
            self._requests.close()
            try:
                self._process.wait(_KILLED)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def is_usable(self) -> bool:
        return self.owner == os.getpid() and self._process.poll() is None

    def ask(self, pipes: Sequence[int]) -> None:
        """Ask for a guard with these ends of pipes."""
        socket.send_fds(self._requests, [b"g"], list(pipes))


_starter: _Starter | None = None
_starter_lock = threading.Lock()


def prepare() -> None:
    """Start what guards are forks of, if it doesn't run: the first guard comes sooner then."""
    global _starter
    with _starter_lock:
        if _starter is None or not _starter.is_usable():
            _starter = _Starter()
            atexit.register(_starter.close)


def _ask_for_guard() -> tuple[io.FileIO, io.FileIO]:
    """A new guard: the pipe for messages to it, and the one for its events."""
    reading, messages = os.pipe()
    events, writing = os.pipe()
    os.set_blocking(events, False)
    try:
        for attempt in (1, 2):
            prepare()
            assert _starter is not None
            try:
                _starter.ask([reading, writing])
                break
            except OSError:  # it was killed a moment ago
                if attempt == 2:
                    raise
    finally:
        os.close(reading)
        os.close(writing)
    return io.FileIO(messages, "wb"), io.FileIO(events, "rb")
