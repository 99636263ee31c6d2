"""The commands, from their parsers and docstrings."""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
from collections.abc import Iterator
from types import ModuleType

from pytest_triton.__main__ import COMMANDS, PROGRAM


def commands() -> str:
    """A section for each command."""
    return "\n\n".join("\n".join(_section(name)) for name in COMMANDS)


def parser_of(name: str) -> tuple[ModuleType, argparse.ArgumentParser]:
    module = importlib.import_module(f"pytest_triton.cli.{name}")
    parser = argparse.ArgumentParser(prog=f"{PROGRAM} {name}")
    module.add_arguments(parser)
    return module, parser


def _section(name: str) -> Iterator[str]:
    module, parser = parser_of(name)
    yield f"(command-{name})="
    yield f"## {name}"
    yield ""
    yield parser.description or f"{COMMANDS[name].capitalize()}."
    yield ""
    yield "| argument | what it is |"
    yield "|---|---|"
    for action in parser._actions:
        if action.help not in (argparse.SUPPRESS, None) and action.dest != "help":
            yield f"| {_written(action)} | {_cell(_help(action, parser))} |"
    _, _, rest = (inspect.getdoc(module) or "").partition("\n")
    if rest.strip():
        yield ""
        yield rest.strip()


def _written(action: argparse.Action) -> str:
    value = action.metavar or (
        "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()
    )
    if not action.option_strings:
        return f"`{value}`"
    takes = "" if action.nargs == 0 else f"={value}"
    return _cell(", ".join(f"`{one}{takes}`" for one in action.option_strings))


def _help(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    formatter = parser._get_formatter()
    text = formatter._expand_help(action)
    return re.sub(r"(?<![`\w])(--[\w-]+)", r"`\1`", text[:1].upper() + text[1:])


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("*", r"\*").replace("\n", " ")
