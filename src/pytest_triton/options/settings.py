"""Every option, once: the fields of `Settings` make the command line, the ini keys, the
environment variables and the arguments of the marker `triton`.

An option called `x` is `--triton-x` on the command line, `triton_x` in pytest's ini file (or its
TOML) and `PYTEST_TRITON_X` in the environment. A repeatable option takes one value a line in the
ini file and the environment, a list in TOML, and a single line of the environment is separated as a
shell separates words. Options whose scope is
`server` are arguments of the marker `triton`, of factories and fixtures, too.

Imported at every start of pytest, so it must be cheap: what values mean is in `reading`, which one
wins in `resolving`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from pytest_triton.options.option import option, options_of

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_triton.audit import Ignored
    from pytest_triton.options.hosts import Host
    from pytest_triton.options.values import (
        Deployment,
        DeploymentFile,
        Expectation,
        GivenValues,
        LogPlace,
        Requirement,
    )
    from pytest_triton.placement.hardware import Hardware, HardwareRequest
    from pytest_triton.plan.sharding import Shard
    from pytest_triton.repository.stores import RepositoryPlace

Source = Literal[
    "fixture or factory",
    "marker",
    "triton_server_args",
    "triton_server_environment",
    "command line",
    "ini file",
    "environment",
    "argument",
    "default",
]
Backends = Literal["real", "stand-in", "auto"]
GpuDriver = Literal["nvidia", "cdi"]
Pull = Literal["missing", "always", "never"]
Transfer = Literal["auto", "mount", "copy"]
OnGpuLoss = Literal["stops", "not-ready", "degraded", "unnoticed"]
Weights = Literal["present", "elsewhere"]


@dataclass(frozen=True)
class ContainerOptions:
    """How a container is run.

    `gpu_driver` asks for GPUs through NVIDIA's runtime or by CDI names. `shm_size` (of /dev/shm)
    and `memory` are in bytes, `pids` counts processes and threads; None: no limit. `user` is
    `uid`, `uid:gid` or a name in the image (None: the image's own). With `read_only` nothing but
    /tmp and /dev/shm can be written. `pull` says when the image is fetched, `pull_timeout` (in
    seconds) how long that may take. `transfer` says how the repositories get in: `auto` mounts
    them, and copies them where the daemon has other files than this machine. `mount` are further
    paths that the models need, seen under the same names, read-only. With `reuse` the container
    goes on running for the next session.
    """

    gpu_driver: GpuDriver = option(
        "gpu_driver",
        "DRIVER",
        "how a container gets real GPUs: nvidia (NVIDIA's container toolkit) or cdi (default: "
        "nvidia)",
        default="nvidia",
        scope="server",
    )
    shm_size: int = option(
        "bytes",
        "SIZE",
        "shared memory of a container, which python models need (default: 1g)",
        default=1 << 30,
        scope="server",
    )
    memory: int | None = option(
        "bytes", "SIZE", "memory limit of a container, such as 8g (default: none)", scope="server"
    )
    pids: int | None = option(
        "number",
        "N",
        "processes and threads that a container may have (default: any)",
        scope="server",
    )
    user: str | None = option(
        "text",
        "USER",
        "the user in a container: uid, uid:gid or a name in the image (default: the image's)",
        scope="server",
    )
    read_only: bool = option(
        "switch",
        "on|off",
        "whether a container can write nothing but /tmp and /dev/shm (default: off)",
        default=False,
        scope="server",
    )
    mount: tuple[Path, ...] = option(
        "path",
        "PATH",
        "file or folder that models need besides their repository, also by links; a container "
        "sees it under the same path, read-only (repeatable)",
        repeatable=True,
        scope="server",
    )
    transfer: Transfer = option(
        "transfer",
        "HOW",
        "how repositories get into a container: mount, copy, or auto: mounted if Docker has the "
        "files of this machine (default: auto)",
        default="auto",
        scope="server",
    )
    pull: Pull = option(
        "pull",
        "WHEN",
        "when the image is fetched: missing, always or never (default: missing)",
        default="missing",
        scope="server",
    )
    pull_timeout: float = option(
        "seconds",
        "SECONDS",
        "how long fetching the image may take (default: 1800)",
        default=1800.0,
        scope="server",
    )
    reuse: bool = option(
        "switch",
        "on|off",
        "keep containers running for the next pytest run; pytest-triton clean removes "
        "them (default: off)",
        default=False,
    )

    def __post_init__(self) -> None:
        given = {
            row.name: getattr(self, row.name)
            for row in options_of(type(self))
            if getattr(self, row.name) != row.default
        }
        if given:
            from pytest_triton.options.reading import read_fields

            for name, value in read_fields(options_of(type(self)), given).items():
                object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Settings:
    """All options, with their values. `sources` says where each came from, by option name.

    `server` and `backends` are decided here: the one is "process", "container" or a URL, and of
    the other "auto" has become real or stand-in. `timeout` is in seconds. `header` are pairs of a
    header and the environment variable with its value, `environment` of a variable and its value.
    """

    repo: tuple[Deployment, ...] = option(
        "deployment",
        "DIR",
        "model repository to check: every model becomes tests. Repeatable, one deployment each; "
        "DIR:DIR is one deployment with two repositories. Write it with '='",
        repeatable=True,
        scope="server",
    )
    weights: Weights = option(
        "weights",
        "WHERE",
        "present, or elsewhere: version directories and files that the configs need and that "
        "aren't there are assumed, in rehearsals (default: present)",
        default="present",
        scope="server",
    )
    values: tuple[GivenValues, ...] = option(
        "values",
        "FILE|KEY=VALUE",
        "values for configs that are templates (${name} or Jinja2): a file of JSON, YAML, TOML or "
        ".env, or KEY=VALUE. Repeatable; several files are several deployments",
        repeatable=True,
        scope="server",
    )
    config_name: str | None = option(
        "text",
        "NAME",
        "the variant of configs to check: configs/NAME.pbtxt where a model has it, else "
        "config.pbtxt (tritonserver's --model-config-name)",
        scope="server",
    )
    server: str = option(
        "server",
        "WHERE",
        "process, container, or the URL of a running server such as grpc://host:8001 (default: "
        "container if an image is named, else process)",
        default="process",
        scope="server",
    )
    header: tuple[tuple[str, str], ...] = option(
        "header",
        "NAME=env:VAR",
        "header to send to a running server, with its value from an environment variable, such "
        "as Authorization=env:TOKEN (repeatable)",
        repeatable=True,
    )
    tls_ca: Path | None = option(
        "path", "FILE", "PEM file with the authorities to trust for grpcs, https"
    )
    tls_cert: Path | None = option(
        "path", "FILE", "PEM file with the client's certificate for grpcs, https"
    )
    tls_key: Path | None = option("path", "FILE", "PEM file with the key of that certificate")
    metrics: str | None = option(
        "metrics",
        "URL",
        "where a running server has its metrics, such as http://host:8002/metrics: assert_ran_on "
        "needs them",
        scope="server",
    )
    log: LogPlace | None = option(
        "log",
        "FILE|container:NAME",
        "the log of a running server, as further evidence: a file, or a container of this "
        "machine's Docker",
        scope="server",
    )
    allow_changes: bool = option(
        "switch",
        "on|off",
        "whether tests marked triton(changes=True) may load and unload models of a running "
        "server (default: off)",
        default=False,
    )
    image: str | None = option(
        "text",
        "IMAGE",
        "the image of a container (default: a pinned official one)",
        scope="server",
    )
    binary: Path | None = option(
        "path",
        "PATH",
        "the tritonserver to run (default: PATH, /opt/tritonserver, installed releases, an "
        "installed nvidia-pytriton)",
        scope="server",
    )
    version: str | None = option(
        "text",
        "VERSION",
        "the installed release to run, such as 2.51.0 (see pytest-triton install)",
        scope="server",
    )
    release: tuple[int, int, int] | None = option(
        "release",
        "RELEASE",
        "the Triton release that this run is about: a version (2.70.0) or the tag of its official "
        "image (26.06). What is checked without a server goes by its rules (default: that of the "
        "server, or of the image by its tag; else the newest known)",
    )
    python: Path | None = option(
        "path",
        "PYTHON",
        "the interpreter that python models run on (default: the one that runs pytest)",
        scope="server",
    )
    gpus: tuple[HardwareRequest, ...] = option(
        "hardware",
        "SPEC",
        "GPUs to give a server: none, all, a count, ids or UUIDs (0,1), sim:N or sim:N@CC for "
        "simulated ones, own (a running server's). Repeatable, one hardware each (default: none "
        "and sim:2; with real backends none; with a server's URL own)",
        repeatable=True,
        scope="server",
    )
    backends: Backends = option(
        "backends",
        "MODE",
        "real, stand-in (a rehearsal: no framework, no weights), or auto: stand-in unless real "
        "GPUs, a container or a running server are named (default: auto)",
        default="auto",
        scope="server",
    )
    timeout: float = option(
        "seconds",
        "SECONDS",
        "how long a server may take to start (default: 120)",
        default=120.0,
        scope="server",
    )
    server_args: tuple[tuple[str, ...], ...] = option(
        "words",
        "ARGS",
        "production's arguments for tritonserver, quoted as for a shell: what they load, and how, "
        "is checked; addresses and the like are replaced. Write it with '=' (repeatable)",
        repeatable=True,
    )
    deployment: tuple[DeploymentFile, ...] = option(
        "deployment_file",
        "FILE[::NAME]",
        "what production runs: a compose file, rendered Kubernetes manifests, or a folder of them. "
        "Each Triton server in it becomes a test (repeatable)",
        repeatable=True,
    )
    deployment_repo: tuple[tuple[str, RepositoryPlace], ...] = option(
        "mapping",
        "/PATH=DIR",
        "where a repository is that a deployment mounts from elsewhere: a directory, or the URL of "
        "an object store (repeatable)",
        repeatable=True,
    )
    on_gpu_loss: OnGpuLoss = option(
        "gpu_loss",
        "WHAT",
        "what a deployed server must do at least when its GPUs are lost: stops, not-ready, "
        "degraded, or unnoticed for anything (default: degraded)",
        default="degraded",
    )
    arguments: tuple[str, ...] = option(
        "texts", "LIST", "arguments for tritonserver", default=(), scope="test"
    )
    environment: tuple[tuple[str, str], ...] = option(
        "variables", "MAPPING", "environment variables for tritonserver", default=(), scope="test"
    )
    changes: bool = option(
        "switch",
        "BOOL",
        "whether the test may load and unload models",
        default=False,
        scope="test",
    )
    load: tuple[str, ...] | None = option(
        "texts",
        "LIST",
        "models to load at the start (default: all; needs changes=True)",
        scope="test",
    )
    update_golden: bool = option(
        "switch",
        "on|off",
        "write golden files instead of comparing with them, in tests of real runs; --triton-"
        "update-golden alone is on (default: off)",
        default=False,
    )
    allow_fallback: tuple[str, ...] = option(
        "text",
        "PATTERN",
        "models that may run on the CPU where no GPU is (repeatable)",
        repeatable=True,
    )
    expect: tuple[Expectation, ...] = option(
        "expectation",
        "PATTERN:KINDS",
        "what models must declare, such as 'fraud_*: gpu' (repeatable)",
        repeatable=True,
    )
    own_backends: tuple[str, ...] = option(
        "text",
        "NAME",
        "a backend of your own, which a server has beside Triton's: rehearsals stand in for it, "
        "and no check calls its name unknown (repeatable)",
        repeatable=True,
    )
    target: Hardware | None = option(
        "target",
        "GPUS",
        "the GPUs of production, for the audit: a number, or sim:N@CC with a compute capability",
    )
    audit_select: tuple[tuple[str, ...], ...] = option(
        "audit_selected",
        "RULES",
        "apply these rules of the audit only: TRT101, or TRT1 for all that start so (repeatable)",
        repeatable=True,
    )
    audit_ignore: tuple[Ignored, ...] = option(
        "audit_ignored",
        "RULES[:PATTERNS]",
        "leave these rules out, for models that fit the patterns: 'TRT101: tokenizer_*' "
        "(repeatable)",
        repeatable=True,
    )
    require: tuple[Requirement, ...] = option(
        "requirement",
        "WHAT",
        "what this job must have: gpus, gpus=2 (real ones), container, real-backends. "
        "Where it hasn't, or no test used it, the run fails (repeatable)",
        repeatable=True,
    )
    copy_checks: bool | None = option(
        "switch",
        "on|off",
        "whether pytest and its plugins are asked about the checks of one model only, and those "
        "of the others are copies (default: on for 300 models and more)",
    )
    ledger: Path | None = option(
        "path",
        "FILE.json",
        "write what was proven to this file, for pytest-triton merge. Runs of one job "
        "may share a file",
    )
    job: str | None = option(
        "text",
        "NAME",
        "what this run is called in its ledger (default: the CI job's name, or local)",
    )
    shard: Shard | None = option(
        "shard",
        "K/N",
        "check only the models of part K of N, which are the same in every run",
    )
    html: Path | None = option(
        "path", "FILE.html", "write a page of models x hardware to this file"
    )
    markdown: Path | None = option("path", "FILE.md", "write a summary in Markdown to this file")
    gitlab: Path | None = option(
        "path", "FILE.json", "write a GitLab code quality report to this file"
    )
    github: bool | None = option(
        "switch",
        "on|off",
        "annotate config.pbtxt files and write the job's summary, as GitHub Actions shows them "
        "(default: on in GitHub Actions)",
    )
    container: ContainerOptions = ContainerOptions()
    sources: Mapping[str, Source] = field(default_factory=lambda: MappingProxyType({}))
    repo_replaced: bool = False
    """The ini file names repositories too, and others are checked instead of them."""

    @property
    def host(self) -> Host:
        """Where the servers run."""
        from pytest_triton.options.hosts import host_of

        return host_of(self)


CONTAINER_OPTIONS = options_of(ContainerOptions)
OPTIONS = (*options_of(Settings), *CONTAINER_OPTIONS)
RUN_OPTIONS = tuple(row for row in OPTIONS if row.scope != "test")
"""On the command line, in the ini file, in the environment."""
ARGUMENT_OPTIONS = tuple(row for row in OPTIONS if row.scope != "run")
"""Arguments of the marker `triton`, of factories and fixtures."""
