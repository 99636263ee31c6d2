"""A ledger as values: what each model did on each hardware, and how that is known.

    Ledger -> jobs (runs of pytest), entries (model x hardware), checks (a model, no hardware)

Everything is frozen and made of plain texts, numbers and tuples, so that a ledger means the same
on any machine. `files` writes it as JSON and reads it back.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["proven", "failed", "not proven", "skipped"]
"""proven: a server did as predicted. failed: it did otherwise, or the test failed. not proven: no
server could be asked, or it lacks the backend. skipped: the test was not run."""

VERDICTS: tuple[Verdict, ...] = ("proven", "failed", "not proven", "skipped")

Run = str
"""`real run`, or `rehearsal (simulated GPUs, stand-in backends)`; "" if no server was asked."""

REAL_RUN = "real run"


@dataclass(frozen=True, slots=True)
class Job:
    """One run of pytest.

    `started` and `ended` are UTC (`2026-01-31T12:00:00Z`); `ended` and `exit_status` are None
    when the run was killed. `shard` is "2/5", or None. `commit` is None where nothing tells it.
    """

    name: str
    commit: str | None
    started: str
    plugin: str
    ended: str | None = None
    exit_status: int | None = None
    shard: str | None = None


@dataclass(frozen=True, slots=True)
class ServerGpu:
    """A GPU as the server sees it. `name` and `uuid` are "" where nothing tells them."""

    id: int
    name: str = ""
    uuid: str = ""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The server that was asked. `version` is Triton's, `image_digest` and `driver` None where
    there is none or nothing tells it."""

    description: str
    version: str
    run: Run
    image: str | None = None
    image_digest: str | None = None
    driver: str | None = None
    gpus: tuple[ServerGpu, ...] = ()

    @property
    def is_real(self) -> bool:
        return self.run == REAL_RUN


@dataclass(frozen=True, slots=True)
class HardwareFacts:
    """The hardware of an entry: as asked for (`none`, `sim:2`, `2`, `all`), in words for people,
    and the number of GPUs the server had (None: no server told it)."""

    spec: str
    label: str
    gpus: int | None
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """An instance group: its name, and in a few characters what it declares (`GPU 0,1 x2`) or
    where its instances are (`GPU 0 · GPU 1`)."""

    name: str
    summary: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a model comes to on some hardware, predicted or observed.

    `summary` is a table's cell: `GPU 0 · CPU`, `CPU  <- fallback`, `refused: no GPU`. `placement`
    is "" for a refused model; `reason` (a class) and `text` (Triton's words) are "" for others.
    `state` is the repository index's, "" in a prediction.
    """

    summary: str
    placement: str = ""
    reason: str = ""
    text: str = ""
    state: str = ""
    fallback: bool = False
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True, slots=True)
class Witness:
    """Something that was asked where the model runs, and what it said ("": not recorded)."""

    name: str
    said: str = ""


@dataclass(frozen=True, slots=True)
class ConfigFacts:
    """The model's config: `path` as seen from where pytest ran, `hash` of what it says
    (hashing.py). `line` is that of its first instance_group, told by failed tests only."""

    path: str
    line: int | None
    hash: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One model on one hardware, in one run.

    `declared` is the summary of `groups` (`GPU + CPU`, `nothing`, `ensemble`, `unreadable`).
    `headline` says the verdict in one line; `text` is the failure in full and `log` the end of
    what the server wrote about the model, both "" when there is nothing to say.
    `predicted`, `observed` and `server` are None when no server was asked.
    """

    deployment: str
    model: str
    hardware: HardwareFacts
    verdict: Verdict
    headline: str
    declared: str
    groups: tuple[Group, ...]
    config: ConfigFacts
    job: Job
    predicted: Outcome | None = None
    observed: Outcome | None = None
    witnesses: tuple[Witness, ...] = ()
    server: ServerFacts | None = None
    fallback_allowed: bool = False
    text: str = ""
    log: str = ""

    @property
    def run(self) -> Run:
        return self.server.run if self.server is not None else ""

    @property
    def is_real(self) -> bool:
        """Whether nothing was simulated: neither the GPUs nor the backends."""
        return self.server is not None and self.server.is_real


@dataclass(frozen=True, slots=True)
class Check:
    """A test about a model that no hardware belongs to (`test_config`, ...), or whose hardware
    is `hardware` (its spec) but that says nothing about placement. Verdict as for an Entry."""

    deployment: str
    model: str
    test: str
    verdict: Verdict
    config: ConfigFacts
    job: Job
    hardware: str = ""
    headline: str = ""
    text: str = ""


def deployment_name(text: str) -> str:
    """What a deployment is called in ledgers and plans: as --triton-repo named it, tidied.

    `./models/` and `models` are the same deployment.
    """
    return os.pathsep.join(os.path.normpath(part) for part in text.split(os.pathsep))


@dataclass(frozen=True, slots=True)
class Ledger:
    """All that is known. Each entry's and check's job is one of `jobs`."""

    jobs: tuple[Job, ...] = ()
    entries: tuple[Entry, ...] = ()
    checks: tuple[Check, ...] = ()
