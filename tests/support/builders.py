"""Small model repositories for tests: the public builder, in the short form that most want."""

from __future__ import annotations

from pathlib import Path

from pytest_triton.testing import repository_builder
from pytest_triton.testing.repository_builder import PYTHON_MODEL, TENSORS


class RepositoryBuilder:
    """Writes models into a directory. `path` is the repository."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._builder = repository_builder.RepositoryBuilder(path)

    def add(self, name: str, groups: str = "", *, backend: str = "python", more: str = "") -> Path:
        """A complete model with these instance groups; returns its config.pbtxt.

        `groups` is what stands between the brackets of instance_group; none is written if empty.
        """
        text = f'backend: "{backend}"\n{TENSORS}'
        if groups:
            text += f"instance_group [ {groups} ]\n"
        return self.add_config(name, text + more)

    def add_config(self, name: str, text: str | bytes) -> Path:
        """A model with this very config.pbtxt; returns the file."""
        files = {"1/model.py": PYTHON_MODEL, "config.pbtxt": text}
        return self._builder.add(name, config="", files=files) / "config.pbtxt"
