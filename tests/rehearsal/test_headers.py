"""Our CUDA declarations against NVIDIA's own headers, of CUDA 12 and of CUDA 13."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from test_cuda_runtime import in_runtimes

from pytest_triton.rehearsal.simulation import GPUS_LIBRARY, library
from support.native_build import NATIVE, build_hook, device_prop_offsets

# CUDA major -> the PyPI packages that hold its headers. CUDA 13's crt/ holds only compiler
# macros and serves both: CUDA 12's comes with its whole compiler.
CRT = "nvidia-cuda-crt==13.5.37"
PACKAGES = {
    12: ("nvidia-cuda-runtime-cu12==12.9.79", CRT),
    13: ("nvidia-cuda-runtime==13.5.37", CRT),
}


# Read when tests are collected: while they run, our variables are hidden from them.
NAMED_CACHE = os.environ.get("PYTEST_TRITON_TEST_CACHE")


def cache_directory() -> Path:
    return Path(NAMED_CACHE) if NAMED_CACHE else Path.home() / ".cache" / "pytest-triton-tests"


def fetched(requirement: str) -> Path:
    """The unpacked wheel, downloaded once. Fails the test when it can't be had."""
    place = cache_directory() / requirement.replace("==", "-")
    if not (place / "unpacked").is_dir():
        place.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--dest", str(place), requirement]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"can't fetch {requirement}:\n{done.stderr}"
        (wheel,) = place.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(place / "unpacking")
        (place / "unpacking").rename(place / "unpacked")
    return place / "unpacked"


def include_directories(cuda: int) -> list[Path]:
    found = [
        header.parent
        for package in PACKAGES[cuda]
        for header in fetched(package).rglob("cuda_runtime_api.h")
    ]
    crt = [header.parent.parent for header in fetched(CRT).rglob("crt/host_defines.h")]
    assert found
    assert crt
    return [*found[:1], *crt[:1]]


def assertions(cuda: int) -> str:
    """A C file that compiles only if our numbers are those of the real header."""
    ours = (NATIVE / "cuda_interface.h").read_text()
    lines = ["#include <stddef.h>", '#include "cuda_runtime_api.h"']
    checked = 0

    def check(condition: str) -> None:
        nonlocal checked
        checked += 1
        lines.append(f'_Static_assert({condition}, "{condition}");')

    (size,) = re.findall(rf"#define DEVICE_PROP_SIZE_CUDA{cuda} (\d+)", ours)
    check(f"sizeof(struct cudaDeviceProp) == {size}")
    types = dict(re.findall(r"X\((\w+), ([^,]+), \w+, \w+\)", ours))
    for field, offsets in device_prop_offsets().items():
        offset = offsets[cuda - 12]
        if offset is not None:
            check(f"offsetof(struct cudaDeviceProp, {field}) == {offset}")
            member = f"((struct cudaDeviceProp *)0)->{field}"
            check(f"sizeof({member}) == sizeof({types[field]})")
    for name, number in re.findall(r"X\((cuda\w+), (\d+),", ours):
        check(f"{name} == {number}")
    enums = re.findall(r"(cuda[A-Z]\w+) = (\d+)", ours)
    for name, number in enums:
        check(f"{name} == {number}")
    check("sizeof(cudaIpcMemHandle_t) == 64")
    for offset, field in enumerate(["type", "device", "devicePointer", "hostPointer"]):
        place = [0, 4, 8, 16][offset]
        check(f"offsetof(struct cudaPointerAttributes, {field}) == {place}")
    assert checked > 75
    return "\n".join(lines) + "\n"


def compiled(cuda: int, source: str, directory: Path) -> subprocess.CompletedProcess[str]:
    file = directory / "check.c"
    file.write_text(source)
    includes = [f"-I{path}" for path in include_directories(cuda)]
    command = [*build_hook().compiler(), "-std=c11", "-fsyntax-only", *includes, str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("cuda", [12, 13])
def test_layouts_and_constants(cuda: int, tmp_path: Path) -> None:
    done = compiled(cuda, assertions(cuda), tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("cuda", "right", "wrong"),
    [
        (12, "major) == 360", "major) == 356"),
        (13, "minor) == 364", "minor) == 368"),
        (12, "sizeof(struct cudaDeviceProp) == 1032", "sizeof(struct cudaDeviceProp) == 1008"),
        (13, "cudaErrorInsufficientDriver == 35", "cudaErrorInsufficientDriver == 36"),
    ],
)
def test_wrong_number_is_found(cuda: int, right: str, wrong: str, tmp_path: Path) -> None:
    source = assertions(cuda)
    assert right in source
    done = compiled(cuda, source.replace(right, wrong), tmp_path)
    assert done.returncode != 0
    assert "static assertion failed" in done.stderr


def test_two_layouts_differ_where_the_headers_do(tmp_path: Path) -> None:
    """CUDA 12's numbers must not pass for CUDA 13's."""
    assert compiled(13, assertions(12), tmp_path).returncode != 0


def test_every_exported_function_is_one_of_cudas() -> None:
    headers = "".join(
        (include_directories(cuda)[0] / "cuda_runtime_api.h").read_text(errors="replace")
        for cuda in PACKAGES
    )
    known = set(re.findall(r"CUDARTAPI (cuda\w+)\(", headers))
    # Those of other headers (EGL, the compiler's launches, _ptsz) and of older runtimes.
    known |= set(in_runtimes())
    listed = subprocess.run(
        ["nm", "-D", "--defined-only", str(library(GPUS_LIBRARY))],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    exported = {line.split()[-1] for line in listed.splitlines()}
    public = {name for name in exported if name.startswith("cuda")}
    assert len(public) > 40
    assert public - known == set()
