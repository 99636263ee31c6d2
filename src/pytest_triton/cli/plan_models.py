"""The models of a deployment as a plan takes them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from pytest_triton.checks.checked_deployment import CheckedDeployment
from pytest_triton.placement.declared import Declared
from pytest_triton.plan.needs import PlannedModel, backends_of
from pytest_triton.repository import Model
from pytest_triton.repository.vllm_engines import MODEL_JSON, read_engine


@dataclass(frozen=True)
class PlannedModels:
    """Models by name; their directories, and the backends that serve them, as `plan_of` takes."""

    models: Mapping[str, PlannedModel]
    paths: Mapping[tuple[str, str], str]
    backends: Mapping[tuple[str, str], frozenset[str]]


def planned_models(checked: CheckedDeployment) -> PlannedModels:
    deployment = checked.name
    models: dict[str, PlannedModel] = {}
    paths: dict[tuple[str, str], str] = {}
    backends: dict[tuple[str, str], frozenset[str]] = {}
    for model in checked.repository.models:
        name = model.name
        declared = checked.declared.get(name) if model.readable else None
        models[name] = PlannedModel(
            name, declared, checked.identities[name], _engine_gpus(model, declared)
        )
        paths[deployment, name] = os.path.relpath(model.directory)
        backends[deployment, name] = backends_of(name, checked.declared)
    return PlannedModels(models, paths, backends)


def _engine_gpus(model: Model, declared: Declared | None) -> int:
    """How many GPUs the engine of any of its versions takes, as far as one machine has to."""
    if declared is None or declared.backend != "vllm":
        return 1
    paths = (model.directory / str(one) / MODEL_JSON for one in model.versions_to_load)
    engines = [read_engine(path) for path in paths if os.path.lexists(path)]
    return max((one.gpus for one in engines if not one.is_spread), default=1)
