"""What the options mean: texts in, frozen Settings out, each value with its source."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

from pytest_triton.options import OPTIONS, Given, Option, Source, ValueType, given
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.plan.sharding import Shard

if TYPE_CHECKING:
    import pytest

Kind = Literal["GPU", "CPU", "MODEL"]
Backends = Literal["real", "stand-in", "auto"]
GpuDriver = Literal["nvidia", "cdi"]
Pull = Literal["missing", "always", "never"]
Transfer = Literal["auto", "mount", "copy"]

_SCHEMES = ("grpc", "grpcs", "http", "https")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


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


Promised = Literal["gpus", "container", "real-backends"]


@dataclass(frozen=True)
class Promise:
    """A value of `--triton-require`; `gpus` is how many real ones there are at least."""

    text: str
    what: Promised
    gpus: int = 0

    def __str__(self) -> str:
        if self.what != "gpus":
            return "a container" if self.what == "container" else "real backends"
        return "a real GPU" if self.gpus == 1 else f"{self.gpus} real GPUs"


@dataclass(frozen=True)
class Settings:
    """All options of this run, parsed. `sources` tells where each came from, by option name.

    `server` and `backends` are decided here: the one is "process", "container" or a URL, and of
    the other "auto" has become real or stand-in. `shm_size` and `memory` are in bytes.
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
    server: str = "process"
    image: str | None = None
    gpu_driver: GpuDriver = "nvidia"
    shm_size: int = 1 << 30
    memory: int | None = None
    pids: int | None = None
    user: str | None = None
    read_only: bool = False
    mount: tuple[Path, ...] = ()
    transfer: Transfer = "auto"
    pull: Pull = "missing"
    pull_timeout: float = 1800.0
    reuse: bool = False
    require: tuple[Promise, ...] = ()
    ledger: Path | None = None
    job: str | None = None
    shard: Shard | None = None
    html: Path | None = None
    markdown: Path | None = None
    gitlab: Path | None = None
    github: bool | None = None
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
    if values["server"] is None:
        values["server"] = "process" if values["image"] is None else "container"
    if values["backends"] == "auto":
        real = values["server"] != "process" or any(
            request.kind not in ("none", "sim") for request in values["gpus"] or ()
        )
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


def is_server(text: str) -> bool:
    """Whether this says where a server is: process, container, or a running one's URL."""
    scheme, separator, rest = text.partition("://")
    return text in ("process", "container") or bool(scheme in _SCHEMES and separator and rest)


def _parse_server(text: str, start: Path) -> str:
    if is_server(text):
        return text
    raise OptionError(
        "expected process, container, or the URL of a running server: grpc://HOST:PORT, "
        "http://HOST:PORT, grpcs://... or https://..."
    )


def _parse_bytes(text: str, start: Path) -> int:
    found = re.fullmatch(r"(\d+)\s*([kmgt]?)(?:i?b)?", text.strip().lower(), re.ASCII)
    if found is None or int(found[1]) == 0:
        raise OptionError("expected a size such as 512m or 8g")
    return int(found[1]) * _UNITS[found[2]]


def _parse_number(text: str, start: Path) -> int:
    if not re.fullmatch(r"[1-9]\d*", text.strip(), re.ASCII):
        raise OptionError("expected a whole number above zero")
    return int(text)


def _parse_switch(text: str, start: Path) -> bool:
    word = text.strip().lower()
    if word not in ("on", "true", "yes", "1", "off", "false", "no", "0"):
        raise OptionError("expected on or off")
    return word in ("on", "true", "yes", "1")


def _one_of(*words: str) -> Callable[[str, Path], str]:
    def parse(text: str, start: Path) -> str:
        if text not in words:
            raise OptionError(f"expected one of {', '.join(words)}")
        return text

    return parse


def _parse_promise(text: str, start: Path) -> Promise:
    word, equals, number = text.strip().partition("=")
    if word == "gpus" and re.fullmatch(r"[1-9]\d*", number or ("" if equals else "1"), re.ASCII):
        return Promise(text, "gpus", int(number or 1))
    if word in ("container", "real-backends") and not equals:
        return Promise(text, "container" if word == "container" else "real-backends")
    raise OptionError("expected gpus, gpus=2 (or another number), container or real-backends")


def _parse_expectation(text: str, start: Path) -> Expectation:
    pattern, colon, wanted = text.rpartition(":")
    kinds = [word.strip().upper() for word in wanted.split("+")]
    if not (colon and pattern.strip() and all(kind in ("GPU", "CPU", "MODEL") for kind in kinds)):
        raise OptionError(
            "expected PATTERN: KINDS, where KINDS is gpu, cpu, model or several joined by '+', "
            "such as 'fraud_*: gpu' or 'ranker: gpu + cpu'"
        )
    return Expectation(pattern.strip(), frozenset(kind for kind in get_args(Kind) if kind in kinds))


def _parse_shard(text: str, start: Path) -> Shard:
    try:
        return Shard.parse(text)
    except ValueError as error:
        raise OptionError(str(error)) from None


_PARSERS: dict[ValueType, Callable[[str, Path], object]] = {
    "deployment": _parse_deployment,
    "path": _parse_path,
    "text": _parse_text,
    "hardware": _parse_hardware,
    "backends": _one_of(*get_args(Backends)),
    "server": _parse_server,
    "bytes": _parse_bytes,
    "number": _parse_number,
    "switch": _parse_switch,
    "gpu_driver": _one_of(*get_args(GpuDriver)),
    "pull": _one_of(*get_args(Pull)),
    "transfer": _one_of(*get_args(Transfer)),
    "seconds": _parse_seconds,
    "expectation": _parse_expectation,
    "promise": _parse_promise,
    "shard": _parse_shard,
}
