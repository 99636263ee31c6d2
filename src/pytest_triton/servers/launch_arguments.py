"""What a tritonserver is started with, wherever it runs: arguments, variables, and their files.

Files lie in the server's folder. A container sees the folder, the repositories and the libraries
of the rehearsal under the same paths as this machine, so all this is the same for both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_triton.options.server_arguments import names_flag
from pytest_triton.placement.command_line import BadArguments, CommandLine, read_version
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.rehearsal.completed_configs import write_completions
from pytest_triton.rehearsal.simulation import (
    NATIVE_DIRECTORY,
    SimulatedGpus,
    assemble_backends,
    environment,
    write_control,
)
from pytest_triton.servers.folders import folder_errors
from pytest_triton.servers.repository_view import make_view
from pytest_triton.servers.spec import VIEWS, ServerSpec

CONTROL_FILE = "simulated-gpus"


def arguments(
    spec: ServerSpec, *, name: str, repositories: Sequence[Path], backends: Path | None
) -> list[str]:
    """Of tritonserver, without those about ports.

    `name` becomes its `--id`, so that no other server is taken for it; without `backends` it uses
    its own.
    """
    command = ["--exit-on-error=false", f"--id={name}"]
    command += [f"--model-repository={path}" for path in repositories]
    if backends is not None:
        command.append(f"--backend-directory={backends}")
    if spec.model_control == "explicit":
        command.append("--model-control-mode=explicit")
        loaded = ["*"] if spec.load is None else spec.load
        command += [f"--load-model={model}" for model in loaded]
    return command


def check_known(spec: ServerSpec, version: str | None) -> None:
    """Raise BadArguments for a flag that a server of this version doesn't know, with those that
    do. Whatever else it minds about a test's own arguments it says itself.
    """
    release = read_version(version)
    if not (spec.arguments and release):
        return
    try:
        line = CommandLine.parse(spec.arguments)
    except BadArguments:
        return
    line.check_known(release)


def library_directories(root: Path, given: Sequence[str]) -> list[str]:
    """The flags for what lies beside a server's binary, in an installation at `root`.

    Triton looks in /opt/tritonserver for what no flag names. Flags that are `given` go before.
    """
    return [
        f"--{flag}={root / folder}"
        for flag, folder in (("cache-directory", "caches"), ("repoagent-directory", "repoagents"))
        if os.path.isdir(root / folder) and not names_flag(given, flag)
    ]


def stand_ins(
    spec: ServerSpec, folder: Path, libraries: Path = NATIVE_DIRECTORY
) -> tuple[Path, dict[str, str]]:
    """The backend directory of the spec's stand-ins, made in the folder, and their variables."""
    directory = assemble_backends(folder / "backends", spec.stand_ins, libraries)
    return directory, write_completions(folder / "completions", spec.completed)


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """What a server of this machine may have of pytest's variables."""
    # On Vertex AI this one makes Triton close HTTP and gRPC.
    return {name: value for name, value in environ.items() if name != "AIP_MODE"}


def gpus_of(hardware: HardwareRequest) -> SimulatedGpus:
    """The simulated GPUs that were asked for."""
    gpus = SimulatedGpus(hardware.count or 0)
    if hardware.compute_capability is None:
        return gpus
    return replace(gpus, compute_capability=hardware.compute_capability)


def simulated_gpus(
    hardware: HardwareRequest,
    folder: Path,
    inherited: Mapping[str, str] | None = None,
    libraries: Path = NATIVE_DIRECTORY,
) -> dict[str, str]:
    """The variables that give a server simulated GPUs; their control file is in the folder."""
    control = folder / CONTROL_FILE
    write_control(control, gpus_of(hardware))
    return environment(control, inherited, libraries)


def served_repositories(spec: ServerSpec, folder: Path) -> tuple[Path, ...]:
    """The repositories, or folders of links to all in them that the server is to see."""
    hidden = {*spec.left_out, *spec.shadowed}
    served = []
    for number, repository in enumerate(spec.repositories):
        added = {one.path: one for one in spec.added if one.path.is_relative_to(repository)}
        if added or any(path.is_relative_to(repository) for path in hidden):
            links = folder / VIEWS / f"{number}-{repository.name}"
            with folder_errors():
                make_view(repository, links, hidden, added)
            repository = links
        served.append(repository)
    return tuple(served)
