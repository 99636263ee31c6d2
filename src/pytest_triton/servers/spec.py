"""What to start, as a value: the pool's key and the context of every error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_triton.client.tls import OPEN, Access
from pytest_triton.options.settings import ContainerOptions
from pytest_triton.placement.hardware import HardwareRequest

Where = Literal["process", "container", "attached"]


@dataclass(frozen=True)
class ServerSpec:
    """A server as it was asked for. Equal specs share one running server.

    `where` says what is to be had: a process of this machine (`binary`, `version`), a container
    (`image`, None: the pinned official one; `container`), or a running server to attach to (`url`;
    `access` is what it wants before it answers).
    `repositories` are served together, `timeout` is in seconds and bounds the start,
    `python` is the interpreter for python models (None: the running one), `arguments` are
    added to tritonserver's command line. With `stand_ins`, the names of backends, none of the
    real ones is loaded; `completed` is what those would have completed (rehearsal/completion.py).
    `left_out` are entries of the repositories that Triton must not see, for
    it would serve nothing else either. `shadowed` are libraries in the repositories that it must
    not see, for stand-ins stand for them. `environment` is added to the server's. `changed_by` is
    empty for servers that nobody may change; else it names who alone may load and unload their
    models (explicit model control), of which `load` are loaded at the start (None: all).
    """

    repositories: tuple[Path, ...]
    hardware: HardwareRequest
    binary: Path | None = None
    version: str | None = None
    python: Path | None = None
    timeout: float = 120.0
    arguments: tuple[str, ...] = ()
    stand_ins: tuple[str, ...] = ()
    completed: tuple[tuple[str, str], ...] = ()
    left_out: tuple[Path, ...] = ()
    shadowed: tuple[Path, ...] = ()
    where: Where = "process"
    image: str | None = None
    container: ContainerOptions = ContainerOptions()
    url: str | None = None
    access: Access = OPEN
    environment: tuple[tuple[str, str], ...] = ()
    changed_by: str = ""
    load: tuple[str, ...] | None = None

    @property
    def is_rehearsal(self) -> bool:
        """Whether anything is simulated: what such a server does is never shown as a real run."""
        return bool(self.stand_ins) or self.hardware.simulated

    @property
    def run(self) -> str:
        """`real run`, or `rehearsal (simulated GPUs, stand-in backends)`.

        Of a server that was started elsewhere nobody here knows which: `attached server`.
        """
        if self.where == "attached":
            return "attached server"
        if not self.is_rehearsal:
            return "real run"
        parts = ["simulated GPUs"] * self.hardware.simulated
        parts += ["stand-in backends"] * bool(self.stand_ins)
        return f"rehearsal ({', '.join(parts)})"

    def __str__(self) -> str:
        if self.where == "attached":
            return f"the server at {self.url}"
        repositories = ":".join(str(path) for path in self.repositories)
        return f"tritonserver on {repositories} with {self.hardware.label}"
