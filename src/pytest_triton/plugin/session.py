"""A project's own suite on Triton servers: the session of a pytest run, and servers from it.

The session is made when a test first needs it, so that a run without such tests pays nothing.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_triton.arguments.checked import shown_value
from pytest_triton.checks.run import NotForAttached, TritonSession
from pytest_triton.client.tls import Access
from pytest_triton.errors import PytestTritonError, says_all
from pytest_triton.evidence.log_lines import all_refusals
from pytest_triton.options.reading import ReadLayer, read_hardware
from pytest_triton.options.resolving import read_run_layers, resolve, run_settings
from pytest_triton.options.server_arguments import check_arguments
from pytest_triton.options.settings import Settings
from pytest_triton.options.values import Deployment, OptionError
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.servers.log_excerpt import (
    is_triton_line,
    named_in,
    without_tables_and_telemetry,
)
from pytest_triton.servers.loopback import check_loopback
from pytest_triton.servers.process.guard import NoGuard, prepare
from pytest_triton.servers.shared_pool import Broker, PoolMaker, RemotePool
from pytest_triton.testing.load_argument import check_load
from pytest_triton.testing.server import TritonServer
from pytest_triton.text.shown_text import sendable, shown

if TYPE_CHECKING:
    from pytest_triton.servers.pool import Pool
    from pytest_triton.servers.running_server import RunningServer
    from pytest_triton.servers.spec import ServerSpec

__tracebackhide__ = says_all

_Used = tuple["RunningServer", int]  # a server that a test got, and its log's size then

BROKER = "triton_broker"  # in workerinput: how a worker gets at the controller's servers
_LOG_LINES = 50  # at most, of a server's log in a failing report

_SESSION: pytest.StashKey[TritonSession] = pytest.StashKey()
_LAYERS: pytest.StashKey[tuple[ReadLayer, ...]] = pytest.StashKey()
_POOL: pytest.StashKey[PoolMaker] = pytest.StashKey()
_BROKER: pytest.StashKey[Broker] = pytest.StashKey()
_USED: pytest.StashKey[list[_Used]] = pytest.StashKey()
_numbers = itertools.count(1)


class NoRepository(PytestTritonError):
    """A test wants a server and nothing says what it is to serve."""


def session_of(config: pytest.Config) -> TritonSession:
    """The session of this run, made at the first call. Raises pytest.UsageError."""
    if _SESSION not in config.stash:
        try:
            layers = read_run_layers(config)
            settings = run_settings(layers)
        except OptionError as error:
            raise pytest.UsageError(str(error)) from None
        worker = _worker_of(config)
        if not (worker or not settings.host.is_ours or config.option.collectonly):
            with suppress(NoGuard):  # the first launch says so, if there is one
                prepare()  # while the repositories are read
        session = TritonSession(settings, _pool_of(config), worker, _printer(config))
        config.stash[_LAYERS] = layers
        config.stash[_SESSION] = session
        config.add_cleanup(session.close)
        config.pluginmanager.register(_Reports(session), "triton-suite-reports")
    return config.stash[_SESSION]


def invite(config: pytest.Config, *, local: bool) -> dict[str, Any]:
    """What the controller of pytest-xdist hands to a worker (for `workerinput`)."""
    if not local:
        return {"remote": True}
    if _BROKER not in config.stash:
        try:
            check_loopback()
        except PytestTritonError as error:  # for tests that ask for a server, not for all others
            return {"error": str(error)}
        broker = Broker(_pool_maker(config))
        config.stash[_BROKER] = broker
        config.add_cleanup(broker.close)
    return config.stash[_BROKER].invitation


def check_sendable(config: pytest.Config) -> None:
    """Raise pytest.UsageError for arguments that pytest-xdist fails to send to its workers."""
    for argument in config.invocation_params.args:
        text = os.fspath(argument)
        if sendable(text) != text:
            raise pytest.UsageError(
                f"{shown(text)}: this argument is not UTF-8, and pytest-xdist can't send it to "
                "its workers.\nRename the file or directory, or run without workers: -n0"
            )


def server_for(
    request: pytest.FixtureRequest, layers: Sequence[ReadLayer], *, own: bool = False
) -> TritonServer:
    """The server that these layers and the run's options describe, running.

    `own` for one that no other test is given.

    Fails the test, with the error's text, if it can't be had.
    """
    try:
        return _server_for(request, layers, own)
    except PytestTritonError as error:
        fail(error)


def end(session: TritonSession, server: TritonServer) -> None:
    """The end of a test with a server of its own: the server ends, too."""
    server._close()
    session.pool.release(server._state.running.spec)


@contextmanager
def kept(request: pytest.FixtureRequest, layers: Sequence[ReadLayer]) -> Iterator[TritonServer]:
    """The server of a fixture that several tests have, one after the other.

    One that may be changed is the fixture's own: tests beside it would find other models.
    """
    try:
        own = settings_of_test(request.config, layers).changes
        server = _server_for(request, layers, own)
    except PytestTritonError as error:
        fail(error)
    session = session_of(request.config)
    name = request.fixturename or ""
    session.kept[name] = server._state.running
    yield server
    del session.kept[name]
    if own:
        end(session, server)
    else:
        restore(server)


def restore(server: TritonServer) -> None:
    """The end of a test: what it changed is put back, what it opened is closed."""
    try:
        server._restore()
    except Exception as error:
        text = error if isinstance(error, PytestTritonError) else repr(error)
        pytest.fail(
            f"What this test loaded or unloaded could not be put back, so that tests after it "
            f"may find another state: {shown(str(text))}",
            pytrace=False,
        )
    finally:
        server._close()


def fail(error: PytestTritonError) -> NoReturn:
    """Fail with the error's text: a traceback of ours would help nobody."""
    __tracebackhide__ = True
    raise pytest.fail.Exception(str(error), pytrace=False) from None  # nor what led to it


