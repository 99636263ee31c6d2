"""What each model of a deployment must be proven with: no GPU, one, or as many as it names.

Every model must be proven without a GPU: refused if it is pinned to GPUs, on the CPU otherwise. It
must be proven with GPUs too if it uses them, on the fewest that it can have them on; a model that
runs on the CPU wherever it is needs none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pytest_triton.placement.backends import BACKENDS, backend_named
from pytest_triton.placement.declared import Declared
from pytest_triton.placement.hardware import NO_GPU, newest_gpus
from pytest_triton.placement.predict import (
    DEFAULT_TRAITS,
    Prediction,
    ServerTraits,
    predict_all,
)
from pytest_triton.plan.plan_file import Need
from pytest_triton.plan.sharding import needed

MOST_GPUS = 64  # of one server; an id above is taken for a mistake
_IN_IMAGES = frozenset({*BACKENDS, "repeat", "square"})
_IMAGES = {"vllm": "vllm-python-py3", "tensorrtllm": "trtllm-python-py3"}


@dataclass(frozen=True)
class PlannedModel:
    """A model of a deployment: what it declares (None: unreadable), and its identity.

    `engine_gpus` is how many GPUs there must be for its engine: what Triton's rules don't know.
    """

    name: str
    declared: Declared | None
    identity: str
    engine_gpus: int = 1


@dataclass(frozen=True)
class Production:
    """What a deployed server has: so many GPUs, and its image ("": one that is built)."""

    gpus: int
    image: str = ""


def needs_of_deployment(
    deployment: str,
    models: Mapping[str, PlannedModel],
    server: ServerTraits = DEFAULT_TRAITS,
    production: Production | None = None,
) -> Iterator[Need]:
    """What must be proven of the models that one server gets, model by model.

    `server` is the one whose rules are predicted by. In `production` there are as many GPUs as
    there are, however few would do.
    """
    declared = {name: one.declared for name, one in models.items() if one.declared is not None}
    without = predict_all(declared, NO_GPU, server=server)
    engines = {name: _engine_gpus(name, models) for name in declared}
    counts = _counts(declared, engines.values())
    if production is not None:
        counts = [production.gpus] if production.gpus else []
    by_count = {
        count: predict_all(declared, newest_gpus(range(count)), server=server) for count in counts
    }
    for name, model in sorted(models.items()):
        if model.declared is None:
            yield Need(
                deployment,
                name,
                0,
                "unreadable",
                "refused",
                "its config can't be read",
                model.identity,
                reason="config",
            )
            continue
        image = _image(name, declared) if production is None else production.image
        everywhere = {count: predictions[name] for count, predictions in by_count.items()}
        for count, predicted, why in _places(
            model.declared,
            without[name],
            everywhere,
            engines[name],
            production is not None,
        ):
            yield Need(
                deployment=deployment,
                model=name,
                gpus=count,
                declared=model.declared.summary,
                predicted=str(predicted),
                why=why,
                identity=model.identity,
                placement=tuple(predicted.placement),
                reason=predicted.refusal.reason if predicted.refusal is not None else "",
                image=image,
                cost=1 + predicted.placement.total,
            )


def _places(
    declared: Declared,
    without: Prediction,
    by_count: Mapping[int, Prediction],
    engine_gpus: int,
    in_production: bool,
) -> Iterator[tuple[int, Prediction, str]]:
    """The numbers of GPUs that a model must be proven with, what it does there, and why."""
    enough = {count: one for count, one in by_count.items() if count >= engine_gpus}
    found = _fewest_gpus(declared, without, enough or by_count)
    if found is not None and engine_gpus > 1:
        count, predicted, why = found
        also = f"its engine needs {engine_gpus} GPUs"
        less = f", and production has {count}" if in_production and not enough else ""
        found = count, predicted, f"{why}; {also}{less}"
    if found is None and in_production and any(one.kind == "GPU" for one in declared.groups):
        found = _refused_there(by_count)
    if without.refusal is not None:
        why = "must be refused without a GPU" if found else "is refused on any hardware"
    elif without.fallback:
        why = "falls back to the CPU"
    elif "MODEL" in {one.kind for one in without.placement}:
        why = "loads without a GPU as well"
    else:
        why = "runs on the CPU" if without.placement else "is ready without a GPU"
    yield 0, without, why
    if found is not None:
        yield found


def _fewest_gpus(
    declared: Declared, without: Prediction, by_count: Mapping[int, Prediction]
) -> tuple[int, Prediction, str] | None:
    for count, predicted in by_count.items():
        if not predicted.ready:
            continue
        if predicted.placement.devices:
            pinned = [gpu for group in declared.groups for gpu in group.gpus]
            why = f"is pinned to GPU {max(pinned)}" if pinned else "runs on GPUs"
            return count, predicted, why
        if "MODEL" in {one.kind for one in predicted.placement}:
            return count, predicted, f"KIND_MODEL: {declared.backend} decides where it runs"
        if backend_named(declared.backend).places_itself:
            return count, predicted, f"{declared.backend} uses GPUs, whatever the kind says"
        if not without.ready:
            return count, predicted, "its models need GPUs"
    return None


def _refused_there(by_count: Mapping[int, Prediction]) -> tuple[int, Prediction, str] | None:
    for count, predicted in by_count.items():
        if predicted.refusal is not None:
            return count, predicted, "is refused on production's GPUs"
    return None


def _counts(declared: Mapping[str, Declared], engines: Iterable[int]) -> list[int]:
    """1, as many as each engine needs, and enough for each GPU that a model names; ascending."""
    ids = {gpu for one in declared.values() for group in one.groups for gpu in group.gpus}
    named = {gpu + 1 for gpu in ids if 0 <= gpu < MOST_GPUS}
    return sorted({1} | named | {count for count in engines if count <= MOST_GPUS})


def _engine_gpus(name: str, models: Mapping[str, PlannedModel]) -> int:
    """How many GPUs the engines need of a model, or of those that it is made of."""
    steps = {one.name: one.declared.steps for one in models.values() if one.declared is not None}
    return max(models[one].engine_gpus for one in needed([name], steps) if one in models)


def _image(name: str, declared: Mapping[str, Declared]) -> str:
    """The variant of Triton's image that has the model's backend, and those of its models."""
    backends = backends_of(name, declared)
    for backend, image in _IMAGES.items():
        if backend in backends:
            return image
    return "py3" if backends <= _IN_IMAGES else ""


def backends_of(name: str, declared: Mapping[str, Declared]) -> frozenset[str]:
    """The backends that serve a model: its own, or those of the models it is made of."""
    found: set[str] = set()
    for each in needed([name], {name: one.steps for name, one in declared.items()}):
        one = declared.get(each)
        if one is not None and one.backend and not one.is_ensemble:
            found.add(one.backend)
    return frozenset(found)
