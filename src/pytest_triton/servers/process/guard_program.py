"""What guards run (see guard.py): a small program that needs nothing but the standard library.

    python -I -S guard_program.py OWNER MARK

Each byte that arrives on stdin, a socket, brings the two ends of pipes with it, and a guard is
forked for them: that takes a millisecond, where another Python would take twenty.

A guard is there before anything that it guards: it starts the server itself, as its own child, and
whatever outlives the server becomes its child as well (it is a "subreaper"). On request, and when
its owner has ended in whatever way, it ends them all, removes their shared memory and the folder,
and ends. Should it be killed itself, the kernel kills the server.

Messages come through the first pipe, each a length (4 bytes) and a marshalled tuple:
    ("folder", path)                the folder that it guards, about to be made
    ("start", log, folder, argv, environment, grace)    start the server
    ("stop",)                       SIGTERM; SIGKILL after `grace` seconds, at once if that is 0
    ("at_end", argv, environment)   what else is to be run at the end; no argv: nothing
    ("end",)                        stop; then remove everything
Events go to the second one, in lines: `guard PID`, `pid PID`, `failed ERRNO`, `exit CODE` (negative
for a signal), `removed`. The end of the first pipe stands for ("end",), and so do SIGTERM and the
end of the process OWNER: a fork of that may hold the other end of the pipe open.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import select
import signal
import socket
import sys
import time

if False:  # typing.TYPE_CHECKING without the import, which takes a while
    from collections.abc import Callable
    from typing import Any

SHARED_MEMORY = "/dev/shm"
VARIABLE = "PYTEST_TRITON_SERVER"  # in a server's environment: the name of its folder
OWNER_FILE = ".pytest-triton-owner"  # in a folder of ours: who has made it

_ORPHANED_GRACE = 5.0  # seconds at most from SIGTERM to SIGKILL once the owner has ended
_STEP, _LONGEST_STEP = 0.01, 0.25  # seconds between two looks at processes that have been killed
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class GuardProgram:
    """The state of one guard: `run` returns when everything that it guards has gone."""

    def __init__(self, owner: int, mark: str, prctl: Callable[[int, int], int]) -> None:
        self._folder = ""
        self._mark = mark
        self._input = b""
        self._server: int | None = None  # its process id, until it has been waited for
        self._failure = -1  # a pipe: errno, if the server could not be executed
        self._start: tuple[Any, ...] | None = None  # waits for an earlier server's processes
        self._at_end: tuple[list[str], dict[str, str]] | None = None
        self._has_children = False
        self._grace = 0.0
        self._is_stopping = False  # SIGTERM was sent: a second one makes Triton drop everything
        self._deadline: float | None = None  # for the server; then everything is killed
        self._is_ending = False
        self._is_terminated = False  # by SIGTERM
        self._step = _STEP
        self._prctl = prctl
        self._is_subreaper = prctl(_PR_SET_CHILD_SUBREAPER, 1) == 0
        self._poll = select.poll()
        self._wakes = _wake_on_signals(self._terminated)
        self._poll.register(self._wakes, select.POLLIN)
        os.set_blocking(0, False)
        self._owner = _open_process(owner)
        self._watched = {0} if self._owner is None else {0, self._owner}
        for descriptor in self._watched:
            self._poll.register(descriptor, select.POLLIN)

    def run(self) -> None:
        self._say(f"guard {os.getpid()}")
        while not (self._is_ending and not self._has_children):
            self._listen()
            self._reap()
            if self._start is not None and not self._has_children and not self._is_ending:
                self._start_server(*self._start)
                self._start = None
            if self._must_kill:
                self._kill_all()
        if self._at_end is not None:
            _run(*self._at_end)
        if self._folder:
            if not self._is_subreaper:
                kill_processes(os.path.basename(self._folder))
            remove_shared_memory(os.path.basename(self._folder))
            remove_folder(self._folder, self._mark)
        self._say("removed")

    @property
    def _must_kill(self) -> bool:
        """Whether there are processes that nothing but SIGKILL is left for."""
        is_late = self._deadline is not None and time.monotonic() >= self._deadline
        return self._has_children and (self._server is None or is_late)

    # --- messages --------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Wait until there is something to do, and read the messages that have come."""
        wait: float | None = None
        if self._must_kill:
            wait = self._step
            self._step = min(2 * self._step, _LONGEST_STEP)
        elif self._deadline is not None and self._server is not None:
            wait = max(0.0, self._deadline - time.monotonic()) + 0.001
        elif self._is_ending:
            wait = 0
        ready = {number for number, _ in self._poll.poll(None if wait is None else wait * 1000)}
        if self._wakes in ready:
            os.read(self._wakes, 4096)
        is_orphaned = (bool(ready & self._watched) and not self._read()) or self._owner in ready
        self._take_messages()  # also the last ones of an owner that has ended
        if is_orphaned:
            self._orphaned()
        elif self._is_terminated:
            self._end()

    def _read(self) -> bool:
        """Read all that has arrived; False if nothing more will."""
        with contextlib.suppress(BlockingIOError):
            while said := os.read(0, 65536):
                self._input += said
            return False
        return True

    def _take_messages(self) -> None:
        while len(self._input) >= 4:
            end = 4 + int.from_bytes(self._input[:4], "little")
            if len(self._input) < end:
                return
            what, *rest = marshal.loads(self._input[4:end])
            self._input = self._input[end:]
            if what == "folder":
                self._folder = rest[0]
            elif what == "start":
                self._start = tuple(rest)
            elif what == "at_end":
                self._at_end = (rest[0], rest[1]) if rest[0] else None
            elif what == "stop":
                self._stop()
            else:
                self._end()

    def _terminated(self) -> None:
        self._is_terminated = True

    def _stop(self) -> None:
        if self._start is not None:
            self._start = None
            self._say(f"exit {-signal.SIGKILL}")
        if self._server is None or self._is_stopping:
            return
        self._is_stopping = True
        self._deadline = time.monotonic() + self._grace
        if self._grace:
            os.kill(self._server, signal.SIGTERM)

    def _end(self) -> None:
        self._is_ending = True
        self._stop()

    def _orphaned(self) -> None:
        """The owner has ended, or let go: nobody waits for the models to finish."""
        for descriptor in self._watched:
            self._poll.unregister(descriptor)
        self._watched.clear()
        self._grace = min(self._grace, _ORPHANED_GRACE)
        self._end()
        if self._deadline is not None:
            self._deadline = min(self._deadline, time.monotonic() + self._grace)

    def _say(self, line: str) -> None:
        with contextlib.suppress(OSError):  # nobody is left to read it
            os.write(1, f"{line}\n".encode())

    # --- processes -------------------------------------------------------------------------------

    def _start_server(
        self, log: str, folder: str, argv: list[str], environment: dict[str, str], grace: float
    ) -> None:
        self._grace = grace
        self._is_stopping = False
        self._deadline = None
        self._step = _STEP
        parent = os.getpid()
        self._failure, failing = os.pipe()
        # A signal that arrives before the child is the server must not be lost in our handlers.
        every = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            child = os.fork()
        except OSError as error:
            self._say(f"failed {error.errno}")
            os.close(self._failure)
            os.close(failing)
            signal.pthread_sigmask(signal.SIG_SETMASK, every)
            return
        if child == 0:
            try:
                self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() != parent:  # killed before the kernel knew
                    os._exit(127)
                os.setsid()
                for number in _HANDLED:
                    signal.signal(number, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_SETMASK, ())
                nothing = os.open(os.devnull, os.O_RDONLY)
                output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
                for source, target in ((nothing, 0), (output, 1), (output, 2)):
                    os.dup2(source, target)
                os.chdir(folder)
                os.execve(argv[0], argv, environment)
            except OSError as error:
                os.write(failing, str(error.errno).encode())
            finally:
                os._exit(127)
        signal.pthread_sigmask(signal.SIG_SETMASK, every)
        os.close(failing)
        self._server = child
        self._has_children = True
        self._say(f"pid {child}")

    def _reap(self) -> None:
        """Wait for all that have ended."""
        self._has_children = True
        while True:
            try:
                child, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._has_children = False
                return
            if child == 0:
                return
            if child == self._server:
                self._server = None
                failure = os.read(self._failure, 16)
                os.close(self._failure)
                if failure:
                    self._say(f"failed {failure.decode()}")
                else:
                    self._say(f"exit {os.waitstatus_to_exitcode(status)}")

    def _kill_all(self) -> None:
        """Kill the children. Theirs become ours then, so this is done until there are none."""
        if self._server is not None:
            _kill(-self._server)  # its whole group: it may take its time in a driver
            _kill(self._server)
            return
        for child in _children():
            _kill(child)


