"""Witness: the GPUs that a server can use, as its log tells when it starts.

Core makes a CUDA memory pool on every GPU that it takes for usable, and says so: the best proof
that the GPUs which were asked for have arrived in the server.
"""

from __future__ import annotations

import re

from pytest_triton.errors import PytestTritonError
from pytest_triton.placement.hardware import Gpu, Hardware
from pytest_triton.servers.server import RunningServer

_POOL = re.compile(r"CUDA memory pool is created on device (\d+)")
_ENOUGH = (99, 0)  # core has already left out the GPUs that it finds too old


class GpusMissing(PytestTritonError):
    """The server sees fewer GPUs than were asked for."""


def usable_gpus(log: str) -> tuple[int, ...]:
    """The ids of the GPUs that the server can use."""
    return tuple(sorted({int(device) for device in _POOL.findall(log)}))


def real_hardware(server: RunningServer) -> Hardware:
    """The real GPUs that a server has. Raises GpusMissing if it isn't what was asked for."""
    found = usable_gpus(server.log.since())
    asked = server.spec.hardware
    if not found or (asked.count is not None and len(found) != asked.count):
        raise GpusMissing(
            f"{asked.label} asked for, but {server.description} can use "
            f"{len(found) or 'no'} GPU{'s' if len(found) != 1 else ''}.",
            tried=[
                f"--triton-gpus={asked}",
                "the server's log: 'CUDA memory pool is created on device ...' for each GPU",
            ],
            cure="check `nvidia-smi -L` where the server runs, the driver's version, and that "
            "the cards have compute capability 6.0 or more; or ask for the GPUs that are there",
        )
    return Hardware(tuple(Gpu(device, _ENOUGH) for device in found), simulated=False)
