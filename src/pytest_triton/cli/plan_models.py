"""The models of a deployment as a plan takes them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from pytest_triton.checks.checked_deployment import CheckedDeployment
from pytest_triton.placement.command_line import CommandLine
from pytest_triton.plan.needs import PlannedModel, backends_of
from pytest_triton.repository.engines import engine_gpus
from pytest_triton.text.paths import path_from
from pytest_triton.text.shown_text import printable


@dataclass(frozen=True)
class PlannedModels:
    """Models by name; their directories, and the backends that serve them, as `plan_of` takes."""

    models: Mapping[str, PlannedModel]
    paths: Mapping[tuple[str, str], str]
    backends: Mapping[tuple[str, str], frozenset[str]]


def left_out_note(line: CommandLine) -> str:
    """Which arguments of production's a plan doesn't have, since they hold credentials."""
    left_out = line.private.without(("model-repository", "model-store")).shown
    if not left_out:
        return ""
    plural = len(left_out) > 1
    return (
        f" Left out of the jobs, since {'they hold credentials' if plural else 'it holds a'}"
        f"{'' if plural else ' credential'}: {printable(', '.join(left_out))}."
    )


def planned_models(checked: CheckedDeployment) -> PlannedModels:
    deployment = checked.name
    models: dict[str, PlannedModel] = {}
    paths: dict[tuple[str, str], str] = {}
    backends: dict[tuple[str, str], frozenset[str]] = {}
    for model in checked.repository.models:
        name = model.name
        declared = checked.declared.get(name) if model.readable else None
        models[name] = PlannedModel(
            name, declared, checked.identities[name], 1 if declared is None else engine_gpus(model)
        )
        paths[deployment, name] = path_from(model.directory, os.curdir)
        backends[deployment, name] = backends_of(name, checked.declared)
    return PlannedModels(models, paths, backends)
