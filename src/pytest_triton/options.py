"""Every option, once: one table makes the command line, the ini keys, the environment and Settings.

An option called `x` is `--triton-x` on the command line, `triton_x` in pytest's ini file (or its
TOML) and `PYTEST_TRITON_X` in the environment. The first of these that is present wins, whatever
its value: an empty or zero value counts as given. A repeatable option takes one value a line in
the ini file, and values separated as a shell separates words in the environment.

Imported at every start of pytest, so it must be cheap: what the texts mean is in `settings`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

Source = Literal["command line", "ini file", "environment", "default"]
ValueType = Literal["deployment", "path", "text", "hardware", "backends", "seconds", "expectation"]


class Option(NamedTuple):
    """A row of the table. `type` says how `settings` reads its text."""

    name: str
    type: ValueType
    metavar: str
    help: str
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


OPTIONS: tuple[Option, ...] = (
    Option(
        "repo",
        "deployment",
        "DIR",
        "model repository to check: every model becomes tests. Repeatable, one deployment each; "
        "DIR:DIR is one deployment with two repositories. Write it with '='",
        default=(),
        repeatable=True,
    ),
    Option(
        "binary",
        "path",
        "PATH",
        "the tritonserver to run (default: PATH, /opt/tritonserver, installed releases, an "
        "installed nvidia-pytriton)",
    ),
    Option(
        "version",
        "text",
        "VERSION",
        "the installed release to run, such as 2.51.0 (see python -m pytest_triton install)",
    ),
    Option(
        "python",
        "path",
        "PYTHON",
        "the interpreter that python models run on (default: the one that runs pytest)",
    ),
    Option(
        "gpus",
        "hardware",
        "SPEC",
        "GPUs to give a server: none, all, a count, ids or UUIDs (0,1), sim:N or sim:N@CC for "
        "simulated ones. Repeatable, one hardware each (default: none and sim:2; with real "
        "backends none)",
        repeatable=True,
    ),
    Option(
        "backends",
        "backends",
        "MODE",
        "real, stand-in (a rehearsal: no framework, no weights), or auto: stand-in unless real "
        "GPUs are named (default: auto)",
        default="auto",
    ),
    Option(
        "timeout",
        "seconds",
        "SECONDS",
        "how long a server may take to start (default: 120)",
        default=120.0,
    ),
    Option(
        "allow_fallback",
        "text",
        "PATTERN",
        "models that may run on the CPU where no GPU is (repeatable)",
        default=(),
        repeatable=True,
    ),
    Option(
        "expect",
        "expectation",
        "PATTERN:KINDS",
        "what models must declare, such as 'fraud_*: gpu' (repeatable)",
        default=(),
        repeatable=True,
    ),
)


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
        if option.repeatable:
            parser.addini(option.ini, f"as {option.flag}", type="linelist", default=None)
        else:
            parser.addini(option.ini, f"as {option.flag}", type="string", default=None)


class Given(NamedTuple):
    """What was given for an option: the texts, where, and what relative paths start from."""

    texts: list[str]
    source: Source
    start: Path


def given(option: Option, config: pytest.Config, environ: Mapping[str, str]) -> Given | None:
    """The strongest of the places where an option is present; None if it is nowhere.

    A repeatable option's environment variable is one text here, which `settings` splits.
    """
    here = config.invocation_params.dir
    on_command_line = config.getoption(option.flag)
    if on_command_line is not None:
        texts = on_command_line if option.repeatable else [on_command_line]
        return Given(texts, "command line", here)
    in_ini = config.getini(option.ini)
    if in_ini is not None:
        texts = list(in_ini) if option.repeatable else [str(in_ini)]
        start = config.inipath.parent if config.inipath else config.rootpath
        return Given(texts, "ini file", start)
    if option.environment in environ:
        return Given([environ[option.environment]], "environment", here)
    return None


def is_active(config: pytest.Config, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a repository is to be checked. Nothing is parsed."""
    repositories = given(OPTIONS[0], config, environ)
    return repositories is not None and bool(repositories.texts)
