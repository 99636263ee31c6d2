"""Pages of Markdown: their code blocks, and console captures run and compared.

A page is followed from top to bottom in one directory, as its reader would:

- A block with a caption is a file of that name.
- In a `console` block, lines that begin with `$ ` are commands, and the others their output. A line
  `...` stands for any lines, `…` for anything within a line, and durations for any duration.
- A `python` block without a caption is run: as tests if it has any, else as a script.
- A `sh` block isn't run; its commands and options must exist.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(
    r"^(?P<fence>`{3,}|:{3,})(?P<head>[^\n`]*)\n(?P<body>.*?)^(?P=fence)[ \t]*$", re.M | re.S
)
_OPTION = re.compile(r"^:(\w+): *(.*)\n", re.M)


@dataclass(frozen=True)
class Block:
    """A code block of a page: its language, its file's name ("" if it isn't one), its text."""

    language: str
    caption: str
    text: str
    line: int


def blocks(page: str) -> Iterator[Block]:
    """The code blocks of a page, in order."""
    for found in _FENCE.finditer(page):
        head = found["head"].strip()
        directive = re.fullmatch(r"\{code-block\} *(\w+)", head)
        body, caption = found["body"], ""
        if directive is not None:
            while option := _OPTION.match(body):
                caption = option[2] if option[1] == "caption" else caption
                body = body[option.end() :]
            body = body.lstrip("\n")
        elif head.startswith("{") or found["fence"].startswith(":"):
            continue
        language = directive[1] if directive is not None else head
        yield Block(language, caption, body, page.count("\n", 0, found.start()) + 1)


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with the output that it is said to have."""
    for part in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
        command, _, output = part.partition("\n")
        while command.endswith("\\"):
            more, _, output = output.partition("\n")
            command = f"{command}\n{more}"
        yield command, output.strip("\n")


def is_shown_as(output: str, shown: str) -> bool:
    """Whether the page shows this output, apart from what it leaves out."""
    parts = []
    for line in _without_durations(shown).split("\n"):
        if line.strip() == "...":
            parts.append(r"(?:[^\n]*\n)*?")
        else:
            pieces = map(re.escape, line.rstrip().split("…"))
            parts.append(r"[^\n]*?".join(pieces) + r"[ \t]*\n")
    text = _without_durations(output).rstrip("\n") + "\n"
    return re.fullmatch("".join(parts), text) is not None


def _without_durations(text: str) -> str:
    """With the same text for every duration, and for the line that pytest fills up around it."""
    text = re.sub(r"\b\d+\.\d+ ?s\b( \(\d+:\d\d:\d\d\))?|(?<= in )…", "some seconds", text)
    return re.sub(r"^=+ (.*some seconds)( =+)?$", r"= \1 =", text, flags=re.M)


class Follower:
    """Follows pages in a directory that starts as the example project, or empty."""

    def __init__(self, directory: Path, *, empty: bool = False) -> None:
        self.directory = directory
        if not empty:
            shutil.copytree(
                ROOT / "example_project",
                directory,
                dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"),
            )
        directory.mkdir(exist_ok=True)

    def write(self, block: Block) -> None:
        path = self.directory / block.caption
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")

    def run(self, command: str) -> str:
        """What a command prints, standard error included."""
        hidden = ("CI", "GITHUB_", "GITLAB_", "PYTEST_", "COV_")
        variables = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(hidden) or name == "PYTEST_TRITON_CACHE"
        }
        variables |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "80",
            "NO_COLOR": "1",
        }
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.directory,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        return done.stdout
