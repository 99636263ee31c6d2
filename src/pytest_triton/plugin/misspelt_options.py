"""Options on the command line and in pytest's ini file that are nearly those of this plugin.

pytest reports what it doesn't know itself; this adds what was meant.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import pytest

from pytest_triton.options.ini_file import pytest_table
from pytest_triton.options.settings import RUN_OPTIONS
from pytest_triton.plugin.misspelt_variables import warn_at_start


class OptionUnknown(pytest.PytestWarning):
    """An option in pytest's ini file that is nearly one of pytest-triton."""


def explain_flags(parser: pytest.Parser, flags: Iterable[str]) -> None:
    """Let pytest say what was meant, where it then finds one of these flags to be unknown."""
    known = [row.flag for row in RUN_OPTIONS]
    for flag in flags:
        close = get_close_matches(flag, known, n=1, cutoff=0.8)
        if close and flag not in known:
            parser.extra_info[flag] = f"did you mean {close[0]}?"


def warn_of_misspelt_ini(config: pytest.Config) -> None:
    """Warn of each option of the ini file that nobody has, and that is nearly ours."""
    known = [row.ini for row in RUN_OPTIONS]
    table = pytest_table(config.inipath) if config.inipath is not None else None
    for name in sorted(table or ()):
        close = get_close_matches(name, known, n=1, cutoff=0.8)
        if close and name not in known and not _is_known(config, name):
            text = f"{name} in {config.inipath} is no option. Did you mean {close[0]}?"
            warn_at_start(config, OptionUnknown(text))


def _is_known(config: pytest.Config, name: str) -> bool:
    try:
        config.getini(name)
    except ValueError:
        return False
    return True
