"""The ledger of a run: written while it goes on, so that a crash loses a second's worth at most.

What the checks tell travels with their reports (`checks/ledger_facts.py`), also out of xdist
workers; the process that sees all reports writes. `ledger/fold.py` has the rules for a file that
earlier runs of the job have written to.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_triton._version import __version__
from pytest_triton.ledger import Job, Verdict, as_json, read_ledger, write_ledger
from pytest_triton.ledger.fold import merged
from pytest_triton.ledger.ledger_file import LISTS, job_json, layout, to_line, write_text

if TYPE_CHECKING:
    import pytest

REPORT_ATTRIBUTE = "triton_ledger"  # of a report: what `LedgerFacts` made

_quoted = json.JSONEncoder().encode  # of a text
_LEAST_PAUSE = 1.0  # seconds between two writings
_SHARE = 0.01  # of the run's time that writing may take
_LOG_LINES = 50
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


@dataclass(slots=True)
class _Told:
    """An entry or check: its line in the file, complete but for the numbers of its server and job.

    `server` is the number of its server, from 0, None without one or for a check.
    """

    verdict: Verdict
    text: str
    is_check: bool
    server: int | None


class LedgerWriter:
    """Writes what the reports of one run tell to a file."""

    def __init__(
        self, path: Path, job: Job, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.path = path
        self._job = job
        self._clock = clock
        self._due = 0.0
        self._unwritten = False
        self._before: dict[str, list[str]] = {name: [] for name in LISTS}
        self._told: dict[str, _Told] = {}
        self._servers: dict[str, int] = {}

    def start(self) -> None:
        """Read what earlier runs wrote to the file, and note in it that this one has begun.

        Raises LedgerUnusable: a file that is no ledger is not overwritten.
        """
        if self.path.exists() and (not self.path.is_file() or self.path.stat().st_size):
            before = as_json(merged([read_ledger(self.path)]))
            self._before = {name: [*map(to_line, before[name])] for name in LISTS}
        self._write()

    def add(self, report: pytest.TestReport) -> None:
        """Take in a report, of this process or of an xdist worker, and write when it is time."""
        facts = getattr(report, REPORT_ATTRIBUTE, None)
        # A try that a plugin repeats has another outcome; reports of other tests have no facts.
        if facts is not None and report.outcome in ("passed", "failed", "skipped"):
            self._take(report, facts)
            self._unwritten = True
        if self._unwritten and self._clock() >= self._due:
            self._write()

    def _take(self, report: pytest.TestReport, facts: Mapping[str, Any]) -> None:
        is_check: bool = facts["is_check"]
        verdict = _verdict(report, is_check, facts)
        known = self._told.get(facts["place"])
        if known is None or _worse(verdict, known.verdict):
            number = None
            if facts["server"] is not None and not is_check:
                number = self._servers.setdefault(facts["server"], len(self._servers))
            text = facts["told"] + _outcome(report, verdict, is_check, facts)
            self._told[facts["place"]] = _Told(verdict, text, is_check, number)

    def close(self, exit_status: int) -> None:
        """Write it all, with the run's end. What earlier runs wrote is folded into it."""
        self._job = replace(self._job, ended=_now(), exit_status=int(exit_status))
        self._write()
        if self._before["jobs"]:
            write_ledger(self.path, merged([read_ledger(self.path)]))

    def _write(self) -> None:
        """Everything until now, as it is: readers fold what this run and earlier ones say."""
        begun = self._clock()
        job, servers = len(self._before["jobs"]), len(self._before["servers"])
        entries, checks = [], []
        for one in self._told.values():
            if one.is_check:
                checks.append(f'{one.text}, "job": {job}}}')
            else:
                server = "null" if one.server is None else one.server + servers
                entries.append(f'{one.text}, "server": {server}, "job": {job}}}')
        ours = {
            "jobs": [to_line(job_json(self._job))],
            "servers": list(self._servers),
            "entries": entries,
            "checks": checks,
        }
        write_text(self.path, layout({name: [*self._before[name], *ours[name]] for name in LISTS}))
        now = self._clock()
        self._unwritten = False
        self._due = now + max(_LEAST_PAUSE, (now - begun) / _SHARE)


def _verdict(report: pytest.TestReport, is_check: bool, facts: Mapping[str, Any]) -> Verdict:
    if report.skipped:
        return "not proven" if facts["unproven"] else "skipped"
    if report.failed:
        return "not proven" if facts["unproven"] else "failed"
    return "proven" if is_check or facts["server"] is not None else "not proven"


def _outcome(
    report: pytest.TestReport, verdict: Verdict, is_check: bool, facts: Mapping[str, Any]
) -> str:
    """The fields that the report knows, as the rest of a JSON object."""
    headline, text, log = facts["headline"], "", ""
    if report.failed:
        text = _XDIST.sub("", report.longreprtext)
        headline, log = _first_line(text), _log(report)
    elif report.skipped:
        headline = _why_skipped(report)
    logged = "" if is_check else f', "log": {_quoted(log)}'
    said = f'"headline": {_quoted(headline)}, "text": {_quoted(text)}'
    return f', "verdict": "{verdict}", {said}{logged}'


def _worse(new: Verdict, old: Verdict) -> bool:
    """Whether a later report about the same thing changes what is known: a teardown may fail."""
    order: tuple[Verdict, ...] = ("skipped", "not proven", "proven", "failed")
    return order.index(new) >= order.index(old)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _why_skipped(report: pytest.TestReport) -> str:
    reason = getattr(report, "wasxfail", None)
    if reason is not None:
        return f"xfail: {reason}".rstrip(": ")
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    return _first_line(report.longreprtext)


def _log(report: pytest.TestReport) -> str:
    texts = [text for title, text in report.sections if title.startswith("triton server log")]
    return "\n".join("\n".join(texts).splitlines()[-_LOG_LINES:])
