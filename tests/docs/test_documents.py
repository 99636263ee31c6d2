"""The documentation's code blocks and console captures, run as their readers would run them."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_triton.__main__ import COMMANDS
from pytest_triton.options.settings import RUN_OPTIONS
from support.documents import ROOT, Block, Follower, blocks, commands, is_shown_as

PAGES = [
    path
    for path in sorted((ROOT / "docs").rglob("*.md"))
    if path.parent.name not in ("rules", "_ext")
]
RUN = ("console", "python")


def _name(path: Path) -> str:
    return path.relative_to(ROOT / "docs").as_posix()


def _of(path: Path, *languages: str) -> list[Block]:
    return [one for one in blocks(path.read_text("utf-8")) if one.language in languages]


def _pages_to_follow() -> Iterator[Any]:
    for page in PAGES:
        if _of(page, *RUN):
            needs = re.findall(r"<!-- needs: (\w+) -->", page.read_text("utf-8"))
            marks = [getattr(pytest.mark, name) for name in ("server", *needs)]
            yield pytest.param(page, marks=marks, id=_name(page))


@pytest.mark.parametrize("page", list(_pages_to_follow()))
def test_page_followed_from_top_to_bottom_shows_what_happens(page: Path, tmp_path: Path) -> None:
    text = page.read_text("utf-8")
    follower = Follower(tmp_path / "project", empty="<!-- project: empty -->" in text)
    for block in blocks(text):
        if block.caption:
            follower.write(block)
        elif block.language == "console":
            for command, shown in commands(block):
                output = follower.run(command)
                assert is_shown_as(output, shown), f"{page}:{block.line}: $ {command}\n{output}"
        elif block.language == "python":
            _run_python(follower, block)


def _run_python(follower: Follower, block: Block) -> None:
    if "def test_" in block.text:
        file = follower.directory / "tests" / "test_block.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"import pytest\nfrom pytest_triton import *\n{block.text}")
        output = follower.run("pytest -q --tb=short tests/test_block.py; echo exit $?")
        passed = re.search(r"(\d+) passed", output)
        assert output.endswith("exit 0\n"), output
        assert passed is not None, output
        assert int(passed[1]) >= block.text.count("def test_"), output
    else:
        (follower.directory / "block.py").write_text(block.text)
        output = follower.run("python block.py; echo exit $?")
        assert output.endswith("exit 0\n"), output


# Commands that aren't run here: containers, GPUs, deployments.


def _shell_lines() -> Iterator[tuple[str, str]]:
    for page in [*PAGES, ROOT / "README.md"]:
        for block in _of(page, "sh", "console"):
            text = re.sub(r"^\$ ", "", block.text, flags=re.M).replace("\\\n", " ")
            for number, line in enumerate(text.splitlines()):
                if re.match(r"(\w+=\S* )*(pytest|pytest-triton)\b", line):
                    yield f"{page.name}:{block.line}:{number}", line


LINES = dict(_shell_lines())


@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())
def test_commands_of_pages_have_only_options_that_exist(line: str) -> None:
    words = shlex.split(line.split(" | ")[0].split(" > ")[0], comments=True)
    while re.match(r"\w+=", words[0]):
        words.pop(0)
    if words[0] == "pytest":
        known = {row.flag for row in RUN_OPTIONS}
        used = {word.split("=")[0] for word in words if word.startswith("--triton")}
        assert used <= known, used - known
        return
    name = words[1]
    assert name in COMMANDS
    module = __import__(f"pytest_triton.cli.{name}", fromlist=["add_arguments"])
    parser = argparse.ArgumentParser(exit_on_error=False)
    module.add_arguments(parser)
    known = {option for action in parser._actions for option in action.option_strings}
    used = {word.split("=")[0] for word in words[2:] if word.startswith("--")}
    assert used <= known, used - known


# What pages are made of can fail.


def test_blocks_are_found_with_language_caption_and_place() -> None:
    page = (
        "# A\n\n```{code-block} python\n:caption: tests/test_a.py\n\nx = 1\n```\n\n"
        "```console\n$ ls \\\n  -a\n.\n$ true\n```\n\n:::{note}\nno\n:::\n"
    )
    code, console = blocks(page)
    assert code == Block("python", "tests/test_a.py", "x = 1\n", 3)
    assert list(commands(console)) == [("ls \\\n  -a", "."), ("true", "")]


@pytest.mark.parametrize(
    ("output", "shown", "same"),
    [
        ("a\nb\nc\n", "a\n...\nc", True),
        ("a\nc\n", "a\n...\nc", True),
        ("a\nb\n", "a", False),
        ("a\nb\n", "b", False),
        ("5 passed in 1.20s\n", "5 passed in 0.05s", True),
        ("5 passed in 1.20s\n", "6 passed in 1.20s", False),
        ("= 5 passed in 75.20s (0:01:15) =\n", "=== 5 passed in 0.05s ===", True),
        ("== 5 passed in 1.20s ==\n", "== 5 passed in …", True),
        ("in /home/me/x\n", "in …/x", True),
        ("", "", True),
        ("x\n", "", False),
    ],
)
def test_capture_is_compared_apart_from_what_it_leaves_out(
    output: str, shown: str, same: bool
) -> None:
    assert is_shown_as(output, shown) == same
