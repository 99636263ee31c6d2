"""The ledger of a run: written while it goes on, so that a crash loses a second's worth at most.

What the checks tell travels with their reports (`checks/ledger_facts.py`), also out of xdist
workers; the process that sees all reports writes. `ledger/fold.py` has the rules for a file that
earlier runs of the job have written to.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_triton._version import __version__
from pytest_triton.ledger import (
    Job,
    Ledger,
    Verdict,
    as_json,
    from_json,
    read_ledger,
    write_ledger,
)
from pytest_triton.ledger.files import FORMAT, SCHEMA, job_json, layout, to_line, write_text
from pytest_triton.ledger.fold import merged

if TYPE_CHECKING:
    import pytest

REPORT_ATTRIBUTE = "triton_ledger"  # of a report: what `checks.ledger_facts` made

Place = tuple[str, str, str, str]  # deployment, model, test ("": placement), hardware

_LEAST_PAUSE = 1.0  # seconds between two writings
_SHARE = 0.01  # of the run's time that writing may take
_LOG_LINES = 50
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


class LedgerWriter:
    """Writes what the reports of one run tell to a file."""

    def __init__(
        self, path: Path, job: Job, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.path = path
        self._job = job
        self._clock = clock
        self._due = 0.0
        self._before = Ledger()
        self._entries: dict[Place, dict[str, Any]] = {}
        self._checks: dict[Place, dict[str, Any]] = {}
        self._lines: dict[Place, str] = {}  # of those that were written and didn't change since
        self._servers: dict[str, int] = {}

    def start(self) -> None:
        """Read what earlier runs wrote to the file, and note in it that this one has begun.

        Raises LedgerUnusable: a file that is no ledger is not overwritten.
        """
        if self.path.exists() and (not self.path.is_file() or self.path.stat().st_size):
            self._before = merged([read_ledger(self.path)])
        self._write()

    def add(self, report: pytest.TestReport) -> None:
        """Take in a report, of this process or of an xdist worker."""
        facts = getattr(report, REPORT_ATTRIBUTE, None)
        if facts is None or report.outcome not in ("passed", "failed", "skipped"):
            return  # of another test, or of a try that a plugin repeats
        told = json.loads(facts)
        if "entry" in told:
            one, known = told["entry"], self._entries
            if told["server"] is not None:
                server = json.dumps(told["server"])
                one["server"] = self._servers.setdefault(server, len(self._servers))
            place: Place = (one["deployment"], one["model"], "", one["hardware"]["spec"])
        else:
            one, known = told["check"], self._checks
            place = (one["deployment"], one["model"], one["test"], one["hardware"])
        one["verdict"] = _verdict(report, told)
        if report.failed:
            one["text"] = report.longreprtext
            one["headline"] = _first_line(report.longreprtext)
        elif report.skipped:
            one["headline"] = _why_skipped(report)
        if report.failed and known is self._entries:
            one["log"] = _log(report)
        if place not in known or _worse(one["verdict"], known[place]["verdict"]):
            known[place] = one
            self._lines.pop(place, None)
        if self._clock() >= self._due:
            self._write()

    def close(self, exit_status: int) -> None:
        """Write it all, with the run's end. What earlier runs wrote is folded into it."""
        self._job = replace(self._job, ended=_now(), exit_status=int(exit_status))
        if self._before == Ledger():
            self._write()
        else:
            write_ledger(self.path, merged([self._before, from_json(self._this_run())]))

    def _write(self) -> None:
        """Everything until now, as it is: readers fold what this run and earlier ones say."""
        begun = self._clock()
        before = as_json(self._before)
        jobs, servers = len(before["jobs"]), len(before["servers"])
        write_text(
            self.path,
            layout(
                jobs=[*map(to_line, before["jobs"]), to_line(job_json(self._job))],
                servers=[*map(to_line, before["servers"]), *self._servers],
                entries=[
                    *map(to_line, before["entries"]),
                    *self._lines_of(self._entries, jobs, servers),
                ],
                checks=[
                    *map(to_line, before["checks"]),
                    *self._lines_of(self._checks, jobs, servers),
                ],
            ),
        )
        now = self._clock()
        self._due = now + max(_LEAST_PAUSE, (now - begun) / _SHARE)

    def _lines_of(
        self, told: Mapping[Place, dict[str, Any]], job: int, servers: int
    ) -> Iterator[str]:
        for place, one in told.items():
            line = self._lines.get(place)
            if line is None:
                shifted = {**one, "job": job}
                if one.get("server") is not None:
                    shifted["server"] = one["server"] + servers
                line = self._lines[place] = to_line(shifted)
            yield line

    def _this_run(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "schema": SCHEMA,
            "jobs": [job_json(self._job)],
            "servers": [json.loads(server) for server in self._servers],
            "entries": list(self._entries.values()),
            "checks": list(self._checks.values()),
        }


def _verdict(report: pytest.TestReport, told: Mapping[str, Any]) -> Verdict:
    if report.skipped:
        return "skipped"
    if report.failed:
        return "not proven" if told.get("unproven") else "failed"
    answered = "check" in told or told["server"] is not None
    return "proven" if answered else "not proven"


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
