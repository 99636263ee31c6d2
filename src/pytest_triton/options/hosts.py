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
from pytest_triton.options.values import LogPlace


class Host:
    """Where a server runs.

    `is_ours`: pytest starts and ends it, with the models, GPUs and arguments that are asked for,
    and needs no proxy to reach it. `has_our_files`: it sees all files of this machine.
    `keeps_gpu_order`: it numbers its GPUs in the order in which they are named. `may_rehearse`: it
    has stand-ins unless something real is asked for.
    """

    is_ours: ClassVar[bool] = True
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
    """A server that somebody else runs. Where its metrics and its log are, is known if named."""

    endpoint: Endpoint
    access: Access = OPEN
    may_change: bool = False
    metrics: Endpoint | None = None
    log: LogPlace | None = None
    is_ours = False

    @classmethod
    def at(
        cls,
        url: str,
        access: Access = OPEN,
        *,
        may_change: bool = False,
        metrics: str | None = None,
        log: LogPlace | None = None,
    ) -> AttachedHost:
        """Raises BadUrl."""
        counted = Endpoint.of_metrics(metrics) if metrics is not None else None
        return cls(Endpoint.parse(url), access, may_change, counted, log)


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
    return AttachedHost.at(
        settings.server,
        access,
        may_change=settings.allow_changes,
        metrics=settings.metrics,
        log=settings.log,
    )
