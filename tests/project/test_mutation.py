"""scripts/mutation: what it changes, and what it leaves alone. `make mutation` runs it."""

from __future__ import annotations

import ast
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def mutation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, for a package in `tmp_path`."""
    loader = SourceFileLoader("mutation", str(ROOT / "scripts" / "mutation"))
    spec = spec_from_loader("mutation", loader)
    assert spec is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "mutation", module)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / module.PACKAGE).mkdir(parents=True)
    return module


def mutants(mutation: ModuleType, source: str) -> set[tuple[str, str]]:
    """The kind of each mutant, and the line that is new."""
    (mutation.ROOT / mutation.PACKAGE / "m.py").write_text(source)
    found = list(mutation.mutants("m.py"))
    assert all(ast.dump(ast.parse(one.source)) != ast.dump(ast.parse(source)) for one in found)
    return {(one.kind, one.diff.partition("\n+ ")[2]) for one in found}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a < b", {("comparison", "a >= b"), ("boundary", "a <= b"), ("deleted", "pass")}),
        ("a == b", {("comparison", "a != b"), ("deleted", "pass")}),
        ("x = a and b", {("and-or", "x = a or b")}),
        ("x = not a", {("not", "x = a")}),
        ("x = 1", {("boundary", "x = 2"), ("boundary", "x = 0")}),
        ("x = True", {("constant", "x = False")}),
        ("x = 'é'", {("constant", "x = ''")}),
        ("return x", {("return", "return None")}),
        ("return", {("deleted", "pass")}),
        ("x.y = z", {("deleted", "pass")}),
        ("x: 'A' = y", set()),
        ("x = f'{a < 1}'", set()),
        ("'a docstring'", set()),
    ],
)
def test_statement_has_these_mutants(
    mutation: ModuleType, line: str, expected: set[tuple[str, str]]
) -> None:
    assert mutants(mutation, f"def f():\n    {line}\n") == expected


def test_condition_is_negated_with_its_branches_as_they_are(mutation: ModuleType) -> None:
    found = mutants(mutation, "def f():\n    if a:\n        b = c\n")
    assert found == {("not", "if not a:")}


def test_sample_has_each_kind_and_is_the_same_for_a_seed(mutation: ModuleType) -> None:
    source = "def f():\n    x = not (a < 1 and b)\n" + "".join(
        f"    y{n} = 'a'\n" for n in range(20)
    )
    (mutation.ROOT / mutation.PACKAGE / "m.py").write_text(source)
    found = list(mutation.mutants("m.py"))
    chosen = mutation.sample(found, 5, 1)
    assert {one.kind for one in chosen} == {"and-or", "boundary", "comparison", "constant", "not"}
    assert chosen == mutation.sample(found[::-1], 5, 1)
