"""Where a tritonserver is looked for, and what is known of it without starting it."""

from __future__ import annotations

import dataclasses
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_triton.servers.process import discovery as finding
from pytest_triton.servers.process import releases
from pytest_triton.servers.process.discovery import (
    BadTritonserver,
    TritonserverNotFound,
    describe,
    find_tritonserver,
    flaw_of_binary,
    libpython_of_stub,
)

with open(sys.executable, "rb") as _stream:
    PROGRAM = _stream.read(64)  # the header of a program for this machine

MakeServer = Callable[..., Path]


def make_program(path: Path, content: bytes = PROGRAM, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


def make_stub(path: Path, *names: str) -> Path:
    return make_program(path, PROGRAM + b"\0" + b"".join(name.encode() + b"\0" for name in names))


def make_image_layout(root: Path, version: str | None = "2.60.0") -> Path:
    """The folders of Triton's images."""
    (root / "lib").mkdir(parents=True)
    python = root / "backends/python"
    make_program(python / "libtriton_python.so")
    make_stub(python / finding.STUB, "libpython3.12.so.1.0")
    if version is not None:
        (root / "TRITON_VERSION").write_text(f"{version}\n")
    return make_program(root / "bin/tritonserver")


def make_wheel_layout(folder: Path) -> Path:
    """The folders of nvidia-pytriton."""
    root = folder / "pytriton/tritonserver"
    (folder / "nvidia_pytriton.libs").mkdir(parents=True)
    make_program(root / "backends/python/libtriton_python.so")
    for version in ("3.9", "3.10", "3.13"):
        make_stub(root / "python_backend_stubs" / version / finding.STUB)
    return make_program(root / "bin/tritonserver")


def make_installed(environ: dict[str, str], release: releases.Release) -> Path:
    folder = releases.releases_dir(environ) / release.version
    binary = make_wheel_layout(folder)
    releases._write_manifest(release, folder)
    return binary


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing is to be found yet."""
    (tmp_path / "bin").mkdir()
    return {"PATH": str(tmp_path / "bin"), "PYTEST_TRITON_CACHE": str(tmp_path / "cache")}


@pytest.fixture
def opt(tmp_path: Path) -> Path:
    return tmp_path / "opt/tritonserver"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of Python packages; nothing is in it yet."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def install_package(packages: Path, version: str) -> Path:
    info = packages / f"nvidia_pytriton-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: nvidia-pytriton\nVersion: {version}\n"
    )
    (packages / "pytriton").mkdir()
    (packages / "pytriton/__init__.py").write_text("raise RuntimeError('imported')")
    return make_wheel_layout(packages)


def test_places_are_tried_in_order(
    environ: dict[str, str], opt: Path, packages: Path, tmp_path: Path
) -> None:
    named = make_program(tmp_path / "mine/bin/tritonserver")
    expected = [
        (install_package(packages, "0.5.1"), "nvidia-pytriton package", "2.42.0"),
        (make_installed(environ, releases.RELEASES[2]), "installed release", "2.39.0"),
        (make_installed(environ, releases.RELEASES[0]), "installed release", "2.51.0"),
        (make_image_layout(opt), "/opt/tritonserver", "2.60.0"),
        (make_program(Path(environ["PATH"], "tritonserver")), "PATH", None),
    ]
    for binary, origin, version in reversed(expected):
        found = find_tritonserver(environ=environ, opt=opt)
        assert (found.binary, found.origin, found.version) == (binary, origin, version)
        assert str(found) == f"tritonserver {version or 'of unknown version'} ({origin})"
        assert repr(found) == f"<{found} at {binary}>"
        if origin == "installed release":
            (binary.parents[3] / releases.MANIFEST).unlink()
        else:
            binary.unlink()
        by_name = find_tritonserver(named, environ=environ, opt=opt)
        assert (by_name.binary, by_name.origin) == (named, "named")
    assert "pytriton" not in sys.modules

    with pytest.raises(TritonserverNotFound) as caught:
        find_tritonserver(environ=environ, opt=opt)
    text = str(caught.value)
    for message in (
        "PATH (1 folders): nothing",
        f"{opt / 'bin'}: nothing",
        str(releases.releases_dir(environ)),
        "nvidia-pytriton",
        "pytest-triton install",
        "--triton-binary",
        "--triton-binary",
    ):
        assert message in text


@pytest.mark.parametrize("name", ["2.42.0", "24.01", "0.5.1", "v2.42.0"])
def test_named_version_counts_alone(environ: dict[str, str], opt: Path, name: str) -> None:
    make_program(Path(environ["PATH"], "tritonserver"))
    make_image_layout(opt, "2.60.0")
    make_installed(environ, releases.RELEASES[0])
    with pytest.raises(TritonserverNotFound) as caught:
        find_tritonserver(version=name, environ=environ, opt=opt)
    assert caught.value.what == "No tritonserver 2.42.0 was found on this machine."
    assert "is of unknown version" in caught.value.tried[0]
    assert "is 2.60.0" in caught.value.tried[1]
    assert "is 2.51.0" in caught.value.tried[2]
    assert "pytest-triton install 2.42.0" in caught.value.fix
    binary = make_installed(environ, releases.RELEASES[1])
    assert find_tritonserver(version=name, environ=environ, opt=opt).binary == binary


def test_version_that_only_an_image_has(environ: dict[str, str], opt: Path) -> None:
    with pytest.raises(TritonserverNotFound, match=r"2\.60\.0 can't be installed"):
        find_tritonserver(version="2.60.0", environ=environ, opt=opt)
    binary = make_image_layout(opt)
    assert find_tritonserver(version="2.60.0", environ=environ, opt=opt).binary == binary


def test_named_binary_of_another_version(environ: dict[str, str], opt: Path) -> None:
    binary = make_image_layout(opt)
    assert find_tritonserver(binary, "2.60.0", environ=environ).version == "2.60.0"
    with pytest.raises(BadTritonserver, match=r"is tritonserver 2\.60\.0, but version 2\.42\.0"):
        find_tritonserver(binary, "2.42.0", environ=environ)


def test_something_unusable_on_path_is_passed_over_and_reported(
    environ: dict[str, str], opt: Path
) -> None:
    script = make_program(Path(environ["PATH"], "tritonserver"), b"#!/bin/sh\n")
    with pytest.raises(TritonserverNotFound, match="is a script, not the server itself"):
        find_tritonserver(environ=environ, opt=opt)
    binary = make_image_layout(opt)
    assert find_tritonserver(environ=environ, opt=opt).binary == binary
    assert script.exists()


def test_links_lead_to_what_lies_around_the_real_binary(
    environ: dict[str, str], opt: Path, tmp_path: Path
) -> None:
    binary = make_image_layout(opt)
    Path(environ["PATH"], "tritonserver").symlink_to(binary)
    found = find_tritonserver(environ=environ, opt=tmp_path / "none")
    assert (found.binary, found.origin, found.version) == (binary, "PATH", "2.60.0")
    assert found.library_dirs == (opt / "lib",)
    assert found.backends == opt / "backends"
    assert found.stubs == (("3.12", opt / "backends/python" / finding.STUB),)


def test_both_layouts(tmp_path: Path) -> None:
    wheel = describe(make_wheel_layout(tmp_path / "wheel"), "named")
    assert wheel.library_dirs == (tmp_path / "wheel/nvidia_pytriton.libs",)
    assert [version for version, _ in wheel.stubs] == ["3.9", "3.10", "3.13"]
    assert wheel.version is None
    alone = describe(make_program(tmp_path / "alone/bin/tritonserver"), "named")
    assert alone == dataclasses.replace(
        alone, library_dirs=(), backends=None, stubs=(), version=None
    )
    assert len({wheel, alone, dataclasses.replace(alone)}) == 2  # hashable, for ServerSpec


def other_machine() -> bytes:
    return PROGRAM[:18] + struct.pack("<H", 22) + PROGRAM[20:]


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (None, 0, "does not exist"),
        (PROGRAM, 0o644, "is not executable"),
        (b"#!/bin/sh\nexec tritonserver", 0o755, "is a script"),
        (b"", 0o755, "is not a Linux program"),
        (b"MZ" + bytes(100), 0o755, "is not a Linux program"),
        (other_machine(), 0o755, "is built for machine 22, this machine is"),
    ],
)
def test_flaws_of_a_named_binary(
    tmp_path: Path, content: bytes | None, mode: int, message: str
) -> None:
    path = tmp_path / "tritonserver"
    if content is not None:
        make_program(path, content, mode)
    with pytest.raises(BadTritonserver, match=message) as caught:
        find_tritonserver(path)
    assert str(path) in caught.value.what
    assert "--triton-binary" in caught.value.fix


def test_more_flaws(tmp_path: Path) -> None:
    assert flaw_of_binary(tmp_path) == "is a folder"
    (tmp_path / "link").symlink_to("nowhere")
    assert flaw_of_binary(tmp_path / "link") == "is a dangling link"
    (tmp_path / "loop").symlink_to("loop")
    assert (flaw_of_binary(tmp_path / "loop") or "").startswith("can't be read")
    assert flaw_of_binary(Path(sys.executable)) is None
    os.mkfifo(tmp_path / "pipe")
    assert flaw_of_binary(tmp_path / "pipe") == "is not a file"


@given(st.binary(max_size=100))
def test_any_other_bytes_are_no_server(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = make_program(tmp_path_factory.mktemp("any") / "tritonserver", content)
    assert flaw_of_binary(path) is not None


def test_libpython_of_a_stub(tmp_path: Path) -> None:
    plain = make_stub(tmp_path / "plain", "libc.so.6", "libpython3.12.so.1.0")
    assert libpython_of_stub(plain) == ("3.12", ("libpython3.12.so.1.0",))
    renamed = ["libpython3.13.so.1.0", "libpython3-419a3a08.13.so.1.0"]
    for order in (renamed, renamed[::-1]):
        stub = make_stub(tmp_path / "renamed", *order)
        assert libpython_of_stub(stub) == ("3.13", tuple(renamed))
    free = make_stub(tmp_path / "free", "libpython3.13t.so.1.0")
    assert libpython_of_stub(free) == ("3.13t", ("libpython3.13t.so.1.0",))
    assert libpython_of_stub(make_stub(tmp_path / "none", "libc.so.6")) is None
    assert libpython_of_stub(tmp_path / "missing") is None


@given(st.recursive(st.none() | st.text() | st.integers(), st.lists))
def test_strange_manifest_only_means_that_the_version_is_unknown(
    tmp_path_factory: pytest.TempPathFactory, content: object
) -> None:
    folder = tmp_path_factory.mktemp("strange")
    binary = make_program(folder / "pytriton/tritonserver/bin/tritonserver")
    (folder / releases.MANIFEST).write_text(json.dumps(content))
    assert describe(binary, "named").version is None


@pytest.fixture(scope="module")
def newest() -> releases.InstalledRelease:
    return releases.install(releases.RELEASES[0])


def test_real_release(newest: releases.InstalledRelease) -> None:
    server = find_tritonserver(version=newest.release.version)
    assert server.version == newest.release.version
    assert {version for version, _ in server.stubs} == set(newest.release.stubs)
    # Every stub is what its folder says, and needs that Python's own library.
    for version, stub in server.stubs:
        known = libpython_of_stub(stub)
        assert known is not None
        assert (known[0], known[1][0]) == (version, f"libpython{version}.so.1.0")
    named = find_tritonserver(newest.binary)
    assert named == dataclasses.replace(server, origin="named")
    environ = {"LD_LIBRARY_PATH": os.pathsep.join(map(str, server.library_dirs))}
    done = subprocess.run([server.binary, "--help"], env=environ, capture_output=True, text=True)
    assert "Usage: tritonserver" in done.stdout + done.stderr
