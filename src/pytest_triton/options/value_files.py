"""Values for templates: files of JSON, YAML, TOML or .env, and `KEY=VALUE`."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_triton.options.values import GivenValues, OptionError
from pytest_triton.repository.templates import ValueSet

_MOST_BYTES = 1 << 20
_MOST_VALUES = 1_000_000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PAIR = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)\Z", re.DOTALL)
_FORMATS = ".json, .yaml, .yml, .toml or .env"


def read_values(text: str, path: Path) -> GivenValues:
    """Of `KEY=VALUE`, or of the file at `path`. Raises OptionError, which never shows a value."""
    pair = _PAIR.match(text)
    if pair is not None and not os.path.isfile(path):
        return GivenValues(pair[1], "", json.dumps({pair[1]: _scalar(pair[2])}))
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise OptionError(
            f"expected a file of values, or KEY=VALUE: {path} can't be read: {reason}"
        ) from None
    if len(data) > _MOST_BYTES:
        raise OptionError(f"{path} has more than {_MOST_BYTES:,} bytes; values are few")
    try:
        values = _parsed(path, data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise OptionError(f"{path} is not UTF-8") from None
    for name in values:
        if not isinstance(name, str) or not _NAME.match(name):
            raise OptionError(
                f"{path}: {name!r} is no name that a template can use: letters, digits and `_`"
            )
    if _is_large(values):
        raise OptionError(
            f"{path} holds itself, or more than {_MOST_VALUES:,} values by its aliases"
        )
    try:
        encoded = json.dumps(values, default=str)
    except (ValueError, RecursionError):
        raise OptionError(f"{path} nests too deep") from None
    return GivenValues(path.name, str(path), encoded)


def value_sets(given: Sequence[GivenValues]) -> tuple[ValueSet, ...]:
    """One set of values for each file, with all KEY=VALUE; none if nothing is given."""
    files = [one for one in given if one.file]
    pairs: dict[str, Any] = {}
    for one in given:
        if not one.file:
            pairs |= json.loads(one.text)
    if not given:
        return ()
    if not files:
        return (ValueSet.of("", pairs, dict.fromkeys(pairs, "KEY=VALUE")),)
    sets = []
    for one, name in zip(files, _names([Path(one.file) for one in files]), strict=True):
        values: Mapping[str, Any] = json.loads(one.text)
        origins = {**dict.fromkeys(values, one.name), **dict.fromkeys(pairs, "KEY=VALUE")}
        sets.append(ValueSet.of(name, {**values, **pairs}, origins))
    return tuple(sets)


def _is_large(values: object) -> bool:
    """Whether there is more in it than a file of this size could write down: aliases of YAML."""
    waiting, count, size = [values], 0, 0
    while waiting and count <= _MOST_VALUES and size <= 10 * _MOST_BYTES:
        one = waiting.pop()
        count += 1
        if isinstance(one, str):
            size += len(one)
        elif isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, (list, tuple, set)):
            waiting += one
    return bool(waiting)


def _names(paths: Sequence[Path]) -> Sequence[str]:
    """Short names that say the files apart: `prod` of prod.yaml."""
    stems = [path.stem.lstrip(".") or path.name for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    longer = [f"{path.parent.name}-{stem}" for path, stem in zip(paths, stems, strict=True)]
    if len(set(longer)) == len(longer):
        return longer
    return [f"{stem}-{number}" for number, stem in enumerate(stems, 1)]


def _parsed(path: Path, text: str) -> Mapping[Any, Any]:
    ending = ".env" if path.name.startswith(".env") else path.suffix.lower()
    readers = {".json": _json, ".yaml": _yaml, ".yml": _yaml, ".toml": _toml, ".env": _env}
    if ending not in readers:
        raise OptionError(f"{path}: the ending says what is in a file of values: {_FORMATS}")
    values = readers[ending](path, text)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise OptionError(f"{path} holds a {type(values).__name__}, not names with values")
    return values


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        line = f":{error.lineno}:{error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        what = error.msg if isinstance(error, json.JSONDecodeError) else "nests too deep"
        raise OptionError(f"{path}{line}: no JSON: {what}") from None


def _yaml(path: Path, text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise OptionError(
            f"{path} is YAML, and PyYAML isn't installed",
            fix="pip install 'pytest-triton[templates]', or write the values as JSON or TOML",
        ) from None
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        raise OptionError(
            f"{path}{line}: no YAML: {getattr(error, 'problem', None) or 'it can not be read'}"
        ) from None


def _toml(path: Path, text: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # which pytest needs there
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise OptionError(f"{path}: no TOML: {error}") from None


def _env(path: Path, text: str) -> Any:
    values: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip().removeprefix("export ").strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not _NAME.match(name.strip()):
            raise OptionError(f"{path}:{number}: expected NAME=VALUE")
        try:
            words = shlex.split(value, comments=True)
        except ValueError as error:
            raise OptionError(f"{path}:{number}: {error}") from None
        values[name.strip()] = _scalar(" ".join(words))
    return values


def _scalar(text: str) -> str | int | float:
    """A number where that is written the same, for Jinja2 to count with; else the text."""
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if str(number) == text:
            return number
    return text
