"""Placeholders of templates that nobody has rendered, and what to do about them."""

from __future__ import annotations

import re

# Those that --triton-values fills, then those of other tools.
_FILLED = r"\$\{[^}\n]*\}|\{\{.*?\}\}|\{%.*?%\}"
_OTHERS = (
    r"\$[A-Za-z_]\w*|<%.*?%>|@[A-Za-z_]\w*@|%%?[A-Za-z_]\w*%%?|%\([A-Za-z_]\w*\)[sdif]"
    r"|<[A-Za-z_][\w -]*>|\b__[A-Za-z0-9]\w*?__\b"
)
PLACEHOLDER = re.compile(f"{_FILLED}|{_OTHERS}")
_IS_FILLED = re.compile(_FILLED)
_NAME = re.compile(r"[A-Za-z_][\w -]*")
_CONSTANT = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*|[a-z][a-z0-9]*(_[a-z0-9]+)+")


def placeholder_fix(mark: str) -> str:
    """What to do about a placeholder."""
    if _IS_FILLED.match(mark):
        return (
            "Give it values (--triton-values=FILE or NAME=VALUE), or render it first and check the "
            "repository that comes out."
        )
    found = _NAME.search(mark)
    name = re.sub(r"\W+", "_", found[0]).strip("_") if found is not None else ""
    name = name if name.isidentifier() else "NAME"
    return (
        "Render it first and check the repository that comes out; or write it as "
        f"${{{name}}}, which --triton-values={name}=VALUE fills."
    )


def word_fix(word: str) -> str:
    """What to do about a bare word that looks like a placeholder; "" if it doesn't."""
    if len(word) < 2 or not _CONSTANT.fullmatch(word):
        return ""
    return f"Is `{word}` a template's placeholder? {placeholder_fix(word)}"
