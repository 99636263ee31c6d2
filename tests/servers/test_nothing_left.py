"""Nothing is left of a server, whoever is ended at whatever moment.

The guard is tested with small scripts for a server, which do what the real one does only now and
then: ignore signals, leave processes behind in other sessions, be stuck. The runs that are
killed at random are real ones, with the real tritonserver.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.servers import folders
from pytest_triton.servers.owners import identity, this_host
from pytest_triton.servers.process import guard
from pytest_triton.servers.process import server as process
from pytest_triton.servers.process.discovery import Tritonserver
from pytest_triton.servers.process.guard import Guard
from pytest_triton.servers.process.guard_program import OWNER_FILE, remove_folder
from pytest_triton.servers.process.server import ProcessServer, ServerExited
from pytest_triton.servers.spec import ServerSpec
from support.builders import RepositoryBuilder
from support.watching import wait_until

pytestmark = pytest.mark.usefixtures("folders_left")

_MARK = "NOTHING_LEFT"  # in the environment of all that a test starts
_MEMORY = Path("/dev/shm")
_PTRACE_SEIZE = 0x4206
_PR_SET_PTRACER = 0x59616D61

# Ignores SIGTERM, has shared memory, and two children: one in a session of its own.
_STUBBORN = """
trap '' TERM
: > /dev/shm/$PYTEST_TRITON_SERVER-memory
setsid sleep 600 &
sleep 600 &
echo ready
while :; do sleep 1; done
"""

_OWNER = """
import os, signal, sys, threading, time
from pytest_triton.servers import folders
from pytest_triton.servers.process import guard as module
from pytest_triton.servers.process.guard import Guard

moment, script = sys.argv[1:]
folder = folders.planned()
if moment == "messages not read yet":
    module.prepare()
    os.kill(module._starter._process.pid, signal.SIGSTOP)
guard = Guard(folder)
log = folder / "server.log"

def until(condition):
    while not condition():
        time.sleep(0.01)

def start(grace):
    guard.start(["/bin/sh", "-c", script], dict(os.environ), log=log, grace=grace)

def is_ready():
    return log.exists() and "ready" in log.read_text()

if moment == "half a folder":
    folder.mkdir()
elif moment != "no folder":
    folders.make(folder)
    (folder / "backends").mkdir()
    (folder / "backends" / "link").symlink_to("/")
if moment == "between fork and exec":
    os.mkfifo(log)  # opening it waits until somebody reads it
    start(0)
    until(lambda: guard.poll() is None and guard.pid)
elif moment in ("server", "fork of the owner"):
    start(0)
    until(is_ready)
elif moment in ("stopping", "ending"):
    start(1)
    until(is_ready)
    guard.stop()
if moment == "ending":
    threading.Thread(target=guard.end, args=(60,), daemon=True).start()
    time.sleep(0.2)
if moment == "fork of the owner" and os.fork() == 0:
    time.sleep(600)
