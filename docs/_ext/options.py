"""The options and the arguments of the marker, from the option table."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_triton.options.option import Option
from pytest_triton.options.settings import ARGUMENT_OPTIONS, RUN_OPTIONS

_DEFAULT = re.compile(r"\s*\(default: ((?:[^()]|\([^()]*\))*)\)")


def options() -> str:
    """A section for each option of the command line, the ini file and the environment."""
    return "\n\n".join("\n".join(_section(row)) for row in RUN_OPTIONS)


def arguments() -> str:
    """A table of the arguments of `@pytest.mark.triton`, of factories and fixtures."""
    lines = ["| argument | what it is |", "|---|---|"]
    for row in ARGUMENT_OPTIONS:
        text, default = help_and_default(row)
        option = f" As [`{row.flag}`](#{anchor(row)})." if row.scope != "test" else ""
        lines.append(f"| `{row.name}` | {_sentence(text)} Default: {default}.{option} |")
    return "\n".join(lines)


def anchor(row: Option) -> str:
    return f"option-{row.name.replace('_', '-')}"


def help_and_default(row: Option) -> tuple[str, str]:
    """The help without its remark on the default, and that."""
    found = _DEFAULT.search(row.help)
    text = _DEFAULT.sub("", row.help).replace(" (repeatable)", "").strip().rstrip(",")
    if found is not None:
        return text, found[1]
    return text, "off" if row.default is False else "none"


def _section(row: Option) -> Iterator[str]:
    text, default = help_and_default(row)
    yield f"({anchor(row)})="
    yield f"### `{row.flag}={row.metavar}`"
    yield ""
    yield _sentence(text)
    if row.repeatable:
        yield "Repeatable: [a line each](#several-values), or the option again."
    if row.scope == "server":
        yield f"Also an argument of the marker, of factories and of fixtures: `{row.name}`."
    yield ""
    yield "| ini file | environment | default | since |"
    yield "|---|---|---|---|"
    yield f"| `{row.ini}` | `{row.environment}` | {default} | {row.since} |"


def _sentence(text: str) -> str:
    text = re.sub(r"(?<![`\w])(--[\w-]+(?:=[^\s,;)]+)?)", r"`\1`", text).replace("*", r"\*")
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."
