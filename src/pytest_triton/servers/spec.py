"""What to start, as a value: the pool's key and the context of every error."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pytest_triton.options.hosts import AttachedHost, Host, ProcessHost
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.repository.reading import Added
from pytest_triton.text.paths import with_urls

ModelControl = Literal["none", "explicit"]


PREFIX = "pytest-triton-"  # of folders that this plugin makes
VIEWS = "repositories"  # in a server's folder


@dataclass(frozen=True)
class ServerSpec:
    """A server as it was asked for. Equal specs share one running server.

    `host` says where it runs: a process of this machine, a container, or a running server.
    `repositories` are served together, `timeout` is in seconds and bounds the start, `arguments`
    are added to tritonserver's command line. With `stand_ins`, the names of backends, none of the
    real ones is loaded; `completed` is what those would have completed (rehearsal/completion.py).
    `left_out` are entries of the repositories that Triton must not see, for
    it would serve nothing else either. `shadowed` are libraries in the repositories that it must
    not see, for stand-ins stand for them. `added` is what it is to see besides, or instead of what
    is there. `environment` is added to the server's.
    `owner` names the tests that alone use it ("": it is shared), and `model_control` is
    Triton's mode: where that is explicit, its owner may load and unload models, and `load` are
    loaded at the start (None: all). `attempt` distinguishes servers that are equal else: one more
    try after a crash.
    """

    repositories: tuple[Path, ...]
    hardware: HardwareRequest
    host: Host = ProcessHost()
    timeout: float = 120.0
    arguments: tuple[str, ...] = ()
    stand_ins: tuple[str, ...] = ()
    completed: tuple[tuple[str, str], ...] = ()
    left_out: tuple[Path, ...] = ()
    shadowed: tuple[Path, ...] = ()
    added: tuple[Added, ...] = ()
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # may hold secrets
    owner: str = ""
    model_control: ModelControl = "none"
    load: tuple[str, ...] | None = None
    attempt: int = 0

    @property
    def is_changeable(self) -> bool:
        """Whether its owner may load and unload its models."""
        return bool(self.owner) and self.model_control == "explicit"

    @property
    def is_rehearsal(self) -> bool:
        """Whether anything is simulated: what such a server does is never shown as a real run."""
        return bool(self.stand_ins) or self.hardware.simulated

    @property
    def run(self) -> str:
        """`real run`, or `rehearsal (simulated GPUs, stand-in backends)`.

        Of a server that was started elsewhere nobody here knows which: `attached server`.
        """
        if not self.host.is_ours:
            return "attached server"
        if not self.is_rehearsal:
            return "real run"
        parts = ["simulated GPUs"] * self.hardware.simulated
        parts += ["stand-in backends"] * bool(self.stand_ins)
        return f"rehearsal ({', '.join(parts)})"

    def as_given(self, text: str) -> str:
        """A text of the server with the repositories' own paths, and URLs of object stores, where
        it has those of its view (launch_arguments.served_repositories).
        """
        if VIEWS in text:
            for number, path in enumerate(self.repositories):
                name = re.escape(f"{number}-{path.name}")
                view = rf"/[^\s'\"]*/{PREFIX}[\w.-]+/{VIEWS}/{name}(?![\w-])"
                text = re.sub(view, str(path).replace("\\", r"\\"), text)
        return with_urls(text)

    def __str__(self) -> str:
        if isinstance(self.host, AttachedHost):
            return f"the server at {self.host.endpoint}"
        repositories = ":".join(str(path) for path in self.repositories)
        return f"tritonserver on {repositories} with {self.hardware.label}"
