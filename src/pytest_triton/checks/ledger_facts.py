"""What a bundled check tells a ledger, as JSON that travels with its report (xdist too).

The verdict, the job and the failure's text are added where the ledger is written: only the
report knows the outcome.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from pytest_triton.checks.model_check import CheckFacts, short_path
from pytest_triton.ledger import (
    Check,
    ConfigFacts,
    Entry,
    Group,
    HardwareFacts,
    Job,
    Outcome,
    ServerFacts,
    ServerGpu,
    Witness,
)
from pytest_triton.ledger.files import check_json, entry_json, server_json
from pytest_triton.ledger.hashing import config_hash
from pytest_triton.ledger.values import deployment_name
from pytest_triton.placement.compare import Observed, Testimony
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.placement.predict import Prediction, ResolvedGroup
from pytest_triton.placement.values import Placement
from pytest_triton.repository import position_of
from pytest_triton.session import Seen

_NO_JOB = Job("", None, "", "")
_PLACEMENT = "test_placement"


def ledger_facts(facts: CheckFacts, test: str, hardware: HardwareRequest | None) -> str:
    """What `reports.ledger.LedgerWriter` reads: `{"entry" | "check", "server", "unproven"}`."""
    config = _config(facts)
    if test != _PLACEMENT or hardware is None:
        told = Check(
            deployment=deployment_name(facts.checked.deployment.text),
            model=facts.model.name,
            test=test,
            verdict="not proven",
            config=config,
            job=_NO_JOB,
            hardware=str(hardware) if hardware is not None else "",
        )
        return json.dumps({"check": check_json(told, 0)})
    declared = facts.checked.declared.get(facts.model.name)
    seen, verdict = facts.seen, facts.verdict
    count = hardware.count
    if seen is not None and verdict is not None:
        count = verdict.predicted.hardware.count
    entry = Entry(
        deployment=deployment_name(facts.checked.deployment.text),
        model=facts.model.name,
        hardware=HardwareFacts(str(hardware), hardware.label, count, hardware.simulated),
        verdict="not proven",
        headline=verdict.headline if verdict is not None else "",
        declared=declared.summary if declared is not None else "unreadable",
        groups=tuple(
            [Group(group.name, group.summary) for group in declared.groups] if declared else ()
        ),
        config=config,
        job=_NO_JOB,
        predicted=_predicted(verdict.predicted) if verdict is not None else None,
        observed=_observed(verdict.observed, verdict.predicted) if verdict is not None else None,
        witnesses=tuple(
            [_witness(one) for one in verdict.observed.testimonies] if verdict is not None else ()
        ),
        fallback_allowed=facts.fallback_allowed,
    )
    server = None
    if seen is not None and verdict is not None:
        server = server_json(_server(seen, verdict.predicted))
    return json.dumps(
        {"entry": entry_json(entry, 0, None), "server": server, "unproven": facts.unproven}
    )


def _config(facts: CheckFacts) -> ConfigFacts:
    file = facts.model.config_file
    position = position_of(file.text, "instance_group") if file is not None else None
    return ConfigFacts(
        short_path(facts.model.anchor, facts.start),
        position[0] if position is not None else None,
        config_hash(facts.model),
    )


def _server(seen: Seen, predicted: Prediction) -> ServerFacts:
    version = predicted.server.version
    return ServerFacts(
        description=seen.server,
        version=".".join(map(str, version)) if any(version) else "",
        run=seen.run,
        gpus=tuple([ServerGpu(g.index, g.name, g.uuid) for g in predicted.hardware.gpus]),
    )


def _witness(one: Testimony) -> Witness:
    """What it says in a few words, and its own where those are others."""
    detail = f" ({one.words})" if one.words not in ("", one.says) else ""
    return Witness(one.witness, one.says + detail)


def _predicted(predicted: Prediction) -> Outcome:
    refusal = predicted.refusal
    return Outcome(
        summary=str(predicted),
        placement=str(predicted.placement) if predicted.placement else "",
        reason=refusal.reason if refusal is not None else "",
        text=refusal.text if refusal is not None else "",
        fallback=predicted.fallback,
        groups=_groups(predicted.groups),
    )


def _observed(observed: Observed, predicted: Prediction) -> Outcome:
    refusal = observed.refusal
    fallback = predicted.fallback and observed.ready and observed.placement == predicted.placement
    return Outcome(
        summary=f"{observed}{'  <- fallback' if fallback else ''}",
        placement=str(observed.placement) if observed.placement else "",
        reason=refusal.reason if refusal is not None else "",
        text=refusal.text if refusal is not None else "",
        state=observed.state,
        fallback=fallback,
        groups=_groups(observed.groups),
    )


def _groups(groups: Iterable[ResolvedGroup]) -> tuple[Group, ...]:
    return tuple([Group(group.name, str(Placement(group.runs()))) for group in groups])
