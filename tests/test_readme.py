"""The README's python, and the example project, run as their readers would run them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from support.documents import ROOT, Follower, is_shown_as

pytestmark = pytest.mark.server

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)
DEMO, FAILURE = re.findall(r"^```\n((?:triton: |___).*?)^```", README, re.M | re.S)


@pytest.fixture
def example(pytester: pytest.Pytester) -> pytest.Pytester:
    """The example project, in a folder of its own."""
    ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache")
    shutil.copytree(ROOT / "example_project", pytester.path, dirs_exist_ok=True, ignore=ignored)
    return pytester


def test_there_is_something_to_run() -> None:
    assert any("def test_" in block for block in BLOCKS)


def test_readme_shows_what_the_demo_prints(tmp_path: Path) -> None:
    output = Follower(tmp_path / "project").run("python -m pytest --triton-repo=models")
    assert is_shown_as(output, f"...\n{DEMO.rstrip()}"), output


def test_readme_shows_a_failure_of_the_broken_models(tmp_path: Path) -> None:
    command = "python -m pytest --triton-repo=broken_models broken_models"
    assert FAILURE in Follower(tmp_path / "project").run(command)


def test_readme_has_at_most_120_lines_and_its_links_lead_to_files() -> None:
    assert len(README.splitlines()) <= 120
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_python_block_of_the_readme(example: pytest.Pytester, number: int) -> None:
    block = BLOCKS[number]
    imports = "import pytest\nfrom pytest_triton import *\n"
    if "def test_" in block:
        (example.path / "tests" / "test_readme_block.py").write_text(imports + block)
        result = example.runpytest_subprocess("tests/test_readme_block.py")
        assert result.ret == 0
        assert result.parseoutcomes()["passed"] >= block.count("def test_")
    elif "factories." in block:
        (example.path / "tests" / "conftest.py").write_text(block)
        assert example.runpytest_subprocess("--fixtures").ret == 0
    else:
        (example.path / "block.py").write_text(block)
        assert example.runpython(example.path / "block.py").ret == 0


@pytest.mark.parametrize("way", [(), ("-n2",)], ids=["alone", "workers"])
def test_example_project(example: pytest.Pytester, way: tuple[str, ...]) -> None:
    result = example.runpytest_subprocess("--triton-repo=models", *way)
    assert result.ret == 0
    outcomes = result.parseoutcomes()
    assert outcomes["skipped"] == 1, "the test that needs a real GPU"
    assert outcomes["passed"] > 40


def test_broken_models_fail_and_nothing_else(example: pytest.Pytester) -> None:
    broken = {path.name for path in (example.path / "broken_models").iterdir()}
    (command,) = re.findall(r"-m pytest (--triton-repo=broken_models.*?)`", README)
    for arguments in (command.split(), ["--triton-repo=broken_models"]):
        result = example.runpytest_subprocess(*arguments, "-q", "--tb=no")
        failed = re.findall(r"(?m)^FAILED (\S+?)::", result.stdout.str())
        assert {Path(path).parent.as_posix() for path in failed} == {
            f"broken_models/{name}" for name in broken
        }
        ran = result.parseoutcomes()
        if arguments == command.split():
            assert ran["passed"] + ran["failed"] + ran.get("skipped", 0) == 5 * len(broken)
