"""Variables in compose files and commands: `$VAR`, `${VAR}`, `${VAR:-x}`, `$$`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<plain>[A-Za-z_]\w*)|"
    r"\{(?P<name>[A-Za-z_]\w*)(?:(?P<how>:?[-?+])(?P<word>(?:[^{}]|\{[^{}]*\})*))?\})",
    re.ASCII,
)
# Kubernetes: $(VAR), and $$(VAR) for the text itself.
_REFERENCE = re.compile(r"\$(?:(?P<escaped>\$)|\((?P<name>[A-Za-z_][\w.-]*)\))", re.ASCII)


class Unresolved(Exception):
    """A variable that has no value here."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def interpolated(text: str, variables: Mapping[str, str], *, escapes: bool = True) -> str:
    """The text with its variables' values. Raises Unresolved for one that has none.

    With `escapes` `$$` is a dollar, as in compose files; in a shell it is not.
    """

    def value(found: re.Match[str]) -> str:
        if found["escaped"]:
            return "$" if escapes else "$$"
        name = found["plain"] or found["name"]
        how, word = found["how"] or "", found["word"] or ""
        known = variables.get(name)
        is_set = known is not None and not (how.startswith(":") and known == "")
        if how.endswith("+"):
            return interpolated(word, variables, escapes=escapes) if is_set else ""
        if is_set:
            return str(known)
        if how.endswith("-"):
            return interpolated(word, variables, escapes=escapes)
        raise Unresolved(name)

    return _VARIABLE.sub(value, text)


def references_resolved(text: str, variables: Mapping[str, str]) -> str:
    """Kubernetes' `$(VAR)`; one that isn't known stays as it is, as there."""

    def value(found: re.Match[str]) -> str:
        if found["escaped"]:
            return "$"
        return variables.get(found["name"], found.group())

    return _REFERENCE.sub(value, text)


def env_file(path: Path) -> dict[str, str]:
    """The variables of a `.env` file; none if it isn't there."""
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return {}
    found = {}
    for line in text.splitlines():
        match = re.match(r"\s*(?:export\s+)?([A-Za-z_][\w.]*)\s*=\s*(.*?)\s*$", line, re.ASCII)
        if match is None:
            continue
        value = match[2]
        quoted = re.match(r"(?P<quote>['\"])(?P<text>.*?)(?P=quote)", value)
        value = quoted["text"] if quoted is not None else re.sub(r"(^|\s)#.*$", "", value).strip()
        found[match[1]] = value
    return found
