"""The variables of a deployed server, for a rehearsal of it on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pytest_triton.deployment.deployed_server import DeployedServer, visible_ids

# They name what is in the image, or would take from the plugin what it asks a server for.
_OF_THE_IMAGE = re.compile(
    r"LD_\w+|PATH|PYTHONPATH|PYTHONHOME|HOME|TMPDIR|PWD|USER|SHELL|AIP_\w+|PYTEST_\w+|"
    r"NVIDIA_VISIBLE_DEVICES|CUDA_VISIBLE_DEVICES"
)
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def rehearsed_environment(server: DeployedServer, granted: int) -> tuple[tuple[str, str], ...]:
    """What its tritonserver gets here too, with so many simulated GPUs granted.

    GPUs that CUDA_VISIBLE_DEVICES calls by a UUID are called by their number: simulated ones have
    others.
    """
    return tuple(sorted(_kept(server.environment, granted)))


def _kept(environment: Mapping[str, str], granted: int) -> Iterator[tuple[str, str]]:
    for name, value in environment.items():
        if _OF_THE_IMAGE.fullmatch(name) is None and "\0" not in value:
            yield name, value
    visible = environment.get(_VISIBLE)
    if visible is not None and "-" in visible.strip():
        yield _VISIBLE, ",".join(str(n) for n in range(len(visible_ids(visible, granted))))
    elif visible is not None:
        yield _VISIBLE, visible


def simulated_count(server: DeployedServer, host: int | None) -> int:
    """How many GPUs are simulated as granted: as many as the file says; else those that are named,
    or one."""
    count = server.granted(host)
    if count is not None:
        return count
    named = visible_ids(server.environment.get(_VISIBLE, "0"), None)
    ordinals = [int(one) for one in named if one.isdecimal()]
    return max([*(one + 1 for one in ordinals), len(named)], default=1)
