"""What `predict` refuses on any hardware is an error of the audit, at its own field; and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_triton.audit import audit
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.placement.predict import DEFAULT_TRAITS
from pytest_triton.repository import Repository, read_repository
from pytest_triton.repository.refusals import (
    completed_configs,
    declared_models,
    refused_everywhere,
    with_known_backends,
)
from support.core_families import FAMILIES, draw, write
from support.corpora import all_repositories

OWN = ("mine", "x.y")


def refused_by_predict(repository: Repository) -> Mapping[str, Diagnostic]:
    models = repository.models
    declared = declared_models(models, completed_configs(models))
    return refused_everywhere(models, declared, with_known_backends(DEFAULT_TRAITS, OWN))


def missing_errors(repository: Repository) -> list[str]:
    """Refused models that the audit has no error for, or none at the field."""
    errors: dict[str, list[Diagnostic]] = {}
    for finding in audit(repository, own_backends=OWN):
        if finding.severity == "error":
            errors.setdefault(finding.model, []).append(finding)
    wrong = []
    for name, problem in refused_by_predict(repository).items():
        found = errors.get(name, [])
        places = {(one.path, one.line, one.column) for one in found}
        if not found:
            wrong.append(f"{name}: no error for {problem}")
        elif (
            problem.line is not None and (problem.path, problem.line, problem.column) not in places
        ):
            wrong.append(f"{name}: {problem}\nelsewhere: {[str(one) for one in found]}")
    return wrong


def unread(repository: Repository) -> set[str]:
    return {
        model.name
        for model in repository.models
        if any(problem.refuses for problem in model.problems)
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_random_configs_that_predict_refuses_are_errors_at_their_fields(
    family: str, tmp_path: Path
) -> None:
    write(tmp_path, draw(FAMILIES[family], 60, 5))
    repository = read_repository([tmp_path])
    assert refused_by_predict(repository)
    wrong = missing_errors(repository)
    assert not wrong, "\n".join(wrong[:10])


def test_configs_of_the_corpus_that_predict_refuses_are_errors() -> None:
    refused = 0
    for path in all_repositories():
        repository = read_repository([path])
        refused += len(refused_by_predict(repository))
        assert not missing_errors(repository)
    assert refused


@pytest.mark.parametrize("family", FAMILIES)
def test_models_that_predict_loads_have_no_error_of_a_refusal(family: str, tmp_path: Path) -> None:
    write(tmp_path, draw(FAMILIES[family], 60, 6))
    repository = read_repository([tmp_path])
    refused = {*refused_by_predict(repository), *unread(repository)}
    found = audit(repository, own_backends=OWN)
    rules = {"TRT215", "TRT308", "TRT501", "TRT510", "TRT511", "TRT512"}
    assert {one.model for one in found if one.rule in rules} <= refused
