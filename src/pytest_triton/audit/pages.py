"""The documentation of the rules, as Markdown made from their docstrings and examples."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from pytest_triton.audit.rule import Example, Rule
from pytest_triton.audit.rules import RULES

_THEMES = {
    "1": "Instance groups",
    "2": "Backends",
    "3": "Ensembles",
    "4": "Resources",
    "5": "Repository",
}
_SCOPES = {
    "model": "a model",
    "directory": "a directory of the repository",
    "repository": "the repository as a whole",
}


def pages() -> Mapping[str, str]:
    """File name -> text, of a page for each rule and of README.md, which lists them."""
    found = {f"{rule.id}.md": _page(rule) for rule in RULES}
    found["README.md"] = _index()
    return found


def _page(rule: Rule) -> str:
    summary, _, rest = rule.documentation.partition("\n")
    parts = [
        f"# {rule.id}: {rule.name}",
        summary,
        f"Severity: {rule.severity}. About {_SCOPES[rule.scope]}."
        + (f" Of the bundled checks, `{rule.told_by}` fails for it." if rule.told_by else ""),
        rest.strip(),
        "## Example",
        _example(rule.failing),
        "Mended:",
        _example(rule.mended),
        "## If it is meant",
        f"A comment on the line, or on one of its own above it: `# triton: ignore {rule.id}`. For "
        f"several models: `--ignore '{rule.id}: PATTERN'`.",
    ]
    return "\n\n".join(parts) + "\n"


def _example(example: Example) -> str:
    parts = []
    single = list(example.files) == ["m/config.pbtxt", "m/1/.gitkeep"]
    for name, text in example.files.items():
        repository, colon, path = name.rpartition(":")
        shown = f"`{repository}/{path}`" if colon else f"`{path}`"
        if not text:
            if not single:
                parts.append(f"{shown} (empty)")
        elif text.startswith("-> "):
            parts.append(f"{shown}, a link to `{text[3:]}`")
        else:
            language = {"py": "python", "json": "json"}.get(name.rpartition(".")[2], "")
            fence = f"```{language}\n{text.rstrip()}\n```"
            parts.append(fence if single else f"{shown}\n\n{fence}")
    if example.target is not None:
        parts.append(f"with `--target {example.target}`")
    return "\n\n".join(parts)


def _index() -> str:
    lines = [
        "# The rules of the audit",
        "",
        "`python -m pytest_triton audit models` applies them all. These pages are generated from "
        "the rules' own documentation (`scripts/rule-pages`); every example is run as a test.",
        "",
        "An **error** won't load, or may run where nobody wants it; a **warning** is a risk; a "
        "**note** is good to know.",
    ]
    for number, rules in groupby(RULES, key=lambda rule: rule.id[3]):
        lines += ["", f"## {_THEMES[number]}", "", "| rule | severity | |", "|---|---|---|"]
        lines += [
            f"| [{rule.id}]({rule.id}.md) {rule.name} | {rule.severity} | {rule.summary} |"
            for rule in rules
        ]
    return "\n".join(lines) + "\n"
