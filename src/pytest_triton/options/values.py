"""What options are about, as values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_triton.errors import OptionError as OptionError
from pytest_triton.repository.stores import Store

Kind = Literal["GPU", "CPU", "MODEL"]
Required = Literal["gpus", "container", "real-backends"]


@dataclass(frozen=True)
class Deployment:
    """One server's model repositories, as `--triton-repo=a:b` names them.

    `text` is what the user wrote, `paths` the absolute directories, in the given order. Those of
    `stores` are copies of repositories in object stores, which have to be fetched.
    """

    text: str
    paths: tuple[Path, ...]
    stores: tuple[Store, ...] = ()


@dataclass(frozen=True)
class DeploymentFile:
    """`FILE`, `DIR` or `FILE::NAME` of `--triton-deployment`; relative to `start`."""

    text: str
    start: Path


@dataclass(frozen=True)
class LogPlace:
    """Where the log of a running server is: a container's name, or else a file."""

    container: str = ""
    path: Path | None = None

    def __str__(self) -> str:
        return f"container:{self.container}" if self.container else str(self.path)


@dataclass(frozen=True)
class Expectation:
    """A line of `triton_expect`: models named by `pattern` declare exactly these kinds."""

    pattern: str
    kinds: frozenset[Kind]


@dataclass(frozen=True)
class GivenValues:
    """Values for templates: of a `file`, or of KEY=VALUE (then `file` is ""), as a JSON object."""

    name: str
    file: str
    text: str

    @property
    def shown(self) -> str:
        """As --triton-values takes it."""
        return self.file or f"{self.name}={json.loads(self.text)[self.name]}"


@dataclass(frozen=True)
class Requirement:
    """A value of `--triton-require`; `gpus` is how many real ones there are at least."""

    text: str
    what: Required
    gpus: int = 0

    def __str__(self) -> str:
        if self.what != "gpus":
            return "a container" if self.what == "container" else "real backends"
        return "a real GPU" if self.gpus == 1 else f"{self.gpus} real GPUs"
