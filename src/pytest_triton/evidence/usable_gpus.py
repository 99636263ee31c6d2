"""Evidence: the GPUs that a server can use, as its log shows when it starts.

Core makes a CUDA memory pool on every GPU that it takes for usable, and says so: the best proof
that the GPUs which were asked for have arrived in the server. An attached server's log can be read
only if somebody names it; else its GPUs are known as far as its answers show them
(reported_gpus.py).
"""

from __future__ import annotations

from dataclasses import replace

from pytest_triton.client.api import open_api
from pytest_triton.client.configs import resolved_configs
from pytest_triton.errors import says_all
from pytest_triton.evidence.reported_gpus import ReportedGpus, reported_gpus
from pytest_triton.evidence.server_build import build_in_log
from pytest_triton.placement.hardware import Gpu, Hardware
from pytest_triton.servers.gpus_in_log import GpusMissing as GpusMissing
from pytest_triton.servers.gpus_in_log import usable_gpus as usable_gpus
from pytest_triton.servers.running_server import RunningServer

__tracebackhide__ = says_all

_ENOUGH = (99, 0)  # core has already left out the GPUs that it finds too old


def hardware_of(server: RunningServer) -> Hardware:
    """The GPUs that a server has. Raises GpusMissing if they aren't what was asked for."""
    known = server.spec.hardware.hardware()
    if known is None or not server.spec.host.is_ours:
        return real_hardware(server)
    return known


def reported_by(server: RunningServer) -> ReportedGpus:
    """The GPUs of an attached server, as far as it reports them. Raises ServerSilent."""
    log = server.log.since()
    if log:
        return ReportedGpus(usable_gpus(log), True, "its log says so")
    with open_api(server.endpoints) as api:
        index = api.index()
    found = reported_gpus(entry.get("reason", "") for entry in index)
    if found.exact:
        return found
    ready = [entry["name"] for entry in index if entry.get("state") == "READY"]
    configs = [config for _, config in resolved_configs(server.endpoints, ready)]
    return reported_gpus((), [config for config in configs if config is not None])


def real_hardware(server: RunningServer) -> Hardware:
    """The real GPUs that a server has; of an attached one, those that it reports.

    Raises GpusMissing if it isn't what was asked for.
    """
    if not server.spec.host.is_ours:
        return _as_reported(server)
    found = usable_gpus(server.log.since())
    asked = server.spec.hardware
    if not found or (asked.count is not None and len(found) != asked.count):
        raise GpusMissing(
            f"{asked.label} asked for, but {server.description} can use "
            f"{len(found) or 'no'} GPU{'s' if len(found) != 1 else ''}.",
            tried=[
                f"GPUs asked for: {asked} (--triton-gpus, or gpus= of a test)",
                "the server's log: 'CUDA memory pool is created on device ...' for each GPU",
            ],
            fix="check `nvidia-smi -L` where the server runs, the driver's version, and that "
            f"the cards have compute capability {_least(server)} or more; or ask for the GPUs that "
            f"are there{asked.or_rehearse}",
        )
    return Hardware(tuple(Gpu(device, _ENOUGH) for device in found), simulated=False)


def _least(server: RunningServer) -> str:
    """The least compute capability that this build takes."""
    build = build_in_log(server.log.since())
    return "{}.{}".format(*(build.min_compute_capability or (6, 0)))


def _as_reported(server: RunningServer) -> Hardware:
    """Where the server reports less than all, who asked for a number knows that these are all."""
    reported, asked = reported_by(server), server.spec.hardware
    if asked.is_own:
        return reported.hardware
    if len(reported.gpus) != asked.count:
        raise GpusMissing(
            f"{asked.label} expected, but {server.description} reports: {reported}.",
            tried=[
                f"GPUs asked for: {asked} (--triton-gpus, or gpus= of a test)",
                "refusals in its repository index, the devices that its models run on",
            ],
            fix="check the server's GPUs and those that its models use; or leave "
            "--triton-gpus out to take the server as it is",
        )
    return replace(reported.hardware, at_least=False)
