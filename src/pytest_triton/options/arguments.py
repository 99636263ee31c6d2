"""Arguments of the marker `triton`, of factories and fixtures: layers of one test's options."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_triton.arguments.checked import shown_value
from pytest_triton.options.reading import ReadLayer, read_layer
from pytest_triton.options.server_arguments import check_arguments, check_environment
from pytest_triton.options.settings import ARGUMENT_OPTIONS
from pytest_triton.options.sources import Layer
from pytest_triton.options.values import OptionError

if TYPE_CHECKING:
    from pytest_triton.options.settings import Source

ARGUMENTS = tuple(row.name for row in ARGUMENT_OPTIONS)
SIGNATURE = f"triton(*, {', '.join(ARGUMENTS)})"


def argument_layer(
    source: Source,
    given: Mapping[str, Any],
    start: Path,
    *,
    what: str = "The marker triton",
    signature: str = SIGNATURE,
    args: Sequence[object] = (),
) -> ReadLayer:
    """One test's options, checked. None stands for an argument that isn't given.

    Raises OptionError with the valid names and values, ArgumentRefused for what the plugin sets.
    """
    if args:
        got = shown_value(args[0])
        raise OptionError(f"{what} takes keyword arguments only, got {got}: {signature}")
    check_names(given, what, signature)
    present = {name: value for name, value in given.items() if value is not None}
    read = read_layer(Layer(source, present, start, of_test=True))
    if read.values.get("load") is not None and not read.values.get("changes"):
        raise OptionError("load=[...] needs changes=True: who loads models decides which")
    check_arguments(read.values.get("arguments", ()), explicit=bool(read.values.get("changes")))
    check_environment(dict(read.values.get("environment", ())))
    repositories = read.values.get("repo", ())
    if isinstance(repositories, tuple) and len(repositories) > 1:
        raise OptionError("repo names one deployment: join repositories by ':' (served together)")
    return read


def check_names(
    given: Collection[str], what: str, signature: str, known: Sequence[str] = ARGUMENTS
) -> None:
    """Raise OptionError for a name that isn't known, with the one that was meant."""
    for name in given:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            meant = f" (did you mean {close[0]}?)" if close else ""
            raise OptionError(f"{what} has no argument {name}{meant}: {signature}")
