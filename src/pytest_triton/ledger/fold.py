"""What stands when several runs have found something about the same check.

A run *replaces* the earlier runs of its job in the same file (`Job.replaces`); no clock decides.
An entry's *place* is its job's name, deployment, model, test and hardware. An entry no longer
counts when a run that replaces its own has found something at the same place, and

- both are about the same thing: the same identity of the model, under the same conditions (a real
  run or a rehearsal, the server's GPUs, release, image and arguments), and the later one is an
  answer or the earlier one is none; or
- the earlier one is no answer, and the later one is.

So a failure counts until the same check has passed under the same conditions, and runs that do not
replace each other, such as those of different files, never hide each other's failures.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from pytest_triton.ledger.entries import Entry, Expected, Job, Ledger, Rehearsals, Verdict

_STRICTEST: tuple[Rehearsals, ...] = ("nowhere", "no-gpu", "everywhere")
_RANK: dict[Verdict, int] = {"skipped": 0, "not proven": 1, "proven": 2, "failed": 3}


def is_answer(verdict: Verdict) -> bool:
    """Whether a server, or the check itself, gave an answer."""
    return _RANK[verdict] >= _RANK["proven"]


def is_worse(new: Verdict, old: Verdict) -> bool:
    """Whether a further report of the same run and place changes what is known of it."""
    return _RANK[new] >= _RANK[old]


def merged(ledgers: Iterable[Ledger]) -> Ledger:
    """One ledger of many: all runs, and all entries that count."""
    ledgers = list(ledgers)
    jobs = _jobs([job for ledger in ledgers for job in ledger.jobs])
    entries: dict[tuple[str, ...], Entry] = {}
    for ledger in ledgers:
        for entry in ledger.entries:
            key = (entry.job.id, *place(entry))
            known = entries.get(key)
            if known is None or _order(entry) > _order(known):
                job = jobs[entry.job.id]
                entries[key] = entry if entry.job is job else replace(entry, job=job)
    standing = _standing(entries.values(), _is_replaced)
    return Ledger(tuple(jobs.values()), standing, _expected(ledgers))


def _expected(ledgers: Sequence[Ledger]) -> Expected | None:
    """All that merges expected of them."""
    known = list(dict.fromkeys(one.expected for one in ledgers if one.expected is not None))
    if len(known) < 2:
        return known[0] if known else None
    return Expected(
        tuple(dict.fromkeys(need for one in known for need in one.needs)),
        tuple(dict.fromkeys(check for one in known for check in one.checks)),
        min((one.rehearsals for one in known), key=_STRICTEST.index),
    )


def with_replaced(ledgers: Sequence[Ledger], replaced: Sequence[Ledger]) -> Iterator[Ledger]:
    """All the ledgers, of which the first replace runs of equal names in the others."""
    old = {job.id: job.name for ledger in replaced for job in ledger.jobs}
    for ledger in ledgers:
        jobs = {
            job: replace(job, replaces=tuple(dict.fromkeys([*job.replaces, *_of(job, old)])))
            for job in ledger.jobs
            if job.id not in old
        }
        entries = [replace(one, job=jobs.get(one.job, one.job)) for one in ledger.entries]
        kept = tuple([jobs.get(job, job) for job in ledger.jobs])
        yield Ledger(kept, tuple(entries), ledger.expected)
    yield from replaced


def _of(job: Job, old: Mapping[str, str]) -> Iterator[str]:
    return (one for one, name in old.items() if name == job.name)


def latest(ledger: Ledger) -> Ledger:
    """A merged ledger without what later runs of a job answered anew, whatever was changed between.

    For people, who look at how things are; `merge` must know of failures of each identity.
    """
    entries = _standing(ledger.entries, _is_outdated)
    again = {one for job in ledger.jobs if job.ended is not None for one in job.replaces}
    heard = {entry.job.id for entry in entries}
    jobs = [job for job in ledger.jobs if job.id in heard or job.id not in again]
    return Ledger(tuple(jobs), entries, ledger.expected)


def place(entry: Entry) -> tuple[str, ...]:
    """The job, deployment, model, test and hardware."""
    result = entry.result
    return entry.job.name, result.deployment, result.model, result.test, result.hardware.spec


def same_subject(one: Entry, other: Entry) -> bool:
    """Whether two entries of a place are about the same identity, under the same conditions."""
    first, second = _subject(one), _subject(other)
    known = one.server is not None and other.server is not None
    return first == second if known else first[:2] == second[:2]


def _subject(entry: Entry) -> tuple[Hashable, ...]:
    server = entry.server
    if server is None:
        return entry.identity, entry.result.run
    asked = (server.version, server.image_digest, server.arguments, entry.hardware.gpus)
    return entry.identity, entry.result.run, asked


def _standing(
    entries: Iterable[Entry], is_replaced: Callable[[Entry, Entry], bool]
) -> tuple[Entry, ...]:
    """The entries that no other one replaces, sorted by place."""
    places: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        places.setdefault(place(entry), []).append(entry)
    standing: list[Entry] = []
    for key in sorted(places):
        those = places[key]
        if len(those) > 1:
            those = [one for one in those if not any(is_replaced(one, other) for other in those)]
            those.sort(key=_order)
        standing += those
    return tuple(standing)


def _is_replaced(one: Entry, other: Entry) -> bool:
    if one.job.id not in other.job.replaces:
        return False
    if same_subject(one, other):
        return is_answer(other.verdict) or not is_answer(one.verdict)
    return not is_answer(one.verdict) and is_answer(other.verdict)


def _is_outdated(one: Entry, other: Entry) -> bool:
    if one.job.id not in other.job.replaces or one.result.run != other.result.run:
        return False
    return is_answer(other.verdict) or not is_answer(one.verdict)


def _jobs(jobs: Sequence[Job]) -> dict[str, Job]:
    """The runs by their ids, in an order of their own; of a run that is there twice its end."""
    found: dict[str, Job] = {}
    for job in jobs:
        known = found.get(job.id)
        if known is None:
            found[job.id] = job
        elif known != job:
            first, second = sorted((known, job), key=lambda one: (one.ended or "", repr(one)))
            both = {*first.replaces, *second.replaces}
            found[job.id] = replace(second, replaces=tuple(sorted(both)))
    return {job.id: job for job in sorted(found.values(), key=_job_order)}


def _job_order(job: Job) -> tuple[object, ...]:
    return job.name, len(job.replaces), job.started, job.id


def _order(entry: Entry) -> tuple[object, ...]:
    """Of what a run says of a place twice the worse counts; else this is only for sorting."""
    return _RANK[entry.verdict], *_job_order(entry.job), repr(entry)
