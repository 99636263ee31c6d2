"""How a repository is read: as it is on disk, or with parts that are kept elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_triton.repository.templates import ValueSet

Weights = Literal["present", "elsewhere"]


@dataclass(frozen=True)
class Reading:
    """What is to be made of a repository's directories.

    With `weights` elsewhere, files and version directories that the configs need and that aren't
    there are assumed. Templates get `values`; None: nothing is taken for a template. `config_name`
    is the variant of configs that the server prefers (--model-config-name); without `completes` it
    demands a config of each model (--disable-auto-complete-config). Unless the weights are
    `weights_given`, those of a repository in an object store are elsewhere.
    """

    weights: Weights = "present"
    values: ValueSet | None = None
    config_name: str = ""
    completes: bool = True
    weights_given: bool = False

    @property
    def assumes_files(self) -> bool:
        return self.weights == "elsewhere"


AS_IT_IS = Reading()


@dataclass(frozen=True)
class Added:
    """What a server is to see at a path of a repository, instead of what is there or isn't.

    A directory, or a file that starts with `data` and is filled with zeros up to `size` bytes.
    """

    path: Path
    data: bytes = b""
    size: int = 0
    is_directory: bool = False
