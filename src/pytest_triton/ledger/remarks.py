"""What merge says beside its verdict: what it counts for nothing, and what looks odd."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone

from pytest_triton.ledger.assess import Assessment
from pytest_triton.ledger.entries import Entry, Job, Ledger

_MOST_NAMES = 20
_INTERRUPTED = 2  # pytest's exit status
_SLACK = timedelta(minutes=5)  # that clocks of machines may differ by


def remarks(found: Assessment, ledger: Ledger, now: datetime | None = None) -> Iterator[str]:
    """One line each, texts of others not made printable."""
    jobs = _without_repeated(found, ledger.jobs)
    yield from _ended_early(jobs)
    yield from _equal_names(jobs)
    yield from _in_the_future(ledger.jobs, now or datetime.now(timezone.utc))
    yield from _commits(ledger.jobs)
    yield from _unknown(found)
    others = found.ignored.other_identity
    if others:
        failed = sum(entry.verdict == "failed" for entry in others)
        yield (
            f"Not counted, of other versions of these models: {_number(len(others), 'result')}"
            + (f", {failed} of them failed" if failed else "")
            + f" ({_names(others)})"
        )


def _without_repeated(found: Assessment, jobs: Iterable[Job]) -> list[Job]:
    """The runs, without those that ended early and were done again, in the same file or another.

    One whose failures count stays: what was done again hasn't replaced it.
    """
    jobs = list(jobs)
    done_again = {one for job in jobs if job.ended is not None for one in job.replaces}
    complete = {job.name for job in jobs if not _is_early(job)}
    blamed = {entry.job.id for entry in found.failures}
    blamed |= {cell.entry.job.id for cell in found.cells if cell.entry is not None and not cell.ok}
    return [
        job
        for job in jobs
        if not (
            _is_early(job)
            and (job.id in done_again or job.name in complete)
            and job.id not in blamed
        )
    ]


def _is_early(job: Job) -> bool:
    return job.ended is None or job.exit_status == _INTERRUPTED


def _ended_early(jobs: Iterable[Job]) -> Iterator[str]:
    early = [job.name for job in jobs if _is_early(job)]
    if early:
        yield f"Ended before they were done: {', '.join(dict.fromkeys(early))}"


def _equal_names(jobs: Iterable[Job]) -> Iterator[str]:
    """Runs that may be taken for one job, and don't replace each other."""
    by_name: dict[str, list[Job]] = {}
    for job in jobs:
        by_name.setdefault(job.name, []).append(job)
    for name, those in by_name.items():
        replaced = {one for job in those for one in job.replaces}
        last = [job for job in those if job.id not in replaced]
        if len(last) > 1:
            starts = ", ".join(sorted(job.started for job in last))
            yield (
                f"{len(last)} runs are called {name} (started {starts}), and none replaces "
                "another: give each job a name of its own (--triton-job), or name the ledger of "
                "one that was done again (--replaced)"
            )


def _in_the_future(jobs: Iterable[Job], now: datetime) -> Iterator[str]:
    for job in jobs:
        try:
            started = datetime.strptime(job.started, "%Y-%m-%dT%H:%M:%SZ")
        except ValueError:
            continue
        if started.replace(tzinfo=timezone.utc) > now + _SLACK:
            yield f"{job.name} started in the future ({job.started}): is a clock wrong?"


def _commits(jobs: Iterable[Job]) -> Iterator[str]:
    commits = dict.fromkeys(job.commit[:12] for job in jobs if job.commit)
    if len(commits) > 1:
        yield f"The runs are of {len(commits)} commits: {', '.join(commits)}"


def _unknown(found: Assessment) -> Iterator[str]:
    unknown = found.ignored.unknown
    if not unknown:
        return
    failed = sum(entry.verdict == "failed" for entry in unknown)
    more = f" ({_number(failed, 'failure')} there)" if failed else ""
    yield f"Not in the plan, and not counted: {_names(unknown)}{more}"
    known = {cell.need.deployment for cell in found.cells}
    others = {entry.deployment for entry in unknown} - known
    if others:
        yield (
            f"  The plan is for {_quoted(known)}, and there are ledgers of {_quoted(others)}: "
            "name the repository the same in both."
        )
    if {entry.deployment for entry in unknown} & known:
        yield "  If these models are new, make the plan again."


def _names(entries: Iterable[Entry]) -> str:
    names = list(dict.fromkeys(entry.model for entry in entries))
    more = f", and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _quoted(names: set[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"
