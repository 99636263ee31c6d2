"""Models that are READY on none of some hardware: what they need, and where they would be READY."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_triton.placement.declared import Declared, shortened
from pytest_triton.placement.hardware import (
    MAX_SIMULATED_GPUS,
    HardwareRequest,
    newest_gpus,
)
from pytest_triton.placement.predict import (
    DEFAULT_TRAITS,
    ServerTraits,
    predict_all,
    usable_gpus,
)


def with_models(name: str, models: Mapping[str, Declared]) -> dict[str, Declared]:
    """A model and those that it is made of, also through other ensembles."""
    found: dict[str, Declared] = {}
    waiting = [name]
    while waiting:
        one = waiting.pop()
        if one in models and one not in found:
            found[one] = models[one]
            waiting += models[one].steps
    return found


def named_gpus(name: str, models: Mapping[str, Declared]) -> tuple[int, ...]:
    """The ids of the GPUs that a model's groups name, or those of its models, ascending."""
    groups = [group for one in with_models(name, models).values() for group in one.groups]
    return tuple(sorted({gpu for group in groups for gpu in group.gpus if gpu >= 0}))


def fewest_gpus(
    name: str, models: Mapping[str, Declared], server: ServerTraits = DEFAULT_TRAITS
) -> int | None:
    """The fewest GPUs with which a model is READY; None if it is on no hardware.

    Of each GPU it is assumed that it is new enough.
    """
    needed, named = with_models(name, models), named_gpus(name, models)
    # Without one of the ids that are named, a model is refused: no number between needs a look.
    for count in sorted({0, 1, max(named, default=0) + 1}):
        # Those that nobody names change nothing, and of an id that is a mistake there are millions.
        ids = [index for index in dict.fromkeys((0, *named)) if index < count]
        if predict_all(needed, newest_gpus(ids), server=server)[name].ready:
            return count
    return None


def needs(name: str, models: Mapping[str, Declared], fewest: int) -> str:
    """What a model needs, as text: "GPU 6, so 7 GPUs", "GPUs 0 and 6, so 7 GPUs", "a GPU"."""
    ids = named_gpus(name, models)
    if not fewest:
        return "a server without GPUs"
    if not ids:
        return "a GPU"
    parts = [shortened(ids[:-1], ", "), str(ids[-1])]
    named = f"GPUs {' and '.join(parts)}" if len(ids) > 1 else f"GPU {ids[0]}"
    return f"{named}, so {fewest} GPUs" if fewest > 1 else named


def deciding(
    hardware: Sequence[HardwareRequest], server: ServerTraits = DEFAULT_TRAITS
) -> HardwareRequest | None:
    """The hardware with the most GPUs that Triton can use; None if none of it has a GPU.

    Its test_placement fails for a model that is READY on none of a run's hardware.
    """
    with_gpus = [one for one in hardware if one.count != 0]
    return max(with_gpus, key=lambda one: _usable(one, server), default=None)


def _usable(request: HardwareRequest, server: ServerTraits) -> tuple[float, float]:
    count = float("inf") if request.count is None else request.count
    known = request.hardware()
    return (count if known is None else len(usable_gpus(known, server)), count)


def options_for(fewest: int, run: Sequence[HardwareRequest]) -> str:
    """The --triton-gpus options of a run that shows a model READY which needs that many GPUs."""
    simulated = [one.count or 0 for one in run if one.simulated]
    if not fewest:
        others = [str(one) for one in run if one.count != 0]
    elif fewest <= MAX_SIMULATED_GPUS:
        others = [f"sim:{max(fewest, *simulated, 1)}"]
    else:
        others = [str(fewest)]
    return " ".join(f"--triton-gpus={one}" for one in dict.fromkeys(["none", *others]))
