"""One set of servers for all workers of pytest-xdist."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.builders import RepositoryBuilder
from support.watching import processes_about, wait_until

pytestmark = pytest.mark.usefixtures("folders_left")

# Counts the server starts of a whole run: each launch adds a line to a file.
COUNTING = """
import os
import pytest
from pytest_triton.servers import launching

_launch = launching.launch

def launch(spec, **more):
    with open(os.environ["STARTS"], "a") as file:
        file.write(f"{spec.hardware} {os.getpid()}\\n")
    return _launch(spec, **more)

launching.launch = launch
"""

SUITE = """
import pytest
from pytest_triton import assert_refused, cpu, gpu

@pytest.mark.parametrize("number", range(6))
@pytest.mark.triton(gpus="none")
def test_refused(triton_server, number):
    assert_refused(triton_server, "pinned", "no-gpu")

@pytest.mark.parametrize("number", range(6))
@pytest.mark.triton(gpus="sim:2")
def test_placed(triton_server, number):
    assert triton_server.placement("pinned") == gpu(0) + gpu(1)

def test_unrelated():
    pass
"""


@pytest.fixture
def project(
    pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    repository = RepositoryBuilder(pytester.path / "models")
    repository.add("pinned", "{ kind: KIND_GPU }", backend="onnxruntime")
    repository.add("small", "{ kind: KIND_CPU count: 2 }")
    pytester.makeini("[pytest]\ntriton_repo = models\n")
    pytester.makeconftest(COUNTING)
    pytester.makepyfile(test_own=SUITE)
    monkeypatch.setenv("STARTS", str(tmp_path / "starts"))
    return pytester


@pytest.fixture
def starts(tmp_path: Path) -> Callable[[], list[str]]:
    """The servers that were started: hardware and process, a line each."""

    def starts() -> list[str]:
        file = tmp_path / "starts"
        return sorted(file.read_text().splitlines()) if file.exists() else []

    return starts


WAYS = [
    (),
    ("-n0",),
    ("-n2",),
    ("-n4",),
    ("-n2", "--dist=load"),
    ("-n2", "--dist=loadfile"),
    ("-n2", "--dist=loadscope"),
    ("-n2", "--dist=worksteal"),
]


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_each_server_is_started_once(
    project: pytest.Pytester, starts: Callable[[], list[str]], way: tuple[str, ...]
) -> None:
    result = project.runpytest_subprocess("test_own.py", *way)
    result.assert_outcomes(passed=13)
    found = starts()
    assert [line.split()[0] for line in found] == ["none", "sim:2"]
    assert len({line.split()[1] for line in found}) == 1, "by one process"


@pytest.mark.parametrize("arguments", [("-k", "unrelated"), ("--collect-only",)])
@pytest.mark.parametrize("way", [(), ("-n2",)], ids=["alone", "workers"])
def test_nothing_is_started_in_vain(
    project: pytest.Pytester,
    starts: Callable[[], list[str]],
    way: tuple[str, ...],
    arguments: tuple[str, ...],
) -> None:
    result = project.runpytest_subprocess("test_own.py", *way, *arguments)
    assert result.ret == 0
    assert starts() == []


def test_bundled_checks_share_the_servers_too(
    project: pytest.Pytester, starts: Callable[[], list[str]]
) -> None:
    result = project.runpytest_subprocess("--triton-repo=models", "models", "-n3")
    assert result.ret == 0
    assert [line.split()[0] for line in starts()] == ["none", "sim:2"]


def test_killed_worker_takes_no_server_along(
    project: pytest.Pytester, starts: Callable[[], list[str]]
) -> None:
    project.makepyfile(
        test_own=SUITE
        + """
@pytest.mark.triton(gpus="sim:2")
def test_killed(triton_server):
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)

@pytest.mark.parametrize("number", range(8))
@pytest.mark.triton(gpus="sim:2")
def test_after(triton_server, number):
    assert triton_server.placement("pinned") == gpu(0) + gpu(1)
