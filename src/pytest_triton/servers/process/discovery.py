"""Find the tritonserver to run as a process, and what belongs to it.

Places, in this order: the binary that the user named, PATH, `/opt/tritonserver/bin` (pytest runs
inside Triton's image), releases that `pytest-triton install` fetched (newest first), an
installed nvidia-pytriton distribution (found without importing it). Nothing is started here: a
binary that lacks a library shows when the server starts.

Two layouts are known, both seen from the binary's folder:

    Triton's image   ../lib  ../backends  ../TRITON_VERSION
    nvidia-pytriton  ../backends  ../python_backend_stubs  ../../../nvidia_pytriton.libs
"""

from __future__ import annotations

import json
import os
import platform
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from pytest_triton.errors import PytestTritonError
from pytest_triton.servers.process import releases
from pytest_triton.text.readable import is_closed

Origin = Literal[
    "named", "PATH", "/opt/tritonserver", "installed release", "nvidia-pytriton package"
]

STUB = "triton_python_backend_stub"
CLOSED = ", which this user may not search"
OPT_TRITONSERVER = Path("/opt/tritonserver")

# ELF header: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
_ELF_MACHINES = {62: "x86_64", 183: "aarch64", 3: "i386", 40: "arm", 243: "riscv64", 21: "ppc64le"}
_LIBPYTHON = re.compile(rb"\0(libpython3(?:-[0-9a-f]+)?\.(\d+)([a-z]*)\.so[.0-9]*)(?=\0)")


class TritonserverNotFound(PytestTritonError):
    """No tritonserver in any of the places, or none of the wanted version."""


class BadTritonserver(PytestTritonError):
    """The binary that the user named can't be a tritonserver for this machine."""


@dataclass(frozen=True)
class Tritonserver:
    """A tritonserver on this machine, not started.

    `library_dirs` belong into LD_LIBRARY_PATH. `backends` is its own backend directory, if it has
    one. `stubs` are the python backend's processes: the Python version ("3.12") that each was
    built for, and its path. `version` is None when no file says it: ask the running server.
    """

    binary: Path
    library_dirs: tuple[Path, ...]
    backends: Path | None
    stubs: tuple[tuple[str, Path], ...]
    version: str | None
    origin: Origin

    def __str__(self) -> str:
        return f"tritonserver {self.version or 'of unknown version'} ({self.origin})"

    def __repr__(self) -> str:
        return f"<{self} at {self.binary}>"


def find_tritonserver(
    binary: Path | None = None,
    version: str | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    opt: Path = OPT_TRITONSERVER,
) -> Tritonserver:
    """The tritonserver to use: `binary` if named, else the first found.

    `version` is a tritonserver version, or an NGC or nvidia-pytriton version of a known release;
    with it, only servers that are known to be of it count. Raises BadTritonserver (what the user
    named is no usable binary or of another version) or TritonserverNotFound (with every place
    looked at).
    """
    wanted = _server_version(version)
    if binary is not None:
        path = Path(os.path.abspath(os.path.expanduser(binary)))
        if flaw := flaw_of_binary(path):
            raise BadTritonserver(
                f"{binary} can't be run as tritonserver: it {flaw}.",
                fix="name the server's own binary with --triton-binary (in Triton's images it "
                "is /opt/tritonserver/bin/tritonserver), or leave the option out to have one "
                "looked for.",
            )
        server = describe(path, "named")
        if wanted is not None and server.version not in (None, wanted):
            raise BadTritonserver(
                f"{binary} is tritonserver {server.version}, but version {wanted} is wanted too.",
                fix="give either --triton-binary or --triton-version.",
            )
        return server

    looked_at: list[str] = []
    for origin, place, file in _candidates(environ, opt):
        if file is None:
            looked_at.append(f"{place}: nothing")
        elif flaw := flaw_of_binary(file):
            looked_at.append(f"{place}: {file} {flaw}")
        else:
            server = describe(file, origin)
            if wanted is None or server.version == wanted:
                return server
            looked_at.append(f"{place}: {file} is {server.version or 'of unknown version'}")
    raise TritonserverNotFound(
        f"No tritonserver {wanted + ' ' if wanted else ''}was found on this machine.",
        tried=looked_at,
        fix=_fix(wanted),
    )


def _fix(wanted: str | None) -> str:
    others = "or name a binary with --triton-binary=PATH."
    if wanted is None:
        return f"run `pytest-triton install` (55 MB, once), {others}"
    if any(wanted == release.version for release in releases.RELEASES):
        return f"run `pytest-triton install {wanted}` (once), {others}"
    known = ", ".join(release.version for release in releases.RELEASES)
    return f"{wanted} can't be installed (only {known} can); {others.removeprefix('or ')}"


def _server_version(name: str | None) -> str | None:
    """The tritonserver version that a name of a release stands for."""
    if name is None:
        return None
    try:
        return releases.find_release(name).version
    except releases.UnknownRelease:
        return name.strip().removeprefix("v")  # of the user's own server, perhaps


