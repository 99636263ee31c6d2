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

from pytest_triton.client.address import Endpoint
from pytest_triton.errors import PytestTritonError
from pytest_triton.options.table import OPTIONS, Given, Option, Source, ValueType, given
from pytest_triton.placement.hardware import (
    OWN_GPUS,
    Hardware,
    HardwareRequest,
    target_hardware,
)
from pytest_triton.plan.sharding import Shard

if TYPE_CHECKING:
    import pytest

    from pytest_triton.audit import Ignored

Kind = Literal["GPU", "CPU", "MODEL"]
Backends = Literal["real", "stand-in", "auto"]
GpuDriver = Literal["nvidia", "cdi"]
Pull = Literal["missing", "always", "never"]
Transfer = Literal["auto", "mount", "copy"]

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class OptionError(ValueError):
    """A value that an option can't take; the text lists what it can.

    `secret`: the value may be a credential, so that nothing repeats it.
    """

    def __init__(self, text: str, *, secret: bool = False) -> None:
        super().__init__(text)
        self.secret = secret


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
    the other "auto" has become real or stand-in. `shm_size` and `memory` are in bytes. `header`
    are pairs of a header and the environment variable with its value.
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
    header: tuple[tuple[str, str], ...] = ()
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    allow_changes: bool = False
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
    target: Hardware | None = None
    audit_select: tuple[tuple[str, ...], ...] = ()
    audit_ignore: tuple[Ignored, ...] = ()
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

    @property
    def is_attached(self) -> bool:
        """Whether the server is one that somebody else runs."""
        return is_url(self.server)


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
        attached = is_url(values["server"])
        values["gpus"] = (OWN_GPUS,) if attached else _default_hardware(values["backends"])
    replaced = sources["repo"] == "command line" and _are_others(values["repo"], config)
    settings = Settings(sources=MappingProxyType(sources), repo_replaced=replaced, **values)
    _check_attached(settings)
    return settings


def _check_attached(settings: Settings) -> None:
    """What can't be said together with a running server's URL, and what needs one."""
    if not settings.is_attached:
        if any(request.kind == "own" for request in settings.gpus):
            raise OptionError(
                "--triton-gpus=own: only a running server has GPUs of its own: name "
                "its URL (--triton-server)"
            )
        return
    where = f"--triton-server={settings.server} is a running server"
    other = [request for request in settings.gpus if request.kind not in ("own", "none", "count")]
    if other:
        raise OptionError(
            f"--triton-gpus={other[0]} ({settings.sources['gpus']}): {where}, which has the GPUs "
            "that it has: own (the default), or none or a count, which it is then held to"
        )
    if len(settings.gpus) > 1:
        raise OptionError(
            f"--triton-gpus is given {len(settings.gpus)} times ({settings.sources['gpus']}), and "
            f"{where}, which has one hardware: own (the default), none, or a count"
        )
    if settings.backends == "stand-in":
        raise OptionError(
            f"--triton-backends=stand-in ({settings.sources['backends']}): {where}, which has the "
            "backends that it has: real, or auto (the default)"
        )
    if settings.tls_key is not None and settings.tls_cert is None:
        raise OptionError("--triton-tls-key needs --triton-tls-cert, the certificate it is for")


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
        shown = name if error.secret else f"{name}={text}"
        raise OptionError(f"{shown} ({found.source}): {error}") from None
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


def is_url(server: str) -> bool:
    """Whether `server` is a running one's URL."""
    return "://" in server


def read_server(text: str) -> str:
    """Where a server is: process, container, or a running one's URL. Raises OptionError."""
    if text in ("process", "container"):
        return text
    if not is_url(text):
        raise OptionError(
            "expected process, container, or the URL of a running server: grpc://HOST:PORT, "
            "http://HOST:PORT, grpcs://... or https://..."
        )
    try:
        return str(Endpoint.parse(text))
    except PytestTritonError as error:
        raise OptionError(str(error), secret="@" in text) from None


def _parse_server(text: str, start: Path) -> str:
    return read_server(text)


def _parse_header(text: str, start: Path) -> tuple[str, str]:
    found = re.fullmatch(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*env:(\w+)\s*", text, re.ASCII)
    if found is None:
        raise OptionError(
            "expected NAME=env:VARIABLE, such as Authorization=env:TOKEN: the value is read from "
            "the environment, so that it stands in no command line, log or ini file",
            secret=True,
        )
    return found[1], found[2]


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


def _parse_target(text: str, start: Path) -> Hardware:
    try:
        return target_hardware(text)
    except ValueError as error:
        raise OptionError(str(error)) from None


def _parse_audit_selected(text: str, start: Path) -> tuple[str, ...]:
    from pytest_triton.audit import IgnoreError, parse_selected
    from pytest_triton.audit.rules import KNOWN

    try:
        return parse_selected(text, KNOWN)
    except IgnoreError as error:
        raise OptionError(str(error)) from None


def _parse_audit_ignored(text: str, start: Path) -> Ignored:
    from pytest_triton.audit import IgnoreError, parse_ignored
    from pytest_triton.audit.rules import KNOWN

    try:
        return parse_ignored(text, KNOWN)
    except IgnoreError as error:
        raise OptionError(str(error)) from None


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
    "header": _parse_header,
    "bytes": _parse_bytes,
    "number": _parse_number,
    "switch": _parse_switch,
    "gpu_driver": _one_of(*get_args(GpuDriver)),
    "pull": _one_of(*get_args(Pull)),
    "transfer": _one_of(*get_args(Transfer)),
    "seconds": _parse_seconds,
    "expectation": _parse_expectation,
    "promise": _parse_promise,
    "target": _parse_target,
    "audit_selected": _parse_audit_selected,
    "audit_ignored": _parse_audit_ignored,
    "shard": _parse_shard,
}
