"""Predicted against observed: one verdict a model and hardware."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_triton.placement.declared import Declared
from pytest_triton.placement.predict import Prediction, ResolvedGroup
from pytest_triton.placement.refusal import Refusal
from pytest_triton.placement.values import NOTHING, Placement

READY = "READY"
UNAVAILABLE = "UNAVAILABLE"
ABSENT = "absent"


@dataclass(frozen=True)
class Observed:
    """What a server really did with a model.

    `state` is the repository index's ("READY", "UNAVAILABLE", "LOADING", ...), or "absent" for a
    model that isn't there or has none. `witnesses` names what was asked ("config", "index",
    "log", ...); without any, nothing is proven.
    """

    placement: Placement = NOTHING
    refusal: Refusal | None = None
    state: str = READY
    witnesses: tuple[str, ...] = ()
    groups: tuple[ResolvedGroup, ...] = ()

    @property
    def ready(self) -> bool:
        return self.state == READY

    def __str__(self) -> str:
        if self.refusal is not None:
            return str(self.refusal)
        if not self.ready:
            return f"not ready ({self.state})"
        return str(self.placement) if self.placement else "ready"  # an ensemble has no instances


@dataclass(frozen=True)
class Verdict:
    """Whether a model did as predicted; `headline` says it in one line, in either case."""

    ok: bool
    headline: str
    declared: Declared
    predicted: Prediction
    observed: Observed


def compare(declared: Declared, predicted: Prediction, observed: Observed) -> Verdict:
    """The verdict: the same placement, or a refusal for the same class of reason.

    A model that isn't ready for no known reason, and a ready one without a witness of where it
    runs, are never as predicted: nothing was proven.
    """
    ok, headline = _judge(predicted, observed)
    return Verdict(ok, headline, declared, predicted, observed)


def _judge(predicted: Prediction, observed: Observed) -> tuple[bool, str]:
    if observed.ready and observed.refusal is None:
        return _judge_ready(predicted, observed)
    if observed.refusal is None:
        if predicted.refusal is None:
            return False, f"not ready ({observed.state}), and nothing says why"
        return False, (
            f"not ready ({observed.state}) and nothing says why, so that it can't be told "
            f"whether this is the {predicted.refusal.reason} refusal that was predicted"
        )
    if predicted.refusal is None:
        return False, f"{observed.refusal}, though it was predicted to run on {predicted.placement}"
    if predicted.refusal.reason != observed.refusal.reason:
        return False, f"{observed.refusal}, but predicted was {predicted.refusal}"
    return True, f"{observed.refusal}, as predicted"


def _judge_ready(predicted: Prediction, observed: Observed) -> tuple[bool, str]:
    if not observed.witnesses:
        return False, "ready, but there is no witness of where it runs"
    if predicted.refusal is not None:
        return False, (
            f"runs on {observed.placement}, though Triton should have refused it "
            f"({predicted.refusal.reason})"
        )
    if predicted.placement == observed.placement:
        return True, f"runs on {observed.placement}, as predicted"
    if predicted.placement.devices and observed.placement and not observed.placement.devices:
        return False, (
            f"runs on {observed.placement} and on no GPU, though it was predicted to run on "
            f"{predicted.placement}"
        )
    return False, f"runs on {observed.placement}, but predicted was {predicted.placement}"
