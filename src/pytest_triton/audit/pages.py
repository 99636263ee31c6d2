"""The documentation of the rules as Markdown: a page for each, and one that lists them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from pytest_triton.audit.rule import Rule
from pytest_triton.audit.rule_text import sections
from pytest_triton.audit.rules import RULES

_THEMES = {
    "1": "Instance groups",
    "2": "Backends",
    "3": "Ensembles",
    "4": "Resources",
    "5": "Repository",
    "6": "Deployments",
}


def pages() -> Mapping[str, str]:
    """File name -> text, of a page for each rule and of index.md, which lists them."""
    found = {f"{rule.id}.md": _page(rule) for rule in RULES}
    found["index.md"] = _index()
    return found


def _page(rule: Rule) -> str:
    parts = [f"# {rule.id}: {rule.name}"]
    for section in sections(rule):
        parts += [f"## {section.heading}", section.text]
    return "\n\n".join(parts) + "\n"


def _index() -> str:
    lines = [
        "# Rules of the audit",
        "",
        "`pytest-triton audit models` applies them all. These pages are generated from "
        "the rules' own documentation (`scripts/rule-pages`); every example is run as a test.",
        "",
        "An **error** won't load, or may run where nobody wants it; a **warning** is a risk; a "
        "**note** is good to know. `--fix` changes what rules marked *fixable* find.",
    ]
    for number, rules in groupby(RULES, key=lambda rule: rule.id[3]):
        lines += ["", f"## {_THEMES[number]}", "", "| rule | severity | what it finds |"]
        lines += ["|---|---|---|", *map(_row, rules)]
    return "\n".join(lines) + "\n"


def _row(rule: Rule) -> str:
    fixable = ", *fixable*" if rule.fixable else ""
    return f"| [{rule.id}]({rule.id}.md) {rule.name} | {rule.severity}{fixable} | {rule.summary} |"
