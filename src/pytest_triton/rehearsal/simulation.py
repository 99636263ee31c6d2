"""Simulated GPUs and stand-in backends, from Python: what to set and where the libraries are.

A rehearsal is a real tritonserver with two libraries of ours, built from `native/`:
`libpytest_triton_gpus.so`, preloaded, answers CUDA's questions from a control file, and
`libpytest_triton_backend.so` stands in for every backend. Nothing here starts a server.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_triton.errors import PytestTritonError
from pytest_triton.placement.backend_names import OFFICIAL_BACKENDS as OFFICIAL_BACKENDS
from pytest_triton.placement.libraries import PYTHON_RUNTIME, library_name

MAX_GPUS = 16
CONTROL_VARIABLE = "PYTEST_TRITON_GPUS_FILE"
GPUS_LIBRARY = "libpytest_triton_gpus.so"
BACKEND_LIBRARY = "libpytest_triton_backend.so"
NATIVE_DIRECTORY = Path(__file__).parent / "native"

FAULTS = ("none", "driver-too-old", "no-device", "unknown")


class NativeLibraryMissing(PytestTritonError):
    """A library of the rehearsal isn't built on this machine."""


@dataclass(frozen=True)
class SimulatedGpus:
    """The GPUs that a server is shown.

    `count` 0 to 16; `compute_capability` (major, minor) and `memory_mib` of each;
    `fault` makes CUDA fail: `driver-too-old` and `no-device` (Triton takes both for 0 GPUs) or
    `unknown` (Triton refuses every model). Raises ValueError for values out of range.
    """

    count: int
    compute_capability: tuple[int, int] = (8, 0)
    memory_mib: int = 16384
    fault: str = "none"

    def __post_init__(self) -> None:
        major, minor = self.compute_capability
        if not 0 <= self.count <= MAX_GPUS:
            raise ValueError(f"simulated GPUs: count is 0 to {MAX_GPUS}, not {self.count}")
        if not (1 <= major <= 99 and 0 <= minor <= 9):
            raise ValueError(f"simulated GPUs: no compute capability: {major}.{minor}")
        if not 1 <= self.memory_mib <= 1 << 24:
            raise ValueError(f"simulated GPUs: memory_mib is 1 to 2^24, not {self.memory_mib}")
        if self.fault not in FAULTS:
            raise ValueError(
                f"simulated GPUs: fault is one of {', '.join(FAULTS)}, not {self.fault!r}"
            )

    def control_text(self) -> str:
        """The control file's text; `native/simulated_gpus.c` says what it may hold."""
        major, minor = self.compute_capability
        return (
            f"count={self.count}\n"
            f"compute_capability={major}.{minor}\n"
            f"memory_mib={self.memory_mib}\n"
            f"fault={self.fault}\n"
        )


def write_control(path: Path, gpus: SimulatedGpus) -> None:
    """Writes the control file so that a running server sees the old one or the new, whole."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(gpus.control_text())
        os.chmod(temporary, 0o644)  # a server in a container may run as another user
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def environment(
    control_path: Path,
    inherited: Mapping[str, str] | None = None,
    libraries: Path = NATIVE_DIRECTORY,
) -> dict[str, str]:
    """The variables that give a server the simulated GPUs of the control file.

    Ours is added behind the libraries that LD_PRELOAD of `inherited` (by default this process's
    environment) names already. Raises NativeLibraryMissing.
    """
    inherited = os.environ if inherited is None else inherited
    ours = str(library(GPUS_LIBRARY, libraries))
    preloads = inherited.get("LD_PRELOAD", "").replace(":", " ").split()
    if ours not in preloads:
        preloads.append(ours)
    return {"LD_PRELOAD": ":".join(preloads), CONTROL_VARIABLE: str(control_path.absolute())}


def library(name: str, folder: Path = NATIVE_DIRECTORY) -> Path:
    """The built library, by file name. Raises NativeLibraryMissing."""
    path = folder / name
    if not path.is_file():
        raise NativeLibraryMissing(
            f"{name} isn't there: rehearsals (simulated GPUs, stand-in backends) can't run",
            tried=[f"looked for {path}"],
            fix="install a C compiler (gcc or clang) on Linux and reinstall pytest-triton from "
            "source, or install its Linux wheel; or have Docker compile it (pytest-triton image). "
            "Without it, use real backends and real hardware: --triton-backends=real "
            "--triton-gpus=none",
        )
    return path


def sources_digest() -> str:
    """What the libraries are built from, as a short text that changes with it."""
    digest = hashlib.sha256()
    for path in sorted(NATIVE_DIRECTORY.glob("*")):
        if path.suffix in (".c", ".h", ".json"):
            digest.update(f"{path.name} ".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def is_backend_name(name: str) -> bool:
    """Whether a backend can be called so: its name is that of a directory."""
    return bool(name) and name not in (".", "..") and "/" not in name and "\0" not in name


def assemble_backends(
    directory: Path, names: Iterable[str], libraries: Path = NATIVE_DIRECTORY
) -> Path:
    """Makes `directory` a backend directory with a stand-in under each name, and returns it.

    A name such as `mine/libtriton_other.so` is that of a backend with a library of another name
    than usual. Triton refuses links that lead out of a backend's directory, so all are the library
    itself (one file where the file system allows it, so that the server maps it once). Each has a
    model.py as well, as backends on top of the python backend have. Raises NativeLibraryMissing,
    and ValueError for names that can't be a directory.
    """
    target = library(BACKEND_LIBRARY, libraries)
    copied: Path | None = None
    for name in names:
        backend, _, file = name.partition("/")
        if not is_backend_name(backend) or "/" in file or "\0" in file:
            raise ValueError(f"not a backend's name: {name!r}")
        place = directory / backend
        place.mkdir(parents=True, exist_ok=True)
        (place / PYTHON_RUNTIME).touch()
        stand_in = place / (file or library_name(backend))
        stand_in.unlink(missing_ok=True)
        if copied is None:
            shutil.copyfile(target, stand_in)
            copied = stand_in
        else:
            _link_or_copy(copied, stand_in)
    return directory


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
