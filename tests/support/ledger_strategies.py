"""Ledgers for tests: one to start from, and strategies for all that a ledger may hold."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace as replaced

from pytest_triton.checks.result import (
    CheckResult,
    ConfigFacts,
    Declaration,
    Evidence,
    HardwareFacts,
    Outcome,
    ServerFacts,
)
from pytest_triton.ledger import VERDICTS, Entry, Job, Ledger, Verdict
from pytest_triton.ledger.ledger_file import layout, lines_of
from pytest_triton.placement.declared import DeclaredGroup
from pytest_triton.placement.instances import Instances
from pytest_triton.placement.predict import ResolvedGroup

REHEARSAL = "rehearsal (simulated GPUs, stand-in backends)"


def job(name: str = "one", started: str = "2026-01-31T12:00:00Z", commit: str | None = "c") -> Job:
    return Job(name, commit, started, "0.1.0", started, 0, id=f"{name} {started} {commit}")


def after(earlier: Job, **changes: Any) -> Job:
    """A later run of a job, that wrote to the same file."""
    replaces = (*earlier.replaces, earlier.id)
    made = replace(earlier, id=f"{earlier.id} {len(replaces)}", replaces=replaces)
    return replace(made, **changes)


def hardware(spec: str) -> HardwareFacts:
    """Of `none`, `sim:2` or `2`."""
    count = 0 if spec == "none" else int(spec.removeprefix("sim:"))
    return HardwareFacts(spec, spec, count, spec.startswith("sim:"))


def outcome(text: str) -> Outcome:
    """Of `GPU 0 · GPU 1 x2 · CPU`, `CPU  <- fallback`, `refused: no GPU`, `ready`."""
    text, _, mark = text.partition("  <- ")
    if text.startswith("refused: "):
        reason = text.removeprefix("refused: ").lower().replace(" ", "-")
        return Outcome(reason=reason, text=f"Triton: {reason}", state="UNAVAILABLE")
    instances = []
    for part in text.split(" · ") if text not in ("", "ready") else ():
        where, _, count = part.partition(" x")
        kind, _, device = where.partition(" ")
        number = int(device) if device else None
        instances.append(Instances(kind, number, int(count or 1)))  # type: ignore[arg-type]
    return Outcome(tuple(instances), state="READY", fallback=bool(mark))


GPU = Declaration("groups", (DeclaredGroup(kind="GPU", kind_number=1),))


def entry(
    verdict: Verdict = "proven",
    spec: str = "none",
    *,
    real: bool = False,
    model: str = "detector",
    deployment: str = "models",
    placed: str = "GPU 0",
    config: str = "h1",
    version: str = "2.51.0",
    by: Job | None = None,
    headline: str = "",
) -> Entry:
    answered = verdict in ("proven", "failed")
    server = ServerFacts(f"tritonserver {version}", version)
    seen = outcome(placed) if answered else None
    result = CheckResult(
        deployment=deployment,
        model=model,
        test="test_placement",
        config=ConfigFacts("models/detector/config.pbtxt", config, 3),
        declared=GPU,
        identity=config,
        run="real run" if real else REHEARSAL,
        hardware=hardware(spec),
        predicted=seen,
        observed=seen,
        server=server if answered else None,
    )
    return Entry(result, verdict, by or job(), headline)


def check(
    verdict: Verdict = "proven",
    test: str = "test_config",
    *,
    model: str = "detector",
    deployment: str = "models",
    config: str = "h1",
    by: Job | None = None,
) -> Entry:
    facts = ConfigFacts("models/detector/config.pbtxt", config, 3)
    result = CheckResult(deployment, model, test, facts, GPU, config, REHEARSAL)
    return Entry(result, verdict, by or job())


CHECKS = ("test_config", "test_explicit_placement", "test_audit")


def with_checks(*reported: Entry) -> Ledger:
    """These entries, and the other checks of their models, passed."""
    models = dict.fromkeys((one.deployment, one.model, one.identity, one.job) for one in reported)
    passed = [
        check(test=test, deployment=deployment, model=model, config=identity, by=job)
        for deployment, model, identity, job in models
        for test in CHECKS
    ]
    return ledger(*reported, *passed)


def changed(entry: Entry, **changes: Any) -> Entry:
    """An entry with other fields, of its own or of its result."""
    own = {field.name for field in fields(Entry)}
    result = {name: value for name, value in changes.items() if name not in own}
    mine = {name: value for name, value in changes.items() if name in own}
    return replace(entry, result=replaced(entry.result, **result), **mine)


def as_json(ledger: Ledger) -> dict[str, Any]:
    """The object that a ledger's file holds."""
    found: dict[str, Any] = json.loads(layout(lines_of(ledger)))
    return found


