"""The simulation against what CUDA's runtimes export: nothing reaches a real one by omission."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_triton.rehearsal.simulation import (
    BACKEND_LIBRARY,
    GPUS_LIBRARY,
    NATIVE_DIRECTORY,
    library,
)
from pytest_triton.servers.process.discovery import find_tritonserver
from support.core_oracle import server_of_release

SYMBOLS = Path(__file__).with_name("cuda_runtime_symbols.txt")
RELEASES = ("2.33.0", "2.36.0", "2.39.0", "2.42.0", "2.51.0")

# They ask and do nothing of a GPU: the version, a struct's fields, a profiler, CUDA's own log.
IRRELEVANT = {
    "cudaCreateChannelDesc",
    "cudaLogsCurrent",
    "cudaLogsDumpToFile",
    "cudaLogsDumpToMemory",
    "cudaLogsRegisterCallback",
    "cudaLogsUnregisterCallback",
    "cudaProfilerStart",
    "cudaProfilerStop",
    "cudaRuntimeGetVersion",
    "cudaSetDoubleForDevice",
    "cudaSetDoubleForHost",
}


def in_runtimes() -> dict[str, list[str]]:
    """The versions of the runtime that export each symbol."""
    lines = [line for line in SYMBOLS.read_text().splitlines() if not line.startswith("#")]
    return {name: versions for name, *versions in map(str.split, lines)}


def refused() -> set[str]:
    text = (NATIVE_DIRECTORY / "refused_calls.h").read_text()
    return set(re.findall(r"X\((\w+)\)", text))


def symbols(path: Path, which: str) -> set[str]:
    done = subprocess.run(
        ["nm", "-D", which, str(path)], capture_output=True, text=True, check=False
    )  # fails for a file without symbols
    names = (line.split()[-1].partition("@")[0] for line in done.stdout.splitlines())
    return {name for name in names if re.match(r"(__)?cuda", name)}


def exported() -> set[str]:
    return symbols(library(GPUS_LIBRARY), "--defined-only")


def test_list_of_runtime_symbols_has_those_of_each_version() -> None:
    known = in_runtimes()
    versions = {version for found in known.values() for version in found}
    assert versions == {"12.1.105", "12.9.79", "13.5.37"}
    assert all(sum(one in found for found in known.values()) > 350 for one in versions)


def test_each_call_of_the_runtime_is_simulated_refused_or_irrelevant() -> None:
    known = set(in_runtimes())
    assert known - exported() == IRRELEVANT
    assert not refused() & IRRELEVANT
    assert exported() <= known, "a name that no runtime has"
    assert refused() <= exported()


@pytest.mark.parametrize(
    "part", ["Launch", "Graph", "MallocAsync", "MemPool", "Array", "Library", "Symbol", "Green"]
)
def test_calls_that_compute_or_allocate_otherwise_are_refused(part: str) -> None:
    found = {name for name in in_runtimes() if part in name}
    launches = {"cudaLaunchHostFunc"} | {"__cudaLaunchKernel", "cudaLaunchKernel"}
    assert found
    assert {name for name in found if not name.startswith(tuple(launches))} <= refused()


@pytest.mark.parametrize("name", [GPUS_LIBRARY, BACKEND_LIBRARY])
def test_libraries_need_no_newer_c_library_than_the_images_have(name: str) -> None:
    """Ubuntu 20.04 (2.31) in 23.03, 22.04 (2.35) from 23.04 on, 24.04 (2.39) from 24.11 on."""
    done = subprocess.run(
        ["nm", "-D", "--undefined-only", str(library(name))],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "__isoc23_" not in done.stdout, "GLIBC_2.38"
    found = re.findall(r"@GLIBC_(\d+)\.(\d+)", done.stdout)
    assert found
    assert max((int(major), int(minor)) for major, minor in found) <= (2, 31)


CALLS = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
for name in sys.argv[2:]:
    function = getattr(library, name)
    function.restype = ctypes.c_int
    print(name, function(None, None, None, None, None, None))
"""


def test_each_refused_call_says_so_and_names_itself() -> None:
    names = sorted(refused() | {"__cudaGetKernel"})
    command = [sys.executable, "-c", CALLS, str(library(GPUS_LIBRARY)), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [word for name in names for word in (name, "801")]
    for name in refused():
        assert f"simulated GPUs don't know {name}; the call is refused" in done.stderr
    assert "simulated GPUs run no kernels; the launch is refused" in done.stderr


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.server
def test_what_a_server_calls_is_simulated(release: str) -> None:
    binary = server_of_release(release)
    if binary is None:
        pytest.skip(f"tritonserver {release} is not installed")
    server = find_tritonserver(binary)
    folders = (binary.parent.parent, *server.library_dirs)
    libraries = [path for folder in folders for path in folder.rglob("*.so*") if path.is_file()]
    files = [binary, *libraries, *(stub for _, stub in server.stubs)]
    called = {name for path in files for name in symbols(path, "--undefined-only")}
    assert "cudaGetDeviceCount" in called
    assert called <= exported() - refused()
