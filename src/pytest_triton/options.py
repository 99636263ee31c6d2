"""Every option, once: one table makes the command line, the ini keys, the environment and Settings.

An option called `x` is `--triton-x` on the command line, `triton_x` in pytest's ini file (or its
TOML) and `PYTEST_TRITON_X` in the environment. The first of these that is present wins, whatever
its value: an empty or zero value counts as given. A repeatable option takes one value a line in
the ini file, and values separated as a shell separates words in the environment.

Imported at every start of pytest: nothing but the standard library, nothing heavy.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    import pytest

    from pytest_triton.placement.hardware import HardwareRequest

Source = Literal["command line", "ini file", "environment", "default"]
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
class Option:
    """A row of the table. `parse` gets a text and the directory that relative paths start from."""

    name: str
    metavar: str
    help: str
    parse: Callable[[str, Path], object]
    default: object = None
    repeatable: bool = False

    @property
    def flag(self) -> str:
        return "--triton-" + self.name.replace("_", "-")

    @property
    def ini(self) -> str:
        return "triton_" + self.name

    @property
    def environment(self) -> str:
        return "PYTEST_TRITON_" + self.name.upper()


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
    from pytest_triton.placement.hardware import HardwareRequest

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


OPTIONS: tuple[Option, ...] = (
    Option(
        "repo",
        "DIR",
        "model repository to check: every model becomes tests. Repeatable, one deployment each; "
        "DIR:DIR is one deployment with two repositories. Write it with '='",
        _parse_deployment,
        default=(),
        repeatable=True,
    ),
    Option(
        "binary",
        "PATH",
        "the tritonserver to run (default: PATH, /opt/tritonserver, installed releases, an "
        "installed nvidia-pytriton)",
        _parse_path,
    ),
    Option(
        "version",
        "VERSION",
        "the installed release to run, such as 2.51.0 (see python -m pytest_triton install)",
        _parse_text,
    ),
    Option(
        "python",
        "PYTHON",
        "the interpreter that python models run on (default: the one that runs pytest)",
        _parse_path,
    ),
    Option(
        "gpus",
        "SPEC",
        "GPUs to give a server: none, all, a count, ids or UUIDs (0,1), sim:N or sim:N@CC for "
        "simulated ones. Repeatable, one hardware each (default: none and sim:2; with real "
        "backends none)",
        _parse_hardware,
        repeatable=True,
    ),
    Option(
        "backends",
        "MODE",
        "real, stand-in (a rehearsal: no framework, no weights), or auto: stand-in unless real "
        "GPUs are named (default: auto)",
        _parse_backends,
        default="auto",
    ),
    Option(
        "timeout",
        "SECONDS",
        "how long a server may take to start (default: 120)",
        _parse_seconds,
        default=120.0,
    ),
    Option(
        "allow_fallback",
        "PATTERN",
        "models that may run on the CPU where no GPU is (repeatable)",
        _parse_text,
        default=(),
        repeatable=True,
    ),
    Option(
        "expect",
        "PATTERN:KINDS",
        "what models must declare, such as 'fraud_*: gpu' (repeatable)",
        _parse_expectation,
        default=(),
        repeatable=True,
    ),
)


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


def add_options(parser: pytest.Parser) -> None:
    """Make every row of the table known to pytest."""
    group = parser.getgroup("triton", "Triton Inference Server (pytest-triton)")
    for option in OPTIONS:
        group.addoption(
            option.flag,
            action="append" if option.repeatable else "store",
            default=None,
            metavar=option.metavar,
            help=f"{option.help} [ini: {option.ini}, environment: {option.environment}]",
        )
        parser.addini(
            option.ini,
            f"as {option.flag}",
            type="linelist" if option.repeatable else "string",
            default=None,
        )


def _given(
    option: Option, config: pytest.Config, environ: Mapping[str, str]
) -> tuple[list[str] | None, Source, Path]:
    """The texts that were given for an option, where, and the directory they are relative to."""
    here = config.invocation_params.dir
    on_command_line = config.getoption(option.flag)
    if on_command_line is not None:
        texts = on_command_line if option.repeatable else [on_command_line]
        return texts, "command line", here
    in_ini = config.getini(option.ini)
    if in_ini is not None:
        # `-o triton_x=` gives an empty text, and None for a list, in some pytest versions
        texts = list(in_ini) if option.repeatable else [str(in_ini)]
        return texts, "ini file", config.inipath.parent if config.inipath else config.rootpath
    if option.environment in environ:
        text = environ[option.environment]
        if not option.repeatable:
            return [text], "environment", here
        try:
            return shlex.split(text), "environment", here
        except ValueError as error:
            raise OptionError(f"not readable as shell words ({error})") from None
    return None, "default", here


def is_active(config: pytest.Config, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a repository is to be checked. Cheap: nothing is parsed."""
    return bool(_given(OPTIONS[0], config, environ)[0])


def read_settings(config: pytest.Config, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read all options of this run.

    Raises `OptionError` naming the option, where its value came from, and what is valid.
    """
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for option in OPTIONS:
        source: Source = "environment"
        text = environ.get(option.environment, "")
        try:
            texts, source, start = _given(option, config, environ)
            if texts is None:
                values[option.name] = option.default
            else:
                parsed = []
                for text in texts:
                    parsed.append(option.parse(text, start))
                values[option.name] = tuple(parsed) if option.repeatable else parsed[0]
        except OptionError as error:
            name = {"command line": option.flag, "ini file": option.ini}.get(
                source, option.environment
            )
            raise OptionError(f"{name}={text} ({source}): {error}") from None
        sources[option.name] = source
    if values["backends"] == "auto":
        real = any(request.kind not in ("none", "sim") for request in values["gpus"] or ())
        values["backends"] = "real" if real else "stand-in"
    if values["gpus"] is None:
        values["gpus"] = _default_hardware(values["backends"])
    replaced = sources["repo"] == "command line" and config.getini(OPTIONS[0].ini) is not None
    return Settings(sources=MappingProxyType(sources), repo_replaced=replaced, **values)


def _default_hardware(backends: Backends) -> tuple[HardwareRequest, ...]:
    from pytest_triton.placement.hardware import HardwareRequest

    specs = ["none"] if backends == "real" else ["none", "sim:2"]
    return tuple(HardwareRequest.parse(spec) for spec in specs)
