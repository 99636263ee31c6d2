"""What the options mean: texts in, frozen Settings out, each value with its source."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

from pytest_triton.options import OPTIONS, Given, Option, Source, ValueType, given
from pytest_triton.placement.hardware import HardwareRequest

if TYPE_CHECKING:
    import pytest

Kind = Literal["GPU", "CPU", "MODEL"]
Backends = Literal["real", "stand-in", "auto"]


class OptionError(ValueError):
    """A value that an option can't take; the text lists what it can."""


@dataclass(frozen=True)
class Deployment:
    """One server's model repositories, as `--triton-repo=a:b` names them.

    `text` is what the user wrote, `paths` the absolute directories, in the given order.
    """

    text: str
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class Expectation:
    """A line of `triton_expect`: models named by `pattern` declare exactly these kinds."""

    pattern: str
    kinds: frozenset[Kind]


@dataclass(frozen=True)
class Settings:
    """All options of this run, parsed. `sources` tells where each came from, by option name.

    `backends` is decided here: "auto" has become one of the others.
    """

    repo: tuple[Deployment, ...]
    binary: Path | None
    version: str | None
    python: Path | None
    gpus: tuple[HardwareRequest, ...]
    backends: Backends
    timeout: float
    allow_fallback: tuple[str, ...]
    expect: tuple[Expectation, ...]
    sources: Mapping[str, Source] = field(default_factory=lambda: MappingProxyType({}))
    repo_replaced: bool = False
    """The ini file names repositories too, and others are checked instead of them."""


def read_settings(config: pytest.Config, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read all options of this run.

    Raises `OptionError` naming the option, where its value came from, and what is valid.
    """
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for option in OPTIONS:
        found = given(option, config, environ)
        values[option.name] = option.default if found is None else _read(option, found)
        sources[option.name] = "default" if found is None else found.source
    if values["backends"] == "auto":
        real = any(request.kind not in ("none", "sim") for request in values["gpus"] or ())
        values["backends"] = "real" if real else "stand-in"
    if values["gpus"] is None:
        values["gpus"] = _default_hardware(values["backends"])
    replaced = sources["repo"] == "command line" and _are_others(values["repo"], config)
    return Settings(sources=MappingProxyType(sources), repo_replaced=replaced, **values)


def _are_others(deployments: tuple[Deployment, ...], config: pytest.Config) -> bool:
    """Whether the ini file names repositories, and none of them is among these."""
    in_ini = config.getini(OPTIONS[0].ini)
    if not in_ini:
        return False
    start = config.inipath.parent if config.inipath else config.rootpath
    theirs = {path for text in in_ini for path in _parse_deployment(text, start).paths}
    return not any(path in theirs for one in deployments for path in one.paths)


def _read(option: Option, found: Given) -> object:
    parse = _PARSERS[option.type]
    text = found.texts[0] if found.texts else ""
    try:
        texts = found.texts
        if option.repeatable and found.source == "environment":
            texts = _shell_words(text)
        parsed = []
        for text in texts:
            parsed.append(parse(text, found.start))
    except OptionError as error:
        name = {"command line": option.flag, "ini file": option.ini}.get(
            found.source, option.environment
        )
        raise OptionError(f"{name}={text} ({found.source}): {error}") from None
    return tuple(parsed) if option.repeatable else parsed[0]


def _shell_words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise OptionError(f"not readable as shell words ({error})") from None


def _default_hardware(backends: Backends) -> tuple[HardwareRequest, ...]:
    specs = ["none"] if backends == "real" else ["none", "sim:2"]
    return tuple(HardwareRequest.parse(spec) for spec in specs)


# --- what a text may say; each parser raises OptionError with the valid forms ------------------


def _parse_path(text: str, start: Path) -> Path:
    if not text:
        raise OptionError("expected a path, got nothing")
    return Path(os.path.normpath(start / Path(text).expanduser()))


def _parse_deployment(text: str, start: Path) -> Deployment:
    parts = text.split(os.pathsep)
    if not all(parts):
        raise OptionError("expected a directory, or several joined by ':' (served together)")
    return Deployment(text, tuple(_parse_path(part, start) for part in parts))


def _parse_text(text: str, start: Path) -> str:
    if not text.strip():
        raise OptionError("expected a name or pattern, got nothing")
    return text.strip()


def _parse_seconds(text: str, start: Path) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise OptionError("expected a number of seconds above zero, such as 30 or 2.5")
    return seconds


def _parse_hardware(text: str, start: Path) -> HardwareRequest:
    try:
        return HardwareRequest.parse(text)
    except ValueError as error:
        raise OptionError(str(error)) from None


def _parse_backends(text: str, start: Path) -> str:
    if text not in get_args(Backends):
        raise OptionError(f"expected one of {', '.join(get_args(Backends))}")
    return text


def _parse_expectation(text: str, start: Path) -> Expectation:
    pattern, colon, wanted = text.rpartition(":")
    kinds = [word.strip().upper() for word in wanted.split("+")]
    if not (colon and pattern.strip() and all(kind in ("GPU", "CPU", "MODEL") for kind in kinds)):
        raise OptionError(
            "expected PATTERN: KINDS, where KINDS is gpu, cpu, model or several joined by '+', "
            "such as 'fraud_*: gpu' or 'ranker: gpu + cpu'"
        )
    return Expectation(pattern.strip(), frozenset(kind for kind in get_args(Kind) if kind in kinds))


_PARSERS: dict[ValueType, Callable[[str, Path], object]] = {
    "deployment": _parse_deployment,
    "path": _parse_path,
    "text": _parse_text,
    "hardware": _parse_hardware,
    "backends": _parse_backends,
    "seconds": _parse_seconds,
    "expectation": _parse_expectation,
}
