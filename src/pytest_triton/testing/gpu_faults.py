"""The part of `TritonServer` that takes simulated GPUs away, and what that shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal, get_args

from pytest_triton.arguments.checked import checked
from pytest_triton.arguments.kinds import ZERO_OR_MORE, ArgumentKind, one_of
from pytest_triton.client.api import open_api
from pytest_triton.errors import OptionError, PytestTritonError, says_all
from pytest_triton.placement.compare import Observed
from pytest_triton.placement.hardware import MAX_SIMULATED_GPUS
from pytest_triton.rehearsal.simulation import write_control
from pytest_triton.servers.launch_arguments import gpus_of
from pytest_triton.testing.model_loading import ModelLoading
from pytest_triton.testing.state import ServerState

__tracebackhide__ = says_all


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

    def __repr__(self) -> str:
        return (
            f"<GpuLoss of {len(self.after)} models, refused: {', '.join(self.refused) or 'none'}; "
            f"fallbacks: {', '.join(self.fallbacks) or 'none'}; live: {self.live}, "
            f"ready: {self.ready}; {self.run}>"
        )

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


Fault = Literal["none", "driver-too-old", "no-device", "unknown"]

_GPUS = ArgumentKind(
    f"a number of GPUs, 0 to {MAX_SIMULATED_GPUS}",
    lambda value: ZERO_OR_MORE.fits(value) and value <= MAX_SIMULATED_GPUS,
)
_FAULT = one_of(get_args(Fault))


class GpuFaults:
    """Lose simulated GPUs, on a server that the test may change; they come back at its end."""

    _state: ServerState
    _loading: ModelLoading

    @checked(count=_GPUS, fault=_FAULT)
    def set_gpus(self, count: int, *, fault: Fault = "none") -> None:
        """Give the server another number of simulated GPUs, from now on: what loads next sees it.

        `fault` makes CUDA fail as a machine's would: `driver-too-old` and `no-device` (Triton
        takes both for 0 GPUs), `unknown` (Triton refuses every model that loads).
        """
        self._state.check_changeable()
        control = self._state.running.control_file
        if control is None:
            elsewhere = "" if self._state.running.spec.host.is_ours else ", server='process'"
            raise PytestTritonError(
                f"{self._state.running.spec.hardware.label}: only simulated GPUs can be taken away",
                fix=f'mark the test triton(gpus="sim:2", changes=True{elsewhere})',
            )
        if self._state.gpus_before is None:
            self._state.gpus_before = gpus_of(self._state.running.spec.hardware)
        write_control(control, replace(self._state.gpus_before, count=count, fault=fault))
        self._state.gpus_now = replace(self._state.gpus_before, count=count, fault=fault)

    @checked(keep=ZERO_OR_MORE, fault=_FAULT)
    def lose_gpus(self, *, keep: int = 0, fault: Fault = "none") -> GpuLoss:
        """A loss of GPUs: all but `keep` are lost, and every model is loaded again.

        A running model notices nothing until it is reloaded (a new version, a restart): what it
        does then is what this shows. The GPUs come back at the end of the test.
        """
        self._state.check_changeable()
        there = self._state.hardware_now
        if keep > there.count:
            raise OptionError(
                f"lose_gpus(keep={keep}): the server has {there.label}: no more can be kept",
                fix="set_gpus gives a server more simulated GPUs",
            )
        before = {name: self._state.observed(name) for name in self._state.models}
        self.set_gpus(keep, fault=fault)
        loaded = [name for name, seen in before.items() if seen.ready]
        for name in self._loading.dependents_last(loaded):
            self._loading.begin(name)
            self._loading.unload(name)
        for name in self._loading.dependents_last(loaded):
            self._loading.load(name)
        with open_api(self._state.running.endpoints) as api:
            live = bool(api.live(self._state.running.name))
            ready = api.ready()
        after = {name: self._state.observed(name) for name in loaded}
        known = {name: before[name] for name in loaded}
        return GpuLoss(
            known, after, live, ready, self._state.running.spec.run, self._state.allowed_fallbacks
        )


def restore_gpus(state: ServerState) -> None:
    """Give back the GPUs that a test took away."""
    if state.gpus_before is not None and state.running.control_file is not None:
        write_control(state.running.control_file, state.gpus_before)
