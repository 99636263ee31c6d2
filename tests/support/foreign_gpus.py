"""Simulated GPUs that the plugin takes for real ones, as there are no real ones here.

The plugin's own simulation is recognized. This is a copy of its library with another variable, and
so one of those that can't be recognized.
"""

from __future__ import annotations

from pathlib import Path

from pytest_triton.rehearsal.simulation import (
    CONTROL_VARIABLE,
    GPUS_LIBRARY,
    SimulatedGpus,
    library,
    write_control,
)

FOREIGN_VARIABLE = "FOREIGN_SERVER_GPU_FILE"


def foreign_gpus(folder: Path, count: int = 2) -> dict[str, str]:
    """The variables of a server with these GPUs; the file `control` in the folder counts them."""
    assert len(FOREIGN_VARIABLE) == len(CONTROL_VARIABLE)
    content = library(GPUS_LIBRARY).read_bytes()
    foreign = folder / "libforeign_gpus.so"
    foreign.write_bytes(content.replace(CONTROL_VARIABLE.encode(), FOREIGN_VARIABLE.encode()))
    foreign.chmod(0o755)
    write_control(folder / "control", SimulatedGpus(count))
    return {"LD_PRELOAD": str(foreign), FOREIGN_VARIABLE: str(folder / "control")}
