"""Ledgers for the tests of reports: a small one with one of everything, and large ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from msgspec.structs import replace

from pytest_triton.checks.result import (
    OWN_HARDWARE,
    CheckResult,
    ConfigFacts,
    Declaration,
    Evidence,
    HardwareFacts,
    Outcome,
    Run,
    ServerFacts,
    ServerGpu,
)
from pytest_triton.ledger import Entry, Job, Ledger, Verdict
from pytest_triton.ledger.entries import Expected
from pytest_triton.placement.declared import DeclaredGroup
from pytest_triton.placement.instances import Instances
from pytest_triton.placement.predict import ResolvedGroup
from pytest_triton.plan.plan_file import CHECKS, Need
from support.ledger_strategies import outcome

NO_GPU_TEXT = (
    "Invalid argument: instance group {0}_0 of model {0} has kind KIND_GPU but no GPUs are "
    "available"
)
REHEARSAL = "rehearsal (simulated GPUs, stand-in backends)"
NONE = HardwareFacts("none", "no GPU", 0)
TWO = HardwareFacts("sim:2", "2 GPUs (simulated)", 2, simulated=True)
REAL_TWO = HardwareFacts("2", "2 GPUs", 2)

CPU_JOB = Job(
    "rehearsal",
    "8f2c1ab0c9d84a4f6f1a6f1c0f3f9f3ad2c5b0aa",
    "2026-01-31T12:00:00Z",
    "0.1.0",
    ended="2026-01-31T12:00:02Z",
    exit_status=1,
    id="c1",
)
GPU_JOB = Job(
    "gpu-2",
    "8f2c1ab0c9d84a4f6f1a6f1c0f3f9f3ad2c5b0aa",
    "2026-01-31T12:01:00Z",
    "0.1.0",
    ended="2026-01-31T12:03:02Z",
    exit_status=0,
    id="9a",
)
REHEARSING = ServerFacts("tritonserver 2.51.0 (process, installed release)", "2.51.0")
REAL = ServerFacts(
    "tritonserver 2.51.0 (container)",
    "2.51.0",
    image="nvcr.io/nvidia/tritonserver:24.10-py3",
    image_digest="sha256:9d8a0f0cb2f1e6ad0d2d2a8f5b7bb6b2c7d1c9a0f6f6e4c4d3b2a1908f7e6d5c",
    driver="550.54.15",
    gpus=(
        ServerGpu(0, "NVIDIA L4", "GPU-5d0d0a1e-0000-0000-0000-000000000000"),
        ServerGpu(1, "NVIDIA L4", "GPU-5d0d0a1e-0000-0000-0000-000000000001"),
    ),
)


def ready(placement: str, *, fallback: bool = False) -> Outcome:
    made = outcome(f"{placement}  <- fallback" if fallback else placement)
    return replace(made, groups=tuple(_groups(made.placement)))


def _groups(placement: tuple[Instances, ...]) -> Iterator[ResolvedGroup]:
    for number, one in enumerate(placement):
        gpus = () if one.device is None else (one.device,)
        yield ResolvedGroup(f"group_{number}", one.kind, one.count, gpus)


def refused(model: str) -> Outcome:
    return Outcome(reason="no-gpu", text=NO_GPU_TEXT.format(model), state="UNAVAILABLE")


def declaration(text: str) -> Declaration:
    """Of `GPU + CPU x2`, `GPU 1`, `nothing`, `ensemble`."""
    if text in ("nothing", "ensemble"):
        return Declaration(text)  # type: ignore[arg-type]
    groups = []
    for one in text.split(" + "):
        where, _, count = one.partition(" x")
        kind, _, gpu = where.partition(" ")
        gpus = (int(gpu),) if gpu else ()
        groups.append(DeclaredGroup("", kind, count=int(count or 0), gpus=gpus))  # type: ignore[arg-type]
    return Declaration("groups", tuple(groups))


def entry(
    model: str,
    observed: Outcome | None,
    *,
    predicted: Outcome | None = None,
    hardware: HardwareFacts = NONE,
    declared: str = "GPU",
    verdict: Verdict = "proven",
    server: ServerFacts | None = REHEARSING,
    job: Job = CPU_JOB,
    deployment: str = "models",
    fallback_allowed: bool = False,
    text: str = "",
    log: str = "",
    headline: str = "",
    line: int | None = 4,
) -> Entry:
    seen = str(observed) if observed else ""
    result = CheckResult(
        deployment=deployment,
        model=model,
        test="test_placement",
        config=ConfigFacts(f"{deployment}/{model}/config.pbtxt", "0f" * 32, line),
        declared=declaration(declared),
        identity="0f" * 32,
        run="real run" if server == REAL else REHEARSAL,
        hardware=hardware,
        fallback_allowed=fallback_allowed,
        predicted=predicted if predicted is not None else observed,
        observed=observed,
        evidence=(Evidence("config", f"group_0: {seen}"),),
        server=server,
    )
    headline = headline or f"{observed or 'nothing'}, as predicted"
    return Entry(result, verdict, job, headline, text, log)


def check(model: str, test: str, text: str = "", *, deployment: str = "models") -> Entry:
    config = ConfigFacts(f"{deployment}/{model}/config.pbtxt", "0f" * 32, 4 if text else None)
    return Entry(
        CheckResult(deployment, model, test, config, declaration("GPU"), identity="0f" * 32),
        "failed" if text else "proven",
        CPU_JOB,
        text.splitlines()[0] if text else "",
        text,
    )


FALLBACK_TEXT = """\
may fall back to the CPU unnoticed

  config    models/legacy/config.pbtxt
  declared  nothing (no instance_group)
  no GPU    CPU  <- fallback
  2 GPUs    GPU 0 · GPU 1

