"""Completion in the shell, by argcomplete, as pytest has it: for commands and their options."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterable


def complete(program: str, commands: Iterable[str]) -> None:
    """Answer the shell that asks what may come next, and end; return if argcomplete is missing."""
    try:
        import argcomplete
    except ImportError:
        return
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("--version", action="store_true")
    subparsers = parser.add_subparsers()
    for name in commands:
        importlib.import_module(f"pytest_triton.cli.{name}").add_arguments(
            subparsers.add_parser(name)
        )
    argcomplete.autocomplete(parser)
