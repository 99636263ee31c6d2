"""docs/rules/ is what the rules say."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_triton._version import __version__
from pytest_triton.audit import RULES, Rule
from pytest_triton.audit.pages import pages
from pytest_triton.audit.rule_text import explanation, page_url, references, sections
from support.audit_examples import audit_example

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "rules"


def test_pages_are_up_to_date() -> None:
    there = {path.name: path.read_text() for path in FOLDER.glob("*")}
    assert there == dict(pages()), "run scripts/rule-pages"


def test_each_rule_has_a_page_with_both_its_examples() -> None:
    found = pages()
    for rule in RULES:
        page = found[f"{rule.id}.md"]
        for example in (rule.failing, rule.fixed):
            for text in example.files.values():
                assert text.strip() in page or text.startswith("-> ")
        assert f"({rule.id}.md)" in found["index.md"]


HEADINGS = [
    "What it does",
    "Why is this bad?",
    "Example",
    "Use instead",
    "Fixable",
    "Since",
    "Options",
    "References",
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_rule_page_has_ruffs_headings_each_with_a_text(rule: Rule) -> None:
    found = list(sections(rule))
    assert [heading for heading, _ in found] == HEADINGS
    assert all(text for _, text in found)
    assert re.findall(r"(?m)^## (.*)$", pages()[f"{rule.id}.md"]) == HEADINGS


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_rule_fixable_is_what_its_example_shows(rule: Rule, tmp_path: Path) -> None:
    found = audit_example(tmp_path, rule.failing)
    assert rule.fixable == any(bool(one.edits) for one in found if one.rule == rule.id)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_rule_with_target_finds_nothing_without_it(rule: Rule, tmp_path: Path) -> None:
    found = audit_example(tmp_path, replace(rule.failing, target=None))
    assert ("--target" in rule.options) == all(one.rule != rule.id for one in found)


def test_rule_since_is_a_version_that_there_was() -> None:
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", rule.since) for rule in RULES)
    assert all(_numbers(rule.since) <= _numbers(__version__) for rule in RULES)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:3]]


def test_rule_references_name_the_addresses_of_its_text_without_punctuation() -> None:
    (rule,) = (rule for rule in RULES if rule.id == "TRT107")
    assert [url.rpartition("/")[2] for url in references(rule)] == [
        "model_configuration.md#instance-groups",
        "2584",
        "7818",
    ]


def test_explanation_keeps_code_and_addresses_whole_and_wraps_the_rest() -> None:
    for rule in RULES:
        text = explanation(rule, 92)
        lines = text.splitlines()
        assert lines[0] == f"{rule.id} {rule.name} ({rule.severity})"
        assert lines[-1] == page_url(rule)
        assert "```" not in text
        for example in (rule.failing, rule.fixed):
            for file in example.files.values():
                if not file.startswith("-> "):
                    for line in filter(None, file.splitlines()):
                        assert f"      {line}" in lines
        code = "\n".join(f"{one}" for one in lines if one.startswith("      "))
        assert all(len(one) <= 92 or "https://" in one or one in code for one in lines)
