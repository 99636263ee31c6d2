"""The options that say how repositories are read, for all commands that read them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pytest_triton.options.value_files import read_values, value_sets
from pytest_triton.options.values import GivenValues, OptionError
from pytest_triton.reports.assumed import assumed_lines
from pytest_triton.repository import Repository
from pytest_triton.repository.reading import Reading, Weights
from pytest_triton.repository.template_values import check_used


def add_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights",
        choices=("present", "elsewhere"),
        default=None,
        help="elsewhere: version directories and files that the configs need and that aren't there "
        "are assumed (default: present; of a repository in an object store elsewhere)",
    )
    parser.add_argument(
        "--values",
        type=_values,
        action="append",
        default=[],
        metavar="FILE|KEY=VALUE",
        help="values for configs that are templates (${name} or Jinja2): a file of JSON, YAML, "
        "TOML or .env, or KEY=VALUE (repeatable; several files are several deployments)",
    )


def readings_of(arguments: argparse.Namespace) -> tuple[Reading, ...]:
    """One for each set of values; at least one."""
    sets = value_sets(arguments.values) or (None,)
    given = arguments.weights is not None
    weights: Weights = arguments.weights or "present"
    return tuple(Reading(weights, values, weights_given=given) for values in sets)


def check_values(repositories: Sequence[Repository]) -> None:
    """Raise ValuesUnused for a value that no template of the repositories uses."""
    for values in dict.fromkeys(one.reading.values for one in repositories):
        if values is not None:
            check_used([one for one in repositories if one.reading.values == values], values)


def assumed_note(repositories: Iterable[Repository]) -> Iterator[str]:
    """What was assumed, as lines behind an empty one; nothing if nothing was."""
    models = [model for one in repositories for model in one.models]
    lines = [*assumed_lines({one.name: one.assumed_names for one in models if one.assumed})]
    if lines:
        yield ""
        yield from lines


def _values(text: str) -> GivenValues:
    try:
        return read_values(text, Path.cwd() / Path(text).expanduser())
    except OptionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
