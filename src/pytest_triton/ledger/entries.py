"""A ledger as values: what each check found in each run.

    Ledger -> jobs (runs of pytest), entries (a check's result, with what pytest made of it)

A merged ledger also says what was expected of it. Everything is frozen and made of plain texts,
numbers and tuples, so that a ledger means the same on any machine. `ledger_file` writes it as JSON
and reads it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from pytest_triton.checks.result import (
    REAL_RUN,
    CheckResult,
    ConfigFacts,
    Declaration,
    Evidence,
    HardwareFacts,
    Outcome,
    ServerFacts,
)
from pytest_triton.plan.plan_file import CHECKS, Need

Rehearsals = Literal["no-gpu", "everywhere", "nowhere"]
"""Where a rehearsal is proof enough."""

Verdict = Literal["proven", "failed", "not proven", "skipped"]
"""proven: a server did as predicted, or the check passed. failed: a server did otherwise, or the
test failed. not proven: no server could be asked, or it lacks the backend. skipped: the test was
not run."""

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True, slots=True)
class Job:
    """One run of pytest. `id` distinguishes it from all others.

    `replaces` are the ids of earlier runs of the same job, in the same file: what this run found
    stands in place of what they found. `other_failures` counts failed tests that are no bundled
    checks; `unexplained`: the run failed, and none of its tests did.

    `started` and `ended` are UTC (`2026-01-31T12:00:00Z`); `ended` and `exit_status` (pytest's) are
    null when the run was killed. `shard` is `2/5`, or null. `commit` is null where nothing says
    it. `plugin` is the version of pytest-triton.
    """

    name: str
    commit: str | None
    started: str
    plugin: str
    ended: str | None = None
    exit_status: int | None = None
    shard: str | None = None
    id: str = ""
    replaces: tuple[str, ...] = ()
    other_failures: int = 0
    unexplained: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """What one check found in one run.

    `headline` says the verdict in one line; `text` is the failure in full and `log` the end of
    what the server wrote about the model, both "" when there is nothing to say.
    """

    result: CheckResult
    verdict: Verdict
    job: Job
    headline: str = ""
    text: str = ""
    log: str = ""

    @property
    def deployment(self) -> str:
        return self.result.deployment

    @property
    def model(self) -> str:
        return self.result.model

    @property
    def test(self) -> str:
        return self.result.test

    @property
    def is_placement(self) -> bool:
        return self.result.is_placement

    @property
    def hardware(self) -> HardwareFacts:
        return self.result.hardware

    @property
    def identity(self) -> str:
        return self.result.identity

    @property
    def config(self) -> ConfigFacts:
        return self.result.config

    @property
    def declared(self) -> Declaration:
        return self.result.declared

    @property
    def predicted(self) -> Outcome | None:
        return self.result.predicted

    @property
    def observed(self) -> Outcome | None:
        return self.result.observed

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        return self.result.evidence

    @property
    def server(self) -> ServerFacts | None:
        return self.result.server

    @property
    def fallback_allowed(self) -> bool:
        return self.result.fallback_allowed

    @property
    def run(self) -> str:
        """`real run`, `rehearsal (...)`, `attached server`; "" if no server was asked."""
        return self.result.run if self.server is not None else ""

    @property
    def is_real(self) -> bool:
        """Whether nothing was simulated: neither the GPUs nor the backends."""
        return self.run == REAL_RUN


@dataclass(frozen=True)
class Expected:
    """What `merge` compared a ledger with: a plan's needs, and the `checks` that each model must
    have passed; `rehearsals` says where a rehearsal is proof enough."""

    needs: tuple[Need, ...]
    checks: tuple[str, ...] = CHECKS
    rehearsals: Rehearsals = "no-gpu"


@dataclass(frozen=True)
class Ledger:
    """All that is known. Each entry's job is one of `jobs`; `expected` is None until a merge."""

    jobs: tuple[Job, ...] = ()
    entries: tuple[Entry, ...] = ()
    expected: Expected | None = None

    @cached_property
    def placements(self) -> tuple[Entry, ...]:
        """The entries about where a model runs."""
        return tuple([entry for entry in self.entries if entry.is_placement])

    @cached_property
    def checks(self) -> tuple[Entry, ...]:
        """The entries of all other checks."""
        return tuple([entry for entry in self.entries if not entry.is_placement])
