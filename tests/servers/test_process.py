"""The process server against the real tritonserver: it starts, fails loudly, and leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_triton.client.http import HttpApi
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.rehearsal.simulation import OFFICIAL_BACKENDS
from pytest_triton.servers.pool import ServerPool
from pytest_triton.servers.process import server as process
from pytest_triton.servers.process.discovery import Tritonserver, find_tritonserver
from pytest_triton.servers.process.server import (
    ProcessServer,
    ServerExited,
    ServerNotLive,
    ServerTimeout,
    launch,
)
from pytest_triton.servers.spec import ServerSpec
from support.builders import RepositoryBuilder
from support.watching import processes_about, wait_until

pytestmark = pytest.mark.usefixtures("folders_left")


def spec_of(repository: RepositoryBuilder, gpus: str = "none", **changes: object) -> ServerSpec:
    values = {"stand_ins": OFFICIAL_BACKENDS, **changes}
    return ServerSpec((repository.path,), HardwareRequest.parse(gpus), **values)  # type: ignore[arg-type]


@pytest.fixture
def start(repository: RepositoryBuilder) -> Iterator[Callable[..., ProcessServer]]:
    """Start servers on the test's repository; all are stopped at the end."""
    servers = []

    def start(gpus: str = "none", **changes: object) -> ProcessServer:
        servers.append(launch(spec_of(repository, gpus, **changes)))
        servers[-1].wait_until_live()
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def states(server: ProcessServer) -> dict[str, str]:
    with HttpApi(server.http) as api:
        return {entry["name"]: entry.get("state", "") for entry in api.index()}


