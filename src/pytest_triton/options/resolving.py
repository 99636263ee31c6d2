"""Layers in, settings out: of each option the strongest layer that gives it wins.

Precedence: what a fixture or factory was called with, the markers (the closest first),
overridden fixtures (`triton_server_args`, `triton_server_environment`), command line, ini file,
environment, default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pytest_triton.options.hosts import Host, host_type
from pytest_triton.options.reading import ReadLayer, read_layer
from pytest_triton.options.rehearsal_image import rehearsal_image
from pytest_triton.options.settings import (
    CONTAINER_OPTIONS,
    OPTIONS,
    ContainerOptions,
    Settings,
    Source,
)
from pytest_triton.options.sources import run_layers
from pytest_triton.options.values import Deployment, OptionError
from pytest_triton.placement.hardware import OWN_GPUS, HardwareRequest

if TYPE_CHECKING:
    import pytest


def read_run_layers(
    config: pytest.Config, environ: Mapping[str, str] = os.environ
) -> tuple[ReadLayer, ...]:
    """The layers of the whole run. Raises OptionError."""
    return tuple(map(read_layer, run_layers(config, environ)))


def read_settings(config: pytest.Config, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of the whole run. Raises OptionError."""
    return run_settings(read_run_layers(config, environ))


def run_settings(layers: Sequence[ReadLayer]) -> Settings:
    """The settings of the whole run. Raises OptionError for what can't be given together."""
    settings = resolve(layers)
    _check_attached(settings)
    if settings.update_golden and settings.sources["update_golden"] == "ini file":
        raise OptionError(
            "triton_update_golden (ini file): golden files would be written in every run, and "
            "nothing would ever be compared",
            fix="say so on the command line, for one run: --triton-update-golden",
        )
    if settings.server_args:
        _check_server_args(settings)
    return settings


def resolve(layers: Sequence[ReadLayer]) -> Settings:
    """The settings that these layers make, the strongest first.

    Who names an image wants a container, who names a binary or a release a process, unless a
    stronger layer names the server. A test that wants a server of another kind (a running one, or
    one that pytest starts) than the run has gets no hardware and backends from the run's options.
    """
    named = _server(layers)
    # Where no tritonserver can run as a process, there may be an image for rehearsals.
    image = rehearsal_image() if named is None else None
    server = named or ("process" if image is None else "container")
    host = host_type(server)
    of_run = [read for read in layers if not read.layer.of_test]
    differs = host.is_ours != host_type(_server(of_run) or "process").is_ours
    usable = [read for read in layers if read.layer.of_test] if differs else layers
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for option in OPTIONS:
        among = usable if option.name in ("gpus", "backends") else layers
        found = next((read for read in among if option.name in read.values), None)
        values[option.name] = option.default if found is None else found.values[option.name]
        sources[option.name] = "default" if found is None else found.layer.source
    values["server"] = server
    if image is not None:
        values["image"] = image
    if values["backends"] == "auto":
        rehearses = (host.may_rehearse or image is not None) and not _real_gpus(usable)
        values["backends"] = "stand-in" if rehearses else "real"
    if sources["gpus"] == "default":
        values["gpus"] = _default_hardware(host, values["backends"])
    _check_weights(values, sources)
    container = ContainerOptions(**{row.name: values.pop(row.name) for row in CONTAINER_OPTIONS})
    return Settings(
        sources=MappingProxyType(sources),
        repo_replaced=_repo_replaced(of_run),
        container=container,
        **values,
    )


def _server(layers: Sequence[ReadLayer]) -> str | None:
    """The server that they name, by whatever option; None: none."""
    for _, values in layers:
        if "server" in values:
            return str(values["server"])
        if "image" in values:
            return "container"
        if "binary" in values or "version" in values:
            return "process"
    return None


def _real_gpus(layers: Sequence[ReadLayer]) -> bool:
    requests: list[HardwareRequest] = []
    for _, values in layers:
        given: Any = values.get("gpus", ())
        requests += given
    return any(request.is_real for request in requests)


def _default_hardware(host: type[Host], backends: str) -> tuple[HardwareRequest, ...]:
    if not host.is_ours:
        return (OWN_GPUS,)
    specs = ["none"] if backends == "real" else ["none", "sim:2"]
    return tuple(HardwareRequest.parse(spec) for spec in specs)


def _repo_replaced(layers: Sequence[ReadLayer]) -> bool:
    """Whether the ini file names repositories, and the command line none of them."""
    given: dict[Source, tuple[Deployment, ...]] = {}
    for layer, values in layers:
        found: Any = values.get("repo", ())
        given[layer.source] = found
    in_ini = {path for one in given.get("ini file", ()) for path in one.paths}
    wanted = {path for one in given.get("command line", ()) for path in one.paths}
    return bool(in_ini and wanted) and not in_ini & wanted


def _check_server_args(settings: Settings) -> None:
    from pytest_triton.options.production_arguments import command_line
    from pytest_triton.placement.command_line import BadArguments

    try:
        command_line(settings)
    except BadArguments as error:
        where = f"--triton-server-args ({settings.sources['server_args']})"
        raise OptionError(f"{where}: {error.what}", fix=error.fix) from None


def _check_weights(values: Mapping[str, Any], sources: Mapping[str, Source]) -> None:
    """Real backends read the models' files; an attached server has them itself."""
    real = values["backends"] == "real" and host_type(values["server"]).is_ours
    if values["weights"] == "elsewhere" and real:
        raise OptionError(
            f"weights=elsewhere ({sources['weights']}): the backends are real "
            f"({sources['backends']}), and a real backend reads the files of its models, so that "
            "none can be assumed",
            fix="rehearse (backends=stand-in), or fetch the weights first and leave weights out",
        )
    urls = [store.url for deployment in values["repo"] for store in deployment.stores]
    if urls and real:
        raise OptionError(
            f"{urls[0]} is in an object store, of which only small files are fetched, and the "
            f"backends are real ({sources['backends']}): they read the files of their models",
            fix="rehearse (backends=stand-in), or copy the repository to this machine's disk",
        )


def _check_attached(settings: Settings) -> None:
    """What can't be said together with a running server's URL, and what needs one."""
    if host_type(settings.server).is_ours:
        if any(request.is_own for request in settings.gpus):
            raise OptionError(
                "--triton-gpus=own: only a running server has GPUs of its own: name "
                "its URL (--triton-server)"
            )
        for name in ("metrics", "log"):
            if getattr(settings, name) is not None:
                raise OptionError(
                    f"--triton-{name} ({settings.sources[name]}) is for a running server, and "
                    "pytest starts this one itself",
                    fix=f"name the server's URL (--triton-server), or leave --triton-{name} out",
                )
        return
    where = f"--triton-server={settings.server} is a running server"
    other = [request for request in settings.gpus if not request.holds_attached]
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
