"""What the values of options mean: a text, or a test's Python value, becomes the setting.

Each reader raises OptionError with the forms that are valid.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

from pytest_triton.arguments.checked import SHOWN, shown_value
from pytest_triton.arguments.kinds import LONGEST_TIME
from pytest_triton.client.address import Endpoint
from pytest_triton.errors import PytestTritonError
from pytest_triton.options.option import Option, ValueType
from pytest_triton.options.repository_paths import NoDirectories, read_deployment_text
from pytest_triton.options.settings import (
    ARGUMENT_OPTIONS,
    RUN_OPTIONS,
    Backends,
    GpuDriver,
    OnGpuLoss,
    Pull,
    Source,
    Transfer,
    Weights,
)
from pytest_triton.options.sources import Layer
from pytest_triton.options.values import (
    Deployment,
    DeploymentFile,
    Expectation,
    Kind,
    LogPlace,
    OptionError,
    Requirement,
)
from pytest_triton.placement.hardware import Hardware, HardwareRequest, target_hardware
from pytest_triton.placement.releases import NotARelease, read_release
from pytest_triton.plan.sharding import Shard
from pytest_triton.repository.stores import RepositoryPlace, Store, StoreError
from pytest_triton.text.paths import without_dots
from pytest_triton.text.store_urls import may_hold_credential, url_at_start

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_LONGEST = 4096  # characters of a value; paths are no longer


class ReadLayer(NamedTuple):
    """A layer whose values are read: the settings that it gives, by option name."""

    layer: Layer
    values: Mapping[str, Any]


def read_layer(layer: Layer) -> ReadLayer:
    """Read all values of a layer. Raises OptionError naming option, source and valid values."""
    rows = {row.name: row for row in (ARGUMENT_OPTIONS if layer.of_test else RUN_OPTIONS)}
    return ReadLayer(
        layer, {name: _read(rows[name], value, layer) for name, value in layer.given.items()}
    )


def read_fields(rows: Sequence[Option], given: Mapping[str, object]) -> dict[str, object]:
    """Read the arguments of a settings class that a test makes itself. Raises OptionError."""
    of_name = {row.name: row for row in rows}
    layer = Layer("argument", given, Path.cwd(), of_test=True)
    return {name: _read(of_name[name], value, layer) for name, value in given.items()}


def read_hardware(value: object) -> HardwareRequest:
    """One hardware, as a test names it: a text, a number or a HardwareRequest."""
    return cast("HardwareRequest", _READERS["hardware"](value, Path()))


def _read(option: Option, value: object, layer: Layer) -> object:
    read = _READERS[option.type]
    shown = value
    try:
        if not option.repeatable:
            return read(value, layer.start)
        found = []
        for shown in _several(value, layer):
            _check_one_path(option, shown, layer.start)
            found.append(read(shown, layer.start))
        if layer.of_test and not found:
            raise OptionError("an empty list names nothing")
        return tuple(found)
    except OptionError as error:
        place = _place(option, layer, shown, secret=error.secret)
        fix = ("" if error.secret else _several_hint(option, layer, shown)) or error.fix
        raise OptionError(f"{place}: {error.what}", fix=fix, secret=error.secret) from None


def _place(option: Option, layer: Layer, value: object, *, secret: bool) -> str:
    """Where the value stands, as the user wrote it: `--triton-gpus=two (command line)`."""
    name = {"command line": option.flag, "ini file": option.ini, "environment": option.environment}
    text = value if isinstance(value, str) and not layer.of_test else shown_value(value)
    if len(text) > SHOWN:
        text = text[:SHOWN] + "..."
    shown = "" if secret else f"={text}"
    return f"{name.get(layer.source, option.name)}{shown} ({layer.source})"


def _several(value: object, layer: Layer) -> Iterable[object]:
    if layer.source == "environment":
        text = str(value)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines if len(lines) > 1 else _shell_words(text)
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    return [value]


_SEPARATED = {
    "command line": "repeat the option: {flag}={one} {flag}={other}",
    "ini file": "a line each, or a list in TOML: {ini} = ['{one}', '{other}']",
    "environment": "a line each, or words as for a shell: {environment}='{one} {other}'",
}


def _parts(value: str) -> list[str]:
    """The values that somebody may have meant who gave them as one."""
    return [part for part in re.split(r"[,;\s]+", value) if part]


def several_hint(name: str, source: Source, value: str) -> str:
    """How several values are given to a repeatable option, if the value looks like several."""
    option = next(row for row in RUN_OPTIONS if row.name == name)
    parts = _parts(value)
    if not option.repeatable or len(parts) < 2:
        return ""
    hint = _SEPARATED.get(source, "a list: {name}=['{one}', '{other}']")
    names = {"flag": option.flag, "ini": option.ini, "environment": option.environment}
    return "several values: " + hint.format(**names, name=option.name, one=parts[0], other=parts[1])


_PATHS = ("deployment", "path", "deployment_file")


def _check_one_path(option: Option, value: object, start: Path) -> None:
    """Raise OptionError for several paths that are given as one, which isn't there."""
    if not isinstance(value, str) or option.type not in _PATHS:
        return
    parts = _parts(value)
    if (
        len(parts) > 1
        and not os.path.exists(start / value)
        and all(os.path.exists(start / one) for one in parts)
    ):
        raise OptionError(f"no such path, and {' and '.join(parts[:2])} are there")


