"""The modules beside model.py, found as the python backend finds them.

It imports `<version>.model`, with the version's and the model's directory at the end of sys.path:
`from .helper import x` is a file beside model.py, `import helper` one in either directory.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pytest_triton.audit.model_code.facts import LIBRARIES
from pytest_triton.audit.model_code.source import Source, read_source

_MOST = 30


class Module:
    """One file of code; `number` is the scope of its names."""

    def __init__(self, source: Source, name: str, dotted: str, number: int, package: Path) -> None:
        self.source = source
        self.name = name
        self.dotted = dotted
        self.number = number
        self.package = package


class Modules:
    """A model.py, and what it imports of its own."""

    def __init__(self, path: Path) -> None:
        version = path.parent
        self.roots = (version, version.parent)
        self.main = Module(read_source(path), f"{version.name}.{path.stem}", "", 1, version)
        self.by_path: dict[Path, Module | None] = {path: self.main}
        self._top_level: dict[str, bool] = {}

    def find(self, name: str, importer: Module, level: int) -> Module | None:
        """The module of the model's own that an import means, None if it isn't one."""
        parts = name.split(".") if name else []
        if level:
            root = importer.package
            for _ in range(level - 1):
                root = root.parent
            if root not in self.roots[:1] and self.roots[0] not in root.parents:
                return None
            return self._module(root, parts, name)
        if not parts or parts[0] in LIBRARIES or parts[0] in sys.stdlib_module_names:
            return None
        if not self._is_own(parts[0]):
            return None
        for root in self.roots:
            found = self._module(root, parts, name)
            if found is not None:
                return found
        return None

    def _is_own(self, first: str) -> bool:
        known = self._top_level.get(first)
        if known is None:
            known = any(
                os.path.isfile(root / f"{first}.py") or os.path.isdir(root / first)
                for root in self.roots
            )
            self._top_level[first] = known
        return known

    def _module(self, root: Path, parts: list[str], dotted: str) -> Module | None:
        if not parts or len(self.by_path) > _MOST or not all(part.isidentifier() for part in parts):
            return None
        base = root.joinpath(*parts)
        for path, package in ((base.with_suffix(".py"), base.parent), (base / "__init__.py", base)):
            if path in self.by_path:
                if self.by_path[path] is not None:
                    return self.by_path[path]
                continue
            if len(self.by_path) <= _MOST and os.path.isfile(path):
                source = read_source(path)
                module = Module(source, dotted, dotted, len(self.by_path) + 1, package)
                self.by_path[path] = module
                return module
            self.by_path[path] = None
        return None
