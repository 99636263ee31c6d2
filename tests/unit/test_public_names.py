"""That pages and examples show public names only: `__all__`, `errors` and `factories`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import pytest_triton
from pytest_triton import errors, factories

ROOT = Path(__file__).parent.parent.parent
PUBLIC = {
    "pytest_triton": {*pytest_triton.__all__, "errors"},
    "pytest_triton.errors": {*errors.PUBLIC},
    "pytest_triton.factories": {*factories.__all__},
}
PAGES = [ROOT / "README.md"] + [
    page for page in (ROOT / "docs").rglob("*.md") if "rules" not in page.parts
]
"""Rules have pages with the code of models."""
EXAMPLES = [*(ROOT / "example_project").rglob("*.py"), ROOT / "tests/suite/downstream_sample.py"]


def private_imports(code: str) -> Iterator[str]:
    """What code imports of the package that isn't public."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names if one.name.startswith("pytest_triton")]
            yield from (name for name in names if name not in PUBLIC)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pytest_triton"):
            public = PUBLIC.get(node.module or "", set())
            names = [one.name for one in node.names if one.name not in {*public, "*"}]
            yield from (f"{node.module}.{name}" for name in names)


def python_blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_page_imports_public_names_only(path: Path) -> None:
    text = path.read_text()
    assert [name for block in python_blocks(text) for name in private_imports(block)] == []
    dotted = set(re.findall(r"`(pytest_triton(?:\.\w+)+)", text))
    homes = {".".join(name.split(".")[:2]) for name in dotted}
    public = {*PUBLIC, *(f"pytest_triton.{name}" for name in PUBLIC["pytest_triton"])}
    assert homes <= public


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_imports_public_names_only(path: Path) -> None:
    assert list(private_imports(path.read_text())) == []


@pytest.mark.parametrize("name", sorted(pytest_triton.__all__))
def test_public_name_is_there(name: str) -> None:
    assert getattr(pytest_triton, name) is not None


@pytest.mark.parametrize(
    "code",
    [
        "from pytest_triton.placement.compare import Observed",
        "import pytest_triton.servers.pool",
        "from pytest_triton import placement",
        "from pytest_triton.errors import tell",
    ],
)
def test_private_import_is_found(code: str) -> None:
    assert list(private_imports(code))
