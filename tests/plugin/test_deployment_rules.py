"""What the audit finds in deployment files, beside what running their servers finds."""

from __future__ import annotations

import pytest

from pytest_triton.audit import RULES, Example, Rule
from support.audit_examples import write_files

pytestmark = pytest.mark.server

PINNED = 'backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU } ]\n'
DEPLOYMENT_RULES = [rule for rule in RULES if rule.scope == "deployment"]


MODELS = {"m/config.pbtxt": PINNED, "m/1/.gitkeep": ""}


def fails(pytester: pytest.Pytester, example: Example) -> bool:
    """Whether the check of the example's server fails, with a rehearsal of it."""
    write_files(pytester.path, {**MODELS, **example.files})
    target = [] if example.target is None else [f"--triton-target={example.target}"]
    found = pytester.runpytest(
        *("-p", "no:cacheprovider", "--triton-deployment=compose.yaml"),
        *("--triton-deployment-repo=/models=models", "-k", "test_deployment", *target),
    ).parseoutcomes()
    assert found.get("passed", 0) + found.get("failed", 0) == 1
    return "failed" in found


@pytest.mark.parametrize("rule", DEPLOYMENT_RULES, ids=lambda rule: rule.id)
def test_page_of_a_rule_says_whether_the_check_of_the_server_fails_for_it(
    pytester: pytest.Pytester, rule: Rule
) -> None:
    assert fails(pytester, rule.failing) == (rule.reported_by == "test_deployment")
    assert not fails(pytester, rule.fixed)
