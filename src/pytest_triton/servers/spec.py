"""What to start, as a value: the pool's key and the context of every error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_triton.placement.hardware import HardwareRequest


@dataclass(frozen=True)
class ServerSpec:
    """A server as it was asked for. Equal specs share one running server.

    `repositories` are served together, `timeout` is in seconds and bounds the start,
    `python` is the interpreter for python models (None: the running one), `arguments` are
    added to tritonserver's command line.
    """

    repositories: tuple[Path, ...]
    hardware: HardwareRequest
    binary: Path | None = None
    version: str | None = None
    python: Path | None = None
    timeout: float = 120.0
    arguments: tuple[str, ...] = ()

    def __str__(self) -> str:
        repositories = ":".join(str(path) for path in self.repositories)
        return f"tritonserver on {repositories} with {self.hardware.label}"
