"""Build the small image: tritonserver of an installable release, and the rehearsal's libraries.

All of it is made by the container engine, of a Debian or Ubuntu, so that this machine needs neither
a compiler nor to be able to run the server itself.
"""

from __future__ import annotations

import json
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_triton.errors import PytestTritonError
from pytest_triton.rehearsal.simulation import NATIVE_DIRECTORY, sources_digest
from pytest_triton.servers.container.image import (
    LIBRARIES_IN_IMAGE,
    LIBRARIES_LABEL,
    OWN_NAME,
    Say,
)
from pytest_triton.servers.process import releases
from pytest_triton.servers.process.releases import Release

if TYPE_CHECKING:
    import docker

BASE = "debian:bookworm-slim"
_PACKAGES = ("python3", "python3-numpy", "ca-certificates", "curl")
_WIDTH = 76  # of a step of the build that is shown
_LAST_LINES = 15  # of a build that fails

_DOCKERFILE = """\
FROM {base} AS libraries
RUN command -v cc >/dev/null || {{ apt-get update -qq && \\
      DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends gcc libc6-dev; }}
COPY native /native
RUN mkdir -p {libraries} && cd /native && {compile}

FROM {base}
RUN command -v python3 >/dev/null && python3 -c 'import numpy' || {{ apt-get update -qq && \\
      DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends {packages} && \\
      apt-get install -qq --no-install-recommends \\
        libpython$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])') && \\
      rm -rf /var/lib/apt/lists; }}
COPY tritonserver /opt/tritonserver
RUN cd /opt/tritonserver && \\
    version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])') && \\
    mv "python_backend_stubs/$version/triton_python_backend_stub" backends/python/ && \\
    rm -r python_backend_stubs && useradd --uid 1000 --create-home triton-server
COPY --from=libraries {libraries} {libraries}
ENV PATH=/opt/tritonserver/bin:$PATH LD_LIBRARY_PATH=/opt/tritonserver/lib \\
    TRITON_SERVER_VERSION={version}
LABEL {label}={sources}
WORKDIR /opt/tritonserver
EXPOSE 8000 8001 8002
"""


class CannotBuild(PytestTritonError):
    """The container engine could not build the image."""


def own_image(release: Release) -> str:
    """The name of the image with this release."""
    return f"{OWN_NAME}:{release.version}"


def dockerfile(release: Release, base: str) -> str:
    build = json.loads((NATIVE_DIRECTORY / "build.json").read_text("utf-8"))
    compilers = [
        shlex.join(["cc", *build["flags"], "-o", f"{LIBRARIES_IN_IMAGE}/{library}", *sources])
        for library, sources in build["libraries"].items()
    ]
    return _DOCKERFILE.format(
        base=base,
        compile=" && \\\n    ".join(compilers),
        packages=" ".join(_PACKAGES),
        libraries=LIBRARIES_IN_IMAGE,
        version=release.version,
        label=LIBRARIES_LABEL,
        sources=sources_digest(),
    )


def build_image(
    client: docker.DockerClient,
    release: Release,
    *,
    base: str = BASE,
    name: str = "",
    say: Say = lambda line: None,
) -> str:
    """Build the image and return its name; `say` is called with each step.

    Raises CannotBuild, and what fetching a release raises.
    """
    name = name or own_image(release)
    with tempfile.TemporaryDirectory(prefix="pytest-triton-image-") as directory:
        folder = Path(directory)
        _lay_out(release, folder, say)
        (folder / "Dockerfile").write_text(dockerfile(release, base), "utf-8")
        said = []
        for line in _lines(client.api.build(path=directory, tag=name, rm=True, decode=True)):
            said.append(line)
            if line.startswith(("Step ", "error: ")):
                say(line if len(line) <= _WIDTH else f"{line[:_WIDTH]}...")
        if said and said[-1].startswith("error: "):
            raise CannotBuild(
                f"The container engine could not build {name}: {said[-1].removeprefix('error: ')}",
                tried=said[-_LAST_LINES:-1],
                fix=f"read its last lines above. The base must be a Debian or Ubuntu with glibc "
                f"{'.'.join(map(str, release.glibc))} or newer ({base} is named with --base), "
                "whose packages can be fetched; "
                "one that has python3, numpy, libpython and gcc needs no packages.",
            )
    return name


def _lines(messages: Iterator[Mapping[str, Any]]) -> Iterator[str]:
    for message in messages:
        if "error" in message:
            yield f"error: {str(message['error']).strip()}"
            return
        yield from str(message.get("stream", "")).splitlines()


def _lay_out(release: Release, folder: Path, say: Say) -> None:
    """What the Dockerfile copies."""
    native = folder / "native"
    native.mkdir()
    for path in NATIVE_DIRECTORY.glob("*.[ch]"):
        shutil.copy(path, native)
    installed = releases.installed_release(release)
    if installed is not None:
        source = installed.path
    else:
        source = folder / "unpacked"
        say(f"fetching {release}, {release.size / 1e6:.0f} MB, with pip")
        wheel = releases.download(release, folder / "download", for_this_machine=False)
        releases.unpack(release, wheel, source)
    target = folder / "tritonserver"
    shutil.copytree(source / releases.SERVER_DIR, target)
    shutil.copytree(source / "licenses", target / "licenses", dirs_exist_ok=True)
    shutil.copytree(source / releases.LIBRARY_DIR, target / "lib", dirs_exist_ok=True)
    if (target / "external_libs").is_dir():
        shutil.copytree(target / "external_libs", target / "lib", dirs_exist_ok=True)
        shutil.rmtree(target / "external_libs")
    (target / "TRITON_VERSION").write_text(f"{release.version}\n")
    for needless in ("download", "unpacked"):
        shutil.rmtree(folder / needless, ignore_errors=True)
