"""The image of a container: fetched if need be, with progress and a time-out of its own."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_triton.errors import PytestTritonError
from pytest_triton.options.settings import ContainerOptions

if TYPE_CHECKING:
    import docker

# The release of the core that this plugin's rules were checked against, in NVIDIA's registry.
OFFICIAL_IMAGE = "nvcr.io/nvidia/tritonserver:24.10-py3"

_STEP = 5.0  # seconds between two lines of progress

OWN_NAME = "pytest-triton/tritonserver"  # images that `pytest-triton image` builds

# Of an image that `pytest-triton image` has built: the digest of the libraries' sources.
LIBRARIES_LABEL = "pytest-triton.libraries"
LIBRARIES_IN_IMAGE = "/opt/pytest-triton"

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}

Say = Callable[[str], None]


class ImageUnavailable(PytestTritonError):
    """The image isn't there and can't be fetched."""


@dataclass(frozen=True)
class Image:
    """An image that the daemon has.

    `id` and `digest` look like `sha256:...`; an image that was never in a registry has no digest.
    `version` is tritonserver's, None if the image doesn't say. `runs_server`: its entrypoint is
    tritonserver itself, so a command holds only arguments. `machine` is the kind of processor that
    it is for, `libraries` what its libraries for rehearsals are built from ("" if it has none).
    """

    name: str
    id: str
    digest: str | None
    version: str | None
    runs_server: bool = False
    machine: str = "x86_64"
    libraries: str = ""

    @property
    def note(self) -> str:
        """`image nvcr.io/... (sha256:...)`."""
        return f"image {self.name} ({self.digest or f'local, {self.id[:19]}'})"


def get_image(client: docker.DockerClient, name: str, options: ContainerOptions, say: Say) -> Image:
    """The image, fetched if the options say so. Raises ImageUnavailable.

    `say` is called with how a fetch goes on, a line at a time.
    """
    from docker.errors import ImageNotFound

    if options.pull == "always":
        _pull(client, name, options.pull_timeout, say)
    try:
        return _image(name, client.api.inspect_image(name))
    except ImageNotFound:
        if options.pull != "missing":
            raise ImageUnavailable(
                f"The image {name} isn't there, and is not to be fetched.",
                tried=["the images that the container engine has", "--triton-pull=never"],
                fix=f"`docker pull {name}`, correct --triton-image, or --triton-pull=missing",
            ) from None
    _pull(client, name, options.pull_timeout, say)
    return _image(name, client.api.inspect_image(name))


def _image(name: str, found: Mapping[str, Any]) -> Image:
    config = found.get("Config") or {}
    variables = dict(entry.split("=", 1) for entry in config.get("Env") or [])
    labels = config.get("Labels") or {}
    version = variables.get("TRITON_SERVER_VERSION")
    entrypoint = list(config.get("Entrypoint") or [])
    digests = list(found.get("RepoDigests") or [])
    return Image(
        name=name,
        id=str(found["Id"]),
        digest=digests[0].rpartition("@")[2] if digests else None,
        version=version or labels.get("com.nvidia.tritonserver.version") or None,
        runs_server=bool(entrypoint) and entrypoint[-1].rpartition("/")[2] == "tritonserver",
        machine=_MACHINES.get(str(found.get("Architecture")), str(found.get("Architecture"))),
        libraries=labels.get(LIBRARIES_LABEL) or "",
    )


def _pull(client: docker.DockerClient, name: str, timeout: float, say: Say) -> None:
    say(f"fetching {name} (official images are 10 GB and more; at most {timeout:g} s)")
    begun = time.monotonic()
    try:
        _follow(_messages(client, name, begun + timeout), begun, say)
    except TimeoutError:
        raise ImageUnavailable(
            f"The image {name} could not be fetched in {timeout:g} s.",
            tried=[f"docker pull {name}"],
            fix="raise --triton-pull-timeout; what has been fetched is kept, so the next try "
            f"goes on from there. Or `docker pull {name}` beforehand",
        ) from None
    except _PullFailed as error:
        raise ImageUnavailable(
            f"The image {name} isn't there and could not be fetched: {error}",
            tried=[
                "the images that the container engine has",
                f"docker pull {name}, with the credentials of ~/.docker/config.json",
            ],
            fix=_fix(name, str(error)),
        ) from None
    say(f"fetched {name} in {time.monotonic() - begun:.0f} s")


def _messages(
    client: docker.DockerClient, name: str, deadline: float
) -> Iterator[Mapping[str, Any]]:
    """What the daemon reports of a pull. Raises TimeoutError and _PullFailed.

    docker-py waits for the next message without end, so that is left to a thread.
    """
    import requests
    from docker.errors import DockerException
    from docker.utils import parse_repository_tag

    reported: queue.Queue[Mapping[str, Any] | None] = queue.Queue()

    def pull() -> None:
        repository, tag = parse_repository_tag(name)
        try:
            for message in client.api.pull(repository, tag or "latest", stream=True, decode=True):
                reported.put(message)
        except (DockerException, requests.RequestException, OSError) as error:
            reported.put({"error": str(getattr(error, "explanation", None) or error)})
        reported.put(None)

    threading.Thread(target=pull, name=f"pull of {name}", daemon=True).start()
    while True:
        try:
            message = reported.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise TimeoutError from None
        if message is None:
            return
        if "error" in message:
            raise _PullFailed(str(message["error"]).strip())
        yield message


class _PullFailed(Exception):
    """The daemon's own text on what went wrong with a pull."""


def _follow(messages: Iterable[Mapping[str, Any]], begun: float, say: Say) -> None:
    """Read what the daemon reports of a pull, and say now and then how far it is."""
    layers: dict[str, tuple[int, int]] = {}  # id -> bytes fetched, bytes in all
    said = begun
    for message in messages:
        detail = message.get("progressDetail") or {}
        if message.get("status") == "Downloading" and detail.get("total"):
            layers[message["id"]] = (detail["current"], detail["total"])
        elif message.get("status") in ("Download complete", "Pull complete", "Extracting"):
            _, total = layers.get(message["id"], (0, 0))
            layers[message["id"]] = (total, total)
        now = time.monotonic()
        if now - said >= _STEP:
            said = now
            done = sum(one for one, _ in layers.values())
            total = sum(one for _, one in layers.values())
            say(f"fetched {done / 1e6:.0f} of {total / 1e6:.0f} MB, {now - begun:.0f} s")


def _fix(name: str, what: str) -> str:
    small = "or run tests without an image: pytest-triton install"
    lower = what.lower()
    if "no space left" in lower:
        return f"free disk space where Docker keeps its images (docker system df), {small}"
    if name.startswith(OWN_NAME):
        return f"build it: pytest-triton image, {small}"
    if any(word in lower for word in ("auth", "denied", "forbidden")):
        registry = name.partition("/")[0]
        return f"`docker login {registry}` with an account that may read it, {small}"
    if any(word in lower for word in ("not found", "manifest unknown", "invalid reference")):
        return f"correct the name of the image (--triton-image), {small}"
    return f"check the network (proxies are the daemon's), or `docker load` the image, {small}"
