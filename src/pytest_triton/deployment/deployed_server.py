"""A Triton server as production starts it: what a deployment file says about one container."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from pytest_triton.deployment.commands import Ending, Found
from pytest_triton.deployment.yaml_file import Node, Place
from pytest_triton.errors import PytestTritonError
from pytest_triton.placement.command_line import NO_ARGUMENTS, BadArguments, CommandLine
from pytest_triton.placement.hardware import NO_GPU, Hardware, newest_gpus

_MOST_GPUS = 1024
_OF_MODEL = re.compile(r"/v2/models/(?P<name>[^/?]+)(?:/versions/(?P<version>[^/?]+))?", re.ASCII)


class NoTriton(PytestTritonError):
    """No Triton server is started by what a deployment file describes."""

    exit_code = 2


@dataclass(frozen=True)
class Grant:
    """The GPUs that a container is given.

    `all`: every one of the host. `unknown` says why nobody can count them here. `ids` are the
    host's, where it names them. `others` says what is granted that isn't known to be NVIDIA's,
    `hidden` what keeps CUDA from showing the GPUs that are granted.
    """

    kind: Literal["none", "count", "all", "unknown"] = "none"
    count: int = 0
    ids: tuple[str, ...] = ()
    unknown: str = ""
    others: str = ""
    hidden: str = ""

    def __str__(self) -> str:
        if self.kind == "count":
            return f"{self.count} GPU{'s' if self.count != 1 else ''}"
        return {"none": "no GPU", "all": "all GPUs", "unknown": "GPUs that aren't known here"}[
            self.kind
        ]


@dataclass(frozen=True)
class Probe:
    """What asks a container whether it is well. `path` is "" for what isn't HTTP.

    `what` is `liveness`, `readiness`, `startup` or `healthcheck` (of compose). The seconds until
    the first verdict are `delay`, those between two are `period`. `how` is `http`, `https`,
    `grpc` or `tcp`, and "" where it isn't known; `port` is a number, or the name of a port that
    there isn't. `command` is what is run in the container, `header` whether headers are sent.
    """

    what: str
    place: Place
    path: str = ""
    delay: int = 0
    period: int = 10
    failures: int = 3
    how: str = ""
    port: str = ""
    command: str = ""
    header: str = ""

    @property
    def asks_ready(self) -> bool:
        # gRPC's own health service says whether the server is ready (seen on 2.33.0 to 2.51.0).
        return self.how == "grpc" or "health/ready" in self.path or self.path.endswith("/ready")

    @property
    def asked(self) -> str:
        """What it asks, for people."""
        return self.path or ("gRPC's health service" if self.how == "grpc" else "")

    @property
    def model(self) -> tuple[str, str]:
        """The model that it asks about, and the version; ("", "") for the whole server."""
        found = _OF_MODEL.match(self.path)
        return ("", "") if found is None else (unquote(found["name"]), found["version"] or "")

    @property
    def patience(self) -> int:
        """Seconds from the start until it gives up."""
        return self.delay + self.period * self.failures


@dataclass(frozen=True, eq=False)
class DeployedServer:
    """One container that starts tritonserver.

    `name` is the service's, or `kind/name` of a manifest, with the container's if there are
    several. `node` is what describes the container, `pod` the pod around it (None in compose).
    `arguments` are tritonserver's; `unknown` says why they aren't known. `mounts` are directories
    of the container and where they are on this machine, None where they aren't; `mounted_at` is
    where each stands, `unset` the variable without a value that it is mounted from, and `sources`
    are URLs of what is mounted (pvc://CLAIM, s3://BUCKET/PATH), without credentials. `shm_bytes` is
    the size of /dev/shm, None for unlimited. `restarts` is whether it is restarted when it ends
    with an error, `restarts_after_success` whether it is, too, with exit code 0; `ending` is what
    becomes of it when tritonserver ends. `starts_others` is whether the container's command
    starts other programs beside tritonserver. `assumed` is what the file leaves open, where, and
    what is taken for it; `unknown_fix` is what to do about `unknown`. `uses` are the
    containers of a runtime that it is made of.
    """

    name: str
    path: Path
    node: Node = field(repr=False)
    pod: Node | None = field(default=None, repr=False)
    image: str = ""
    arguments: tuple[str, ...] = ()
    unknown: str = ""
    unknown_fix: str = "write them in the file as they are"
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    grant: Grant = Grant()
    grant_place: Place | None = None
    probes: tuple[Probe, ...] = ()
    mounts: Mapping[str, Path | None] = field(default_factory=dict)
    mounted_at: Mapping[str, Place] = field(default_factory=dict)
    unset: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    shm_bytes: int | None = 64 << 20
    restarts: bool = True
    restarts_after_success: bool = True
    starts_others: bool = False
    ending: Ending = "its code"
    assumed: tuple[tuple[Place, str], ...] = ()
    uses: Sequence[Node] = field(default=(), repr=False)
    places: Mapping[str, Place] = field(default_factory=dict)

    @property
    def is_compose(self) -> bool:
        return self.pod is None

    @property
    def is_built(self) -> bool:
        """Whether its image is built from a Dockerfile: `image` is then no more than its base."""
        return self.is_compose and self.node.get("build") is not None

    @property
    def title(self) -> str:
        return f"{self.path}::{self.name}"

    @cached_property
    def line(self) -> CommandLine:
        """Its command line; an empty one if tritonserver would refuse it (`bad_arguments`)."""
        try:
            return self._parsed()
        except BadArguments:
            return NO_ARGUMENTS

    @cached_property
    def bad_arguments(self) -> BadArguments | None:
        try:
            self._parsed()
        except BadArguments as error:
            return error
        return None

    def _parsed(self) -> CommandLine:
        if self.arguments and posixpath.basename(self.arguments[0]) == "tritonserver":
            raise BadArguments(
                "`tritonserver` is started with `tritonserver` as its first argument, which it "
                "doesn't expect, and ends.",
                fix="write tritonserver once: in "
                + ("`entrypoint` or in `command`" if self.is_compose else "`command` or in `args`"),
            )
        return CommandLine.parse(self.arguments)

    def place(self, what: str) -> Place:
        """Where `image`, `command`, `environment`, ... stands; else the container itself."""
        return self.places.get(what, self.node.place)

    def place_of_word(self, word: str) -> Place:
        """Where a word of the command stands, if it is written as an item of its own; else the
        command."""
        for key in ("command", "args", "entrypoint"):
            for one in self.node.list(key):
                if one.text is not None and word in one.text:
                    return one.place
        return self.place("command")

    @cached_property
    def tag(self) -> str:
        """The image's tag, "" if it has none, or a digest."""
        name = self.image.partition("@")[0].rpartition("/")[2]
        return name.partition(":")[2]

    @property
    def has_digest(self) -> bool:
        return "@" in self.image

    @cached_property
    def container_release(self) -> str:
        """Of `24.10-py3`: "24.10"; "" if the tag names none."""
        found = re.match(r"(\d\d\.\d\d)(?:-|$)", self.tag)
        return found[1] if found is not None else ""

    @cached_property
    def variant(self) -> str:
        """Of `24.10-trtllm-python-py3`: "trtllm-python-py3"."""
        return self.tag.partition("-")[2] if self.container_release else ""

    # --- hardware ----------------------------------------------------------------------------

    def granted(self, host: int | None) -> int | None:
        """How many GPUs the container has. `host` counts where the file doesn't: how many the
        machine has, None if nobody says."""
        return host if self.grant.kind in ("all", "unknown") else self.grant.count

    def visible(self, host: int | None) -> int | None:
        """How many of them CUDA shows to tritonserver: CUDA_VISIBLE_DEVICES may hide some."""
        count = self.granted(host)
        wanted = self.environment.get("CUDA_VISIBLE_DEVICES")
        if wanted is None or count == 0:
            return count
        return len(list(visible_ids(wanted, count)))

    def hardware(self, host: int | None) -> Hardware:
        """The GPUs that Triton sees; one where nobody can say how many."""
        count = self.visible(host)
        if count == 0:
            return NO_GPU
        count = 1 if count is None else min(count, _MOST_GPUS)
        return newest_gpus(range(count))

    # --- repositories ------------------------------------------------------------------------

    def mount_of(self, path: str) -> str | None:
        """The mounted directory that a path of the container is in, None if in none."""
        for target in sorted(self.mounts, key=len, reverse=True):
            inside = target.rstrip("/")
            if path.rstrip("/") == inside or path.startswith(f"{inside}/"):
                return target
        return None

    def mount_like(self, path: str) -> str | None:
        """A mounted directory that is nearly called like a path in which nothing is mounted."""
        if self.mount_of(path) is not None or "://" in path:
            return None
        close = get_close_matches(path.rstrip("/"), self.mounts, n=1, cutoff=0.75)
        return close[0] if close else None

    def directory(self, path: str) -> Path | None:
        """Where a directory of the container is on this machine, None if it isn't."""
        target = self.mount_of(path)
        source = None if target is None else self.mounts[target]
        if target is None or source is None:
            return None
        rest = path[len(target.rstrip("/")) :].strip("/")
        return source / rest if rest else source


def unset_in_command(
    found: Found, places: Mapping[str, Place], default: Place
) -> Iterator[tuple[Place, str]]:
    """Where a command sets CUDA_VISIBLE_DEVICES to what isn't known here, and what is taken."""
    if "CUDA_VISIBLE_DEVICES" in found.open:
        yield (
            places.get("command", default),
            "the command sets CUDA_VISIBLE_DEVICES to what is known only when it runs; it is taken "
            "as unset",
        )


def visible_ids(text: str, count: int | None) -> list[str]:
    """The entries of CUDA_VISIBLE_DEVICES that CUDA shows: those before the first bad one."""
    shown: list[str] = []
    for entry in (one.strip() for one in text.split(",")):
        if entry.startswith(("GPU-", "MIG-")):
            good = True
        else:
            good = re.fullmatch(r"\d{1,9}", entry, re.ASCII) is not None
            good = good and (count is None or int(entry) < count)
        if entry in shown:
            return []  # CUDA takes an id that is named twice for no GPU at all
        if not good:
            break
        shown.append(entry)
    return shown