def _candidates(environ: Mapping[str, str], opt: Path) -> Iterator[tuple[Origin, str, Path | None]]:
    """Where a tritonserver may be: the origin, the place as text, the file (None: not there)."""
    folders = [one for one in environ.get("PATH", "").split(os.pathsep) if one]
    on_path = [Path(one, "tritonserver") for one in folders]
    there = [one for one in on_path if os.path.exists(one)]
    for path in there:
        yield "PATH", "PATH", path
    if not there:
        closed = [f"{one.parent}{CLOSED}" for one in on_path if is_closed(one)]
        place = "; ".join((f"{len(folders)} folders", *closed))
        yield "PATH", f"PATH ({place})", None

    path = opt / "bin" / "tritonserver"
    place = f"{opt / 'bin'}{CLOSED if is_closed(path) else ''}"
    yield "/opt/tritonserver", place, path if os.path.exists(path) else None

    folder = releases.releases_dir(environ)
    place = f"installed releases ({folder}{CLOSED if is_closed(folder / 'any') else ''})"
    installed = releases.installed_releases(environ)
    for one in installed:
        yield "installed release", place, one.binary
    if not installed:
        yield "installed release", place, None

    place = "the Python package nvidia-pytriton"
    try:
        packaged = Path(str(metadata.distribution(releases.PACKAGE).locate_file(releases.BINARY)))
    except metadata.PackageNotFoundError:
        yield "nvidia-pytriton package", place, None
    else:
        yield "nvidia-pytriton package", place, packaged if os.path.exists(packaged) else None


def flaw_of_binary(path: Path) -> str | None:
    """Why a file can't be a tritonserver of this machine ("is a folder"); None: it may be one.

    Reads 20 bytes and starts nothing.
    """
    try:
        if path.is_dir():
            return "is a folder"
        if path.exists() and not path.is_file():
            return "is not a file"  # opening a pipe would wait for ever
        with open(path, "rb") as stream:
            header = stream.read(20)
    except FileNotFoundError:
        return "is a dangling link" if path.is_symlink() else "does not exist"
    except OSError as error:
        return f"can't be read ({error.strerror})"
    if header.startswith(b"#!"):
        return (
            "is a script, not the server itself (signals and preloaded libraries must reach "
            "the server)"
        )
    if len(header) < 20 or header[:4] != b"\x7fELF":
        return "is not a Linux program"
    byte_order = ">" if header[5] == 2 else "<"
    (number,) = struct.unpack_from(f"{byte_order}H", header, 18)
    machine = _ELF_MACHINES.get(number, f"machine {number}")
    if machine != platform.machine():
        return f"is built for {machine}, this machine is {platform.machine()}"
    if not os.access(path, os.X_OK):
        return f"is not executable (`chmod +x {path}` if it is yours)"
    return None


def describe(binary: Path, origin: Origin) -> Tritonserver:
    """What lies around a tritonserver binary, in one of the two known layouts."""
    binary = binary.resolve()
    root = binary.parent.parent
    wheel_root = root.parent.parent
    libraries = (root / "lib", root / "external_libs", wheel_root / releases.LIBRARY_DIR)
    backends = root / "backends"
    return Tritonserver(
        binary=binary,
        library_dirs=tuple(folder for folder in libraries if os.path.isdir(folder)),
        backends=backends if os.path.isdir(backends) else None,
        stubs=_stubs(root),
        version=_version(root, wheel_root),
        origin=origin,
    )


def _stubs(root: Path) -> tuple[tuple[str, Path], ...]:
    """All python stubs, by Python version, oldest first."""
    stubs = {}
    for path in (root / "python_backend_stubs").glob(f"*/{STUB}"):
        stubs[path.parent.name] = path
    lone = root / "backends" / "python" / STUB
    if os.path.isfile(lone) and (libpython := libpython_of_stub(lone)):
        stubs.setdefault(libpython[0], lone)
    return tuple(sorted(stubs.items(), key=lambda item: _numbers(item[0])))


def libpython_of_stub(stub: Path) -> tuple[str, tuple[str, ...]] | None:
    """The Python version that a stub is built for, and the file names its libpython may have.

    ("3.12", ("libpython3.12.so.1.0",)). A wheel may carry a libpython under a name of its own;
    then that name stands behind the usual one, of which the file keeps a trace
    ("libpython3-419a3a08.13.so.1.0"). None if there is no such name, or the file can't be read.
    """
    try:
        found = _LIBPYTHON.findall(stub.read_bytes())
    except OSError:
        return None
    if not found:
        return None
    names = tuple(sorted({name.decode() for name, _, _ in found}, key=lambda one: (len(one), one)))
    _, minor, flags = found[0]
    return f"3.{minor.decode()}{flags.decode()}", names


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _version(root: Path, wheel_root: Path) -> str | None:
    """The version of a server, from files beside it."""
    try:
        return (root / "TRITON_VERSION").read_text("utf-8").strip() or None
    except (OSError, ValueError):
        pass
    try:
        manifest = json.loads((wheel_root / releases.MANIFEST).read_text("utf-8"))
        return str(manifest["tritonserver"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    if os.path.isdir(wheel_root / releases.LIBRARY_DIR):
        for release in releases.RELEASES:
            if os.path.isdir(wheel_root / f"nvidia_pytriton-{release.pytriton}.dist-info"):
                return release.version
    return None
