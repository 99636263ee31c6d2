"""The ledger of a run: written while it goes on, so that a crash loses a second's worth at most.

What the checks found travels with their reports (`checks/result.py`), also out of xdist workers;
the process that sees all reports writes. `ledger/fold.py` has the rules for a file that
earlier runs of the job have written to.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from pytest_triton._version import __version__
from pytest_triton.checks.result import CheckResult, to_json
from pytest_triton.ledger import Entry, Job, Verdict, read_ledger
from pytest_triton.ledger.fold import is_worse, merged
from pytest_triton.ledger.ledger_file import LISTS, layout, lines_of, read_json, stored, to_lines
from pytest_triton.ledger.locked_file import LockedFile

if TYPE_CHECKING:
    import pytest

Key = tuple[str, str, str, str]  # deployment, model, test, hardware

_LEAST_PAUSE = 1.0  # seconds between two writings
_SHARE = 0.01  # of the run's time that writing may take
_LOG_LINES = 50
_NO_PROOF = ("no server", "no backend", "ready nowhere", "other config", "reported elsewhere")
_NO_FAILURE = (0, 2, 5)  # of pytest's exit statuses: all well, interrupted, no tests
_XDIST = re.compile(r"\A\[gw\d+\] .*\n")  # which worker it was: another one each time
_COMMITS = ("GITHUB_SHA", "CI_COMMIT_SHA", "BUILD_SOURCEVERSION", "GIT_COMMIT")
_JOBS = ("CI_JOB_NAME", "GITHUB_JOB", "BUILDKITE_LABEL", "JOB_NAME")


def this_job(name: str | None, shard: str | None, directory: Path) -> Job:
    """This run, as a job: its name as given, else as the CI calls it, else "local"."""
    return Job(
        name=name or _first(_JOBS) or "local",
        commit=_first(_COMMITS) or _commit(directory),
        started=_now(),
        plugin=__version__,
        shard=shard,
        id=uuid4().hex,
    )


def _first(variables: tuple[str, ...], environ: Mapping[str, str] = os.environ) -> str | None:
    return next((environ[name] for name in variables if environ.get(name)), None)


def _commit(directory: Path) -> str | None:
    """The commit that is checked out, with "-dirty" if files were changed since."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class LedgerWriter:
    """Writes the reports of one run to a file."""

    def __init__(
        self, path: Path, job: Job, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.path = path
        self._job = job
        self._clock = clock
        self._due = 0.0
        self._unwritten = False
        self._before: dict[str, list[str]] = {name: [] for name in LISTS}
        self._found: dict[Key, tuple[Verdict, str]] = {}  # verdict, and line of the file
        self._file = LockedFile(path)
        self._failed = False  # one of the bundled checks

    def start(self) -> None:
        """Read what earlier runs wrote to the file, and note in it that this one has begun.

        This run replaces the earlier ones of its job. Raises LedgerUnusable for a file that is no
        ledger, which is not overwritten, and FileUnusable for one that another run writes.
        """
        if self.path.exists() and not self.path.is_file():
            read_json(self.path)  # raises
        self._file.open()
        try:
            if self.path.stat().st_size:
                before = merged([read_ledger(self.path)])
                self._before = lines_of(before)
                earlier = [job.id for job in before.jobs if job.name == self._job.name]
                self._job = replace(self._job, replaces=tuple(earlier))
            self._write()
        except BaseException:
            self._file.close()
            raise

    def add(self, report: pytest.TestReport, result: CheckResult | None) -> None:
        """Take in a report, of this process or of an xdist worker, and write when it is time."""
        # A try that a plugin repeats has another outcome; reports of other tests have no result.
        if result is not None and report.outcome in ("passed", "failed", "skipped"):
            self._take(report, result)
            self._failed = self._failed or report.failed
            self._unwritten = True
        elif result is None and report.failed:
            count = self._job.other_failures + 1
            self._job = replace(self._job, other_failures=count)
        if self._unwritten and self._clock() >= self._due:
            self._write()

    def _take(self, report: pytest.TestReport, result: CheckResult) -> None:
        entry = entry_of(report, result, self._job)
        key = (result.deployment, result.model, result.test, result.hardware.spec)
        known = self._found.get(key)
        if known is None or is_worse(entry.verdict, known[0]):
            line = to_json(stored(entry, len(self._before["jobs"])))
            self._found[key] = (entry.verdict, line)

    def close(self, exit_status: int) -> None:
        """Write it all, with the run's end. What earlier runs wrote is folded into it."""
        reported = self._failed or self._job.other_failures or exit_status in _NO_FAILURE
        self._job = replace(
            self._job, ended=_now(), exit_status=int(exit_status), unexplained=not reported
        )
        try:
            self._write()
            if self._before["jobs"]:
                self._file.write(layout(lines_of(merged([read_ledger(self.path)]))))
        finally:
            self._file.close()

    def _write(self) -> None:
        """Everything until now, as it is: readers fold what this run and earlier ones say."""
        begun = self._clock()
        ours = {
            "jobs": to_lines([self._job]),
            "entries": [line for _, line in self._found.values()],
        }
        self._file.write(layout({name: [*self._before[name], *ours[name]] for name in LISTS}))
        now = self._clock()
        self._unwritten = False
        self._due = now + max(_LEAST_PAUSE, (now - begun) / _SHARE)


def entry_of(report: pytest.TestReport, result: CheckResult, job: Job) -> Entry:
    """A check's result with what its report knows: the outcome, and a failure's text."""
    verdict = _verdict(report, result)
    if report.failed:
        text = _XDIST.sub("", report.longreprtext)
        return Entry(result, verdict, job, _first_line(text), text, _log(report))
    headline = _why_skipped(report) if report.skipped else result.headline
    return Entry(result, verdict, job, headline)


def _verdict(report: pytest.TestReport, result: CheckResult) -> Verdict:
    if report.failed or report.skipped:
        otherwise: Verdict = "failed" if report.failed else "skipped"
        return "not proven" if result.unproven in _NO_PROOF else otherwise
    return "not proven" if result.is_placement and result.server is None else "proven"


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _why_skipped(report: pytest.TestReport) -> str:
    reason = getattr(report, "wasxfail", None)
    if reason is not None:
        return f"xfail: {reason}".rstrip(": ")
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return _first_line(report.longreprtext)


def _log(report: pytest.TestReport) -> str:
    texts = [text for title, text in report.sections if title.startswith("triton server log")]
    return "\n".join("\n".join(texts).splitlines()[-_LOG_LINES:])
