"""What Triton's rules make of a repository's models: each answer is worked out once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_triton.placement.declared import Declared
from pytest_triton.placement.hardware import NO_GPU, Hardware
from pytest_triton.placement.instances import NOTHING
from pytest_triton.placement.predict import Prediction, ServerTraits, ample_gpus, predict_all
from pytest_triton.placement.refusal import Refusal
from pytest_triton.repository.models import Model
from pytest_triton.repository.refusals import (
    completed_configs,
    declared_models,
    refused_on_all,
)

if TYPE_CHECKING:
    from pytest_triton.diagnostics.diagnostic import Diagnostic
    from pytest_triton.repository.schema import ModelConfig


class PredictedModels:
    """The models of one deployment, and what is predicted of them, by their names.

    `completes`: whether the server lets backends complete configs.
    """

    def __init__(self, models: Sequence[Model], completes: bool = True) -> None:
        self._models = models
        self._completes = completes
        self._on: dict[tuple[Hardware, ServerTraits], Mapping[str, Prediction]] = {}
        self._refused: dict[ServerTraits, Mapping[str, Diagnostic]] = {}

    @cached_property
    def completed(self) -> Mapping[str, ModelConfig]:
        """The configs that real backends would complete, completed."""
        return completed_configs(self._models) if self._completes else {}

    @cached_property
    def declared(self) -> Mapping[str, Declared]:
        """What each model with a readable config declares.

        What Triton refuses on sight, for what is on disk, is part of it (a flaw).
        """
        return declared_models(self._models, self.completed)

    @cached_property
    def _unreadable(self) -> frozenset[str]:
        return frozenset(model.name for model in self._models if not model.readable)

    def on(self, hardware: Hardware, server: ServerTraits) -> Mapping[str, Prediction]:
        """What is predicted of each model with a readable config."""
        key = (hardware, server)
        if key not in self._on:
            self._on[key] = predict_all(
                self.declared, hardware, server=server, unreadable=self._unreadable
            )
        return self._on[key]

    def on_ample_gpus(self, server: ServerTraits) -> Mapping[str, Prediction]:
        """The same where there are more GPUs than any of the models asks for."""
        return self.on(self._ample, server)

    def refused(self, server: ServerTraits) -> Mapping[str, Diagnostic]:
        """The models that no hardware makes Triton load, also ensembles for their models' sake."""
        if server not in self._refused:
            without = self.on(NO_GPU, server)
            ready = all(prediction.ready for prediction in without.values())
            ample = {} if ready else self.on_ample_gpus(server)
            self._refused[server] = refused_on_all(self._models, without, ample)
        return self._refused[server]

    @cached_property
    def _ample(self) -> Hardware:
        return ample_gpus(self.declared.values(), at_least=2)


def with_unreadable(
    models: Sequence[Model], predictions: Mapping[str, Prediction]
) -> dict[str, Prediction]:
    """The predictions, and refusals of the models whose configs can't be read."""
    found = dict(predictions)
    for model in models:
        if model.name not in found and model.refusal is not None:
            text = model.refusal.triton or model.refusal.message
            found[model.name] = Prediction(NOTHING, refusal=Refusal("config", text, "poll"))
    return found
