"""What a shell gets to complete `pytest-triton ...` with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def completions(line: str, tmp_path: Path) -> list[str]:
    """As bash asks: argcomplete's protocol, with its answer in a file."""
    answer = tmp_path / "answer"
    subprocess.run(
        [sys.executable, "-m", "pytest_triton"],
        env={
            **os.environ,
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
            "_ARGCOMPLETE_IFS": "\n",
            "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
        },
        check=True,
        timeout=60,
    )
    return answer.read_text().split("\n")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pytest-triton pl", ["plan"]),
        ("pytest-triton d", ["diff", "doctor"]),
        ("pytest-triton audit --expl", ["--explain"]),
        ("pytest-triton report --format s", ["sarif"]),
    ],
)
def test_completion_of_a_line_offers_what_fits(
    line: str, expected: list[str], tmp_path: Path
) -> None:
    assert completions(line, tmp_path) == expected


def test_completion_without_argcomplete_leaves_the_command_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "argcomplete.py").write_text("raise ImportError\n")
    result = subprocess.run(
        [sys.executable, "-m", "pytest_triton", "--version"],
        env={**os.environ, "_ARGCOMPLETE": "1", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.startswith("pytest-triton ")