No instance_group is declared, so Triton looks at the hardware: without a GPU the model
comes up on the CPU, slow and unnoticed. Say where it belongs; with KIND_GPU it is refused
instead.

    instance_group [
      {
        kind: KIND_GPU
      }
    ]"""

LOG = """\
I0131 12:00:01.402917 1 model_lifecycle.cc:472] "loading: lost:1"
E0131 12:00:01.512034 1 model_lifecycle.cc:642] "failed to load 'lost' version 1: Internal: CUDA"
I0131 12:00:01.512101 1 model_lifecycle.cc:777] "failed to load 'lost'\""""


def one_of_everything() -> Ledger:
    """Rehearsals on two hardware and a real run on one, with a cell of each kind."""
    two, real = ready("GPU 0 · GPU 1"), ready("GPU 0 · GPU 1")
    mixed = ready("GPU 0 · GPU 1 · CPU")
    entries = [
        entry("detector", refused("detector")),
        entry("detector", two, hardware=TWO),
        entry("detector", real, hardware=REAL_TWO, server=REAL, job=GPU_JOB),
        entry("ranker", refused("ranker"), declared="GPU + CPU"),
        entry("ranker", mixed, hardware=TWO, declared="GPU + CPU"),
        entry(
            "ranker",
            ready("CPU"),
            predicted=mixed,
            hardware=REAL_TWO,
            server=REAL,
            job=GPU_JOB,
            declared="GPU + CPU",
            verdict="failed",
            headline="runs on CPU and on no GPU, though it was predicted to run on GPU 0 · GPU 1",
            text="runs on CPU and on no GPU\n\n  config    models/ranker/config.pbtxt:4",
            log=LOG.replace("lost", "ranker"),
        ),
        entry("tokenizer", ready("CPU x2"), declared="CPU x2"),
        entry("tokenizer", ready("CPU x2"), hardware=TWO, declared="CPU x2"),
        entry(
            "tokenizer",
            ready("CPU x2"),
            hardware=REAL_TWO,
            server=REAL,
            job=GPU_JOB,
            declared="CPU x2",
        ),
        entry("legacy", ready("CPU", fallback=True), declared="nothing", line=None),
        entry("legacy", two, hardware=TWO, declared="nothing", line=None),
        entry(
            "spellcheck",
            ready("CPU", fallback=True),
            declared="nothing",
            fallback_allowed=True,
            line=None,
        ),
        entry("spellcheck", two, hardware=TWO, declared="nothing", line=None),
        entry("cleanup", ready(""), declared="ensemble"),
        entry("cleanup", ready(""), hardware=TWO, declared="ensemble"),
        entry("llm", ready("MODEL"), declared="MODEL"),
        entry("llm", ready("MODEL"), hardware=TWO, declared="MODEL"),
        entry(
            "lost",
            None,
            predicted=refused("lost"),
            verdict="not proven",
            server=None,
            headline="no server to ask: the server exited",
            text="no server to ask\n\ntritonserver 2.51.0 ended with exit code 1",
            log=LOG,
        ),
        entry(
            "lost",
            None,
            predicted=two,
            hardware=TWO,
            verdict="skipped",
            server=None,
            headline="skipped: no GPU",
        ),
    ]
    checks = [
        check(name, test, FALLBACK_TEXT if (name, test) == ("legacy", tests[1]) else "")
        for tests in [("test_config", "test_explicit_placement")]
        for name in dict.fromkeys(one.model for one in entries)
        for test in tests
    ]
    return Ledger((CPU_JOB, GPU_JOB), (*entries, *checks))


