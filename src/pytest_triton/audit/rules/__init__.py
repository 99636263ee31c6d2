"""All rules, by id."""

from __future__ import annotations

from types import ModuleType

from pytest_triton.audit.rule import Rule
from pytest_triton.audit.rules import (
    backends,
    deployments,
    ensembles,
    placement,
    python_models,
    refusals,
    resources,
    scheduling,
    suppressing,
    unread,
)
from pytest_triton.audit.rules import python_code as python_code_rules
from pytest_triton.audit.rules import repository as repository_rules
from pytest_triton.audit.rules import tensorrtllm as tensorrtllm_rules
from pytest_triton.audit.rules import vllm as vllm_rules


def _rules_of(module: ModuleType) -> list[Rule]:
    return [value for value in vars(module).values() if isinstance(value, Rule)]


RULES: tuple[Rule, ...] = tuple(
    sorted(
        (
            rule
            for module in (
                placement,
                backends,
                python_models,
                python_code_rules,
                tensorrtllm_rules,
                vllm_rules,
                ensembles,
                resources,
                refusals,
                scheduling,
                repository_rules,
                suppressing,
                unread,
                deployments,
            )
            for rule in _rules_of(module)
        ),
        key=lambda rule: rule.id,
    )
)

KNOWN: tuple[tuple[str, str], ...] = tuple((rule.id, rule.name) for rule in RULES)
"""Their (id, name) pairs, which the parsers of `ignoring` ask for."""


def rule_named(name: str) -> Rule:
    """The rule with this id or name. Raises KeyError."""
    for rule in RULES:
        if name in (rule.id, rule.name):
            return rule
    raise KeyError(name)
