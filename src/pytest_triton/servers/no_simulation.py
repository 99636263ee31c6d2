"""That a server which is to have real hardware doesn't run with this plugin's simulated GPUs.

They can be preloaded by hand, under any name, and a run would call them real. So the environment
that a server gets is looked at, and with real GPUs the running server itself: its environment and
the files that it has mapped. Another simulation than ours can't be distinguished from real GPUs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_triton.errors import PytestTritonError
from pytest_triton.rehearsal.simulation import CONTROL_VARIABLE, GPUS_LIBRARY

if TYPE_CHECKING:
    from docker.models.containers import Container

_LARGEST = 1 << 22  # bytes of a library that is looked into; ours has a hundredth
_CUDA = "cudaGetDeviceCount"  # which our stand-in backend, that reads the same variable, lacks
_MAPPED = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ [1-9]\d* +(/.*)$", re.MULTILINE)

# Prints what of the simulation process 1 has. Its shell may be the smallest there is.
_LOOK = f"""
tr '\\0' '\\n' </proc/1/environ | grep '^{CONTROL_VARIABLE}='
sed -n 's/^[^/]* \\(\\/.*\\)$/\\1/p' /proc/1/maps | sort -u | while read -r file; do
  size=$(stat -L -c %s "$file" 2>/dev/null || echo 0)
  [ "$size" -le {_LARGEST} ] && grep -q {CONTROL_VARIABLE} "$file" 2>/dev/null &&
    grep -q {_CUDA} "$file" && echo "$file"
done
true
"""


class SimulationFound(PytestTritonError):
    """A server that is to have real hardware has simulated GPUs."""


def check_variables(variables: Mapping[str, str]) -> None:
    """Look at what a server without simulated GPUs is about to get. Raises SimulationFound."""
    preloaded = variables.get("LD_PRELOAD", "").replace(":", " ").split()
    names = [f"LD_PRELOAD has {path}" for path in preloaded if _is_ours(Path(path))]
    if variables.get(CONTROL_VARIABLE):
        names.append(f"{CONTROL_VARIABLE} is set")
    if names:
        raise _found("the environment that the server would get", names)


def check_process(pid: int) -> None:
    """Look at a running server. Raises SimulationFound."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        maps = Path(f"/proc/{pid}/maps").read_text(errors="surrogateescape")
    except OSError:
        return  # it has ended, which the next look shows; or there is no /proc
    found = [f"{CONTROL_VARIABLE} is set"] * any(
        one.startswith(CONTROL_VARIABLE.encode() + b"=") for one in variables
    )
    found += [f"{path} is mapped" for path in sorted(set(_MAPPED.findall(maps))) if _is_ours(path)]
    if found:
        raise _found(f"the running server (process {pid})", found)


def check_container(container: Container) -> None:
    """Look at the running server in a container. Raises SimulationFound."""
    looked = container.exec_run(["sh", "-c", _LOOK])
    if looked.exit_code != 0:
        raise PytestTritonError(
            "Whether the server in the container has simulated GPUs can't be looked at: "
            f"{looked.output.decode(errors='replace').strip()[:300]}",
            fix="take an image with a shell, as the official ones have",
        )
    found = looked.output.decode(errors="replace").split("\n")
    if any(found):
        raise _found("the running server in the container", list(filter(None, found)))


def _is_ours(path: Path | str) -> bool:
    """Whether a library is the one of the simulation, whatever it is called."""
    path = Path(path)
    if path.name.removesuffix(" (deleted)") == GPUS_LIBRARY:
        return True
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return False
        content = path.read_bytes()
        return CONTROL_VARIABLE.encode() in content and _CUDA.encode() in content
    except OSError:
        return False


def _found(where: str, found: list[str]) -> SimulationFound:
    return SimulationFound(
        f"Real hardware was asked for, and {where} has pytest-triton's simulated GPUs: "
        f"{'; '.join(found)}.",
        fix=f"unset LD_PRELOAD and {CONTROL_VARIABLE}; to rehearse, ask for simulated GPUs: "
        "--triton-gpus=sim:2",
    )