"""
    )
    result = project.runpytest_subprocess("test_own.py", "-n2")
    result.assert_outcomes(passed=21, failed=1)
    assert [line.split()[0] for line in starts()] == ["none", "sim:2"]


def test_failed_start_is_tried_once_and_reported_to_all(
    project: pytest.Pytester, starts: Callable[[], list[str]]
) -> None:
    project.makepyfile(
        test_own="""
import pytest

@pytest.mark.parametrize("number", range(6))
@pytest.mark.triton(arguments=["--host-policy=x,y=z"])
def test_it(triton_server, number):
    pass
"""
    )
    result = project.runpytest_subprocess("test_own.py", "-n2")
    result.assert_outcomes(errors=6)
    assert len(starts()) == 1
    assert result.stdout.str().count("What to do:") >= 6
    result.stdout.no_fnmatch_line("*Traceback*")


def test_workers_that_change_models_have_servers_of_their_own(
    project: pytest.Pytester, starts: Callable[[], list[str]]
) -> None:
    project.makepyfile(
        test_own="""
import pytest
from pytest_triton import cpu

@pytest.mark.parametrize("number", range(8))
@pytest.mark.triton(gpus="none", changes=True)
def test_it(triton_server, number):
    assert triton_server.placement("small") == cpu(count=2)
    triton_server.reload("small", instance_group="{ kind: KIND_CPU count: %d }" % (number + 3))
    assert triton_server.placement("small") == cpu(count=number + 3)
"""
    )
    result = project.runpytest_subprocess("test_own.py", "-n2")
    result.assert_outcomes(passed=8)
    assert len(starts()) == 2, "one a worker"


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_controller_is_ended(
    project: pytest.Pytester, tmp_path: Path, way: signal.Signals
) -> None:
    project.makepyfile(
        test_own="""
import pathlib, time

def test_it(triton_server):
    pathlib.Path("log").write_text(str(triton_server._state.running.log_file))
    time.sleep(60)
"""
    )
    suite = subprocess.Popen(
        [sys.executable, "-m", "pytest", "test_own.py", "-n2"],
        cwd=project.path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    written = project.path / "log"
    try:
        wait_until(lambda: written.exists() and bool(written.read_text()), "a server", 60)
        folder = Path(written.read_text()).parent
        assert processes_about(folder)
        os.kill(suite.pid, way)
        suite.wait(30)
    finally:
        if suite.poll() is None:
            suite.kill()
            suite.wait()
    wait_until(lambda: not processes_about(folder), "the server's processes are gone", 60)
    wait_until(lambda: not folder.exists(), "its folder is gone", 60)


def test_workers_on_other_machines_are_refused(project: pytest.Pytester) -> None:
    """Simulated by handing out another invitation: there is no other machine here."""
    project.makeconftest(
        """
import pytest_triton.plugin.session

_invite = pytest_triton.plugin.session.invite
pytest_triton.plugin.session.invite = lambda config, local: _invite(config, local=False)
"""
    )
    result = project.runpytest_subprocess("test_own.py", "-n1")
    result.assert_outcomes(passed=1, errors=12)
    result.stdout.fnmatch_lines(["*on another machine than the controller*", "*--tx ssh=*"])


def test_externals_get_nothing_from_the_broker(tmp_path: Path) -> None:
    from multiprocessing import AuthenticationError
    from multiprocessing.connection import Client

    from pytest_triton.servers.shared_pool import Broker, BrokerGone, PoolMaker, RemotePool

    broker = Broker(PoolMaker())
    try:
        invitation = broker.invitation
        with pytest.raises(AuthenticationError):
            Client("\0" + invitation["name"], authkey=b"guessed")
        pool = RemotePool(invitation, "gw0")
        pool.launch([])
        assert pool.handed_out() == ()
    finally:
        broker.close()
    with pytest.raises(BrokerGone, match="doesn't answer worker gw1"):
        RemotePool(invitation, "gw1").launch([])
    pool.close()