def all_proven() -> Ledger:
    """Two models, rehearsed, with nothing wrong."""
    entries = (
        entry("detector", refused("detector")),
        entry("detector", ready("GPU 0 · GPU 1"), hardware=TWO),
        entry("tokenizer", ready("CPU x2"), declared="CPU x2"),
        entry("tokenizer", ready("CPU x2"), hardware=TWO, declared="CPU x2"),
    )
    good = dataclasses.replace(CPU_JOB, exit_status=0)
    return Ledger((good,), tuple(dataclasses.replace(one, job=good) for one in entries))


def many(count: int) -> Ledger:
    """`count` models of all sorts on two rehearsed hardware and a real one; a few go wrong."""
    entries: list[Entry] = []
    checks: list[Entry] = []
    for number in range(count):
        family = ("fraud", "search", "vision", "speech", "rank")[number % 5]
        name = f"{family}_{number:04}"
        sort = number % 11
        if sort < 5:
            declared, on_none, on_two = "GPU", refused(name), ready("GPU 0 · GPU 1")
        elif sort < 8:
            declared, on_none, on_two = "CPU x2", ready("CPU x2"), ready("CPU x2")
        elif sort == 8:
            declared, on_none = "GPU + CPU", refused(name)
            on_two = ready("GPU 0 · GPU 1 · CPU")
        elif sort == 9:
            declared, on_none, on_two = "ensemble", ready(""), ready("")
        else:
            declared, on_none, on_two = "GPU 1 x2", refused(name), ready("GPU 1 x2")
        failed = number % 250 == 77
        if number % 125 == 31:
            declared, on_none = "nothing", ready("CPU", fallback=True)
            on_two = ready("GPU 0 · GPU 1")
            checks.append(check(name, "test_explicit_placement", FALLBACK_TEXT))
        entries.append(entry(name, on_none, declared=declared))
        entries.append(entry(name, on_two, hardware=TWO, declared=declared))
        if number % 3 == 0 or failed:
            entries.append(
                entry(
                    name,
                    ready("CPU") if failed else on_two,
                    predicted=on_two,
                    hardware=REAL_TWO,
                    server=REAL,
                    job=GPU_JOB,
                    declared=declared,
                    verdict="failed" if failed else "proven",
                    headline="runs on CPU and on no GPU" if failed else "",
                    text="runs on CPU and on no GPU\n\nThe driver lost its GPUs." if failed else "",
                    log=LOG.replace("lost", name) if failed else "",
                )
            )
    return Ledger((CPU_JOB, GPU_JOB), (*entries, *checks))