def _several_hint(option: Option, layer: Layer, value: object) -> str:
    """Only if each part alone can be read: else something else is wrong."""
    if not isinstance(value, str) or option not in RUN_OPTIONS:
        return ""
    try:
        for part in _parts(value):
            _READERS[option.type](part, layer.start)
    except OptionError:
        return ""
    return several_hint(option.name, layer.source, value)


def _shell_words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise OptionError(f"not readable as shell words ({error})") from None


# --- values of one type ------------------------------------------------------------------------

_Reader = Callable[[object, Path], object]


def _from_text(
    parse: Callable[[str, Path], object], *types: type, expected: str = "a text"
) -> _Reader:
    """A reader of texts, and of values of these types, whose texts mean the same."""

    def read(value: object, start: Path) -> object:
        if isinstance(value, str) or (isinstance(value, types) and not isinstance(value, bool)):
            text = str(value)
            if len(text) > _LONGEST:
                raise OptionError(f"expected {expected}, not {len(text)} characters")
            return parse(text, start)
        raise OptionError(f"expected {expected}, not {_article(value)}")

    return read


def _article(value: object) -> str:
    name = type(value).__name__
    return "None" if value is None else f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _path(text: str, start: Path) -> Path:
    if not text:
        raise OptionError("expected a path, got nothing")
    return without_dots(start / os.path.expanduser(text))


def _deployment(value: object, start: Path) -> Deployment:
    if isinstance(value, os.PathLike):
        path = Path(value)
        return Deployment(str(path), (_path(str(path), start),))
    if not isinstance(value, str):
        raise OptionError(f"expected a directory, not {_article(value)}")
    try:
        return read_deployment_text(value, start)
    except NoDirectories as error:
        raise OptionError(error.what, fix=error.fix, secret=error.secret) from None


def _text(text: str, start: Path) -> str:
    if not text.strip():
        raise OptionError("expected a name or pattern, got nothing")
    return text.strip()


_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]", re.ASCII)


def read_mapping(text: str, start: Path) -> tuple[str, RepositoryPlace]:
    """A repository as the container knows it, a directory or a URL, and our directory, of
    `/models=./models`. Raises OptionError."""
    inside, equals, here = text.partition("=")
    if not (equals and (inside.startswith("/") or _URL.match(inside)) and here):
        raise OptionError(
            "expected /PATH=DIR or URL=DIR: a repository as the deployment names it, and the "
            "directory of this machine, or the store's URL, that it is"
        )
    return inside.rstrip("/") or "/", _place_of(here, start)


def _place_of(text: str, start: Path) -> RepositoryPlace:
    if url_at_start(text) == text:
        try:
            return Store.of(text)
        except StoreError as error:
            raise OptionError(error.what, fix=error.fix, secret=error.secret) from None
    if "://" in text:
        raise OptionError(
            "a URL where a directory of this machine, or a store, is meant",
            fix="copy the repository to this machine's disk, then name the copy",
            secret=may_hold_credential(text),
        )
    return _path(text, start)


