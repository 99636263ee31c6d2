"""What a container may do: as little as Triton can live with.

Triton needs no capability at all, tried with 2.51.0 and real python models, as root and as
another user. Root without any obeys permissions, though: models that only their owner may read
need DAC_OVERRIDE, one of Docker's default ones, if the owner isn't root.
"""

from __future__ import annotations

from typing import Any

from pytest_triton.options.settings import ContainerOptions


def restrictions(options: ContainerOptions, *, reads_others_files: bool) -> dict[str, Any]:
    """Keyword arguments of docker-py's `create`."""
    restricted: dict[str, Any] = {
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "shm_size": options.shm_size,
        "read_only": options.read_only,
    }
    if reads_others_files and options.user is None:
        restricted["cap_add"] = ["DAC_OVERRIDE"]
    if options.user is not None:
        restricted["user"] = options.user
    if options.memory is not None:
        restricted["mem_limit"] = options.memory
        restricted["memswap_limit"] = options.memory  # the limit holds for both together
    if options.pids is not None:
        restricted["pids_limit"] = options.pids
    if options.read_only:
        restricted["tmpfs"] = {"/tmp": ""}
    return restricted
