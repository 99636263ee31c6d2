"""--triton-update-golden: golden files are written instead of compared. Registered only then."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from pytest_triton.inference.golden_place import CURRENT
from pytest_triton.options.values import OptionError
from pytest_triton.text.shown_text import shown

_PROPERTY = "triton_golden_written"


def prepare(config: pytest.Config) -> None:
    """Read the option. Raises pytest.UsageError."""
    from pytest_triton.options.resolving import read_settings

    try:
        settings = read_settings(config)
    except OptionError as error:
        raise pytest.UsageError(str(error)) from None
    CURRENT.update = settings.update_golden
    if settings.update_golden:
        config.pluginmanager.register(_GoldenUpdate(), "triton-golden-update")


class _GoldenUpdate:
    """Says at the end what was written: those tests have compared nothing."""

    def __init__(self) -> None:
        self._written: dict[str, None] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        report.user_properties += [(_PROPERTY, folder) for folder in CURRENT.written]
        CURRENT.written.clear()
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Of a worker of pytest-xdist as well."""
        found = [str(value) for name, value in report.user_properties if name == _PROPERTY]
        self._written.update(dict.fromkeys(found))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("triton golden files")
        for folder in self._written:
            terminalreporter.line(shown(f"written: {folder}"))
        if not self._written:
            terminalreporter.line("none was written (--triton-update-golden)")

    def pytest_unconfigure(self) -> None:
        CURRENT.update = False