def _deployment_file(text: str, start: Path) -> DeploymentFile:
    if not text.strip():
        raise OptionError("expected a file, FILE::NAME or a folder, got nothing")
    return DeploymentFile(text, start)


def _texts(value: object, start: Path) -> tuple[str, ...]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise OptionError(f"expected a list of texts, not {_article(value)}")
    found = []
    for one in value:
        if not isinstance(one, (str, os.PathLike, int, float)) or isinstance(one, bool):
            raise OptionError(f"expected a list of texts, and it holds {_article(one)}")
        found.append(str(one))
    return tuple(found)


def _words(text: str, start: Path) -> tuple[str, ...]:
    if not text.strip():
        raise OptionError("expected arguments such as --model-control-mode=explicit, got nothing")
    return tuple(_shell_words(text))


def _variables(value: object, start: Path) -> tuple[tuple[str, str], ...]:
    valid = "expected a mapping such as {'CUDA_VISIBLE_DEVICES': '0'}"
    if not isinstance(value, Mapping):
        raise OptionError(f"{valid}, not {_article(value)}")
    for name, text in value.items():
        if not isinstance(name, str) or not re.fullmatch(r"[^=\0]+", name):
            raise OptionError(f"{valid}: {shown_value(name)} can't be the name of a variable")
        if not isinstance(text, (str, os.PathLike, int, float)) or "\0" in str(text):
            raise OptionError(f"{valid}: the value of {name} is {_article(text)}")
    return tuple(sorted((name, str(text)) for name, text in value.items()))


def _seconds(text: str, start: Path) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= LONGEST_TIME:
        raise OptionError("expected a number of seconds above zero, such as 30 or 2.5")
    return seconds


def _hardware(text: str, start: Path) -> HardwareRequest:
    return HardwareRequest.parse(text)


def _server(text: str, start: Path) -> str:
    if text in ("process", "container"):
        return text
    if "://" not in text:
        raise OptionError(
            "expected process, container, or the URL of a running server: grpc://HOST:PORT, "
            "http://HOST:PORT, grpcs://... or https://..."
        )
    try:
        return str(Endpoint.parse(text))
    except PytestTritonError as error:
        secret = may_hold_credential(text)
        raise OptionError(error.what, fix=error.fix, secret=secret) from None


def _metrics(text: str, start: Path) -> str:
    try:
        return str(Endpoint.of_metrics(text))
    except PytestTritonError as error:
        secret = may_hold_credential(text)
        raise OptionError(error.what, fix=error.fix, secret=secret) from None


def _log(text: str, start: Path) -> LogPlace:
    if text.startswith("container:"):
        name = text.removeprefix("container:")
        if not re.fullmatch(r"[\w.-]+", name, re.ASCII):
            raise OptionError("expected container:NAME, with the name or id of a container")
        return LogPlace(container=name)
    return LogPlace(path=_path(text, start))


def _values(text: str, start: Path) -> object:
    from pytest_triton.options.value_files import read_values

    return read_values(text, _path(text, start))