def kill_processes(name: str) -> None:
    """Kill the processes whose environment names a server, until there are none.

    For those whose guard can't: they may have escaped it, or it has been killed.
    """
    for _ in range(100):  # one that hangs in a driver stays
        found = _processes_of(name)
        if not found:
            return
        for pid in found:
            _kill(pid)
        time.sleep(0.01)


def _processes_of(name: str) -> list[int]:
    entry = f"{VARIABLE}={name}".encode()
    found = []
    for pid in _all_processes():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
            if pid != os.getpid() and entry in file.read().split(b"\0"):
                found.append(pid)
    return found


def remove_shared_memory(prefix: str) -> None:
    """Remove the shared memory of a server's python models."""
    try:
        names = os.listdir(SHARED_MEMORY)
    except OSError:
        return
    for name in names:
        if name.startswith(prefix):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(SHARED_MEMORY, name))


def remove_folder(folder: str, mark: str | None = None) -> bool:
    """Remove a folder of ours: one that holds OWNER_FILE (with `mark` in it), or nothing at all.

    That file goes last, so that what is left of an interrupted removal is still known as ours.
    Returns whether the folder is gone.
    """
    owner = os.path.join(folder, OWNER_FILE)
    try:
        with open(owner, encoding="utf-8", errors="replace") as file:
            is_ours = not os.path.islink(folder) and (mark is None or file.read() == mark)
    except OSError:
        is_ours = False
    try:
        if is_ours:
            _empty(folder, {OWNER_FILE})
            os.unlink(owner)
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _empty(folder: str, kept: set[str]) -> None:
    """Remove what a folder holds, links not followed."""
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        os.chmod(folder, 0o700)
    with os.scandir(folder) as listed:
        entries = list(listed)
    for entry in entries:
        if entry.name in kept:
            continue
        with contextlib.suppress(OSError):  # somebody else's, or gone: the rest goes all the same
            if entry.is_dir(follow_symlinks=False):
                _empty(entry.path, set())
                os.rmdir(entry.path)
            else:
                os.unlink(entry.path)


