"""Environment variables that look like options of this plugin and are none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

import pytest

from pytest_triton.options.settings import RUN_OPTIONS
from pytest_triton.text.shown_text import shown

PREFIX = "PYTEST_TRITON_"

# Read elsewhere: the cache of releases; by simulated GPUs and stand-ins; by this project's tests.
_OTHERS = ("CACHE", "GPUS_FILE", "COMPLETIONS", "CORPUS", "WHEEL")
_OF_TESTS = (f"{PREFIX}TEST_", f"{PREFIX}CORE_")


class VariableUnknown(pytest.PytestWarning):
    """An environment variable that no option of pytest-triton is read from."""


def warn_of_misspelt(config: pytest.Config, names: Iterable[str]) -> None:
    """Warn of each of these environment variables that nothing reads."""
    for text in _misspelt(names):
        warn_at_start(config, VariableUnknown(text))


def warn_at_start(config: pytest.Config, warning: pytest.PytestWarning) -> None:
    """Warn before tests are collected; where warnings are errors, end the run with its text."""
    try:
        config.issue_config_time_warning(warning, stacklevel=3)
    except pytest.PytestWarning as error:
        raise pytest.UsageError(str(error)) from None


def _misspelt(names: Iterable[str]) -> Iterator[str]:
    options = [row.environment.removeprefix(PREFIX) for row in RUN_OPTIONS]
    known = {PREFIX + name for name in (*options, *_OTHERS)}
    for name in sorted(names):
        if name in known or name.startswith(_OF_TESTS):
            continue
        meant = "pytest --help lists the options."
        if name.upper().startswith(PREFIX):
            close = [PREFIX + one for one in get_close_matches(name[14:].upper(), options, n=1)]
        else:  # of other plugins, unless hardly anything is different
            close = get_close_matches(name.upper(), sorted(known), n=1, cutoff=0.9)
            if not close:
                continue
        if close:
            meant = f"Did you mean {close[0]}?"
        yield shown(f"The environment variable {name} is no option of pytest-triton. {meant}")
