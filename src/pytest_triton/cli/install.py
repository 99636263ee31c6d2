"""`python -m pytest_triton install`: fetch, list and remove tritonserver releases."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from pytest_triton.errors import PytestTritonError
from pytest_triton.servers.process import releases


class ConflictingArguments(PytestTritonError):
    """The named release and the given wheel are two different ones."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Fetch a real tritonserver, once, into a cache of yours: the one inside NVIDIA's "
        "nvidia-pytriton wheel (GPU-enabled, with the python backend; Apache-2.0 and "
        "BSD-3-Clause). It is downloaded with pip, so your index settings hold; nothing is "
        "installed into your Python environment."
    )
    known = ", ".join(f"{one.version} ({one.ngc})" for one in releases.RELEASES)
    parser.add_argument(
        "release",
        nargs="?",
        metavar="RELEASE",
        help=f"tritonserver or NGC version; the newest if left out. Known: {known}",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--wheel",
        type=Path,
        metavar="FILE",
        help="unpack this nvidia_pytriton-*.whl, which you downloaded yourself",
    )
    what.add_argument("--list", action="store_true", help="show all releases and what is installed")
    what.add_argument("--remove", metavar="RELEASE", help="take a release out of the cache")


def run(arguments: argparse.Namespace) -> int:
    if arguments.list:
        print(table())
        return 0
    if arguments.remove is not None:
        release = releases.find_release(arguments.remove)
        path = releases.releases_dir() / release.version
        if releases.remove(release):
            print(f"removed {release} from {path}")
        else:
            print(f"{release} is not installed in {path}: nothing to remove")
        return 0
    return _install(arguments.release, arguments.wheel)


def _install(name: str | None, wheel: Path | None) -> int:
    release = releases.find_release(name)
    if wheel is not None:
        held = releases.release_of_wheel(wheel)
        if name is not None and held != release:
            raise ConflictingArguments(
                f"{wheel} holds {held}, not the wanted {release.version}.",
                fix=f"leave out {name}, or give the file {release.wheel}.",
            )
        release = held
    if found := releases.installed_release(release):
        print(f"{release} is already installed: {found.binary}")
        return 0
    source = f"from {wheel}" if wheel else f"{release.size / 1e6:.0f} MB, with pip"
    print(f"installing {release}, {source}", flush=True)
    started = time.monotonic()
    done = releases.install(
        release,
        wheel=wheel,
        say=lambda text: print(text, flush=True),
        show_progress=sys.stdout.isatty(),
    )
    seconds = time.monotonic() - started
    print(f"installed in {seconds:.1f} s ({done.size / 1e6:.0f} MB): {done.binary}")
    return 0


def table() -> str:
    """All releases, one a line, newest first."""
    rows = [("tritonserver", "NGC", "Python models on", "download", "installed")]
    for release in releases.RELEASES:
        found = releases.installed_release(release)
        rows.append(
            (
                release.version,
                release.ngc,
                _range(release.stubs),
                f"{release.size / 1e6:.0f} MB",
                f"{found.size / 1e6:.0f} MB in {found.path}" if found else "no",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _range(versions: tuple[str, ...]) -> str:
    return versions[0] if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"
