"""The model whose config is to blame when Triton refuses one on any hardware."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_triton.checks.checked_deployment import CheckedDeployment
    from pytest_triton.diagnostics.diagnostic import Diagnostic
    from pytest_triton.placement.declared import Declared
    from pytest_triton.repository import Model


def first_invalid(model: Model, checked: CheckedDeployment) -> Model:
    """Of an ensemble that is refused for one of its models' sake that model, else the model."""
    by_name = {one.name: one for one in checked.repository.models}
    passed = {model.name}
    while True:
        declared = checked.declared.get(model.name)
        if declared is None or model.refusal is not None:
            return model
        refused = checked.refused_everywhere(model.name)
        step = _refused_step(declared, refused) if refused is not None else None
        if step is None or step in passed or step not in by_name:
            return model
        passed.add(step)
        model = by_name[step]


def _refused_step(ensemble: Declared, refusal: Diagnostic) -> str | None:
    """The model that Triton names, if it is refused itself and not just asked for wrongly."""
    for step in ensemble.steps:
        missing = refusal.triton.endswith(f" not available or ambiguous: {step}")
        if missing or f" depends on '{step}' which " in refusal.triton:
            return step
    return None
