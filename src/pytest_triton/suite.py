"""A project's own suite on Triton servers: the session of a pytest run, and servers from it.

The session is made when a test first needs it, so that a run without such tests pays nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_triton.errors import PytestTritonError
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.servers.broker import Broker, PoolMaker, RemotePool
from pytest_triton.session import TritonSession
from pytest_triton.settings import Deployment, OptionError, Settings, read_settings
from pytest_triton.triton_server import TritonServer
from pytest_triton.wanted import Wanted

if TYPE_CHECKING:
    from pytest_triton.servers.pool import Pool
    from pytest_triton.servers.server import RunningServer

_Used = tuple["RunningServer", int]  # a server that a test got, and its log's size then

BROKER = "triton_broker"  # in workerinput: how a worker gets at the controller's servers
_LOG_LINES = 50  # at most, of a server's log in a failing report

_SESSION: pytest.StashKey[TritonSession] = pytest.StashKey()
_POOL: pytest.StashKey[PoolMaker] = pytest.StashKey()
_BROKER: pytest.StashKey[Broker] = pytest.StashKey()
_USED: pytest.StashKey[list[_Used]] = pytest.StashKey()
_NONE_USED: list[_Used] = []
_numbers = itertools.count(1)


class NoRepository(PytestTritonError):
    """A test wants a server and nothing says what it is to serve."""


def session_of(config: pytest.Config) -> TritonSession:
    """The session of this run, made at the first call. Raises pytest.UsageError."""
    if _SESSION not in config.stash:
        try:
            settings = read_settings(config)
        except OptionError as error:
            raise pytest.UsageError(str(error)) from None
        session = TritonSession(settings, _pool_of(config), _worker_of(config))
        config.stash[_SESSION] = session
        config.add_cleanup(session.close)
        config.pluginmanager.register(_Reports(session), "triton-suite-reports")
    return config.stash[_SESSION]


def invite(config: pytest.Config, *, local: bool) -> dict[str, Any]:
    """What the controller of pytest-xdist hands to a worker (for `workerinput`)."""
    if not local:
        return {"remote": True}
    if _BROKER not in config.stash:
        broker = Broker(_pool_maker(config))
        config.stash[_BROKER] = broker
        config.add_cleanup(broker.close)
    return config.stash[_BROKER].invitation


def server_for(
    request: pytest.FixtureRequest, wishes: Wanted, *, own: bool = False
) -> TritonServer:
    """The server that a test wants, running; `own` for one that no other test is given.

    Fails the test, with the error's text, if it can't be had.
    """
    try:
        return _server_for(request, wishes, own)
    except PytestTritonError as error:
        fail(error)


def end(session: TritonSession, server: TritonServer) -> None:
    """The end of a test with a server of its own: the server ends, too."""
    server.close()
    session.pool.release(server._running.spec)


def restore(server: TritonServer) -> None:
    """The end of a test: what it changed is put back, what it opened is closed."""
    try:
        server.restore()
    except Exception as error:
        text = error if isinstance(error, PytestTritonError) else repr(error)
        pytest.fail(
            f"What this test loaded or unloaded could not be put back, so that tests after it "
            f"may find another state: {text}",
            pytrace=False,
        )
    finally:
        server.close()


def fail(error: PytestTritonError) -> NoReturn:
    """Fail with the error's text: a traceback of ours would help nobody."""
    pytest.fail(str(error), pytrace=False)


def deployment_of(config: pytest.Config, repo: str | None) -> Deployment:
    """The deployment that a test means: the one it names, else the options' one."""
    settings = session_of(config).settings
    if repo is None:
        if len(settings.repo) == 1:
            return settings.repo[0]
        raise NoRepository(
            "No model repository is named for this test."
            if not settings.repo
            else f"{len(settings.repo)} model repositories are checked, and this test doesn't say "
            "which one its server is to serve.",
            tried=["the marker triton(repo=...)", "--triton-repo, ini triton_repo"],
            cure='mark the test, class or module with @pytest.mark.triton(repo="models"), or '
            "set triton_repo in the ini file",
        )
    return Deployment(repo, tuple(config.rootpath / part for part in repo.split(":")))


