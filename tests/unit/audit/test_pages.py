"""docs/rules/ is what the rules say."""

from __future__ import annotations

from pathlib import Path

from pytest_triton.audit import RULES
from pytest_triton.audit.pages import pages

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "rules"


def test_the_pages_are_up_to_date() -> None:
    there = {path.name: path.read_text() for path in FOLDER.glob("*")}
    assert there == dict(pages()), "run scripts/rule-pages"


def test_each_rule_has_a_page_with_both_its_examples() -> None:
    found = pages()
    for rule in RULES:
        page = found[f"{rule.id}.md"]
        for example in (rule.failing, rule.mended):
            for text in example.files.values():
                assert text.strip() in page or text.startswith("-> ")
        assert f"({rule.id}.md)" in found["README.md"]
