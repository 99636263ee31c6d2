"""What witnesses saw, put together, and predicted against observed: one verdict a model and
hardware.

At least two independent witnesses are asked wherever two exist. Their trust says whose word counts
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
from pytest_triton.placement.refusal import Refusal

READY = "READY"
UNAVAILABLE = "UNAVAILABLE"
ABSENT = "absent"

_TRUST = {"high": 0, "medium": 1}


Trust = Literal["high", "medium"]
"""high: core's own word. medium: a backend's, in words that differ by release."""

Proof = Literal["proven", "one witness", "disagreement", "not proven"]


@dataclass(frozen=True, slots=True)
class Testimony:
    """What one witness says of one model.

    `placement` is None where it doesn't tell, `refusal` where it tells of none. `state` is the
    repository index's word, "" from others. `words` are the witness's own, as raw as is readable.
    """

    __test__: ClassVar[bool] = False  # its name is no reason for pytest to collect it

    witness: str
    trust: Trust
    words: str
    placement: Placement | None = None
    refusal: Refusal | None = None
    state: str = ""

    @property
    def says(self) -> str:
        """In a few words, for people: a placement, a refusal, a state, or its own words."""
        if self.refusal is not None:
            return str(self.refusal)
        if self.placement is not None:
            return str(self.placement) if self.placement else "no instances"
        return self.state or self.words

    def __str__(self) -> str:
        detail = f" ({self.words})" if self.words not in ("", self.says) else ""
        return f"{self.witness}, {self.trust} trust: {self.says}{detail}"


@dataclass(frozen=True)
class Observed:
    """What a server really did with a model: all testimonies put together.

    `state` is the repository index's ("READY", "UNAVAILABLE", "LOADING", ...), or "absent" for a
    model that isn't there or has none. Placement and refusal are those of the most trusted
    witness; `proof` says what they are worth. `groups` are the instance groups as core resolved
    them, empty for a model that isn't ready.
    """

    placement: Placement = NOTHING
    refusal: Refusal | None = None
    state: str = READY
    testimonies: tuple[Testimony, ...] = ()
    groups: tuple[ResolvedGroup, ...] = ()

    @classmethod
    def of(
        cls,
        state: str,
        testimonies: Iterable[Testimony],
        groups: tuple[ResolvedGroup, ...] = (),
    ) -> Observed:
        """Put testimonies together: of equal trust, the first counts."""
        ranked = sorted(testimonies, key=lambda one: _TRUST[one.trust])  # a stable sort
        placements = (one.placement for one in ranked if one.placement is not None)
        refusals = (one.refusal for one in ranked if one.refusal is not None)
        return cls(next(placements, NOTHING), next(refusals, None), state, tuple(ranked), groups)

    @property
    def witnesses(self) -> tuple[str, ...]:
        """The names of the witnesses that told something, the most trusted first."""
        return tuple([one.witness for one in self.testimonies if _tells(one)])

    @cached_property
    def deciding(self) -> tuple[Testimony, ...]:
        """The testimonies that decide: on where a ready model runs, or on why one was refused.

        That a model isn't there decides nothing alone, but goes along with a reason.
        """
        if self.refusal is None:
            return tuple([one for one in self.testimonies if one.placement is not None])
        return tuple([one for one in self.testimonies if _tells(one)])

    @cached_property
    def disagreement(self) -> tuple[Testimony, Testimony] | None:
        """The first two witnesses that contradict each other."""
        pairs = combinations(self.testimonies, 2)
        return next((pair for pair in pairs if _contradict(*pair)), None)

    @cached_property
    def proof(self) -> Proof:
        """proven: at least two witnesses decide, and agree."""
        told = self.deciding
        if len(told) < 2:
            return "one witness" if told else "not proven"
        return "proven" if self.disagreement is None else "disagreement"

    @property
    def proof_in_words(self) -> str:
        """`witnesses: resolved config, server log`, `one witness: resolved config`, ..."""
        names = ", ".join([one.witness for one in self.deciding])
        if self.proof == "not proven":
            return "no witness"
        if self.proof == "one witness":
            return f"one witness: {names}"
        return f"witnesses: {names}" + (", which disagree" if self.disagreement else "")

    @property
    def ready(self) -> bool:
        return self.state == READY

    def __str__(self) -> str:
        if self.refusal is not None:
            return str(self.refusal)
        if not self.ready:
            return f"not ready ({self.state})"
        return str(self.placement) if self.placement else "ready"  # an ensemble has no instances


def _tells(one: Testimony) -> bool:
    return one.placement is not None or one.refusal is not None or bool(one.state)


def _contradict(one: Testimony, other: Testimony) -> bool:
    if one.refusal is not None and other.refusal is not None:
        return one.refusal.reason != other.refusal.reason
    if one.placement is not None and other.placement is not None:
        return one.placement != other.placement
    if one.placement is not None or other.placement is not None:
        return one.refusal is not None or other.refusal is not None
    return False


def _in_words(one: Testimony) -> str:
    return f"the {one.witness} says {one.says}"


@dataclass(frozen=True)
class Verdict:
    """Whether a model did as predicted; `headline` says it in one line, in either case."""

    ok: bool
    headline: str
    declared: Declared
    predicted: Prediction
    observed: Observed


@checked(
    declared=a("what a model declares: triton_server.declared(name), model.declared", Declared),
    predicted=a("a prediction: predict(...), triton_server.predicted(name)", Prediction),
    observed=a("what was observed: triton_server.observed(name)", Observed),
)
def compare(declared: Declared, predicted: Prediction, observed: Observed) -> Verdict:
    """The verdict: the same placement, or a refusal for the same class of reason.

    A model that isn't ready for no known reason, and a ready one without a witness of where it
    runs, are never as predicted: nothing was proven. Nor is one whose witnesses disagree. A single
    witness is believed, and said to be the only one.
    """
    contradiction = observed.disagreement
    if contradiction is not None:
        one, other = contradiction
        ok = False
        headline = f"the witnesses disagree: {_in_words(one)}, {_in_words(other)}"
    else:
        ok, headline = _judge(predicted, observed)
        if ok and observed.proof == "one witness":
            headline += f" ({observed.proof_in_words})"
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
    if observed.proof == "not proven":
        return False, "not proven: ready, but there is no witness of where it runs"
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
