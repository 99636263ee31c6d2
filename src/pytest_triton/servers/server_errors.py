"""How a server fails to start or to go on, in the same way wherever it runs."""

from __future__ import annotations

from pytest_triton.errors import PytestTritonError
from pytest_triton.servers.exit_diagnosis import Cause, cause_of_exit
from pytest_triton.servers.server_log import ServerLog
from pytest_triton.servers.spec import ServerSpec


class ServerExited(PytestTritonError):
    """A server ended while it was waited for or used. `cause` is a stable name."""

    def __init__(self, what: str, *, cause: str, fix: str) -> None:
        super().__init__(what, fix=fix)
        self.cause = cause


class ServerNotLive(PytestTritonError):
    """A server runs, and will never serve: its repository can't be read, for instance."""


class ServerTimeout(PytestTritonError):
    """A server did not become live in the given time."""


def exited(
    description: str, spec: ServerSpec, how: str, cause: Cause, log: ServerLog, fix: str
) -> ServerExited:
    """`how` it ended, why, and the log's last lines. `fix` is for causes that have none."""
    tail = log.tail()
    known = cause.line in tail or cause.line in how
    said = "" if known else f"It said: {cause.line}\n"
    return ServerExited(
        f"{description} {how} ({_serving(spec)}).\n"
        f"Cause: {cause.name}: {cause.meaning}.\n{said}"
        f"The last lines of its log:\n{_indent(tail)}",
        cause=cause.name,
        fix=cause.fix or fix,
    )


def not_live(description: str, spec: ServerSpec, log: str) -> ServerNotLive:
    """It answers, and says that it isn't live. `log` is what it wrote since its start."""
    cause = cause_of_exit(0, log)
    said = [line for line in log.splitlines() if line.startswith("E")]
    return ServerNotLive(
        f"{description} is up and says that it is not live ({_serving(spec)}).\n"
        f"Cause: {cause.name}: {cause.meaning}.\n"
        f"The errors in its log:\n{_indent(chr(10).join(said[-20:]))}",
        fix=cause.fix or "read the log above",
    )


def timed_out(description: str, spec: ServerSpec, log: ServerLog) -> ServerTimeout:
    """It was waited for in vain."""
    return ServerTimeout(
        f"{description} was not live after {spec.timeout:g} s ({_serving(spec)}).\n"
        f"The last lines of its log:\n{_indent(log.tail())}",
        fix="raise --triton-timeout if it was still loading models; the log above shows what "
        "it was doing",
    )


def _serving(spec: ServerSpec) -> str:
    return f"serving {', '.join(map(str, spec.repositories))} with {spec.hardware.label}"


def _indent(text: str) -> str:
    return "\n".join("  " + line for line in text.splitlines()) or "  (empty)"
