"""The GPUs of a server whose log can't be read, as far as its answers show them.

Triton has no question for it. A model that was refused for a missing GPU id names all usable GPUs,
one that was refused for want of any says that there are none: both are exact, as of that load. A
READY model's resolved config names the GPUs that it runs on: those are there, maybe others too. And
a server of CPU models reports nothing. The metrics' `gpu_uuid` labels are left out: they come from
DCGM, which counts the machine's GPUs and not those that Triton uses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_triton.placement.hardware import Gpu, Hardware

_ALL = re.compile(r"minimum required CUDA compute compatibility of [\d.]+ are:(?P<gpus>[\d, ]*)")
_NONE = re.compile(r"no GPUs are available|server does not support GPUs")
_ENOUGH = (99, 0)  # core has already left out the GPUs that it finds too old


@dataclass(frozen=True)
class ReportedGpus:
    """What is known: these ids exist, and no others if it is `exact`. `source` says from where."""

    gpus: tuple[int, ...]
    exact: bool
    source: str

    @property
    def hardware(self) -> Hardware:
        """To predict with; `at_least` if there may be more GPUs than those that are known."""
        gpus = tuple(Gpu(device, _ENOUGH) for device in self.gpus)
        return Hardware(gpus, simulated=False, at_least=not self.exact)

    def __str__(self) -> str:
        ids = ", ".join(map(str, self.gpus))
        if self.exact:
            return f"{f'GPU {ids}' if ids else 'no GPU'} ({self.source})"
        return f"at least GPU {ids} ({self.source})" if ids else "GPUs unknown"


def reported_gpus(
    reasons: Iterable[str], resolved_configs: Iterable[Mapping[str, Any]] = ()
) -> ReportedGpus:
    """From the reasons in a repository index, and the configs of READY models as JSON."""
    for reason in reasons:
        named = _ALL.search(reason)
        if named is not None:
            ids = sorted(int(device) for device in re.findall(r"\d+", named["gpus"]))
            return ReportedGpus(tuple(ids), True, "as Triton said of a refused model")
        if _NONE.search(reason):
            return ReportedGpus((), True, "as Triton said of a refused model")
    used = {
        int(device)
        for config in resolved_configs
        for group in config.get("instance_group", ())
        if group.get("kind") == "KIND_GPU"
        for device in group.get("gpus", ())
    }
    source = "models run on them" if used else "no model reports them"
    return ReportedGpus(tuple(sorted(used)), False, source)