def hardware_of(request: pytest.FixtureRequest, wishes: Wanted) -> HardwareRequest:
    """The test's parameter, else what it wishes, else the first hardware of the options."""
    callspec = getattr(request.node, "callspec", None)
    parameter = callspec.params.get("triton_hardware") if callspec is not None else None
    if isinstance(parameter, HardwareRequest):
        return parameter
    if wishes.gpus is not None:
        if len(wishes.gpus) > 1:
            fail(
                NoRepository(
                    "gpus names several hardwares, and this test isn't run on each of them",
                    cure="let the test take the fixture triton_hardware as well",
                )
            )
        return wishes.gpus[0]
    return session_of(request.config).settings.gpus[0]


def settings_for(session: TritonSession, wishes: Wanted) -> Settings:
    """The options, with what the test wishes in place of them.

    Who names an image wants a container, who names a binary or a release a process. What was said
    about backends holds, else they are real in a container, as for the options.
    """
    given: dict[str, Any] = {
        "server": wishes.server,
        "image": wishes.image,
        "binary": None if wishes.binary is None else Path(wishes.binary),
        "version": wishes.version,
        "python": None if wishes.python is None else Path(wishes.python),
        "timeout": wishes.timeout,
        "backends": wishes.backends,
    }
    if wishes.server is None:
        if wishes.image is not None:
            given["server"] = "container"
        elif wishes.binary is not None or wishes.version is not None:
            given["server"] = "process"
    settings = session.settings
    if wishes.backends is None and settings.sources["backends"] == "default":
        elsewhere = given["server"] not in (None, "process")
        given["backends"] = "real" if elsewhere else None
    return replace(settings, **{name: value for name, value in given.items() if value is not None})


def _server_for(request: pytest.FixtureRequest, wishes: Wanted, own: bool) -> TritonServer:
    session = session_of(request.config)
    settings = settings_for(session, wishes)
    deployment = deployment_of(request.config, wishes.repo)
    checked = session.checked(deployment, settings.backends)
    spec = replace(
        session.spec(checked, hardware_of(request, wishes), settings),
        arguments=wishes.arguments or (),
        environment=wishes.environment or (),
        load=wishes.load,
    )
    if own:
        spec = replace(spec, changed_by=f"{session.worker or 'main'}-{next(_numbers)}")
    elif wishes.changes:
        spec = replace(spec, changed_by=session.worker or "main")
    known = {one.name for one in session.pool.handed_out()}
    running = session.pool.get(spec)
    mark = running.log.size() if running.name in known else 0  # a new one tells of its start, too
    request.node.user_properties += [
        ("triton_hardware", spec.hardware.label),
        ("triton_run", spec.run),
        ("triton_server", running.description),
    ]
    request.node.stash.setdefault(_USED, []).append((running, mark))
    return TritonServer(session, checked, running)


def _worker_of(config: pytest.Config) -> str:
    given = getattr(config, "workerinput", None)
    return "" if given is None else str(given["workerid"])


def _pool_of(config: pytest.Config) -> Pool:
    given = getattr(config, "workerinput", None)
    if given is not None:
        return RemotePool(given.get(BROKER, {}), given["workerid"])
    return _pool_maker(config)()


def _pool_maker(config: pytest.Config) -> PoolMaker:
    if _POOL not in config.stash:
        config.stash[_POOL] = PoolMaker()
        config.add_cleanup(config.stash[_POOL].close)
    return config.stash[_POOL]


class _Reports:
    """Shows what servers wrote during a failed test; lets servers rest after each test."""

    def __init__(self, session: TritonSession) -> None:
        self._session = session

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.failed:
            report.sections += log_sections(item.stash.get(_USED, _NONE_USED))
        return report

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self) -> None:
        self._session.pool.done()


def log_sections(used: list[_Used]) -> list[tuple[str, str]]:
    """What servers wrote since a test got them, as sections of its report."""
    sections = []
    for server, mark in used:
        lines = [line for line in server.log.since(mark).splitlines() if line[:1] not in "|+"]
        if lines:  # Triton's tables of options and models, left out here, would fill the report
            shown = "\n".join(lines[-_LOG_LINES:])
            sections.append((f"triton server log ({server.spec.hardware.label})", shown))
    return sections
