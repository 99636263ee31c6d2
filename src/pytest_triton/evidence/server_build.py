"""The build of a server, as it says it itself: GPU support, the least compute capability.

Both are decided when Triton is compiled (6.0 by build.py, 7.5 by core's CMake). The table that core
logs at its start has the capability, and so has the configuration that each backend is given; a
server without GPU support has 0.0 there, and makes no CUDA memory pool. An attached server's log
can't be read: there the reasons of refused models say, if one was refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pytest_triton.placement.predict import ServerTraits

_IN_TABLE = re.compile(r"min_supported_compute_capability\s*\|\s*(\d+)\.(\d)")
_IN_CONFIG = re.compile(r"min-compute-capability\W+(\d+)\.(\d)")
_IN_REASON = re.compile(r"minimum required CUDA compute compatibility of (\d+)\.(\d)")
_POOL = re.compile(r"CUDA memory pool (is created|disabled)|unable to create CUDA memory pool")
_NO_SUPPORT = "server does not support GPUs"


@dataclass(frozen=True)
class ServerBuild:
    """What is known of a build; None for what nothing says."""

    gpu_support: bool | None = None
    min_compute_capability: tuple[int, int] | None = None

    def applied(self, traits: ServerTraits) -> ServerTraits:
        if self.gpu_support is not None:
            traits = replace(traits, gpu_support=self.gpu_support)
        if self.min_compute_capability is not None:
            traits = replace(traits, min_compute_capability=self.min_compute_capability)
        return traits


def build_in_log(log: str) -> ServerBuild:
    """From what a server wrote at its start."""
    found = _IN_TABLE.search(log) or _IN_CONFIG.search(log)
    least = None if found is None else (int(found[1]), int(found[2]))
    if _POOL.search(log):
        return ServerBuild(True, least)
    if least == (0, 0):
        return ServerBuild(False)
    return ServerBuild(None, least)


def build_in_reasons(reasons: Iterable[str]) -> ServerBuild:
    """From the reasons in a repository index."""
    for reason in reasons:
        if _NO_SUPPORT in reason:
            return ServerBuild(False)
        found = _IN_REASON.search(reason)
        if found is not None:
            return ServerBuild(True, (int(found[1]), int(found[2])))
    return ServerBuild()