def _header(text: str, start: Path) -> tuple[str, str]:
    found = re.fullmatch(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*env:(\w+)\s*", text, re.ASCII)
    if found is None:
        raise OptionError(
            "expected NAME=env:VARIABLE, such as Authorization=env:TOKEN: the value is read from "
            "the environment, so that it stands in no command line, log or ini file",
            secret=True,
        )
    return found[1], found[2]


def _bytes(text: str, start: Path) -> int:
    found = re.fullmatch(r"(\d+)\s*([kmgt]?)(?:i?b)?", text.strip().lower(), re.ASCII)
    if found is None or int(found[1]) == 0:
        raise OptionError("expected a size such as 512m or 8g")
    return int(found[1]) * _UNITS[found[2]]


def _number(text: str, start: Path) -> int:
    if not re.fullmatch(r"[1-9]\d*", text.strip(), re.ASCII):
        raise OptionError("expected a whole number above zero")
    return int(text)


def _switch(value: object, start: Path) -> bool:
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in ("on", "true", "yes", "1", "off", "false", "no", "0"):
        raise OptionError("expected on or off (True or False in Python)")
    return word in ("on", "true", "yes", "1")


def _one_of(choices: tuple[str, ...]) -> Callable[[str, Path], str]:
    def parse(text: str, start: Path) -> str:
        if text not in choices:
            raise OptionError(f"expected one of {', '.join(choices)}")
        return text

    return parse


def _release(text: str, start: Path) -> tuple[int, int, int]:
    try:
        return read_release(text)
    except NotARelease as error:
        raise OptionError(str(error)) from None


def _target(text: str, start: Path) -> Hardware:
    return target_hardware(text)


def _audit_selected(text: str, start: Path) -> object:
    from pytest_triton.audit import IgnoreError, parse_selected
    from pytest_triton.audit.rules import KNOWN

    try:
        return parse_selected(text, KNOWN)
    except IgnoreError as error:
        raise OptionError(str(error)) from None


def _audit_ignored(text: str, start: Path) -> object:
    from pytest_triton.audit import IgnoreError, parse_ignored
    from pytest_triton.audit.rules import KNOWN

    try:
        return parse_ignored(text, KNOWN)
    except IgnoreError as error:
        raise OptionError(str(error)) from None


def _requirement(text: str, start: Path) -> Requirement:
    word, equals, number = text.strip().partition("=")
    if word == "gpus" and re.fullmatch(r"[1-9]\d*", number or ("" if equals else "1"), re.ASCII):
        return Requirement(text, "gpus", int(number or 1))
    if word in ("container", "real-backends") and not equals:
        return Requirement(text, "container" if word == "container" else "real-backends")
    raise OptionError("expected gpus, gpus=2 (or another number), container or real-backends")


def _expectation(text: str, start: Path) -> Expectation:
    pattern, colon, wanted = text.rpartition(":")
    kinds = [word.strip().upper() for word in wanted.split("+")]
    if not (colon and pattern.strip() and all(kind in ("GPU", "CPU", "MODEL") for kind in kinds)):
        raise OptionError(
            "expected PATTERN: KINDS, where KINDS is gpu, cpu, model or several joined by '+', "
            "such as 'fraud_*: gpu' or 'ranker: gpu + cpu'"
        )
    return Expectation(pattern.strip(), frozenset(kind for kind in get_args(Kind) if kind in kinds))


def _shard(text: str, start: Path) -> Shard:
    try:
        return Shard.parse(text)
    except ValueError as error:
        raise OptionError(str(error)) from None


def _choice(choices: Any) -> _Reader:
    return _from_text(_one_of(get_args(choices)), expected=f"one of {', '.join(get_args(choices))}")


_READERS: Mapping[ValueType, _Reader] = {
    "deployment": _deployment,
    "path": _from_text(_path, os.PathLike, expected="a path"),
    "text": _from_text(_text),
    "texts": _texts,
    "words": _from_text(_words),
    "deployment_file": _from_text(_deployment_file, os.PathLike),
    "mapping": _from_text(read_mapping),
    "gpu_loss": _choice(OnGpuLoss),
    "variables": _variables,
    "hardware": _from_text(_hardware, int, HardwareRequest, expected="hardware such as 'sim:2'"),
    "backends": _choice(Backends),
    "server": _from_text(_server, expected="process, container, or a running server's URL"),
    "metrics": _from_text(_metrics, expected="the URL of a server's metrics"),
    "log": _from_text(_log, os.PathLike, expected="a path, or container:NAME"),
    "header": _from_text(_header),
    "bytes": _from_text(_bytes, int, expected="a number of bytes, or a size such as 512m or 8g"),
    "number": _from_text(_number, int, expected="a whole number above zero"),
    "switch": _switch,
    "gpu_driver": _choice(GpuDriver),
    "pull": _choice(Pull),
    "transfer": _choice(Transfer),
    "weights": _choice(Weights),
    "values": _from_text(_values, os.PathLike, expected="a file of values, or KEY=VALUE"),
    "seconds": _from_text(_seconds, int, float, expected="a number of seconds above zero"),
    "expectation": _from_text(_expectation),
    "requirement": _from_text(_requirement),
    "target": _from_text(_target, int, expected="a number of GPUs, or sim:N@CC"),
    "audit_selected": _from_text(_audit_selected),
    "audit_ignored": _from_text(_audit_ignored),
    "shard": _from_text(_shard),
    "release": _from_text(_release, expected="a release such as '26.06'"),
}
