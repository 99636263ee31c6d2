"""What a bundled check tells a ledger, as JSON that travels with its report (xdist too).

The verdict, the job and the failure's text are added where the ledger is written: only the
report knows the outcome. This is called for each of thousands of tests, so the JSON is put
together from pieces, of which those of the model and of the server are made once. What it makes
is what `ledger.files` reads; tests hold the two together.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pytest_triton.checks.model_check import CheckFacts, short_path
from pytest_triton.checks.run import Seen
from pytest_triton.ledger import ConfigFacts, Group, ServerFacts, ServerGpu
from pytest_triton.ledger.entries import deployment_name
from pytest_triton.ledger.hashing import config_hash
from pytest_triton.ledger.ledger_file import config_json, groups_json, server_json
from pytest_triton.placement.compare import Testimony
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.placement.instances import Placement
from pytest_triton.placement.predict import Prediction, ResolvedGroup
from pytest_triton.placement.refusal import Refusal
from pytest_triton.repository import position_of

_PLACEMENT = "test_placement"
_quoted = json.JSONEncoder().encode  # of a text; far quicker than dumps() of an object


class _Model(NamedTuple):
    """The pieces of one model: of its place, of its checks and of its entries."""

    place: str
    check: str
    entry: str


class LedgerFacts:
    """Makes what tests tell a ledger."""

    def __init__(self) -> None:
        self._models: dict[Path, _Model] = {}
        self._servers: dict[int, tuple[Seen, str]] = {}

    def of(
        self, facts: CheckFacts, test: str, hardware: HardwareRequest | None, *, failed: bool
    ) -> dict[str, Any]:
        """What `reports.ledger.LedgerWriter` reads: texts that are JSON (and so ASCII).

        `place` is the deployment, model, test ("placement" for an entry) and hardware; `told`
        the entry or check up to its verdict, job, server, headline and texts. `unproven`: a
        failure or skip says that nothing could be proven.
        """
        model = self._model(facts, failed)
        spec = json.dumps(str(hardware) if hardware is not None else "")
        is_check = test != _PLACEMENT or hardware is None
        if is_check or hardware is None:
            told = f'{model.check}, "test": {json.dumps(test)}, "hardware": {spec}'
        else:
            told = f"{model.entry}, {_of_placement(facts, hardware)}"
        return {
            "is_check": is_check,
            "place": f"{model.place}, {json.dumps(test)}, {spec}]",
            "told": told,
            "server": self._server(facts),
            "headline": facts.verdict.headline if facts.verdict is not None else "",
            "unproven": facts.unproven,
        }

    def _model(self, facts: CheckFacts, failed: bool) -> _Model:
        anchor = facts.model.anchor
        known = self._models.get(anchor)
        if known is None or failed:
            # Finding the line takes longer than all else here, so that only failures have it.
            known = _model(facts, _line(facts) if failed else None)
        if not failed:
            self._models[anchor] = known
        return known

    def _server(self, facts: CheckFacts) -> str | None:
        seen, verdict = facts.seen, facts.verdict
        if seen is None or verdict is None:
            return None
        known = self._servers.get(id(seen))
        if known is None:
            text = json.dumps(server_json(_server(seen, verdict.predicted)))
            known = self._servers[id(seen)] = (seen, text)
        return known[1]


def _model(facts: CheckFacts, line: int | None) -> _Model:
    deployment = json.dumps(deployment_name(facts.checked.deployment.text))
    name = json.dumps(facts.model.name)
    path = _path(facts)
    config = json.dumps(config_json(ConfigFacts(path, line, config_hash(facts.model))))
    declared = facts.checked.declared.get(facts.model.name)
    entry = {
        "declared": declared.summary if declared is not None else "unreadable",
        "groups": groups_json(
            [Group(group.name, group.summary) for group in declared.groups] if declared else ()
        ),
        "fallback_allowed": facts.fallback_allowed,
    }
    check = f'{{"deployment": {deployment}, "model": {name}, "config": {config}'
    return _Model(f"[{deployment}, {name}", check, f"{check}, {json.dumps(entry)[1:-1]}")


def _path(facts: CheckFacts) -> str:
    here, anchor = f"{facts.start}{os.sep}", str(facts.model.anchor)
    if anchor.startswith(here):
        return anchor[len(here) :]  # what short_path() would find, far quicker
    return short_path(facts.model.anchor, facts.start)


def _line(facts: CheckFacts) -> int | None:
    file = facts.model.config_file
    position = position_of(file.text, "instance_group") if file is not None else None
    return position[0] if position is not None else None


def _of_placement(facts: CheckFacts, hardware: HardwareRequest) -> str:
    """The fields of an entry that depend on the hardware, without braces."""
    count = hardware.count
    predicted = observed = "null"
    witnesses = ""
    if facts.verdict is not None:
        prediction, seen = facts.verdict.predicted, facts.verdict.observed
        count = None if prediction.hardware.at_least else prediction.hardware.count
        predicted = _outcome(
            str(prediction),
            prediction.placement,
            prediction.refusal,
            prediction.groups,
            prediction.fallback,
        )
        fallback = prediction.fallback and seen.ready and seen.placement == prediction.placement
        observed = _outcome(
            f"{seen}  <- fallback" if fallback else str(seen),
            seen.placement,
            seen.refusal,
            seen.groups,
            fallback,
            seen.state,
        )
        witnesses = ", ".join(
            [
                f'{{"name": {_quoted(one.witness)}, "said": {_quoted(_said(one))}}}'
                for one in seen.testimonies
            ]
        )
    return (
        f'"hardware": {{"spec": {_quoted(str(hardware))}, "label": {_quoted(hardware.label)}, '
        f'"gpus": {"null" if count is None else count}, '
        f'"simulated": {_true(hardware.simulated)}}}, '
        f'"predicted": {predicted}, "observed": {observed}, "witnesses": [{witnesses}]'
    )


def _outcome(
    summary: str,
    placement: Placement,
    refusal: Refusal | None,
    groups: Sequence[ResolvedGroup],
    fallback: bool,
    state: str = "",
) -> str:
    where = ", ".join(
        [
            f'{{"name": {_quoted(group.name)}, '
            f'"summary": {_quoted(" · ".join(map(str, group.runs())))}}}'
            for group in groups
        ]
    )
    return (
        f'{{"summary": {_quoted(summary)}, '
        f'"placement": {_quoted(str(placement) if placement else "")}, '
        f'"reason": {_quoted(refusal.reason if refusal is not None else "")}, '
        f'"text": {_quoted(refusal.text if refusal is not None else "")}, '
        f'"state": {_quoted(state)}, "fallback": {_true(fallback)}, "groups": [{where}]}}'
    )


def _true(flag: bool) -> str:
    return "true" if flag else "false"


def _said(one: Testimony) -> str:
    """What a witness says in a few words, and its own where those are others."""
    says = one.says
    return says if one.words in ("", says) else f"{says} ({one.words})"


def _server(seen: Seen, predicted: Prediction) -> ServerFacts:
    version = predicted.server.version
    return ServerFacts(
        description=seen.server,
        version=".".join(map(str, version)) if any(version) else "",
        run=seen.run,
        image=seen.image,
        image_digest=seen.image_digest,
        gpus=tuple([ServerGpu(g.index, g.name, g.uuid) for g in predicted.hardware.gpus]),
    )
