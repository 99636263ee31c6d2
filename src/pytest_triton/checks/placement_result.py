"""A server's answer about a model's placement, as the fields of a CheckResult."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from pytest_triton.checks.result import (
    CheckResult,
    Declaration,
    Evidence,
    HardwareFacts,
    Outcome,
    ServerFacts,
    ServerGpu,
)

if TYPE_CHECKING:
    from pytest_triton.checks.run import Seen
    from pytest_triton.placement.compare import Observed, Testimony, Verdict
    from pytest_triton.placement.declared import Declared
    from pytest_triton.placement.hardware import HardwareRequest
    from pytest_triton.placement.predict import Prediction


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


def with_placement(result: CheckResult, seen: Seen, verdict: Verdict) -> CheckResult:
    """The result, with what a server did."""
    predicted, observed = verdict.predicted, verdict.observed
    return replace(
        result,
        predicted=predicted_outcome(predicted),
        observed=_observed_outcome(observed, predicted),
        headline=verdict.headline,
        proof=observed.proof,
        evidence=tuple([Evidence(one.witness, _report(one)) for one in observed.testimonies]),
        server=_server(seen, predicted),
        run=seen.run,
    )


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


def _report(one: Testimony) -> str:
    """What a piece of evidence says in a few words, and its own where those are others."""
    says = one.says
    return says if one.words in ("", says) else f"{says} ({one.words})"


def _server(seen: Seen, predicted: Prediction) -> ServerFacts:
    version = predicted.server.version
    return ServerFacts(
        description=seen.server,
        version=".".join(map(str, version)) if any(version) else "",
        image=seen.image,
        image_digest=seen.image_digest,
        gpus=tuple([ServerGpu(gpu.index, gpu.name, gpu.uuid) for gpu in predicted.hardware.gpus]),
        arguments=seen.arguments,
        gpu_support=seen.traits.gpu_support,
        min_compute_capability="{}.{}".format(*seen.traits.min_compute_capability),
    )