def deployment_of(settings: Settings) -> Deployment:
    """The deployment that a test means: the one it names, else the options' one."""
    if len(settings.repo) == 1:
        return settings.repo[0]
    raise NoRepository(
        "No model repository is named for this test."
        if not settings.repo
        else f"{len(settings.repo)} model repositories are checked, and this test doesn't say "
        "which one its server is to serve.",
        tried=["the marker triton(repo=...)", "--triton-repo, ini triton_repo"],
        fix='mark the test, class or module with @pytest.mark.triton(repo="models"), or '
        "set triton_repo in the ini file",
    )


def hardware_of(request: pytest.FixtureRequest, settings: Settings) -> HardwareRequest:
    """The test's parameter, else what it names, else the first hardware of the options."""
    callspec = getattr(request.node, "callspec", None)
    parameter = callspec.params.get("triton_hardware") if callspec is not None else None
    if parameter is not None:  # a text, where the test parametrizes itself
        try:
            return read_hardware(parameter)
        except OptionError as error:
            shown_parameter = shown_value(parameter)
            raise OptionError(f"triton_hardware={shown_parameter}: {error.what}") from None
    if settings.sources["gpus"] in ("marker", "fixture or factory") and len(settings.gpus) > 1:
        fail(
            NoRepository(
                "gpus names several hardware configurations, and this test isn't run on each",
                fix="let the test take the fixture triton_hardware as well",
            )
        )
    return settings.gpus[0]


def settings_of_test(config: pytest.Config, layers: Sequence[ReadLayer]) -> Settings:
    """The settings of a test that gives these layers. Raises pytest.UsageError."""
    session_of(config)
    return resolve([*layers, *config.stash[_LAYERS]])


def _server_for(
    request: pytest.FixtureRequest, layers: Sequence[ReadLayer], own: bool
) -> TritonServer:
    session = session_of(request.config)
    settings = settings_of_test(request.config, layers)
    checked = session.checked(deployment_of(settings), settings)
    if not settings.host.is_ours:
        _check_attached(session, settings, own)
    check_load(settings.load or (), checked)
    settings = replace(settings, changes=own or settings.changes)
    check_arguments(settings.arguments, explicit=settings.changes, complete=True)
    spec = session.spec(checked, hardware_of(request, settings), settings)
    if own:
        owner = f"{session.worker or 'main'}-{next(_numbers)}"
        spec = replace(spec, owner=owner, model_control="explicit")
    elif settings.changes:
        spec = replace(spec, owner=session.worker or "main", model_control="explicit")
    known = {one.name for one in session.pool.handed_out()}
    running = session.pool.get(spec)
    session.hardware_of(running)  # raises if the server hasn't the GPUs that were asked for
    mark = running.log.size() if running.name in known else 0  # a new one reports its start, too
    if request.scope == "function":
        _note_use(request.node, running, mark)
    return TritonServer(session, checked, running)


def _note_use(item: pytest.Item, running: RunningServer, mark: int) -> None:
    """For the test's report, and the log that is shown where it fails."""
    spec = running.spec
    item.user_properties += [
        ("triton_hardware", spec.hardware.label),
        ("triton_run", spec.run),
        ("triton_server", running.description),
    ]
    item.stash.setdefault(_USED, []).append((running, mark))


def _check_attached(session: TritonSession, settings: Settings, own: bool) -> None:
    """Raise NotForAttached for what can't be had of a running server, or isn't allowed."""
    server = f"the server at {settings.server} is a running one"
    elsewhere = "give the test a server of its own: server='process'"
    if own:
        raise NotForAttached(
            f"This test starts a server of its own (make_triton_server, triton_gpu_loss), and "
            f"{server}, so that pytest starts none.",
            fix="run it without --triton-server, or name another one for it: "
            "make_triton_server(server='process', gpus='sim:2')",
        )
    for name in ("arguments", "environment", "load"):
        if getattr(settings, name):
            raise NotForAttached(
                f"This test wants a server with {name}, and {server}: it has what it was "
                "started with.",
                fix=elsewhere,
            )
    if not settings.changes:
        return
    if not settings.host.may_change:
        raise NotForAttached(
            f"This test loads or unloads models (triton(changes=True)), and {server} that is only "
            "looked at.",
            fix="--triton-allow-changes=on, if its models may be loaded and unloaded for tests; "
            f"or {elsewhere}",
        )
    if session.worker:
        raise NotForAttached(
            f"This test loads or unloads models (triton(changes=True)), and {server} that all "
            f"workers of pytest-xdist look at while worker {session.worker} would change it.",
            fix="run the tests that change it without workers: -n0",
        )


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
        config.stash[_POOL] = PoolMaker(_printer(config))
        config.add_cleanup(config.stash[_POOL].close)
    return config.stash[_POOL]


def _printer(config: pytest.Config) -> Callable[[str], None]:
    """Shows a line at once, even while pytest captures what tests write."""

    def say(line: str) -> None:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        capture = config.pluginmanager.get_plugin("capturemanager")
        if reporter is None:
            return
        here = threading.current_thread() is threading.main_thread()
        uncaptured = capture.global_and_fixture_disabled() if capture and here else nullcontext()
        with uncaptured:
            reporter.ensure_newline()
            reporter.write_line(shown(f"triton: {line}"))

    return say


class _Reports:
    """Shows what servers wrote during a failed test; lets servers rest after each test."""

    def __init__(self, session: TritonSession) -> None:
        self._session = session

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        if call.when == "setup":  # servers of fixtures that several tests have
            for name in getattr(item, "fixturenames", ()):
                if name in self._session.kept:
                    running = self._session.kept[name]
                    _note_use(item, running, running.log.size())
        report = yield
        if report.failed:
            used = item.stash.get(_USED, None)
            report.sections += _log_sections(used or (), report)
        if self._session.settings.header:
            _hide_credentials(report, self._session.settings.header)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_report_to_serializable(
        self,
    ) -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
        """Names of models that aren't UTF-8 are in keywords, properties and failures."""
        data = yield
        return _sendable(data) if self._session.worker else data

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self) -> None:
        self._session.pool.done()
        for running in self._session.kept.values():
            with suppress(PytestTritonError):  # who uses it next reports it
                self._session.pool.get(running.spec)


def sections_about(spec: ServerSpec, model: str, pool: Pool) -> list[tuple[str, str]]:
    """What the servers of a spec wrote about a model that is checked, for a test's report."""
    return [
        section
        for server in pool.handed_out()
        if server.spec == spec
        for section in log_section(server, server.log.about(model).splitlines())
    ]


def log_section(server: RunningServer, lines: Sequence[str]) -> list[tuple[str, str]]:
    """The last of these lines of a server's log, as a section of a test's report.

    Nothing where none of them is more than Triton's usual report of its start.
    """
    lines = without_tables_and_telemetry(lines)
    if not any(one[:1] in ("E", "W") or not is_triton_line(one) for one in lines):
        return []
    text = shown("\n".join(lines[-_LOG_LINES:]))
    return [(f"triton server log ({server.spec.hardware.label})", text)]


def _sendable(data: Any) -> Any:
    """A serialized report with texts that pytest-xdist can send."""
    if isinstance(data, str):
        return data if data.isascii() else sendable(data)
    if isinstance(data, dict):
        return {_sendable(key): _sendable(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return type(data)(map(_sendable, data))
    return data


def _hide_credentials(report: pytest.TestReport, headers: tuple[tuple[str, str], ...]) -> None:
    """A server may have repeated them to a client of the test's own."""
    access = Access(headers=headers)
    if isinstance(report.longrepr, tuple):
        path, line, reason = report.longrepr
        report.longrepr = (path, line, access.hide(reason))
    elif report.longrepr is not None:
        text = str(report.longrepr)
        if access.hide(text) != text:
            report.longrepr = access.hide(text)
    report.sections = [(name, access.hide(content)) for name, content in report.sections]


def _log_sections(used: Iterable[_Used], report: pytest.TestReport) -> list[tuple[str, str]]:
    """What servers wrote since a test got them, as far as it may explain the failure."""
    sections = []
    for server, mark in used:
        log = server.log.since(mark)
        lines = log.splitlines()
        if not mark:  # the log of a start: what it says against models that the failure names
            refused = named_in(report.longreprtext, all_refusals(log))
            errors = [line for line in lines if line[:1] == "E"]
            lines = [one for one in errors if named_in(one, refused)]
        sections += log_section(server, lines)
    return sections
