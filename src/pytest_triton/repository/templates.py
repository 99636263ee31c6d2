"""Configs that are templates: filled with values, with a way back from each place of the result.

Two kinds: `${name}`, as TensorRT-LLM's fill_template.py fills it (and `NAME`, as `sed` does), and
Jinja2 (`{{ name }}`), in a sandbox (jinja_templates.py). A template is config.pbtxt itself, or a
file beside it whose name has one of `SUFFIXES` behind it.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from string import Template
from typing import Any

from pytest_triton.repository.pbtxt import line_and_column

SUFFIXES = (".template", ".tmpl", ".tpl", ".j2", ".jinja", ".jinja2", ".in")
JINJA_SUFFIXES = (".j2", ".jinja", ".jinja2")
MOST_CHARACTERS = 1 << 20  # of a rendered config

# What fill_template.py puts in for these if no value is given.
DEFAULTS: Mapping[str, object] = {"max_queue_size": 0, "max_queue_delay_microseconds": 0}

# `${name}` and `$name`, and bare words in capitals, which `sed` fills (of given values only).
_PLACEHOLDER = re.compile(
    Template.pattern.pattern + r"|(?-i:(?P<word>(?<![\w$])[A-Z][A-Z0-9_]+(?!\w|\s*[:{])))",
    Template.pattern.flags,
)
_BRACED = re.compile(r"(?<!\$)(?:\$\$)*\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_JINJA = re.compile(r"\{\{-?\s*[A-Za-z_(\"'\[]|\{%")


@dataclass(frozen=True)
class ValueSet:
    """The values that templates get, under the name that distinguishes deployments ("" for one).

    `text` is a JSON object, so that sets compare by what they hold; `origins` are (name, where it
    is given) pairs.
    """

    name: str = ""
    text: str = "{}"
    origins: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, name: str, values: Mapping[str, Any], origins: Mapping[str, str]) -> ValueSet:
        return cls(name, json.dumps(values, sort_keys=True), tuple(sorted(origins.items())))

    @cached_property
    def values(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads(self.text)
        return found


class TemplateFault(Exception):
    """A template that can't be rendered, and where; offsets count in the template's text."""

    def __init__(self, message: str, offset: int, fix: str = "") -> None:
        super().__init__(message)
        self.message, self.offset, self.fix = message, offset, fix


@dataclass(frozen=True)
class Piece:
    """A part of a rendered text that starts at `start`.

    It comes from `origin` of the template: its first `length` characters are copied from there, and
    what follows stands for a placeholder.
    """

    start: int
    origin: int
    length: int


@dataclass(frozen=True)
class Missing:
    """A placeholder without a value, at an offset of the template's text."""

    name: str
    offset: int


@dataclass(frozen=True)
class Rendered:
    """A template that was filled. `used` are the names of the values in it."""

    text: str
    template: str
    pieces: tuple[Piece, ...]
    used: frozenset[str]
    missing: tuple[Missing, ...] = ()

    def origin(self, line: int, column: int) -> tuple[int, int]:
        """The place in the template of a place in the rendered text; both count from 1."""
        return line_and_column(self.template, self._offset(_offset_of(self.text, line, column)))

    def _offset(self, offset: int) -> int:
        number = bisect_right([piece.start for piece in self.pieces], offset) - 1
        if number < 0:
            return 0
        piece = self.pieces[number]
        return piece.origin + min(offset - piece.start, piece.length)


def templates_beside(names: Iterable[str], config_name: str) -> list[str]:
    """The files that are templates of a config by their names."""
    return [name for name in sorted(names) if name in {config_name + end for end in SUFFIXES}]


def is_jinja(path: Path, text: str) -> bool:
    return path.suffix in JINJA_SUFFIXES or bool(_JINJA.search(text))


def is_template(path: Path, text: str) -> bool:
    """Whether a file has placeholders, or is a template by its name."""
    return path.suffix in SUFFIXES or is_jinja(path, text) or has_braced(text)


def has_braced(text: str) -> bool:
    """Whether there is a `${name}`."""
    return bool(_BRACED.search(text))


def render(path: Path, text: str, values: Mapping[str, Any]) -> Rendered:
    """Fill a template. Raises TemplateFault.

    Placeholders `${name}` without a value are left as they are, and listed.
    """
    if not is_jinja(path, text):
        return fill(text, values)
    from pytest_triton.repository.jinja_templates import render_jinja

    rendered = render_jinja(text, values)
    if not has_braced(rendered.text) or rendered.missing:
        return rendered
    filled = fill(rendered.text, values)
    return Rendered(
        filled.text,
        rendered.template,
        tuple(_composed(filled.pieces, rendered)),
        filled.used | rendered.used,
        tuple(Missing(one.name, rendered._offset(one.offset)) for one in filled.missing),
    )


def _composed(pieces: Sequence[Piece], first: Rendered) -> Iterator[Piece]:
    """The pieces of a second rendering, with their origins in the template of the first."""
    for piece in pieces:
        end = piece.origin + piece.length
        inside = [one for one in first.pieces if piece.origin < one.start < end]
        yield Piece(
            piece.start,
            first._offset(piece.origin),
            (inside[0].start if inside else end) - piece.origin,
        )
        for number, one in enumerate(inside):
            until = inside[number + 1].start if number + 1 < len(inside) else end
            length = min(one.length, until - one.start)
            yield Piece(piece.start + one.start - piece.origin, one.origin, length)


def fill(text: str, values: Mapping[str, Any]) -> Rendered:
    """Put values in place of `${name}`, `$name` and `NAME`, and `$` in place of `$$`."""
    known = {**DEFAULTS, **values}
    out: list[str] = []
    pieces: list[Piece] = []
    used: set[str] = set()
    missing: list[Missing] = []
    length = at = 0
    for found in _PLACEHOLDER.finditer(text):
        name = found.group("named") or found.group("braced") or found.group("word")
        if found.group("escaped") is not None:
            shown = "$"
        elif name is not None and name in known:
            shown = _as_text(name, known[name], found.start())
            used.add(name)
        else:
            if found.group("braced") is not None:
                missing.append(Missing(name, found.start()))
            continue
        copied = text[at : found.start()]
        pieces.append(Piece(length, at, len(copied)))
        out += [copied, shown]
        length += len(copied) + len(shown)
        at = found.end()
        if length > MOST_CHARACTERS:
            raise TemplateFault("the rendered config has more than a million characters", 0)
    pieces.append(Piece(length, at, len(text) - at))
    out.append(text[at:])
    return Rendered("".join(out), text, tuple(pieces), frozenset(used), tuple(missing))


def _as_text(name: str, value: object, offset: int) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise TemplateFault(
        f"`{name}` is a {'list' if isinstance(value, list) else 'table'} of values, and "
        f"${{{name}}} takes one text or number",
        offset,
        "Give it one value, or make a Jinja2 template of the config (config.pbtxt.j2).",
    )


def _offset_of(text: str, line: int, column: int) -> int:
    start = 0
    for _ in range(line - 1):
        end = text.find("\n", start)
        if end < 0:
            break
        start = end + 1
    return start + column - 1
