"""What a tritonserver needs that runs as a process of this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from pytest_triton.doctor.programs import ask
from pytest_triton.doctor.report import Finding
from pytest_triton.errors import PytestTritonError
from pytest_triton.placement.releases import (
    NEWEST_RELEASE,
    NotARelease,
    read_release,
    shown_release,
)
from pytest_triton.rehearsal.simulation import BACKEND_LIBRARY, GPUS_LIBRARY, library
from pytest_triton.servers import folders
from pytest_triton.servers.process import releases
from pytest_triton.servers.process.discovery import Tritonserver, find_tritonserver
from pytest_triton.servers.process.python_backend import assemble_python_backend

SHARED_MEMORY = Path("/dev/shm")
_LEAST_SHARED_MEMORY = 256 << 20  # bytes; a python model takes 1 MB and more, older ones 64 MB
_CUDART = re.compile(r"libcudart(?:-[0-9a-f]+)?\.so\.(\d+)(?:\.(\d+))?")


def examine_tritonserver(
    binary: Path | None, version: str | None, seconds: float, environ: Mapping[str, str]
) -> tuple[Finding, Tritonserver | None]:
    """The tritonserver that a run would use, started once with --help."""
    try:
        server = find_tritonserver(binary, version, environ=environ)
    except PytestTritonError as error:
        return _missing("tritonserver", error, _fix_of_absence(error)), None
    libraries = [*map(str, server.library_dirs), environ.get("LD_LIBRARY_PATH", "")]
    env = {**environ, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries))}
    answer = ask([str(server.binary), "--help"], seconds, env)
    where = {"binary": str(server.binary), "version": server.version, "origin": server.origin}
    if "--model-repository" not in answer.text:  # its --help ends with 1, or with 0
        why = answer.flaw or f"--help ended with {answer.code}: {answer.last_line}"
        fix = (
            "install the library that is named there with your system's packages, or fetch another "
            "server: pytest-triton install."
        )
        text = f"{server} at {server.binary} doesn't start: {why}"
        return Finding("tritonserver", "missing", text, fix, where), None
    newer = _newer_than_known(server, where)
    return newer or Finding("tritonserver", "ok", f"{server}, {server.binary}", facts=where), server


def _newer_than_known(server: Tritonserver, where: dict[str, str | None]) -> Finding | None:
    """A warning for a release whose rules nobody has looked at yet."""
    try:
        version = read_release(server.version or "")
    except NotARelease:
        return None
    if version <= NEWEST_RELEASE:
        return None
    return Finding(
        "tritonserver",
        "warning",
        f"{server}, {server.binary}: newer than {shown_release(NEWEST_RELEASE)}, the newest "
        "release whose rules pytest-triton knows",
        "look for a newer pytest-triton; `make test-release BINARY=...` in a checkout says whether "
        "the rules still hold",
        where,
    )


def _fix_of_absence(error: PytestTritonError) -> str:
    try:
        releases.check_platform(releases.RELEASES[0])
    except releases.UnsupportedPlatform as unsupported:
        return f"{unsupported.what} {unsupported.fix}"
    return error.fix


def examine_libraries() -> Finding:
    """The two libraries that rehearsals are made of."""
    try:
        for name in (GPUS_LIBRARY, BACKEND_LIBRARY):
            library(name)
    except PytestTritonError as error:
        return _missing("rehearsal libraries", error, error.fix)
    return Finding("rehearsal libraries", "ok", "simulated GPUs and stand-in backends are built")


def examine_python_backend(
    server: Tritonserver | None, python: Path | None, environ: Mapping[str, str]
) -> Finding:
    """Whether real python models can run, on which interpreter, and what is wrong with it."""
    name = "python backend"
    if server is None:
        return Finding(name, "missing", "no tritonserver to run it", "see tritonserver, above")
    try:
        with folders.temporary() as folder:
            backend = assemble_python_backend(server, python, folder, environ=environ)
    except PytestTritonError as error:
        return _missing(name, error, error.fix)
    except OSError as error:
        return Finding(
            name,
            "missing",
            f"temporary files can't be written: {error.strerror} ({error.filename})",
            "make room there, or name another folder in the environment variable TMPDIR",
        )
    interpreter = str(backend.interpreter or "the server's own Python")
    facts = {"interpreter": interpreter}
    if backend.caveat is not None:
        what, _, fix = backend.caveat.partition(" For inference ")
        return Finding(name, "warning", what, f"for inference {fix}", facts)
    return Finding(name, "ok", f"python models run on {interpreter}", facts=facts)


def examine_shared_memory(folder: Path = SHARED_MEMORY) -> Finding:
    """Room for the python backend, which hands tensors to its models in shared memory."""
    name = "shared memory"
    fix = "mount it larger; in a container of CI: docker run --shm-size=1g (or --ipc=host)"
    try:
        stat = os.statvfs(folder)
    except OSError as error:
        return Finding(
            name, "missing", f"{folder}: {error.strerror}", "python models need it: " + fix
        )
    free = stat.f_bavail * stat.f_frsize
    facts = {"free_bytes": free}
    if not os.access(folder, os.W_OK):
        return Finding(name, "missing", f"{folder} can't be written", fix, facts)
    text = f"{free / 1e6:.0f} MB free in {folder}"
    if free < _LEAST_SHARED_MEMORY:
        return Finding(name, "warning", f"{text}: little for real python models", fix, facts)
    return Finding(name, "ok", text, facts=facts)


def cuda_of(server: Tritonserver | None) -> tuple[int, int] | None:
    """The CUDA that a server is built for, by its libcudart; None if there is none beside it."""
    for folder in server.library_dirs if server is not None else ():
        for file in sorted(os.listdir(folder)):
            if match := _CUDART.match(file):
                return int(match[1]), int(match[2] or 0)
    return None


def _missing(name: str, error: PytestTritonError, fix: str) -> Finding:
    facts = {"tried": list(error.tried)} if error.tried else {}
    return Finding(name, "missing", " ".join(error.what.split()), fix, facts)