def three_deployments(models: int) -> Ledger:
    """Three deployments, each with jobs of its own, and `models` models in all."""
    entries: list[Entry] = []
    jobs: list[Job] = []
    for name in ("search", "speech", "vision"):
        ledger = many(models // 3)
        own = {
            job.id: dataclasses.replace(job, id=f"{name}-{job.id}", name=f"{name}-{job.name}")
            for job in ledger.jobs
        }
        jobs += own.values()
        for entry in (*ledger.placements, *ledger.checks):
            result = replace(entry.result, deployment=name)
            entries.append(dataclasses.replace(entry, result=result, job=own[entry.job.id]))
    return Ledger(tuple(jobs), tuple(entries))


def deployments(**gpus: int) -> Ledger:
    """A server of compose.yaml for each keyword, with so many GPUs, and the same two models."""
    entries: list[Entry] = []
    for name, count in gpus.items():
        deployment = f"compose.yaml::{name}"
        named = f"{count} GPU{'s' if count != 1 else ''}" if count else "no GPU"
        spec = f"sim:{count}" if count else "none"
        own = HardwareFacts(spec, f"{OWN_HARDWARE}{named}", count, simulated=bool(count))
        lost = HardwareFacts("none", "GPUs lost", 0)
        for hardware in (own, lost) if count else (own,):
            on = " · ".join(f"GPU {number}" for number in range(hardware.gpus or 0))
            entries += (
                entry(
                    "detector",
                    ready(on) if on else refused("detector"),
                    hardware=hardware,
                    deployment=deployment,
                ),
                entry(
                    "tokenizer",
                    ready("CPU x2"),
                    hardware=hardware,
                    declared="CPU x2",
                    deployment=deployment,
                ),
            )
    # As runs have it: nothing is simulated for servers without a GPU but backends.
    made = [replace(one.result, deployed=True, run=_run_of(one)) for one in entries]
    return Ledger(
        (CPU_JOB,),
        tuple(
            dataclasses.replace(one, result=result)
            for one, result in zip(entries, made, strict=True)
        ),
    )


def _run_of(one: Entry) -> Run:
    return REHEARSAL if one.hardware.simulated else "rehearsal (stand-in backends)"


def expected_of_deployments(ledger: Ledger) -> Ledger:
    """As `merge --deployment` has it: each server's models on its own GPUs and on none."""
    needs: dict[tuple[str, str, int], Need] = {}
    for one in ledger.placements:
        predicted, gpus = one.predicted, one.hardware.gpus or 0
        assert predicted is not None
        if gpus and "GPU" not in predicted.kinds:
            continue
        key = one.deployment, one.model, gpus
        needs[key] = Need(
            *key,
            str(one.declared),
            "",
            "",
            one.identity,
            predicted.placement,
            predicted.reason,
            repository="models",
        )
    return dataclasses.replace(ledger, expected=Expected(tuple(needs.values()), ()))


def merged_with_plan(ledger: Ledger, *unproven: str) -> Ledger:
    """As `merge` has it: each model is expected as predicted, on a real GPU where it uses one.

    Models called `unproven` are expected besides, and no job has looked at them.
    """
    needs: dict[tuple[str, str, int], Need] = {}
    for one in ledger.placements:
        predicted, gpus = one.predicted, one.hardware.gpus or 0
        if predicted is None or (gpus and "GPU" not in predicted.kinds):
            continue
        key = (one.deployment, one.model, gpus)
        needs[key] = Need(
            *key, str(one.declared), "", "", one.identity, predicted.placement, predicted.reason
        )
    for number, name in enumerate(unproven):
        deployment = ledger.entries[number].deployment
        needs[deployment, name, 0] = Need(deployment, name, 0, "CPU", "", "", "")
    ordered = tuple(needs[key] for key in sorted(needs))
    known = {test for one in ledger.checks for test in (one.test,)}
    checks = tuple(test for test in CHECKS if test in known) if len(known) > 1 else ()
    return dataclasses.replace(ledger, expected=Expected(ordered, checks))


def merged_and_proven() -> Ledger:
    """Two models: one is for the CPU, one was run for real where it needs GPUs."""
    good, real = (dataclasses.replace(job, exit_status=0) for job in (CPU_JOB, GPU_JOB))
    entries = (
        entry("detector", refused("detector"), job=good),
        entry("detector", ready("GPU 0 · GPU 1"), hardware=REAL_TWO, server=REAL, job=real),
        entry("tokenizer", ready("CPU x2"), declared="CPU x2", job=good),
    )
    return merged_with_plan(Ledger((good, real), entries))