# Not as at the start of a process: handled or ignored by us, or by Python.
_HANDLED = (
    signal.SIGTERM,
    signal.SIGCHLD,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGPIPE,
    signal.SIGXFSZ,
)


def _wake_on_signals(terminated: Any) -> int:
    """Let signals wake the loop through a pipe, whose reading end is returned."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.signal(signal.SIGTERM, lambda number, frame: terminated())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the owner may block any
    return reading


def _find_prctl() -> Callable[[int, int], int]:
    """Linux's prctl; elsewhere, and in a Python without ctypes, a function that does nothing."""
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return lambda *arguments: -1
    # All arguments are longs in the kernel: what isn't passed must not be left to chance.
    return lambda option, value: prctl(*map(ctypes.c_ulong, (option, value, 0, 0, 0)))


def _open_process(pid: int) -> int | None:
    """A descriptor that can be read once the process has ended; None where there is no such."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _children() -> list[int]:
    """The ids of this process's children. They stay theirs until we wait for them."""
    found = []
    us = str(os.getpid())
    for pid in _all_processes():
        # One that has just ended has nothing to read.
        with contextlib.suppress(OSError, IndexError), open(f"/proc/{pid}/stat", "rb") as file:
            if file.read().rpartition(b")")[2].split()[1].decode() == us:
                found.append(pid)
    return found


def _all_processes() -> list[int]:
    """The ids of all processes; empty where there is no /proc."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _kill(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)


def _run(argv: list[str], environment: dict[str, str]) -> None:
    """Run a program and wait for its end."""
    with contextlib.suppress(OSError):
        child = os.posix_spawn(argv[0], argv, environment)
        os.waitpid(child, 0)


def fork_guards(owner: int, mark: str) -> None:
    """Fork a guard for each byte on stdin, until its other end is closed or the owner has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the guards' ends need no waiting
    prctl = _find_prctl()
    readable = select.poll()
    readable.register(0, select.POLLIN)
    process = _open_process(owner)
    if process is not None:
        readable.register(process, select.POLLIN)
    with socket.socket(fileno=0) as requests:
        requests.setblocking(False)
        while True:
            has_ended = any(descriptor == process for descriptor, _ in readable.poll())
            try:
                asked, pipes, _, _ = socket.recv_fds(requests, 1, 2)
            except BlockingIOError:
                asked = b""
                if not has_ended:
                    continue
            if not asked:
                return
            if len(pipes) == 2 and _fork() == 0:
                try:
                    os.setsid()
                    for number, pipe in enumerate(pipes):
                        os.dup2(pipe, number)
                        os.close(pipe)
                    GuardProgram(owner, mark, prctl).run()
                finally:
                    os._exit(0)
            for pipe in pipes:
                os.close(pipe)


def _fork() -> int:
    try:
        return os.fork()
    except OSError:  # too many processes: the owner sees that its pipes are closed
        return -1


if __name__ == "__main__":
    try:
        fork_guards(int(sys.argv[1]), sys.argv[2])
    finally:
        os._exit(0)  # without tidying up: pytest waits for it