def test_started_server_answers_and_a_stopped_one_is_gone(
    repository: RepositoryBuilder, start: Callable[..., ProcessServer]
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    repository.add("pinned", "{ kind: KIND_GPU }")
    server = start()
    assert states(server) == {"cpu": "READY", "pinned": "UNAVAILABLE"}
    assert "running" in repr(server)
    for address in (server.http, server.grpc, server.metrics):
        assert address.startswith("127.0.0.1:")
    server.stop()
    server.stop()
    assert not server.folder.exists()
    assert processes_about(server.folder) == []


@pytest.mark.real_python
def test_real_python_model_runs_and_its_stub_and_shared_memory_go_with_the_server(
    repository: RepositoryBuilder, start: Callable[..., ProcessServer]
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    server = start(stand_ins=())
    assert states(server) == {"cpu": "READY"}
    assert list(Path("/dev/shm").glob(server.folder.name + "*")), "the prefix is ours"
    server.stop()
    assert processes_about(server.folder) == []


def test_simulated_gpus_are_there_and_none_hides_what_there_is(
    repository: RepositoryBuilder,
    start: Callable[..., ProcessServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repository.add("pinned", "{ kind: KIND_GPU }")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert states(start("sim:2")) == {"pinned": "READY"}, "a setting for real GPUs hides no others"
    assert states(start("sim:2@5.2")) == {"pinned": "UNAVAILABLE"}, "too old for this server"
    assert states(start("none")) == {"pinned": "UNAVAILABLE"}


def test_what_is_left_out_is_not_served(
    repository: RepositoryBuilder, start: Callable[..., ProcessServer]
) -> None:
    repository.add("good", "{ kind: KIND_CPU }")
    (repository.path / "dangling").symlink_to("nowhere")
    assert states(start(left_out=(repository.path / "dangling",))) == {"good": "READY"}


def test_unknown_flag_ends_the_waiting_at_once(repository: RepositoryBuilder) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    server = launch(spec_of(repository, arguments=("--frobnicate",)))
    try:
        with pytest.raises(ServerExited) as raised:
            server.wait_until_live()
    finally:
        server.stop()
    text = str(raised.value)
    assert raised.value.cause == "unknown flag"
    assert "exit code" in text
    assert "unrecognized option '--frobnicate'" in text, "the log's last lines"
    assert "What to do:" in text


def test_log_of_an_exit_has_its_errors_without_tables_and_telemetry(
    repository: RepositoryBuilder,
) -> None:
    repository.add("pinned", "{ kind: KIND_GPU }")
    server = launch(spec_of(repository, arguments=("--exit-on-error=true",)))
    try:
        with pytest.raises(ServerExited) as raised:
            server.wait_until_live()
        whole = server.log.since()
    finally:
        server.stop()
    text = str(raised.value)
    assert "| Model " in whole, "Triton writes tables"
    assert not [line for line in text.splitlines() if line.strip().startswith(("+-", "|"))]
    assert "NVML" in whole
    assert "NVML" not in text, text
    assert "model pinned has kind KIND_GPU but no GPUs are available" in text


def test_repository_that_has_gone_is_reported_at_once(repository: RepositoryBuilder) -> None:
    spec = spec_of(repository)
    repository.path.rmdir()
    server = launch(spec)
    try:
        with pytest.raises(ServerNotLive, match="repository unreadable") as raised:
            server.wait_until_live()
    finally:
        server.stop()
    assert "failed to stat file" in str(raised.value)


def test_lost_race_for_a_port_is_run_again(
    repository: RepositoryBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    repository.add("cpu", "{ kind: KIND_CPU }")
    free = process._free_addresses
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        offers = [[address, *free(2)], free(3)]
        monkeypatch.setattr(process, "_free_addresses", lambda count: offers.pop(0))
        server = launch(spec_of(repository))
        try:
            server.wait_until_live()
            assert states(server) == {"cpu": "READY"}
            assert not offers
        finally:
            server.stop()


def test_another_server_on_the_port_is_not_taken_for_ours(
    repository: RepositoryBuilder,
    start: Callable[..., ProcessServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    first = start()
    free = process._free_addresses
    for taken in (first.http, first.metrics):
        offers = [[taken, *free(2)], free(3)]
        monkeypatch.setattr(process, "_free_addresses", lambda count, offers=offers: offers.pop(0))
        second = start()
        assert second.http not in (first.http, first.metrics)
        assert states(second) == {"cpu": "READY"}


def fake_server(spec: ServerSpec, tmp_path: Path, script: str) -> ProcessServer:
    """A script instead of a tritonserver, for failures that can't be had from the real one here."""
    binary = tmp_path / "bin" / "tritonserver"
    binary.parent.mkdir()
    binary.write_text(f"#!/bin/sh\n{script}\n")
    binary.chmod(0o755)
    return ProcessServer(spec, Tritonserver(binary, (), None, (), "0.0.0", "named"))


@pytest.mark.parametrize(
    ("script", "cause", "message"),
    [
        (
            "echo 'tritonserver: error while loading shared libraries: libfoo.so.1: cannot open' "
            ">&2; exit 127",
            "missing library",
            "libfoo.so.1",
        ),
        ('echo "/lib/libc.so.6: version \\`GLIBC_2.99\' not found"; exit 1', "system too old", ""),
        ("echo 'No space left on device: /dev/shm'; exit 1", "no shared memory", "exit code 1"),
        ("echo 'Permission denied'; exit 1", "permission", ""),
        ("kill -KILL $$", "killed", "signal SIGKILL"),
        ("kill -SEGV $$", "crash", "signal SIGSEGV"),
        (
            "echo 'failed to open text file for read /models/m/labels.txt: No such file or "
            "directory'; kill -SEGV $$",
            "crash",
            "signal SIGSEGV",
        ),
        ("exit 3", "unknown", "exit code 3"),
    ],
)
def test_causes_of_exit_are_named(
    repository: RepositoryBuilder, tmp_path: Path, script: str, cause: str, message: str
) -> None:
    repository.add("cpu")
    server = fake_server(spec_of(repository), tmp_path, script)
    try:
        with pytest.raises(ServerExited, match="What to do") as raised:
            server.wait_until_live()
    finally:
        server.stop()
    assert raised.value.cause == cause
    assert message in str(raised.value)


def test_server_that_is_never_live_runs_out_of_time(
    repository: RepositoryBuilder, tmp_path: Path
) -> None:
    repository.add("cpu")
    script = "echo 'loading, loading'; exec sleep 600"
    server = fake_server(spec_of(repository, timeout=0.3), tmp_path, script)
    try:
        with pytest.raises(ServerTimeout) as raised:
            server.wait_until_live()
    finally:
        server.stop()
    assert "not live after 0.3 s" in str(raised.value)
    assert "loading, loading" in str(raised.value)


def test_server_that_ignores_sigterm_is_killed(
    repository: RepositoryBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProcessServer, "_grace", 0.3)
    ignoring, asked = tmp_path / "ignoring", tmp_path / "asked"
    script = f"trap 'touch {asked}' TERM; touch {ignoring}; while true; do sleep 0.1; done"
    server = fake_server(spec_of(repository), tmp_path, script)
    guard = server._guard
    assert guard is not None
    wait_until(ignoring.exists, "the server ignores SIGTERM")
    server.stop()
    assert guard.returncode == -signal.SIGKILL
    assert asked.exists(), "SIGTERM came first"


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize(
    "backends", ["stand-in", pytest.param("real", marks=pytest.mark.real_python)]
)
def test_nothing_is_left_when_pytest_is_ended(
    repository: RepositoryBuilder, tmp_path: Path, way: signal.Signals, backends: str
) -> None:
    """The suite is a real pytest in a process of its own, ended in the middle of a test."""
    repository.add("cpu", "{ kind: KIND_CPU }")
    (tmp_path / "conftest.py").write_text(
        "import pytest, time, pathlib\n"
        "def pytest_sessionstart(session):  # a suite that goes on using its server\n"
        "    checks = session.config.pluginmanager.get_plugin('triton-repository-checks')\n"
        "    checks.session.pool.release = lambda spec: None\n"
        "@pytest.hookimpl(trylast=True)\n"
        "def pytest_runtest_call(item):\n"
        "    if 'test_placement' in item.name:\n"
        "        checks = item.config.pluginmanager.get_plugin('triton-repository-checks')\n"
        "        folders = [str(one.log_file.parent) for one in checks.session.pool.handed_out()]\n"
        "        pathlib.Path('seen').write_text('\\n'.join(folders))\n"
        "        time.sleep(60)\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    arguments = [f"--triton-repo={repository.path}", f"--triton-backends={backends}"]
    suite = subprocess.Popen(
        [sys.executable, "-m", "pytest", "--triton-gpus=none", *arguments],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    seen = tmp_path / "seen"
    try:
        wait_until(lambda: seen.exists() and bool(seen.read_text()), "a server", 60)
        folder = Path(seen.read_text())
        assert processes_about(folder)
        os.kill(suite.pid, way)
        suite.wait(30)
    finally:
        if suite.poll() is None:
            suite.kill()
            suite.wait()
    wait_until(lambda: not processes_about(folder), "the server's processes are gone")
    wait_until(lambda: not folder.exists(), "its folder is gone")
    wait_until(lambda: not list(Path("/dev/shm").glob(folder.name + "*")), "shared memory is gone")


class Launched:
    """Launches servers for a pool and remembers them."""

    def __init__(self) -> None:
        self.servers: list[ProcessServer] = []

    def __call__(self, spec: ServerSpec) -> ProcessServer:
        self.servers.append(launch(spec))
        return self.servers[-1]


def test_pool_shares_remembers_and_limits(repository: RepositoryBuilder) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    launched = Launched()
    pool = ServerPool(max_running=2, launch=launched)
    try:
        assert pool.get(spec_of(repository)) == pool.get(spec_of(repository))
        assert len(launched.servers) == 1, "equal specs share a server"
        pool.get(spec_of(repository, "sim:1"))
        pool.get(spec_of(repository))  # now the second is the least recently used
        pool.done()
        pool.get(spec_of(repository, "sim:2"))
        first, second, _ = launched.servers
        assert first.running
        assert not second.running
        bad = spec_of(repository, arguments=("--frobnicate",))
        errors = []
        for _ in range(2):
            with pytest.raises(ServerExited) as raised:
                pool.get(bad)
            errors.append(raised.value)
        assert errors[0] is errors[1], "the failure is remembered"
    finally:
        pool.close()
    assert pool.handed_out() == ()


def test_server_started_ahead_is_kept_when_there_is_no_room(
    repository: RepositoryBuilder,
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    launched = Launched()
    pool = ServerPool(max_running=2, launch=launched)
    try:
        pool.launch([spec_of(repository), spec_of(repository, "sim:1")])
        pool.get(spec_of(repository, "sim:1"))
        pool.done()
        pool.get(spec_of(repository, "sim:2"))
        ahead, seen, _ = launched.servers
        assert ahead.running
        assert not seen.running
    finally:
        pool.close()


def test_released_server_ends_and_is_started_anew(repository: RepositoryBuilder) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    launched = Launched()
    pool = ServerPool(max_running=1, launch=launched)
    try:
        pool.get(spec_of(repository))
        (first,) = launched.servers
        pool.release(spec_of(repository))
        wait_until(lambda: not first.running, "the released server ends by itself")
        assert "successfully loaded 'cpu'" in first.log.since()
        again = pool.get(spec_of(repository))
        _, second = launched.servers
        assert second.running
        pool.release(spec_of(repository))
        assert not first.folder.exists(), "only the last logs are kept"
        assert pool.handed_out() == (again,)
    finally:
        pool.close()
    assert not second.folder.exists()


def test_server_that_exits_later_is_noticed(repository: RepositoryBuilder) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    launched = Launched()
    pool = ServerPool(launch=launched)
    try:
        pool.get(spec_of(repository))
        (server,) = launched.servers
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: not server.running, "the server has ended")
        with pytest.raises(ServerExited, match="killed"):
            pool.get(spec_of(repository))
        pool.get(spec_of(repository))
        assert len(launched.servers) == 2, "reported once, then replaced"
    finally:
        pool.close()


def test_server_in_use_makes_no_room(repository: RepositoryBuilder) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    launched = Launched()
    pool = ServerPool(max_running=1, launch=launched)
    try:
        pool.get(spec_of(repository), "one worker")
        pool.get(spec_of(repository, "sim:1"), "another")
        assert [server.running for server in launched.servers] == [True, True]
        pool.done("one worker")
        pool.get(spec_of(repository, "sim:2"), "another")
        assert [server.running for server in launched.servers] == [False, True, True]
    finally:
        pool.close()


def test_who_waits_for_a_start_keeps_nobody_from_other_servers(
    repository: RepositoryBuilder,
) -> None:
    """Both servers become live only once both are waited for (made so: real ones don't meet)."""
    repository.add("cpu", "{ kind: KIND_CPU }")
    meeting = threading.Barrier(2, timeout=30)

    class Meeting(ProcessServer):
        def wait_until_live(self) -> None:
            meeting.wait()
            super().wait_until_live()

    pool = ServerPool(launch=lambda spec: Meeting(spec, find_tritonserver(None, None)))
    specs = [spec_of(repository), spec_of(repository, "sim:1")]
    try:
        with ThreadPoolExecutor(2) as threads:
            got = list(threads.map(lambda spec: pool.get(spec, str(spec)), specs))
        assert [server.spec for server in got] == specs
    finally:
        pool.close()


def test_vertex_mode_of_environment_does_not_reach_server(
    repository: RepositoryBuilder,
    start: Callable[..., ProcessServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIP_MODE", "PREDICTION")  # Triton would close HTTP and gRPC
    repository.add("cpu", "{ kind: KIND_CPU }")
    assert states(start()) == {"cpu": "READY"}
