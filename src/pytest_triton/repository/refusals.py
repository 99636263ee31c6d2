"""What Triton refuses of a repository on any hardware, each at the field that causes it.

`predict`, the audit, the plan and test_config all take it from here.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_triton.diagnostics.diagnostic import Diagnostic, Effect
from pytest_triton.placement.advice import advise_on_refusal
from pytest_triton.placement.backend_names import OFFICIAL_BACKENDS, PUBLISHED_BACKENDS
from pytest_triton.placement.backends import backend_named
from pytest_triton.placement.completed_tensors import completions
from pytest_triton.placement.declared import Declared
from pytest_triton.placement.hardware import NO_GPU
from pytest_triton.placement.predict import (
    DEFAULT_TRAITS,
    Prediction,
    ServerTraits,
    ample_gpus,
    predict_all,
)
from pytest_triton.repository.config_file import located
from pytest_triton.repository.models import Model
from pytest_triton.text.wrapping import wrapped

if TYPE_CHECKING:
    from pytest_triton.repository.schema import ModelConfig


_WIDTH = 92  # characters a line of prose


def completed_configs(models: Iterable[Model]) -> Mapping[str, ModelConfig]:
    """The configs that real backends would complete, completed, by the models' names."""
    readable = {model.name: model for model in models if model.readable}
    completing = frozenset(name for name, model in readable.items() if _completes(model))
    return completions({name: model.config for name, model in readable.items()}, completing)


def _completes(model: Model) -> bool:
    return backend_named(model.backend).completes and model.on_disk.may_complete


def declared_models(
    models: Iterable[Model], completed: Mapping[str, ModelConfig]
) -> dict[str, Declared]:
    """What each model with a readable config declares, by name.

    What Triton refuses on sight, for what is on disk, is part of it (a flaw).
    """
    found = {}
    for model in models:
        if not model.readable:
            continue
        config = completed.get(model.name)
        declared = model.declared if config is None else Declared.of(config, on_disk=model.on_disk)
        problem = model.refusal
        if problem is not None and problem.effect is not Effect.LOAD_FAILED:
            text = problem.triton or problem.message
            if all(flaw.triton != text for flaw in declared.flaws):
                flaw = Diagnostic(problem.reason, text, "", problem.message, problem.fix)
                declared = replace(declared, flaws=(flaw, *declared.flaws))
        found[model.name] = declared
    return found


def with_known_backends(server: ServerTraits, own_backends: Iterable[str] = ()) -> ServerTraits:
    """A server that has all backends of Triton, the published ones, and the user's own."""
    if server.backends is not None:
        return server
    known = frozenset((*OFFICIAL_BACKENDS, *PUBLISHED_BACKENDS, *own_backends))
    return replace(server, backends=known)


def refused_everywhere(
    models: Iterable[Model],
    declared: Mapping[str, Declared],
    server: ServerTraits = DEFAULT_TRAITS,
) -> Mapping[str, Diagnostic]:
    """The models that no hardware makes Triton load, also ensembles for their models' sake."""
    models = tuple(models)
    unreadable = {model.name for model in models if not model.readable}
    without = predict_all(declared, NO_GPU, server=server, unreadable=unreadable)
    if all(prediction.ready for prediction in without.values()):
        return {}
    gpus = ample_gpus(declared.values(), at_least=2)
    ample = predict_all(declared, gpus, server=server, unreadable=unreadable)
    return refused_on_all(models, without, ample)


def refused_on_all(
    models: Iterable[Model], without: Mapping[str, Prediction], ample: Mapping[str, Prediction]
) -> Mapping[str, Diagnostic]:
    """The models that are refused `without` a GPU, and with `ample` GPUs."""
    by_name = {model.name: model for model in models}
    return {
        name: refused_model(by_name[name], prediction, by_name)
        for name, prediction in ample.items()
        if prediction.refusal is not None and not without[name].ready and name in by_name
    }


def refused_model(model: Model, prediction: Prediction, others: Mapping[str, Model]) -> Diagnostic:
    """A predicted refusal at its place; `others` are all models of its server, by name."""
    refusal = prediction.refusal
    assert refusal is not None
    found = refusal.diagnostic or Diagnostic(refusal.reason)
    if not found.message:
        advice = advise_on_refusal(
            prediction.declared, refusal, prediction.hardware, prediction.server
        )
        found = replace(found, message=f"Triton {refusal}", fix=advice.cause, lines=advice.lines)
    effect = Effect.POLL_FAILED if refusal.stage == "poll" else Effect.LOAD_FAILED
    if refusal.reason == "crash":
        effect = Effect.BREAKS_SERVER
    also = tuple(_also(found, others))
    return _placed(
        replace(found, triton=refusal.text, effect=effect, model=model.name, also=also), model
    )


def _also(found: Diagnostic, others: Mapping[str, Model]) -> Iterator[Diagnostic]:
    for place in found.also:
        other = others.get(place.model)
        if other is None:
            continue
        if other.refusal is not None and not place.field:
            yield other.refusal
        else:
            name, field = place.model, place.field
            what = f"`{field}` of `{name}`" if field else f"the model `{name}`"
            yield _placed(replace(place, message=what, effect=Effect.ACCEPTED), other)


def _placed(found: Diagnostic, model: Model) -> Diagnostic:
    if model.config_file is None:
        return replace(found, path=model.anchor)
    return located(found, model.config_file)


def place_of(refused: Diagnostic) -> str:
    """The places in other configs, as a sentence; "" if there are none."""
    places = [problem.place for problem in refused.also]
    return f"See {' and '.join(places)}." if places else ""


def shown_problem(refused: Diagnostic) -> str:
    """The problem as text, with the other places that it is about."""
    fix = "\n  ".join(wrapped(refused.fix, _WIDTH))
    lines = [str(replace(refused, fix=fix))]
    if refused.lines:
        lines += ["", textwrap.indent(refused.lines, "      ")]
    lines += [f"  also {problem}".replace("\n", "\n  ") for problem in refused.also]
    return "\n".join(lines)


__all__ = [
    "completed_configs",
    "declared_models",
    "place_of",
    "refused_everywhere",
    "refused_model",
    "refused_on_all",
    "shown_problem",
    "with_known_backends",
]
