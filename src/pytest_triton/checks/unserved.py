"""Models that are READY on none of a run's hardware: nothing but refusals was seen of them.

It follows from the predictions for the run's hardware, so that it is the same in every worker of
pytest-xdist and for every selection of tests. Runs without any GPU are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_triton.placement.advice import Advice, advise
from pytest_triton.placement.hardware import MAX_SIMULATED_GPUS, HardwareRequest
from pytest_triton.placement.unserved import (
    deciding,
    fewest_gpus,
    named_gpus,
    needs,
    options_for,
    with_models,
)

if TYPE_CHECKING:
    from pytest_triton.checks.checked_deployment import CheckedDeployment
    from pytest_triton.checks.run import Everywhere, TritonSession
    from pytest_triton.placement.predict import Prediction

HEADLINE = "READY on none of this run's hardware"


@dataclass(frozen=True)
class Unserved:
    """`facts` are what it needs and what each hardware makes of it. `models` are those of an
    ensemble's models that are READY nowhere themselves, and whose own check says so."""

    facts: tuple[tuple[str, str], ...]
    advice: Advice | None
    more: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


def unserved(
    name: str,
    predicted: Prediction,
    hardware: HardwareRequest,
    checked: CheckedDeployment,
    session: TritonSession,
    *,
    config_is_checked: bool,
) -> Unserved | None:
    """What is to be said of a model on the hardware that decides; None if all is well.

    What no hardware fixes is left to test_config if that runs; that an attached server has to serve
    everything, if it isn't said what it has, by its own check.
    """
    if predicted.ready or hardware.is_own:
        return None
    decides = deciding(session.settings.gpus, predicted.server)
    if checked.refused_everywhere(name) is not None:
        if config_is_checked:
            return None
        decides = decides or session.settings.gpus[0]
    if decides != hardware:
        return None
    everywhere = session.predicted_everywhere(checked, predicted.server)
    if everywhere is None or _is_ready(name, everywhere):
        return None
    fewest = fewest_gpus(name, checked.declared, predicted.server)
    ids = named_gpus(name, checked.declared)
    facts = []
    if fewest is not None:
        facts = [("needs", needs(name, checked.declared, fewest))]
    facts += [(one.label, str(predictions[name])) for one, predictions in everywhere.items()]
    more = []
    if ids and fewest:
        more = ["If another GPU was meant, correct `gpus` in the config: ids count from 0."]
    return Unserved(
        tuple(facts),
        _advice(predicted, fewest, session),
        tuple(more),
        tuple(
            one
            for one, declared in with_models(name, checked.declared).items()
            if one != name and not declared.is_ensemble and not _is_ready(one, everywhere)
        ),
    )


def _is_ready(name: str, everywhere: Everywhere) -> bool:
    return any(predictions[name].ready for predictions in everywhere.values())


def _advice(predicted: Prediction, fewest: int | None, session: TritonSession) -> Advice | None:
    if fewest is None:
        return advise(predicted.declared, predicted)
    own = session.advice_on_fewer(fewest)
    if own is not None:
        return own
    options = options_for(fewest, session.settings.gpus)
    if fewest > MAX_SIMULATED_GPUS:
        cause = (
            f"So nothing was seen of it but refusals. No more than {MAX_SIMULATED_GPUS} GPUs can "
            f"be simulated; this shows it on a machine with {fewest}:"
        )
    elif not session.settings.host.is_ours:
        cause = (
            "So nobody can use it there, and a running server has the GPUs that it has. A "
            "rehearsal on other hardware shows it:"
        )
        options = f"--triton-server=process {options}"
    else:
        cause = "So nothing was seen of it but refusals. Options that show it READY:"
    return Advice(cause, options)
