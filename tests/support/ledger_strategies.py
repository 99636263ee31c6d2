"""Ledgers for tests: one to start from, and strategies for all that a ledger may hold."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from pytest_triton.ledger import (
    Check,
    ConfigFacts,
    Entry,
    Group,
    HardwareFacts,
    Job,
    Ledger,
    Outcome,
    ServerFacts,
    ServerGpu,
    Verdict,
    Witness,
)
from pytest_triton.ledger.entries import VERDICTS

REHEARSAL = "rehearsal (simulated GPUs, stand-in backends)"


def job(name: str = "one", started: str = "2026-01-31T12:00:00Z", commit: str | None = "c") -> Job:
    return Job(name, commit, started, "0.1.0", started, 0)


def hardware(spec: str) -> HardwareFacts:
    """Of `none`, `sim:2` or `2`."""
    count = 0 if spec == "none" else int(spec.removeprefix("sim:"))
    return HardwareFacts(spec, spec, count, spec.startswith("sim:"))


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
    server = ServerFacts(f"tritonserver {version}", version, "real run" if real else REHEARSAL)
    return Entry(
        deployment=deployment,
        model=model,
        hardware=hardware(spec),
        verdict=verdict,
        headline=headline,
        declared="GPU",
        groups=(),
        config=ConfigFacts("models/detector/config.pbtxt", 3, config),
        job=by or job(),
        observed=Outcome(placed, placed) if answered else None,
        server=server if answered else None,
    )


def check(verdict: Verdict = "proven", *, config: str = "h1", by: Job | None = None) -> Check:
    facts = ConfigFacts("models/detector/config.pbtxt", 3, config)
    return Check("models", "detector", "test_config", verdict, facts, by or job())


def ledger(*told: Entry | Check) -> Ledger:
    return Ledger(
        tuple(dict.fromkeys(one.job for one in told)),
        tuple(one for one in told if isinstance(one, Entry)),
        tuple(one for one in told if isinstance(one, Check)),
    )


# The last stands for a byte of a file's name that is no UTF-8. Other surrogates don't occur: JSON
# would read one that stands before it and both as one character.
texts = st.text(st.characters(exclude_categories=["Cs"]) | st.just("\udcff"), max_size=8)
_maybe = st.none() | texts
_counts = st.integers(0, 2**40)
_groups = st.lists(st.builds(Group, texts, texts), max_size=2).map(tuple)
_outcomes = st.builds(Outcome, texts, texts, texts, texts, texts, st.booleans(), groups=_groups)
_configs = st.builds(ConfigFacts, texts, st.none() | _counts, texts)
_jobs = st.builds(Job, texts, _maybe, texts, texts, _maybe, st.none() | st.integers(), _maybe)
_servers = st.builds(
    ServerFacts,
    texts,
    texts,
    st.sampled_from(["real run", REHEARSAL]) | texts,
    _maybe,
    _maybe,
    _maybe,
    st.lists(st.builds(ServerGpu, _counts, texts, texts), max_size=2).map(tuple),
)


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    """Any ledger that can be written."""
    jobs = draw(st.lists(_jobs, min_size=1, max_size=3, unique=True))
    entries = st.builds(
        Entry,
        deployment=texts,
        model=texts,
        hardware=st.builds(HardwareFacts, texts, texts, st.none() | _counts, st.booleans()),
        verdict=st.sampled_from([v for v in VERDICTS if v != "proven"]),
        headline=texts,
        declared=texts,
        groups=_groups,
        config=_configs,
        job=st.sampled_from(jobs),
        predicted=st.none() | _outcomes,
        observed=st.none() | _outcomes,
        witnesses=st.lists(st.builds(Witness, texts, texts), max_size=2).map(tuple),
        server=st.none() | _servers,
        fallback_allowed=st.booleans(),
        text=texts,
        log=texts,
    )
    proven = st.builds(
        lambda one, observed, server: replace(
            one, verdict="proven", observed=observed, server=server
        ),
        entries,
        _outcomes,
        _servers,
    )
    checks = st.builds(
        Check,
        texts,
        texts,
        texts,
        st.sampled_from(VERDICTS),
        _configs,
        st.sampled_from(jobs),
        texts,
        texts,
        texts,
    )
    return Ledger(
        tuple(jobs),
        tuple(draw(st.lists(entries | proven, max_size=3))),
        tuple(draw(st.lists(checks, max_size=2))),
    )
