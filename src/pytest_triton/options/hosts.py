"""Where a server runs, as a tagged value: what it takes to have it there, and what can be done.

Code that cares where a server runs asks for a capability, and these all stand in `Host`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pytest_triton.client.address import Endpoint
from pytest_triton.client.tls import OPEN, Access
from pytest_triton.options.settings import ContainerOptions, Settings


class Host:
    """Where a server runs.

    `is_ours`: pytest starts and ends it, with the models, GPUs and arguments that are asked for,
    and needs no proxy to reach it. `log_is_readable`: what it writes can be read.
    `has_our_files`: it sees all files of this machine. `keeps_gpu_order`: it numbers its GPUs in
    the order in which they are named. `may_rehearse`: it has stand-ins unless something real is
    asked for.
    """

    is_ours: ClassVar[bool] = True
    log_is_readable: ClassVar[bool] = True
    has_our_files: ClassVar[bool] = False
    keeps_gpu_order: ClassVar[bool] = False
    may_rehearse: ClassVar[bool] = False

    @property
    def access(self) -> Access:
        """What it wants before it answers."""
        return OPEN

    @property
    def mounted(self) -> tuple[Path, ...]:
        """Files and folders of this machine that it sees, besides the repositories."""
        return ()

    @property
    def may_change(self) -> bool:
        """Whether tests may have it load and unload models."""
        return True


@dataclass(frozen=True)
class ProcessHost(Host):
    """A process of this machine: `binary`, an installed `version`, or what is found first.

    `python` is the interpreter for python models (None: the one that runs pytest).
    """

    binary: Path | None = None
    version: str | None = None
    python: Path | None = None
    has_our_files = True
    keeps_gpu_order = True
    may_rehearse = True


@dataclass(frozen=True)
class ContainerHost(Host):
    """A container of `image` (None: the pinned official one)."""

    image: str | None = None
    options: ContainerOptions = ContainerOptions()

    @property
    def mounted(self) -> tuple[Path, ...]:
        return self.options.mount


@dataclass(frozen=True)
class AttachedHost(Host):
    """A server that somebody else runs."""

    endpoint: Endpoint
    access: Access = OPEN
    may_change: bool = False
    is_ours = False
    log_is_readable = False

    @classmethod
    def at(cls, url: str, access: Access = OPEN, *, may_change: bool = False) -> AttachedHost:
        """Raises BadUrl."""
        return cls(Endpoint.parse(url), access, may_change)


def host_type(server: str) -> type[Host]:
    """The kind of host that the option `server` names: "process", "container" or a URL."""
    known: dict[str, type[Host]] = {"process": ProcessHost, "container": ContainerHost}
    return known.get(server, AttachedHost)


def host_of(settings: Settings) -> Host:
    """Where the servers of these settings run. Raises BadUrl."""
    kind = host_type(settings.server)
    if kind is ProcessHost:
        return ProcessHost(settings.binary, settings.version, settings.python)
    if kind is ContainerHost:
        return ContainerHost(settings.image, settings.container)
    access = Access(settings.tls_ca, settings.tls_cert, settings.tls_key, settings.header)
    return AttachedHost.at(settings.server, access, may_change=settings.allow_changes)
