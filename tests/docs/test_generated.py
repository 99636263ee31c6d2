"""What the documentation generates from the code is complete, and its links are checked."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pytest

import pytest_triton
from pytest_triton.__main__ import COMMANDS
from pytest_triton.options.settings import ARGUMENT_OPTIONS, RUN_OPTIONS
from pytest_triton.placement.refusal import REASONS
from support.documents import ROOT

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def parts() -> dict[str, str]:
    """All generated parts, by name."""
    code = (
        "import generated, json\n"
        "print(json.dumps({name: make() for name, make in generated.PARTS.items()}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=DOCS / "_ext", capture_output=True, check=True
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_options_have_flag_ini_environment_default_and_since(parts: dict[str, str]) -> None:
    for row in RUN_OPTIONS:
        assert f"### `{row.flag}=" in parts["options"]
        found = re.search(
            rf"\| `{row.ini}` \| `{row.environment}` \| (.+) \| ([\d.]+) \|", parts["options"]
        )
        assert found is not None, row.name
        assert found[2] == row.since
    assert "(default:" not in parts["options"]


def test_arguments_commands_and_reasons_are_all_there(parts: dict[str, str]) -> None:
    for row in ARGUMENT_OPTIONS:
        assert f"| `{row.name}` |" in parts["arguments"]
    for name in COMMANDS:
        assert f"\n## {name}\n" in parts["commands"]
    for reason in REASONS:
        assert f"### `{reason}`\n\n" in parts["reasons"]


def test_each_public_name_stands_on_one_page(parts: dict[str, str]) -> None:
    pages = "\n".join(parts[name] for name in ("assertions", "exceptions", "server", "values"))
    named = re.findall(r"^:+\{py:(?:class|function|exception|data)\} (\w+)", pages, re.M)
    assert sorted(named) == sorted(set(pytest_triton.__all__) - {"__version__", "factories"})


def test_all_parts_stand_on_a_page(parts: dict[str, str]) -> None:
    pages = "\n".join(page.read_text("utf-8") for page in DOCS.rglob("*.md"))
    assert set(re.findall(r"<!-- generated: ([\w-]+) -->", pages)) == set(parts)


def test_markers_arguments_are_all_described(parts: dict[str, str]) -> None:
    page = (DOCS / "reference" / "fixtures.md").read_text("utf-8")
    for signature in re.findall(r"@pytest\.mark\.triton_\w+\(\*, (.*?)\)", parts["markers"]):
        for name in signature.split(", "):
            assert f"| `{name.partition('=')[0]}` |" in page


def _check_links() -> Any:
    path = str(ROOT / "scripts" / "check-links")
    spec = importlib.util.spec_from_loader("check_links", SourceFileLoader("check_links", path))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_broken_links_between_pages_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<p id="x"><a href="#x"><a href="b/c.html#y"><a href="https://elsewhere/z#q">'
        '<a href="#gone"><a href="b/c.html#gone"><a href="missing.html"><img src="no.png">'
    )
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.html").write_text('<h1 id="y"><a href="../a.html">')
    assert list(_check_links().broken(tmp_path)) == [
        "a.html: #gone",
        "a.html: b/c.html#gone",
        "a.html: missing.html",
        "a.html: no.png",
    ]
