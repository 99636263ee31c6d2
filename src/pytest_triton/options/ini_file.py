"""What pytest's ini file and the environment say, read without pytest: for the command line."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from iniconfig import IniConfig, ParseError

from pytest_triton.options.option import Option
from pytest_triton.options.settings import RUN_OPTIONS
from pytest_triton.options.sources import Layer
from pytest_triton.options.values import OptionError

tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

_FILES = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini")


def ini_layers(
    names: Collection[str], start: Path, environ: Mapping[str, str] = os.environ
) -> tuple[Layer, Layer]:
    """The ini file that pytest takes when it is run in `start`, and the environment.

    Options that aren't among `names` are left out. Raises OptionError for a file that can't be
    read.
    """
    rows = [row for row in RUN_OPTIONS if row.name in names]
    path, table = _find(start)
    lines = {row.name: _value(row, table[row.ini]) for row in rows if row.ini in table}
    variables = {row.name: environ[row.environment] for row in rows if row.environment in environ}
    where = path.parent if path is not None else start
    return Layer("ini file", lines, where), Layer("environment", variables, start)


def native_value(row: Option, path: Path | None) -> object:
    """An option's value in a TOML file of pytest's, with its own type; None if there is none."""
    table = _toml(path) if path is not None and path.suffix == ".toml" else None
    return _value(row, table[row.ini]) if table and row.ini in table else None


def pytest_table(path: Path) -> Mapping[str, Any] | None:
    """pytest's options in an ini file, by name; None if it has no place for them.

    Raises OSError, ValueError or ParseError.
    """
    return _toml(path) if path.suffix == ".toml" else _ini(path)


def _value(row: Option, value: object) -> object:
    if row.repeatable and isinstance(value, str):
        return [line.strip() for line in value.splitlines() if line.strip()]
    return value


def _find(start: Path) -> tuple[Path | None, Mapping[str, Any]]:
    for directory in (start, *start.parents):
        for name in (*_FILES, "setup.cfg"):
            path = directory / name
            if not path.is_file():
                continue
            try:
                table = pytest_table(path)
            except (OSError, ValueError, ParseError) as error:
                raise OptionError(
                    f"{path} can't be read, and may have options for the audit: {error}",
                    fix="correct it, as pytest can't read it either",
                ) from None
            if table is not None:
                return path, table
    return None, {}


def _toml(path: Path) -> Mapping[str, Any] | None:
    """pytest's table, None if the file has none."""
    content = tomllib.loads(path.read_text("utf-8"))
    if path.name != "pyproject.toml":
        content = {"tool": {"pytest": content.get("pytest", {})}}
    table = content.get("tool", {}).get("pytest")
    if not isinstance(table, dict):
        return None
    older = table.get("ini_options")
    return older if isinstance(older, dict) else table


def _ini(path: Path) -> Mapping[str, Any] | None:
    section = "tool:pytest" if path.name == "setup.cfg" else "pytest"
    content = IniConfig(str(path))
    if section in content:
        return dict(content[section].items())
    return {} if path.name in ("pytest.ini", ".pytest.ini") else None
