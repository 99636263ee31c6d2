"""The ledger of a run and the reports made of it, for whatever checks the run has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_triton.errors import PytestTritonError
from pytest_triton.servers import folders

if TYPE_CHECKING:
    from pytest_triton.checks.result import CheckResult
    from pytest_triton.options.settings import Settings
    from pytest_triton.reports.ledger_writer import LedgerWriter


class RunLedger:
    """Keeps the ledger from the session's start to its end, and writes the reports then."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        from pytest_triton.reports.publish import Publication

        self._config = config
        self._settings = settings
        self._publication = Publication.of(settings)
        self._writer = _ledger_writer(config, settings, self._publication.is_wanted)

    def start(self) -> None:
        """Raises PytestTritonError for a file that can't be used."""
        if self._writer is None:
            return
        if self._settings.ledger is None:
            folders.make(self._writer.path.parent)
        self._writer.start()

    def add(self, report: pytest.TestReport, result: CheckResult | None) -> None:
        if self._writer is not None:
            self._writer.add(report, result)

    def finish(self, session: pytest.Session) -> None:
        """Write the end, and the reports."""
        if self._writer is None:
            return
        self._writer.close(session.exitstatus)
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        say = reporter.write_line if reporter is not None else print
        try:
            if self._publication.is_wanted:
                self._publication.write(self._writer.path, say)
        except PytestTritonError as error:
            say(f"error: {error}")
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
        finally:
            if self._settings.ledger is None:
                folders.remove(self._writer.path.parent)


def _ledger_writer(
    config: pytest.Config, settings: Settings, is_wanted: bool
) -> LedgerWriter | None:
    """What keeps the ledger: in the file that was named, or else in one for the reports only."""
    if (settings.ledger is None and not is_wanted) or hasattr(config, "workerinput"):
        return None  # an xdist worker's reports reach the controller, which writes
    from pytest_triton.reports.ledger_writer import LedgerWriter, this_job

    shard = str(settings.shard) if settings.shard is not None else None
    job = this_job(settings.job, shard, config.invocation_params.dir)
    # The folder is made when the session starts: before that it may still end without a finish.
    try:
        folder = folders.planned()
    except OSError as error:  # no temporary directory can be written
        raise pytest.UsageError(f"{error.strerror}. Name one in TMPDIR.") from None
    return LedgerWriter(settings.ledger or folder / "ledger.json", job)