print(folder, flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def mark(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """In the environment of all that the test starts. At the end nothing may have it."""
    close_starter()
    mark = uuid.uuid4().hex
    monkeypatch.setenv(_MARK, mark)
    yield mark
    close_starter()
    left = marked(mark)
    for pid, _ in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


def close_starter() -> None:
    """End the process that guards are forks of: it has the mark of the test that started it."""
    starter, guard._starter = guard._starter, None
    if starter is not None:
        starter.close()


def marked(mark: str) -> list[tuple[int, str]]:
    """The living processes with the mark: their ids and command lines."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if f"{_MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                    found.append((int(entry.name), command.decode(errors="replace")))
            except OSError:  # another user's, or ended
                pass
    return found


def servers_folders() -> list[Path]:
    return list(Path(os.environ["TMPDIR"]).glob("pytest-triton-*"))


def assert_nothing_left(mark: str, what: str = "", *, names: Sequence[str] = ()) -> None:
    """Wait until nothing is left: processes, folders, shared memory."""

    def left() -> list[object]:
        memory = [path for name in names for path in _MEMORY.glob(f"{name}*")]
        close_starter()
        return [*marked(mark), *servers_folders(), *memory]

    wait_until(lambda: not left(), f"nothing is left {what}")


def start_owner(moment: str, script: str = _STUBBORN) -> tuple[subprocess.Popen[str], Path]:
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, moment, script], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    with owner.stdout:
        return owner, Path(owner.stdout.readline().strip())


@pytest.mark.parametrize(
    "moment",
    [
        "no folder",
        "half a folder",
        "folder",
        "between fork and exec",
        "server",
        "stopping",
        "ending",
    ],
)
def test_guard_of_a_killed_owner_leaves_nothing(mark: str, moment: str) -> None:
    owner, folder = start_owner(moment)
    assert folder.exists() == (moment != "no folder")
    owner.kill()
    owner.wait()
    assert_nothing_left(mark, names=[folder.name])


def test_guard_that_is_asked_for_by_an_owner_that_has_ended_does_its_work(mark: str) -> None:
    owner, folder = start_owner("messages not read yet")
    owner.kill()
    owner.wait()
    assert folder.exists()
    ((starter, _),) = marked(mark)
    os.kill(starter, signal.SIGCONT)
    assert_nothing_left(mark)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_guard_of_an_owner_ended_by_a_signal_leaves_nothing(
    mark: str, number: signal.Signals
) -> None:
    owner, folder = start_owner("server")
    owner.send_signal(number)
    owner.wait()
    assert_nothing_left(mark, names=[folder.name])


def test_guard_with_a_living_fork_of_the_owner_ends_the_server(mark: str) -> None:
    owner, folder = start_owner("fork of the owner")
    owner.kill()
    owner.wait()
    wait_until(lambda: not folder.exists(), "the guard's work")
    ((fork, command),) = marked(mark)
    assert "fork of the owner" in command
    os.kill(fork, signal.SIGKILL)
    wait_until(lambda: marked(mark) == [], "the fork's end")


@contextmanager
def guarded(script: str, grace: float = 0.0) -> Iterator[tuple[Guard, Path]]:
    """A folder with a guard, and a script for a server, which is ready."""
    folder = folders.planned()
    one = Guard(folder)
    try:
        folders.make(folder)
        log = folder / "server.log"
        one.start(["/bin/sh", "-c", script], dict(os.environ), log=log, grace=grace)
        wait_until(lambda: log.exists() and "ready" in log.read_text(), "the script is ready")
        assert one.poll() is None
        yield one, folder
    finally:
        one.end(10)


def test_guard_that_gets_sigterm_ends_the_server(mark: str) -> None:
    """As from the end of a job that asks all its processes one by one."""
    with guarded(_STUBBORN) as (one, folder):
        assert one.guard_pid is not None
        os.kill(one.guard_pid, signal.SIGTERM)
        wait_until(lambda: one.poll() == -signal.SIGKILL, "the server's end")
        wait_until(lambda: not folder.exists(), "the guard's work")
    assert_nothing_left(mark, names=[folder.name])


def test_killed_guard_takes_the_server_along_and_the_owner_does_the_rest(mark: str) -> None:
    with guarded(_STUBBORN) as (one, folder):
        assert one.guard_pid is not None
        os.kill(one.guard_pid, signal.SIGKILL)
        wait_until(lambda: one.poll() == -signal.SIGKILL, "the server's end")
        assert one.was_killed
        assert folder.exists()
        assert one.end(10)
        assert not folder.exists()
    assert_nothing_left(mark, names=[folder.name])


def test_guard_killed_between_fork_and_exec_leaves_no_server(mark: str) -> None:
    owner, folder = start_owner("between fork and exec")
    forks = {pid for pid, command in marked(mark) if "guard_program" in command}
    parents = {pid: parent_of(pid) for pid in forks}
    (server,) = forks.difference(parents.values())  # of three: what forks guards, the guard
    os.kill(parents[server], signal.SIGKILL)
    wait_until(lambda: not is_alive(server), "the kernel's work")
    owner.kill()
    owner.wait()
    assert folders.sweep() == [folder.name]
    assert_nothing_left(mark, names=[folder.name])


def test_server_that_ends_by_itself_leaves_no_processes(mark: str) -> None:
    script = "setsid sleep 600 & sleep 600 & echo ready; read -r _ < $PWD/go; exit 3"
    with guarded(f"mkfifo go; {script}") as (one, folder):
        (folder / "go").write_text("\n")
        wait_until(lambda: one.poll() == 3, "the script's end")
        wait_until(lambda: not any("sleep" in text for _, text in marked(mark)), "no processes")
        assert folder.exists(), "its log is still wanted"
    assert_nothing_left(mark)


def test_end_lets_a_server_finish_in_its_grace() -> None:
    script = (
        "trap 'echo finished >> ../finished; exit 0' TERM; echo ready; while :; do sleep 0.1; done"
    )
    with guarded(script, grace=60) as (one, folder):
        one.stop()
        one.stop()
        assert one.end(30)
        assert one.returncode == 0
        finished = folder.parent / "finished"
        assert finished.read_text() == "finished\n", "asked once"


# --- stop() has a limit ---------------------------------------------------------------------------


def fake_server(repository: RepositoryBuilder, tmp_path: Path, script: str) -> ProcessServer:
    """A script instead of a tritonserver: the real one can't be made to hang in a driver here."""
    repository.add("cpu")
    binary = tmp_path / "tritonserver"
    binary.write_text(script)
    binary.chmod(0o755)
    spec = ServerSpec((repository.path,), HardwareRequest.parse("none"), stand_ins=("python",))
    return ProcessServer(spec, Tritonserver(binary, (), None, (), "0.0.0", "named"))


def test_stop_of_a_server_that_is_suspended_ends_it(
    mark: str, repository: RepositoryBuilder, tmp_path: Path
) -> None:
    server = fake_server(repository, tmp_path, "#!/bin/sh\necho ready\nkill -STOP $$\n")
    wait_until(lambda: "ready" in server.log.since(), "the script is ready")
    server.stop()
    assert_nothing_left(mark)


def test_stop_with_a_guard_that_does_not_answer_comes_to_an_end(
    mark: str, repository: RepositoryBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_END_LIMIT", 0.3)
    server = fake_server(repository, tmp_path, "#!/bin/sh\necho ready\nsleep 600\n")
    wait_until(lambda: "ready" in server.log.since(), "the script is ready")
    os.kill(parent_of(server.pid), signal.SIGSTOP)
    with pytest.warns(RuntimeWarning, match=r"did not end within 0\.3 s"):
        server.stop()
    assert_nothing_left(mark)


def test_stop_of_a_server_that_nothing_ends_comes_to_an_end(
    mark: str, repository: RepositoryBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A debugger that doesn't wait for a process keeps it from ending, as a driver might."""
    monkeypatch.setattr(process, "_END_LIMIT", 0.5)
    script = (
        f"#!{sys.executable}\nimport ctypes, time\n"
        f"ctypes.CDLL(None).prctl({_PR_SET_PTRACER}, ctypes.c_ulong(-1), 0, 0, 0)\n"
        "print('ready', flush=True)\ntime.sleep(600)\n"
    )
    server = fake_server(repository, tmp_path, script)
    wait_until(lambda: "ready" in server.log.since(), "the script is ready")
    pid = server.pid
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.ptrace(_PTRACE_SEIZE, pid, None, None) == 0, os.strerror(ctypes.get_errno())
    try:
        with pytest.warns(RuntimeWarning, match=rf"\(pid {pid}\) did not end"):
            server.stop()
        assert not server.folder.exists()
    finally:
        os.waitpid(pid, 0)
    assert_nothing_left(mark)


def test_server_that_cannot_be_executed_is_refused_with_the_cause(
    mark: str, repository: RepositoryBuilder, tmp_path: Path
) -> None:
    server = fake_server(repository, tmp_path, "#!/nowhere/interpreter\n")
    try:
        with pytest.raises(ServerExited, match="could not be started: No such file") as raised:
            server.wait_until_live()
    finally:
        server.stop()
    assert raised.value.cause == "not startable"
    assert_nothing_left(mark)


# --- what dead owners left ------------------------------------------------------------------------


def test_sweep_removes_what_a_killed_owner_and_a_killed_guard_left(mark: str) -> None:
    owner, folder = start_owner("server")
    for pid, command in marked(mark):
        if "guard_program" in command:
            os.kill(pid, signal.SIGSTOP)
    assert folders.sweep() == [], "its owner lives"
    owner.kill()
    owner.wait()
    for pid, command in marked(mark):
        if "guard_program" in command:
            os.kill(pid, signal.SIGKILL)
    assert any("sleep" in command for _, command in marked(mark))
    assert list(_MEMORY.glob(f"{folder.name}*"))
    assert folders.sweep() == [folder.name]
    assert_nothing_left(mark, names=[folder.name])


def test_sweep_of_what_is_not_surely_abandoned_touches_nothing(tmp_path: Path) -> None:
    place = Path(os.environ["TMPDIR"])
    dead = f"{_ended_process()} 1 boot"
    made = {
        "pytest-triton-living": f"{this_host()}\n{identity(os.getpid())}\n",
        "pytest-triton-elsewhere": f"another machine\n{dead}\n",
        "pytest-triton-torn": this_host(),
        "pytest-triton-unnamed": None,
        "others": f"{this_host()}\n{dead}\n",
        "pytest-triton-abandoned": f"{this_host()}\n{dead}\n",
    }
    for name, owner in made.items():
        (place / name / "kept").mkdir(parents=True)
        if owner is not None:
            (place / name / OWNER_FILE).write_text(owner)
    (place / "pytest-triton-link").symlink_to(place / "others")
    (place / "pytest-triton-file").write_text("")
    (place / "pytest-triton-new").mkdir()
    (place / "pytest-triton-old").mkdir()
    os.utime(place / "pytest-triton-old", (1, 1))
    assert folders.sweep() == ["pytest-triton-abandoned", "pytest-triton-old"]
    assert len(list(place.iterdir())) == len(made) + 4 - 2
    for path in place.iterdir():
        if path.is_dir() and not path.is_symlink():
            (path / OWNER_FILE).write_text("")
            assert remove_folder(str(path))
        else:
            path.unlink()


def test_removal_of_a_folder_does_not_follow_links(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("")
    folder = folders.planned()
    folders.make(folder)
    (folder / "link").symlink_to(elsewhere)
    (folder / "locked").mkdir()
    (folder / "locked" / "file").write_text("")
    (folder / "locked").chmod(0o500)
    assert remove_folder(str(folder))
    assert not folder.exists()
    assert (elsewhere / "kept").exists()


# --- real runs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "arguments"),
    [
        ("SIGINT", ()),
        ("SIGTERM", ()),
        ("SIGKILL", ()),
        ("GROUP", ()),
        ("TWICE", ()),
        ("SERVER", ()),
        ("SIGTERM", ("--triton-backends=real",)),
        ("SIGKILL", ("--triton-backends=real",)),
        ("SERVER", ("--triton-backends=real",)),
        ("SIGKILL", ("-n2",)),
        ("WORKER", ("-n1",)),
    ],
)
def test_run_ended_at_a_random_moment_leaves_nothing(
    mark: str, repository: RepositoryBuilder, tmp_path: Path, way: str, arguments: Sequence[str]
) -> None:
    """GROUP and TWICE are Ctrl-C; SERVER and WORKER are killed, and the run goes on."""
    repository.add("cpu", "{ kind: KIND_CPU }")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", f"--triton-repo={repository.path}", *arguments],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    # From the first process on, which is about when servers start, until about the run's end.
    wait_until(lambda: len(marked(mark)) > 1, "the run has started a process", 60)
    moment = random.uniform(0, 1.5)
    time.sleep(moment)
    end_run(run, way, mark)
    run.wait(120)
    assert_nothing_left(mark, f"after {way} {moment:.3f} s after the first process")


def end_run(run: subprocess.Popen[bytes], way: str, mark: str) -> None:
    if way in ("SERVER", "WORKER"):
        name = "bin/tritonserver" if way == "SERVER" else "execnet"
        for pid, command in marked(mark):
            if name in command and pid != run.pid:
                os.kill(pid, signal.SIGKILL)
                return
    elif way in ("GROUP", "TWICE"):
        for _ in range(1 if way == "GROUP" else 2):
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGINT)
            time.sleep(0.1)
    else:
        run.send_signal(getattr(signal, way))


def is_alive(pid: int) -> bool:
    return state_of(pid) not in ("", "Z")


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _ended_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid
