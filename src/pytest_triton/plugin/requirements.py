"""What a job requires (`--triton-require`), and what a test needs (`triton_requires`).

A test that needs what the run hasn't got is skipped. A job that requires it must have it: that is
checked from inside a server before the first test, and again at the end; and tests must have run
on it. Silently skipped GPU tests can't pass for proof.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pytest_triton.arguments.checked import check, shown_value
from pytest_triton.arguments.kinds import COUNT, SWITCH, optional
from pytest_triton.errors import PytestTritonError
from pytest_triton.options.hosts import ContainerHost
from pytest_triton.options.values import OptionError
from pytest_triton.plugin.session import fail, session_of

if TYPE_CHECKING:
    from pytest_triton.checks.run import TritonSession
    from pytest_triton.options.settings import Settings
    from pytest_triton.options.values import Required, Requirement
    from pytest_triton.placement.hardware import HardwareRequest
    from pytest_triton.servers.spec import ServerSpec

_ANY = 99  # GPUs of a machine: who asks for all of them has enough

_PARTS = (
    "triton-fixtures",
    "triton-requirements",
    "triton-repository-checks",
    "triton-suite-reports",
)

REQUIRES_SIGNATURE = "triton_requires(*, gpus=None, container=None, real_backends=None)"


class RequirementNotMet(PytestTritonError):
    """The job hasn't got what it was said to have."""


@dataclass(frozen=True)
class Need:
    """What a test can't run without; `gpus` is the number of real ones."""

    what: Required
    gpus: int = 0

    def __str__(self) -> str:
        if self.what != "gpus":
            return {"container": "a container", "real-backends": "real backends"}[self.what]
        return f"{self.gpus} real GPU{'s' if self.gpus != 1 else ''}"


def needs_of(mark: pytest.Mark) -> tuple[Need, ...]:
    """What a mark `triton_requires` asks for. Raises OptionError, with the signature."""
    unknown = set(mark.kwargs) - {"gpus", "container", "real_backends"}
    if mark.args or unknown or not mark.kwargs:
        got = (
            shown_value(mark.args[0])
            if mark.args
            else f"{unknown.pop()}=..."
            if unknown
            else "nothing"
        )
        raise OptionError(f"The marker triton_requires can't take {got}: {REQUIRES_SIGNATURE}")
    gpus = mark.kwargs.get("gpus")
    check("triton_requires", "gpus", gpus, optional(COUNT))
    for name in ("container", "real_backends"):
        check("triton_requires", name, mark.kwargs.get(name), optional(SWITCH))
    needs = [Need("gpus", gpus)] if gpus is not None else []
    needs += [Need("container")] * bool(mark.kwargs.get("container"))
    needs += [Need("real-backends")] * bool(mark.kwargs.get("real_backends"))
    return tuple(needs)


def check_needs(item: pytest.Item) -> None:
    """Skip a test that needs what the run hasn't got; fail it where that was required."""
    for mark in item.iter_markers("triton_requires"):
        session = session_of(item.config)
        settings = session.settings
        for need in needs_of(mark):
            try:
                if _is_met(need, session):
                    continue
            except PytestTritonError as error:
                fail(error)
            reason = f"needs {need}, and {_instead(need, settings)}"
            if any(_covers(requirement, need) for requirement in settings.require):
                pytest.fail(f"{reason}, though that was required: --triton-require", pytrace=False)
            pytest.skip(reason)


def _is_met(need: Need, session: TritonSession) -> bool:
    """Raises PytestTritonError if a running server has to be asked and can't be."""
    settings = session.settings
    if need.what == "gpus":
        return any(_gpus(request, session) >= need.gpus for request in _real(settings))
    return _has(need.what, settings)


def _gpus(request: HardwareRequest, session: TritonSession) -> int:
    """How many GPUs that is; of a running server those that it reports."""
    if not request.is_own:
        return request.count or _ANY
    (spec,) = _specs(session, (request,))
    return session.hardware_of(session.pool.get(spec)).count


def _has(what: Required, settings: Settings) -> bool:
    if what == "container":
        return isinstance(settings.host, ContainerHost)
    return settings.backends == "real"


def _real(settings: Settings) -> tuple[HardwareRequest, ...]:
    return tuple(one for one in settings.gpus if one.is_real)


def _covers(requirement: Requirement, need: Need) -> bool:
    return requirement.what == need.what and (need.what != "gpus" or requirement.gpus >= need.gpus)


def _instead(need: Need, settings: Settings) -> str:
    if need.what == "gpus":
        given = ", ".join(request.label for request in settings.gpus)
        return f"this run has {given} (--triton-gpus)"
    if need.what == "container":
        return f"this run's servers are at: {settings.server} (--triton-server)"
    return f"this run has {settings.backends} backends (--triton-backends)"


class RequirementCheck:
    """Checks a run for what it requires. In the controller only, if there are xdist workers."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._settings = session_of(config).settings
        self._ran: set[str] = set()  # the hardware that tests ran on, by label
        self._broken = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        try:
            self._check()
        except PytestTritonError as error:
            self._broken = str(error)
            raise session.Failed("triton: a requirement is not met") from None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and not report.skipped:
            self._ran.update(
                str(value) for name, value in report.user_properties if name == "triton_hardware"
            )

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        if not (self._config.option.collectonly or self._broken):
            try:
                self._check_end()
            except PytestTritonError as error:
                self._broken = str(error)
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        yield

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._broken:
            terminalreporter.section("triton requirements", red=True)
            terminalreporter.line(self._broken)

    def _check(self) -> None:
        for requirement in self._settings.require:
            if requirement.what != "gpus":
                if not _has(requirement.what, self._settings):
                    why = _instead(Need(requirement.what), self._settings)
                    raise _broken(requirement, why)
                continue
            real = _real(self._settings)
            if not real:
                why = _instead(Need("gpus", requirement.gpus), self._settings)
                raise _broken(requirement, f"{why}; simulated ones don't count")
            self._count(requirement, real)

    def _check_end(self) -> None:
        """Tests ran on the GPUs, and they are still there."""
        real = _real(self._settings)
        for requirement in self._settings.require:
            if requirement.what != "gpus":
                continue
            if not self._ran.intersection(request.label for request in real):
                raise _broken(requirement, "no test ran on a real GPU")
            self._count(requirement, real, again=True)

    def _count(
        self, requirement: Requirement, real: tuple[HardwareRequest, ...], *, again: bool = False
    ) -> None:
        """Ask a server how many GPUs it has; a new one if `again`, as GPUs may get lost."""
        from pytest_triton.evidence.usable_gpus import real_hardware

        session = session_of(self._config)
        when = "at the end of the run " if again else ""
        found = 0
        for spec in _specs(session, real):
            if again:
                session.pool.release(spec)
            try:
                found = max(found, real_hardware(session.pool.get(spec)).count)
            except PytestTritonError as error:
                raise _broken(requirement, f"{when}the server says: {error.what}", error) from None
        if found < requirement.gpus:
            raise _broken(requirement, f"{when}the server has {found} of them")


def _specs(session: TritonSession, real: tuple[HardwareRequest, ...]) -> tuple[ServerSpec, ...]:
    if not session.deployments:
        raise RequirementNotMet(
            "GPUs were required (--triton-require), and no model repository is named, so that no "
            "server can be asked how many it has",
            fix="name one: --triton-repo=models, or triton_repo in the ini file",
        )
    return tuple(session.spec(session.deployments[0], request) for request in real)


def _broken(
    requirement: Requirement, why: str, cause: PytestTritonError | None = None
) -> RequirementNotMet:
    """The error; `cause` is the one that kept a server from having what is required."""
    fix = "run the job where that is, or don't require it: what isn't there proves nothing"
    return RequirementNotMet(
        f"this job requires {requirement} (--triton-require={requirement.text}), and {why}",
        tried=cause.tried if cause is not None else (),
        fix=(cause.fix if cause is not None else "") or fix,
    )


def check_requirements(config: pytest.Config) -> None:
    """Register the check in the process that reports, if anything is required."""
    if not session_of(config).settings.require:
        return
    for part in _PARTS:
        if config.pluginmanager.is_blocked(part):
            raise pytest.UsageError(
                f"-p no:{part} leaves out a part of pytest-triton, without which --triton-require "
                "can't be checked: leave out one of the two"
            )
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(RequirementCheck(config), "triton-requirements")
