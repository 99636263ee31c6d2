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
ValueType = Literal[
    "deployment",
    "path",
    "text",
    "hardware",
    "backends",
    "seconds",
    "expectation",
    "shard",
    "promise",
    "target",
    "audit_selected",
    "audit_ignored",
    "server",
    "header",
    "bytes",
    "number",
    "switch",
    "gpu_driver",
    "pull",
    "transfer",
]


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
        "server",
        "server",
        "WHERE",
        "process, container, or the URL of a running server such as grpc://host:8001 (default: "
        "container if an image is named, else process)",
    ),
    Option(
        "header",
        "header",
        "NAME=env:VAR",
        "header to send to a running server, with its value from an environment variable, such "
        "as Authorization=env:TOKEN (repeatable)",
        default=(),
        repeatable=True,
    ),
    Option("tls_ca", "path", "FILE", "PEM file with the authorities to trust for grpcs, https"),
    Option("tls_cert", "path", "FILE", "PEM file with the client's certificate for grpcs, https"),
    Option("tls_key", "path", "FILE", "PEM file with the key of that certificate"),
    Option(
        "allow_changes",
        "switch",
        "on|off",
        "whether tests marked triton(changes=True) may load and unload models of a running "
        "server (default: off)",
        default=False,
    ),
    Option(
        "image",
        "text",
        "IMAGE",
        "the image of a container (default: a pinned official one)",
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
        "simulated ones, own (a running server's). Repeatable, one hardware each (default: none "
        "and sim:2; with real backends none; with a server's URL own)",
        repeatable=True,
    ),
    Option(
        "backends",
        "backends",
        "MODE",
        "real, stand-in (a rehearsal: no framework, no weights), or auto: stand-in unless real "
        "GPUs, a container or a running server are named (default: auto)",
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
        "gpu_driver",
        "gpu_driver",
        "DRIVER",
        "how a container gets real GPUs: nvidia (NVIDIA's container toolkit) or cdi (default: "
        "nvidia)",
        default="nvidia",
    ),
    Option(
        "shm_size",
        "bytes",
        "SIZE",
        "shared memory of a container, which python models need (default: 1g)",
        default=1 << 30,
    ),
    Option("memory", "bytes", "SIZE", "memory limit of a container, such as 8g (default: none)"),
    Option("pids", "number", "N", "processes and threads that a container may have (default: any)"),
    Option(
        "user",
        "text",
        "USER",
        "the user in a container: uid, uid:gid or a name in the image (default: the image's)",
    ),
    Option(
        "read_only",
        "switch",
        "on|off",
        "whether a container can write nothing but /tmp and /dev/shm (default: off)",
        default=False,
    ),
    Option(
        "mount",
        "path",
        "PATH",
        "file or folder that models need besides their repository, also by links; a container "
        "sees it under the same path, read-only (repeatable)",
        default=(),
        repeatable=True,
    ),
    Option(
        "transfer",
        "transfer",
        "HOW",
        "how repositories get into a container: mount, copy, or auto: mounted if Docker has the "
        "files of this machine (default: auto)",
        default="auto",
    ),
    Option(
        "pull",
        "pull",
        "WHEN",
        "when the image is fetched: missing, always or never (default: missing)",
        default="missing",
    ),
    Option(
        "pull_timeout",
        "seconds",
        "SECONDS",
        "how long fetching the image may take (default: 1800)",
        default=1800.0,
    ),
    Option(
        "reuse",
        "switch",
        "on|off",
        "keep containers running for the next pytest run; python -m pytest_triton clean removes "
        "them (default: off)",
        default=False,
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
    Option(
        "target",
        "target",
        "GPUS",
        "the GPUs of production, for the audit: a number, or sim:N@CC with a compute capability",
    ),
    Option(
        "audit_select",
        "audit_selected",
        "RULES",
        "apply these rules of the audit only: TRT101, or TRT1 for all that start so (repeatable)",
        default=(),
        repeatable=True,
    ),
    Option(
        "audit_ignore",
        "audit_ignored",
        "RULES[:PATTERNS]",
        "leave these rules out, for models that fit the patterns: 'TRT101: tokenizer_*' "
        "(repeatable)",
        default=(),
        repeatable=True,
    ),
    Option(
        "require",
        "promise",
        "WHAT",
        "what this job promises to have: gpus, gpus=2 (real ones), container, real-backends. "
        "Where it hasn't, or no test used it, the run fails (repeatable)",
        default=(),
        repeatable=True,
    ),
    Option(
        "ledger",
        "path",
        "FILE.json",
        "write what was proven to this file, for python -m pytest_triton merge. Runs of one job "
        "may share a file",
    ),
    Option(
        "job",
        "text",
        "NAME",
        "what this run is called in its ledger (default: the CI job's name, or local)",
    ),
    Option(
        "shard",
        "shard",
        "K/N",
        "check only the models of part K of N, which are the same in every run",
    ),
    Option("html", "path", "FILE.html", "write a page of models x hardware to this file"),
    Option("markdown", "path", "FILE.md", "write a summary in Markdown to this file"),
    Option("gitlab", "path", "FILE.json", "write a GitLab code quality report to this file"),
    Option(
        "github",
        "switch",
        "on|off",
        "annotate config.pbtxt files and write the job's summary, as GitHub Actions shows them "
        "(default: on in GitHub Actions)",
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
    return _is_given("repo", config, environ)


def is_promised(config: pytest.Config, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this job promises to have something. Nothing is parsed."""
    return _is_given("require", config, environ)


def _is_given(name: str, config: pytest.Config, environ: Mapping[str, str]) -> bool:
    found = given(next(one for one in OPTIONS if one.name == name), config, environ)
    return found is not None and bool(found.texts)
