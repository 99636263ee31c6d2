"""The part of `TritonServer` that says where models are, and where they should be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_triton.arguments.checked import checked
from pytest_triton.errors import says_all
from pytest_triton.placement.compare import Observed, Verdict, compare
from pytest_triton.placement.declared import Declared
from pytest_triton.placement.instances import Placement
from pytest_triton.placement.predict import Prediction
from pytest_triton.repository import Model
from pytest_triton.testing.arguments import MODEL
from pytest_triton.testing.server_errors import ModelNotPlaced
from pytest_triton.testing.state import ServerState

if TYPE_CHECKING:
    from pytest_triton.placement.hardware import Hardware

__tracebackhide__ = says_all


class ModelViews:
    """What a server did with its models, and what it should have done."""

    _state: ServerState

    @property
    def hardware(self) -> Hardware:
        """The GPUs that the server has. Raises PytestTritonError if it lacks some asked for.

        Of an attached server those that it reports: `at_least` says whether there may be more.
        """
        return self._state.hardware

    @property
    def models(self) -> Mapping[str, Model]:
        """The models of its repository, by name."""
        return self._state.models

    @checked(model=MODEL)
    def placement(self, model: str | Model) -> Placement:
        """Where the model runs. Raises ModelNotPlaced for one that isn't READY: see `observed`."""
        observed = self.observed(model)
        if not observed.ready:
            label = self._state.running.spec.hardware.label
            raise ModelNotPlaced(self._state.known(model), observed, label)
        return observed.placement

    @checked(model=MODEL)
    def observed(self, model: str | Model) -> Observed:
        """What the server made of a model, by all evidence.

        Raises UnknownModel, and PytestTritonError if the server can't be asked.
        """
        return self._state.observed(self._state.known(model))

    @checked(model=MODEL)
    def declared(self, model: str | Model) -> Declared:
        """What the model's config says; the one that it was loaded with, if that is another."""
        return self._state.declared(self._state.known(model))

    @checked(model=MODEL)
    def predicted(self, model: str | Model) -> Prediction:
        """What Triton's rules make of the model on this server's hardware."""
        return self._state.predicted(self._state.known(model))

    @checked(model=MODEL)
    def verdict(self, model: str | Model) -> Verdict:
        """Predicted against observed."""
        return compare(self.declared(model), self.predicted(model), self.observed(model))

    @checked(model=MODEL)
    def is_ready(self, model: str | Model) -> bool:
        """Whether the model can be asked for inferences."""
        return self.observed(model).ready
