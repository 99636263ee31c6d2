"""`pytest-triton image`: build a small image of Triton for rehearsals, with Docker alone.

It has the tritonserver of a release that `install` knows, the python backend, and the libraries for
simulated GPUs and stand-in backends, which are compiled in Docker; no other backend and no CUDA for
real GPUs. An image that is there is kept, unless it was built by another pytest-triton.

Where no tritonserver can run as a process (macOS, an older glibc), rehearsals run in it from then
on, without further options; `--default` and `--no-default` say otherwise.

With `--json` one object goes to standard output, and progress to standard error: {format, changed,
image, release, default} (image: its name; default: whether rehearsals run in it without further
options).
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    import docker

    from pytest_triton.servers.process.releases import Release

_ANSWER = 600.0  # seconds, for each answer of Docker: a step of the build may be silent for long
_BASE = "debian:bookworm-slim"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Build a small image of Triton for rehearsals and python models, with Docker and nothing "
        "else: for macOS, and for Linux with a glibc on which tritonserver doesn't run."
    )
    parser.add_argument(
        "release",
        nargs="?",
        metavar="RELEASE",
        help="tritonserver or NGC version, as `install --list` has them; the newest if left out",
    )
    parser.add_argument(
        "--base",
        default=_BASE,
        metavar="IMAGE",
        help="a Debian or Ubuntu with glibc 2.35 or newer to build it on (default: %(default)s)",
    )
    parser.add_argument(
        "--name",
        default="",
        metavar="IMAGE",
        help="what to call it (default: pytest-triton/tritonserver:VERSION)",
    )
    parser.add_argument(
        "--default",
        action=argparse.BooleanOptionalAction,
        help="whether rehearsals run in it without further options (default: where no tritonserver "
        "can run as a process)",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--force", action="store_true", help="build it anew, even if it is there")
    what.add_argument("--remove", action="store_true", help="remove it from Docker")
    parser.add_argument("--json", action="store_true", help="for programs; nothing else is printed")


def run(arguments: argparse.Namespace) -> int:
    from pytest_triton.options.rehearsal_image import rehearsal_image, set_rehearsal_image
    from pytest_triton.servers.container.building import own_image
    from pytest_triton.servers.container.engine import connected, engine_errors
    from pytest_triton.servers.process import releases

    people = sys.stderr if arguments.json else sys.stdout
    with connected(_ANSWER) as client:
        with engine_errors():
            machine = str(client.info().get("Architecture") or releases.this_machine())
        release = releases.find_release(arguments.release, machine)
        name = arguments.name or own_image(release)
        with engine_errors():
            if arguments.remove:
                changed = _remove(client, name, people)
            else:
                changed = _build(client, release, name, arguments, people)
    was_default = rehearsal_image() == name
    if arguments.remove:
        is_default = False
    elif arguments.default is None:
        is_default = was_default or not _runs_here()
    else:
        is_default = arguments.default
    if is_default != was_default:
        set_rehearsal_image(name if is_default else None)
    if arguments.json:
        found = {
            "format": 1,
            "changed": changed,
            "image": name,
            "release": release.version,
            "default": is_default,
        }
        print(json.dumps(found, indent=2))
    elif not arguments.remove:
        how = f": pytest --triton-image={name} --triton-backends=stand-in"
        print(f"rehearsals run in it{' without further options' if is_default else how}")
    return 0


def _build(
    client: docker.DockerClient,
    release: Release,
    name: str,
    arguments: argparse.Namespace,
    people: TextIO,
) -> bool:
    """Whether it was built now."""
    from docker.errors import ImageNotFound

    from pytest_triton.rehearsal.simulation import sources_digest
    from pytest_triton.servers.container.building import build_image
    from pytest_triton.servers.container.image import LIBRARIES_LABEL

    try:
        labels = client.images.get(name).labels
    except ImageNotFound:
        labels = {}
    if labels.get(LIBRARIES_LABEL) == sources_digest() and not arguments.force:
        print(f"{name} is there", file=people)
        return False
    build_image(
        client,
        release,
        base=arguments.base,
        name=name,
        say=lambda line: print(line, file=people, flush=True),
    )
    size = int(client.images.get(name).attrs.get("Size") or 0)
    print(f"{name} is built: {size / 1e6:.0f} MB", file=people)
    return True


def _remove(client: docker.DockerClient, name: str, people: TextIO) -> bool:
    """Whether it was there."""
    from docker.errors import ImageNotFound

    try:
        client.images.remove(name)
    except ImageNotFound:
        print(f"{name} is not there: nothing to remove", file=people)
        return False
    print(f"removed {name}", file=people)
    return True


def _runs_here() -> bool:
    """Whether a tritonserver can run as a process of this machine."""
    from pytest_triton.errors import PytestTritonError
    from pytest_triton.servers.process import releases
    from pytest_triton.servers.process.discovery import find_tritonserver

    try:
        releases.check_platform(releases.find_release())
    except releases.UnsupportedPlatform:
        try:
            find_tritonserver()
        except PytestTritonError:
            return False
    return True
