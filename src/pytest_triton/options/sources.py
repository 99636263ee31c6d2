"""Where options are given: layers, the strongest first.

Imported at every start of pytest, so it must be cheap: nothing is parsed here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_triton.options.settings import RUN_OPTIONS

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from pytest_triton.options.option import Option
    from pytest_triton.options.settings import Source


class Layer(NamedTuple):
    """What one source gives: raw values by option name. Relative paths start from `start`.

    `of_test`: given for one test, not for the whole run.
    """

    source: Source
    given: Mapping[str, object]
    start: Path
    of_test: bool = False


def add_options(parser: pytest.Parser) -> None:
    """Make every option of runs known to pytest."""
    group = parser.getgroup("triton", "Triton Inference Server (pytest-triton)")
    for option in RUN_OPTIONS:
        alone: dict[str, Any] = {"nargs": "?", "const": "on"} if option.type == "switch" else {}
        group.addoption(
            option.flag,
            action="append" if option.repeatable else "store",
            **alone,
            default=None,
            metavar=option.metavar,
            help=f"{option.help} [ini: {option.ini}, environment: {option.environment}]",
        )
        if option.repeatable:
            parser.addini(option.ini, f"as {option.flag}", type="linelist", default=None)
        else:
            parser.addini(option.ini, f"as {option.flag}", type="string", default=None)


def run_layers(
    config: pytest.Config, environ: Mapping[str, str] = os.environ
) -> tuple[Layer, Layer, Layer]:
    """Command line, ini file and environment. An empty value counts as given.

    A repeatable option's environment variable is one text here.
    """
    here = config.invocation_params.dir
    there = config.inipath.parent if config.inipath else config.rootpath
    flags = {row.name: config.getoption(row.flag) for row in RUN_OPTIONS}
    lines = {row.name: _ini_value(config, row) for row in RUN_OPTIONS}
    variables = {row.name: environ.get(row.environment) for row in RUN_OPTIONS}
    return (
        Layer("command line", _present(flags), here),
        Layer("ini file", _present(lines), there),
        Layer("environment", _present(variables), here),
    )


def is_given(name: str, config: pytest.Config, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the strongest source of an option gives a value. Nothing else is looked up."""
    row = next(one for one in RUN_OPTIONS if one.name == name)
    for given in (config.getoption(row.flag), _ini_value(config, row)):
        if given is not None:
            return bool(given)
    return row.environment in environ


def _ini_value(config: pytest.Config, row: Option) -> object:
    """The value in pytest's ini file, None if it has none.

    In native TOML (`[tool.pytest]`, since pytest 9) pytest takes lists for some options and texts
    for all others, and nothing else: there the value is read as it is, `readers` say what fits.
    """
    try:
        return config.getini(row.ini)
    except Exception as error:  # TypeError, since pytest 9.2 UsageError
        from pytest_triton.options.ini_file import native_value

        value = native_value(row, config.inipath)
        if value is None:
            raise error from None
        return value


def _present(values: Mapping[str, object]) -> Mapping[str, object]:
    return {name: value for name, value in values.items() if value is not None}