def ledger(*reported: Entry) -> Ledger:
    return Ledger(tuple(dict.fromkeys(one.job for one in reported)), reported)


# The last stands for a byte of a file's name that is no UTF-8. Other surrogates don't occur: JSON
# would read one that stands before it and both as one character.
texts = st.text(st.characters(exclude_categories=["Cs"]) | st.just("\udcff"), max_size=8)
_maybe = st.none() | texts
_counts = st.integers(0, 2**40)
_gpu_ids = st.lists(st.integers(0, 9), max_size=2).map(tuple)
_declared_groups = st.builds(
    DeclaredGroup,
    texts,
    st.sampled_from(["AUTO", "GPU", "CPU", "MODEL", "UNKNOWN"]),
    st.integers(0, 9),
    _counts,
    _gpu_ids,
    st.booleans(),
    host_policy=texts,
)
_declarations = st.builds(
    Declaration,
    st.sampled_from(["groups", "nothing", "ensemble", "unreadable"]),
    st.lists(_declared_groups, max_size=2).map(tuple),
)
_kinds = st.sampled_from(["GPU", "CPU", "MODEL"])
_instances = st.builds(Instances, _kinds, st.none() | _counts, _counts)
_groups = st.builds(ResolvedGroup, texts, _kinds, _counts, _gpu_ids, st.booleans())
_outcomes = st.builds(
    Outcome,
    st.lists(_instances, max_size=2).map(tuple),
    texts,
    texts,
    texts,
    st.booleans(),
    groups=st.lists(_groups, max_size=2).map(tuple),
)
_configs = st.builds(ConfigFacts, texts, texts, st.none() | _counts)
_codes = st.integers(-255, 255)
_jobs = st.builds(
    Job,
    texts,
    _maybe,
    texts,
    texts,
    _maybe,
    st.none() | _codes,
    _maybe,
    id=texts.filter(bool),
    replaces=st.lists(texts, max_size=2).map(tuple),
    other_failures=st.integers(1, 9),
    unexplained=st.booleans(),
)
_servers = st.builds(
    ServerFacts,
    texts,
    texts,
    _maybe,
    _maybe,
    _maybe,
    arguments=st.lists(texts, max_size=2).map(tuple),
)
_hardware = st.one_of(
    st.builds(HardwareFacts, st.just("none"), texts, st.just(0)),
    st.builds(HardwareFacts, st.sampled_from(["all", "own"]), texts, st.none() | _counts),
    st.builds(HardwareFacts, st.just("2"), texts, st.sampled_from([2, None])),
    st.builds(HardwareFacts, st.just("sim:2"), texts, st.just(2), st.just(True)),
)
_results = st.builds(
    CheckResult,
    deployment=texts,
    model=texts,
    test=st.sampled_from(["test_placement", "test_config"]) | texts,
    config=_configs,
    declared=_declarations,
    identity=texts,
    run=st.sampled_from(["attached server", REHEARSAL]) | texts,
    hardware=_hardware | st.just(HardwareFacts()),
    fallback_allowed=st.booleans(),
    predicted=st.none() | _outcomes,
    observed=st.none() | _outcomes,
    headline=texts,
    proof=st.sampled_from([None, "proven", "one source"]),
    evidence=st.lists(st.builds(Evidence, texts, texts), max_size=2).map(tuple),
    server=st.none() | _servers,
    unproven=st.sampled_from(["", "not served", "no server", "no backend"]),
    findings=st.lists(texts, max_size=2).map(tuple),
    notes=st.lists(texts, max_size=2).map(tuple),
)


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    """Any ledger that can be written."""
    jobs = draw(st.lists(_jobs, min_size=1, max_size=3, unique_by=lambda job: job.id))
    entries = st.builds(
        Entry,
        result=_results,
        verdict=st.sampled_from([v for v in VERDICTS if v != "proven"]),
        job=st.sampled_from(jobs),
        headline=texts,
        text=texts,
        log=texts,
    )
    proven = st.builds(
        lambda one, observed, server: changed(
            one,
            verdict="proven",
            predicted=observed,
            observed=observed,
            server=server,
            unproven="",
        ),
        entries,
        _outcomes,
        _servers,
    )
    found = draw(st.lists(entries | proven, max_size=4, unique_by=_key))
    return Ledger(tuple(jobs), tuple(found))


def _key(entry: Entry) -> tuple[str, ...]:
    result = entry.result
    place = (result.deployment, result.model, result.test, result.hardware.spec)
    return (entry.job.id, *place)
