"""A run that names a running server and no repository: nothing says what the server should have.

The bundled checks need a repository to compare with. A suite's own tests may name theirs in markers
and fixtures, so that this is known only once the tests are collected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_triton.options.values import OptionError
from pytest_triton.text.shown_text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIXTURES = {
    "triton_server",
    "triton_server_args",  # of all that factories made
    "make_triton_server",
    "triton_model",
    "triton_hardware",
    "triton_gpu_loss",
}


_OUTPUT = "triton_without_repository"  # in workeroutput: whether a test asks, number of tests


class WithoutRepository:
    """Registered where a running server is named and no repository."""

    def __init__(self, config: pytest.Config, url: str, source: str) -> None:
        self._config = config
        self._url = url
        self._source = source
        self._asks = False
        self._tests = 0
        self._said = False

    @classmethod
    def of(cls, config: pytest.Config) -> WithoutRepository | None:
        """None for a server that pytest starts. Raises pytest.UsageError for a bad option."""
        from pytest_triton.options.hosts import host_type
        from pytest_triton.options.resolving import read_settings

        try:
            settings = read_settings(config)
        except OptionError as error:
            raise pytest.UsageError(str(error)) from None
        if host_type(settings.server).is_ours:
            return None
        return cls(config, settings.server, settings.sources["server"])

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: Sequence[pytest.Item]) -> None:
        """Before any are deselected."""
        self._tests = len(items)
        self._asks = any(
            not _FIXTURES.isdisjoint(getattr(item, "fixturenames", ())) for item in items
        )

    def pytest_collection_finish(self) -> None:
        """With pytest-xdist it is known at the end only, and said by the controller."""
        if self._in_worker:
            output: dict[str, object] = self._config.workeroutput  # type: ignore[attr-defined]
            output[_OUTPUT] = [self._asks, self._tests]
        elif self._config.getoption("dist", "no") == "no" and self._is_pointless:
            raise pytest.UsageError(self._text)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        asks, tests = getattr(node, "workeroutput", {}).get(_OUTPUT, [True, 1])
        self._asks = self._asks or asks
        self._tests = max(self._tests, tests)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        passed = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        if self._is_pointless and session.exitstatus in passed and not self._in_worker:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
            self._said = True

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._said:
            terminalreporter.section("triton", red=True)
            terminalreporter.line(f"ERROR: {self._text}")

    @property
    def _in_worker(self) -> bool:
        return hasattr(self._config, "workerinput")

    @property
    def _is_pointless(self) -> bool:
        """Nothing asks for a server. One of the ini file may be meant for other runs."""
        return not self._asks and (not self._tests or self._source == "command line")

    @property
    def _text(self) -> str:
        tests = "no test that was collected asks for a server" if self._tests else "no tests ran"
        return shown(
            f"--triton-server={self._url} ({self._source}) is a running server, and no repository "
            f"is named that it is to be compared with: nothing is checked ({tests}).\n"
            "To fix it: name the repository that it serves, as it is on this machine: "
            "--triton-repo=models, or triton_repo = models in the ini file"
        )
