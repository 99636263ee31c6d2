"""What a loss of GPUs shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pytest_triton.placement.compare import Observed


@dataclass(frozen=True)
class GpuLoss:
    """What became of a server whose GPUs were taken away: each model before and after a reload.

    `live` and `ready` are what its health endpoints say at the end: a server that lost all GPUs
    still lives, and isn't ready if any model was refused. `run` says that this was simulated.
    """

    before: Mapping[str, Observed]
    after: Mapping[str, Observed]
    live: bool
    ready: bool
    run: str
    allowed: tuple[str, ...] = ()

    @property
    def refused(self) -> tuple[str, ...]:
        """Models that refused to load again, as GPU-pinned models must."""
        return tuple(name for name, seen in self.after.items() if not seen.ready)

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """Models that ran on a GPU before and run on the CPU only after, READY and unnoticed.

        Without those that triton_allow_fallback names (`allowed`: its patterns).
        """
        return tuple(
            name
            for name, seen in self.after.items()
            if seen.ready
            and not any(fnmatchcase(name, pattern) for pattern in self.allowed)
            and self.before[name].placement.devices
            and seen.placement
            and not seen.placement.devices
        )
