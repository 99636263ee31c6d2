"""What counts when several runs have told about the same model, hardware and job.

An entry's *place* is its job's name, deployment, model and hardware; its *subject* is what was
tested there: the commit, the config and the server. Of one place only one entry stands:

1. An answer (proven or failed) beats none (not proven, skipped), whatever the subject.
2. Of several subjects the one that was answered last stands: what came before is history.
3. Within one subject failed beats proven (a test that fails now and then is no proof), and not
   proven beats skipped; of equals the later stands.

A run without a known commit, or with changes on top of it, is a subject of its own. The outcome
doesn't depend on the order in which the entries are given.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from pytest_triton.ledger.entries import Entry, Job, Ledger, Verdict

_RANK: dict[Verdict, int] = {"skipped": 0, "not proven": 1, "proven": 2, "failed": 3}
_DIRTY = "-dirty"  # as `git describe --dirty` marks a commit with changes on top of it


def is_answer(verdict: Verdict) -> bool:
    """Whether a server, or the check itself, gave an answer: rules 1 and 2 ask."""
    return _RANK[verdict] >= _RANK["proven"]


def merged(ledgers: Iterable[Ledger]) -> Ledger:
    """One ledger of many: all jobs, and of each place what stands."""
    ledgers = list(ledgers)
    jobs = dict.fromkeys(job for ledger in ledgers for job in ledger.jobs)
    return Ledger(
        jobs=tuple(sorted(jobs, key=_job_order)),
        entries=folded(entry for ledger in ledgers for entry in ledger.entries),
    )


def folded(told: Iterable[Entry]) -> tuple[Entry, ...]:
    """Of each place what stands, sorted by place."""
    places: dict[tuple[str, ...], list[Entry]] = {}
    for one in told:
        places.setdefault(place(one), []).append(one)
    return tuple([_standing(places[key]) for key in sorted(places)])


def place(one: Entry) -> tuple[str, ...]:
    """The job, deployment, model, test and hardware."""
    return one.job.name, one.deployment, one.model, one.test, one.hardware.spec


def _standing(told: Sequence[Entry]) -> Entry:
    if len(told) == 1:
        return told[0]
    told = [one for one in told if is_answer(one.verdict)] or told
    subject = _subject(_last(told))
    told = [one for one in told if _subject(one) == subject]
    worst = max(_RANK[one.verdict] for one in told)
    return _last([one for one in told if _RANK[one.verdict] == worst])


def _last(told: Sequence[Entry]) -> Entry:
    """The one told last; of those at the same second always the same one."""
    latest = max((one.job.started, one.job.ended or "") for one in told)
    told = [one for one in told if (one.job.started, one.job.ended or "") == latest]
    return told[0] if len(told) == 1 else max(told, key=repr)


def _subject(one: Entry) -> Hashable:
    commit = one.job.commit
    if commit is None or commit.endswith(_DIRTY):
        commit = f"{one.job.started} {one.job.name}"
    server = one.server
    if server is None:
        return commit, one.config.hash
    return commit, one.config.hash, server.version, server.run, server.image_digest


def _job_order(job: Job) -> tuple[str, ...]:
    return job.started, job.name, repr(job)
