"""Python files as the interpreter would read them: encoding, syntax, tree."""

from __future__ import annotations

import ast
import re
import sys
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pytest_triton.repository.bounded_read import read_bytes

SIZE_LIMIT = 512 * 1024
_LONGEST_CHAIN = 1000
"""Operators in a row; longer ones are generated, and deeper than Python's own stack may be."""
_MOST_BRACES = 2000
"""In a line; the parser's time for an f-string grows with their square."""
_CHAIN = re.compile(rf"(?:[-+~(\[{{][\s\\]*){{{_LONGEST_CHAIN}}}")


class Place(NamedTuple):
    """Line and column, from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class BadSource:
    """Why Python can't compile a file, and where."""

    message: str
    place: Place | None


@dataclass(frozen=True, eq=False)
class Source:
    """A file's code. `tree` is None where `bad` says why, or where nobody can know.

    `too_complex`: it is beyond what is parsed here.
    """

    path: Path
    text: str = ""
    tree: ast.Module | None = None
    bad: BadSource | None = None
    too_complex: bool = False

    def place(self, node: ast.AST) -> Place:
        """Where a node stands; ast counts columns in bytes of UTF-8, and from 0."""
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        if not self.text.isascii():
            lines = self.text.splitlines()[line - 1 : line]
            column = len("".join(lines).encode()[:column].decode(errors="replace"))
        return Place(line, column + 1)


def read_source(path: Path) -> Source:
    """Read and compile a file. What can't be read, or is too large, has no tree."""
    data = read_bytes(path, SIZE_LIMIT + 1)
    if data is None or len(data) > SIZE_LIMIT:
        return Source(path)
    return _compiled(path, data)


@lru_cache(maxsize=32)  # a tree takes megabytes
def _compiled(path: Path, data: bytes) -> Source:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return Source(path, bad=BadSource("is UTF-16: Python reads UTF-8", None))
    text = data.decode("utf-8-sig", "replace")
    if _CHAIN.search(text) or any(line.count("{") > _MOST_BRACES for line in text.split("\n")):
        return Source(path, text, too_complex=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes and the like
            tree = ast.parse(data, "model.py")
            # What the parser lets through: `return` outside of a function, and others.
            compile(data, "model.py", "exec", dont_inherit=True)
    except SyntaxError as error:
        too_complex = any(message in (error.msg or "") for message in _LIMITS)
        return Source(path, text, bad=_bad(error, text), too_complex=too_complex)
    except ValueError as error:  # null bytes, before Python 3.12
        if b"\0" in data:
            return Source(path, text, bad=BadSource("holds null bytes", None))
        return Source(path, text, bad=BadSource(str(error), None))
    except (RecursionError, MemoryError, OverflowError):
        return Source(path, text, too_complex=True)
    return Source(path, text, tree)


_LIMITS = ("too many", "too deeply")  # in errors of a parser that gives up

# Of Python 3.11, 3.12 and 3.14: an older one that runs the audit takes them for errors.
_NEWER = re.compile(
    r"\s*(?:except\s*\*|except\s+[\w.]+\s*,|type\s+\w+[^=]*=|(?:async\s+)?(?:def|class)\s+\w+\[)"
)


def _is_newer_syntax(error: SyntaxError, line: str) -> bool:
    if sys.version_info < (3, 12) and (error.msg or "").startswith("f-string"):
        return True  # quotes and backslashes in the braces
    return sys.version_info < (3, 14) and _NEWER.match(line) is not None


def _bad(error: SyntaxError, text: str) -> BadSource | None:
    if "null bytes" in (error.msg or ""):
        return BadSource("holds null bytes", None)
    if any(message in (error.msg or "") for message in _LIMITS):
        return None  # a limit of this Python, perhaps not of the other
    place = None
    if error.lineno:
        lines = text.splitlines()
        if _is_newer_syntax(error, lines[error.lineno - 1] if error.lineno <= len(lines) else ""):
            return None
        column = (
            min(error.offset or 1, len(lines[error.lineno - 1]) + 1)
            if (error.lineno <= len(lines))
            else 1
        )
        place = Place(error.lineno, max(column, 1))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return BadSource(f"{type(error).__name__} on Python {version}: {error.msg}", place)
