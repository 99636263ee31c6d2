"""Each rule's documentation is true: the failing example breaks it, the fixed one breaks none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_triton.audit import RULES, Rule
from support.audit_examples import audit_example, ids

# What a fixed example can't be without: another rule's note about the same subject.
ALSO_TRUE = {"TRT213": {"TRT214"}}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_failing_example_breaks_the_rule_and_the_fixed_one_no_rule(
    rule: Rule, tmp_path: Path
) -> None:
    failing = audit_example(tmp_path / "failing", rule.failing)
    assert rule.id in ids(failing)
    fixed = audit_example(tmp_path / "fixed", rule.fixed)
    assert set(ids(fixed)) <= ALSO_TRUE.get(rule.id, set()), fixed


def test_ids_and_names_are_unique_and_of_one_form() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert re.fullmatch(r"TRT[1-6]\d\d", rule.id)
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.name)
        assert rule.summary.endswith(".")
        assert len(rule.documentation.split("\n\n")) > 1, "why it hurts, and how to fix it"
