"""That only `client/` speaks HTTP or gRPC to a Triton.

The import contracts see import statements of whole packages; this sees parts of the standard
library, and names that are imported as texts.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import pytest_triton

SOURCE = Path(pytest_triton.__file__).parent
SPEAKERS = ("grpc", "http", "tritonclient", "urllib.request")


def imported(tree: ast.AST) -> Iterator[str]:
    """Modules that code imports when it runs, as statements or by `import_module`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield ast.unparse(node.args[0]).strip("f'\"")


class _Running(ast.NodeTransformer):
    """Leaves out what only type checkers see."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


def speakers_in(code: str) -> set[str]:
    names = imported(_Running().visit(ast.parse(code)))
    return {name for name in names for one in SPEAKERS if name == one or name.startswith(f"{one}.")}


def test_modules_outside_client_import_nothing_that_speaks() -> None:
    others = [path for path in SOURCE.rglob("*.py") if path.parent != SOURCE / "client"]
    found = {str(path): speakers_in(path.read_text()) for path in others}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "code",
    [
        "import http.client",
        "from urllib.request import urlopen",
        "from urllib import request",
        "def f():\n    from tritonclient.grpc import InferenceServerClient",
        "importlib.import_module('tritonclient.http')",
        "import_module(f'tritonclient.{protocol}')",
    ],
)
def test_import_that_speaks_is_found(code: str) -> None:
    assert speakers_in(code)


def test_import_for_types_is_not_found() -> None:
    code = "if TYPE_CHECKING:\n    from tritonclient.grpc import InferenceServerClient"
    assert not speakers_in(code)
