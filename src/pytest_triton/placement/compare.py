"""Observations put together, and predicted against observed: one verdict a model and
hardware.

At least two independent sources are asked wherever two exist. Their trust says which one counts
first, never that a contradiction may be ignored: that is a failure of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import ClassVar, Literal

from pytest_triton.arguments.checked import checked
from pytest_triton.arguments.kinds import a
from pytest_triton.placement.declared import Declared
from pytest_triton.placement.instances import NOTHING, Placement
from pytest_triton.placement.predict import Prediction, ResolvedGroup
from pytest_triton.placement.refusal import Refusal, refused_steps

READY = "READY"
UNAVAILABLE = "UNAVAILABLE"
ABSENT = "absent"

_TRUST = {"high": 0, "medium": 1}


Trust = Literal["high", "medium"]
"""high: core's own word. medium: a backend's, in a text that differs by release."""

Proof = Literal["proven", "one source", "disagreement", "not proven"]


@dataclass(frozen=True, slots=True)
class Observation:
    """What one source says of one model.

    `placement` is None where it doesn't say, `refusal` where it has none. `state` is the
    repository index's state, "" from others. `text` is the source's own, as raw as is readable.
    """

    __test__: ClassVar[bool] = False  # its name is no reason for pytest to collect it

    source: str
    trust: Trust
    text: str
    placement: Placement | None = None
    refusal: Refusal | None = None
    state: str = ""

    @property
    def says(self) -> str:
        """In a few words, for people: a placement, a refusal, a state, or its own text."""
        if self.refusal is not None:
            return str(self.refusal)
        if self.placement is not None:
            return str(self.placement) if self.placement else "no instances"
        return self.state or self.text

    def __str__(self) -> str:
        detail = f" ({self.text})" if self.text not in ("", self.says) else ""
        return f"{self.source}, {self.trust} trust: {self.says}{detail}"


@dataclass(frozen=True)
class Observed:
    """What a server really did with a model: all observations put together.

    `state` is the repository index's ("READY", "UNAVAILABLE", "LOADING", ...), or "absent" for a
    model that isn't there or has none. Placement and refusal are those of the most trusted
    source; `proof` says what they are worth. `groups` are the instance groups as core resolved
    them, empty for a model that isn't ready.
    """

    placement: Placement = NOTHING
    refusal: Refusal | None = None
    state: str = READY
    observations: tuple[Observation, ...] = ()
    groups: tuple[ResolvedGroup, ...] = ()

    @classmethod
    def of(
        cls,
        state: str,
        observations: Iterable[Observation],
        groups: tuple[ResolvedGroup, ...] = (),
    ) -> Observed:
        """Put observations together: of equal trust, the first counts."""
        ranked = sorted(observations, key=lambda one: _TRUST[one.trust])  # a stable sort
        placements = (one.placement for one in ranked if one.placement is not None)
        refusals = (one.refusal for one in ranked if one.refusal is not None)
        return cls(next(placements, NOTHING), next(refusals, None), state, tuple(ranked), groups)

    def __repr__(self) -> str:
        sources = ", ".join(self.sources)
        return f"<Observed {self} ({sources or 'no evidence'})>"

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the sources that decide something, the most trusted first."""
        return tuple([one.source for one in self.observations if _decides(one)])

    @cached_property
    def deciding(self) -> tuple[Observation, ...]:
        """The observations that decide: on where a ready model runs, or on why one was refused.

        That a model isn't there decides nothing alone, but goes along with a reason.
        """
        if self.refusal is None:
            return tuple([one for one in self.observations if one.placement is not None])
        return tuple([one for one in self.observations if _decides(one)])

    @cached_property
    def disagreement(self) -> tuple[Observation, Observation] | None:
        """The first two observations that contradict each other."""
        pairs = combinations(self.observations, 2)
        return next((pair for pair in pairs if _contradict(*pair)), None)

    @cached_property
    def proof(self) -> Proof:
        """proven: at least two sources decide, and agree."""
        reported = self.deciding
        if len(reported) < 2:
            return "one source" if reported else "not proven"
        return "proven" if self.disagreement is None else "disagreement"

    @property
    def proof_text(self) -> str:
        """`evidence: resolved config, server log`, `one source: resolved config`, ..."""
        names = ", ".join([one.source for one in self.deciding])
        if self.proof == "not proven":
            return "no evidence"
        if self.proof == "one source":
            return f"one source: {names}"
        return f"evidence: {names}" + (", which disagree" if self.disagreement else "")

    @property
    def ready(self) -> bool:
        return self.state == READY

    def __str__(self) -> str:
        if self.refusal is not None:
            return str(self.refusal)
        if not self.ready:
            return f"not ready ({self.state})"
        return str(self.placement) if self.placement else "ready"  # an ensemble has no instances


