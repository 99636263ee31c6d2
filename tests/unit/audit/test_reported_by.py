"""What the audit leaves to test_config, test_config reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.audit import RULES, Example, Rule
from pytest_triton.checks.checked_deployment import CheckedDeployment
from pytest_triton.options.values import Deployment
from pytest_triton.placement.releases import ChosenRelease, read_release
from pytest_triton.repository import read_repository
from support.audit_examples import write_files

REPORTED = [rule for rule in RULES if rule.reported_by == "test_config"]


def refused(root: Path, example: Example) -> set[str]:
    """The models of the example that test_config fails for, whatever the hardware."""
    paths = tuple(write_files(root, example.files))
    release = ChosenRelease(read_release(example.release or "26.06"), "the example's")
    checked = CheckedDeployment(
        Deployment("models", paths), read_repository(paths), stated_release=release
    )
    names = {model.name for model in checked.repository.models if model.refusal is not None}
    for name in checked.declared:
        if checked.refused_everywhere(name) is not None or name in checked.excluded:
            names.add(name)
    return names


@pytest.mark.parametrize("rule", REPORTED, ids=lambda rule: rule.id)
def test_what_the_audit_leaves_to_test_config(rule: Rule, tmp_path: Path) -> None:
    assert refused(tmp_path / "failing", rule.failing)
    assert not refused(tmp_path / "fixed", rule.fixed)
