"""The GPUs that a server can use, as its log shows when it starts.

Core makes a CUDA memory pool on every GPU that it takes for usable, and says so: the best proof
that the GPUs which were asked for have arrived in the server.
"""

from __future__ import annotations

import re

from pytest_triton.errors import PytestTritonError

_POOL = re.compile(r"CUDA memory pool is created on device (\d+)")


class GpusMissing(PytestTritonError):
    """The server sees fewer GPUs than were asked for."""


def usable_gpus(log: str) -> tuple[int, ...]:
    """The ids of the GPUs that the server can use."""
    return tuple(sorted({int(device) for device in _POOL.findall(log)}))