def _decides(one: Observation) -> bool:
    return one.placement is not None or one.refusal is not None or bool(one.state)


def _contradict(one: Observation, other: Observation) -> bool:
    if one.refusal is not None and other.refusal is not None:
        return one.refusal.reason != other.refusal.reason
    if one.placement is not None and other.placement is not None:
        return one.placement != other.placement
    if one.placement is not None or other.placement is not None:
        return one.refusal is not None or other.refusal is not None
    return False


def _sentence(one: Observation) -> str:
    return f"the {one.source} says {one.says}"


@dataclass(frozen=True)
class Verdict:
    """Whether a model did as predicted; `headline` says it in one line, in either case."""

    ok: bool
    headline: str
    declared: Declared
    predicted: Prediction
    observed: Observed

    def __repr__(self) -> str:
        return f"<Verdict {'ok' if self.ok else 'not ok'}: {self.headline}>"


@checked(
    declared=a("what a model declares: triton_server.declared(name), model.declared", Declared),
    predicted=a("a prediction: predict(...), triton_server.predicted(name)", Prediction),
    observed=a("what was observed: triton_server.observed(name)", Observed),
)
def compare(declared: Declared, predicted: Prediction, observed: Observed) -> Verdict:
    """The verdict: the same placement, or a refusal for the same class of reason.

    A model that isn't ready for no known reason, and a ready one without evidence of where it
    runs, are never as predicted: nothing was proven. Nor is one whose evidence disagrees. A single
    source is enough, and reported to be the only one.
    """
    contradiction = observed.disagreement
    if contradiction is not None:
        one, other = contradiction
        ok = False
        headline = f"the evidence disagrees: {_sentence(one)}, {_sentence(other)}"
    else:
        ok, headline = _judge(predicted, observed)
        if ok and observed.proof == "one source":
            headline += f" ({observed.proof_text})"
    return Verdict(ok, headline, declared, predicted, observed)


def _judge(predicted: Prediction, observed: Observed) -> tuple[bool, str]:
    if observed.ready and observed.refusal is None:
        return _judge_ready(predicted, observed)
    if observed.refusal is None:
        if predicted.refusal is None:
            return False, f"not ready ({observed.state}), and nothing says why"
        return False, (
            f"not ready ({observed.state}) and nothing says why, so that it isn't known "
            f"whether this is the {predicted.refusal.reason} refusal that was predicted"
        )
    if predicted.refusal is None:
        placement = predicted.placement
        expected = f"run on {placement}" if placement else "be ready"
        return False, f"{_refused(observed.refusal)}, though it was predicted to {expected}"
    if predicted.refusal.reason != observed.refusal.reason:
        return False, f"{observed.refusal}, but predicted was {predicted.refusal}"
    return True, f"{observed.refusal}, as predicted"


def _refused(refusal: Refusal) -> str:
    steps = refused_steps(refusal.text) if refusal.reason == "ensemble" else ()
    if not steps:
        return str(refusal)
    names = " and ".join(steps)
    return f"refused, since its model{'s' if len(steps) > 1 else ''} {names} can't be had"


def _judge_ready(predicted: Prediction, observed: Observed) -> tuple[bool, str]:
    if observed.proof == "not proven":
        return False, "not proven: ready, but there is no evidence of where it runs"
    if predicted.refusal is not None:
        return False, (
            f"{_where(observed.placement)}, though Triton should have refused it "
            f"({predicted.refusal.reason})"
        )
    if predicted.placement == observed.placement:
        return True, f"{_where(observed.placement)}, as predicted"
    if predicted.placement.devices and observed.placement and not observed.placement.devices:
        return False, (
            f"runs on {observed.placement} and on no GPU, though it was predicted to run on "
            f"{predicted.placement}"
        )
    return False, f"{_where(observed.placement)}, but predicted was {predicted.placement}"


def _where(placement: Placement) -> str:
    return f"runs on {placement}" if placement else "is ready (no instances of its own)"
