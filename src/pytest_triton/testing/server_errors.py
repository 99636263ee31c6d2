"""What goes wrong when a test uses a server."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_triton.errors import PytestTritonError
from pytest_triton.placement.compare import Observed
from pytest_triton.placement.refusal import Refusal, refused_steps


class UnknownModel(PytestTritonError):
    """`model` is a name that no model of the repository has."""

    def __init__(self, what: str, *, model: str, tried: Sequence[str] = (), fix: str = "") -> None:
        super().__init__(what, tried=tried, fix=fix)
        self.model = model


class ServerNotYours(PytestTritonError):
    """A test wanted to change what a shared server has loaded."""


class NotExplicit(PytestTritonError):
    """A running server isn't in explicit model control mode."""


class ModelRefused(PytestTritonError):
    """Triton refused to load `model`. `refusal` has the reason and Triton's text."""

    def __init__(self, model: str, refusal: Refusal, hardware: str) -> None:
        super().__init__(
            f"Triton refused to load {model} ({refusal.reason}, on {hardware}):\n  {refusal.text}",
            fix="if it is meant to be refused, say so: pytest.raises(ModelRefused), or "
            f"assert_refused(server, {model!r}, reason={refusal.reason!r}) after load_or_refuse",
        )
        self.model = model
        self.refusal = refusal


class ModelNotPlaced(PytestTritonError):
    """The placement of `model` was asked for, which isn't READY; `refusal`: why, or None."""

    def __init__(self, model: str, observed: Observed, hardware: str) -> None:
        refusal = observed.refusal
        expected = "" if refusal is None else f", reason={refusal.reason!r}"
        steps = refused_steps(refusal.text) if refusal is not None else ()
        first = f"look at {steps[0]} first, without which {model} can't load; " if steps else ""
        super().__init__(
            f"{model} has no placement (on {hardware}): the model is {observed}"
            + ("" if refusal is None else f"; Triton says:\n  {refusal.text}"),
            fix=f"{first}if it is meant to be refused: "
            f"assert_refused(server, {model!r}{expected}); "
            f"server.observed({model!r}) is what was seen, READY or not",
        )
        self.model = model
        self.refusal = refusal
