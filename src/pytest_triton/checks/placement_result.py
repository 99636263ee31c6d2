"""A server's answer about a model's placement, as the fields of a CheckResult."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_triton.checks.result import (
    Declaration,
    Evidence,
    HardwareFacts,
    Outcome,
    ServerFacts,
    ServerGpu,
)
from pytest_triton.placement.command_line import shown_arguments

if TYPE_CHECKING:
    from pytest_triton.checks.run import Seen
    from pytest_triton.placement.compare import Observation, Observed, Verdict
    from pytest_triton.placement.declared import Declared
    from pytest_triton.placement.hardware import Hardware, HardwareRequest
    from pytest_triton.placement.predict import Prediction, ServerTraits
    from pytest_triton.servers.running_server import RunningServer


def declaration(declared: Declared | None) -> Declaration:
    """What a config declares; None is one that can't be read."""
    if declared is None:
        return Declaration("unreadable")
    if declared.groups:
        return Declaration("groups", declared.groups)
    return Declaration("ensemble" if declared.is_ensemble else "nothing")


def hardware_facts(request: HardwareRequest, verdict: Verdict | None) -> HardwareFacts:
    """What was asked for, with the number of GPUs that the server had, if one was asked."""
    count = request.count
    if verdict is not None:
        hardware = verdict.predicted.hardware
        count = None if hardware.at_least else hardware.count
    return HardwareFacts(str(request), request.label, count, request.simulated)


def placement_fields(seen: Seen, verdict: Verdict) -> dict[str, Any]:
    """The fields of a CheckResult that say what a server did."""
    predicted, observed = verdict.predicted, verdict.observed
    return {
        "predicted": predicted_outcome(predicted),
        "observed": _observed_outcome(observed, predicted),
        "headline": verdict.headline,
        "proof": observed.proof,
        "evidence": tuple([Evidence(one.source, _report(one)) for one in observed.observations]),
        "server": seen.facts,
        "run": seen.run,
    }


def predicted_outcome(prediction: Prediction) -> Outcome:
    refusal = prediction.refusal
    return Outcome(
        tuple(prediction.placement),
        refusal.reason if refusal is not None else "",
        refusal.text if refusal is not None else "",
        fallback=prediction.fallback,
        groups=prediction.groups,
    )


def _observed_outcome(observed: Observed, prediction: Prediction) -> Outcome:
    refusal = observed.refusal
    as_predicted = observed.ready and observed.placement == prediction.placement
    return Outcome(
        tuple(observed.placement),
        refusal.reason if refusal is not None else "",
        refusal.text if refusal is not None else "",
        observed.state,
        prediction.fallback and as_predicted,
        observed.groups,
    )


def _report(one: Observation) -> str:
    """What a piece of evidence says in a few words, and its own where those are others."""
    says = one.says
    return says if one.text in ("", says) else f"{says} ({one.text})"


def server_facts(server: RunningServer, hardware: Hardware, traits: ServerTraits) -> ServerFacts:
    """What a ledger says of a server that was asked."""
    version = traits.version
    return ServerFacts(
        description=server.description,
        version=".".join(map(str, version)) if any(version) else "",
        image=server.image,
        image_digest=server.image_digest,
        gpus=tuple([ServerGpu(gpu.index, gpu.name, gpu.uuid) for gpu in hardware.gpus]),
        arguments=shown_arguments(server.spec.arguments),
        gpu_support=traits.gpu_support,
        min_compute_capability="{}.{}".format(*traits.min_compute_capability),
    )
