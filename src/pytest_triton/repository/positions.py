"""Where a field stands in a config's text; the fields are named as placement's flaws name them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from pytest_triton.repository.pbtxt import line_and_column, tokens, walk
from pytest_triton.repository.schema import model_config_type

_ENTRY = re.compile(r'\[("(?:[^"\\]|\\.)*")\]')
_LAST_PART = re.compile(r"(\[[^][]*\]|\.[^.[\]]*|^[^.[\]]+)\Z")


@lru_cache(maxsize=64)
def positions_in(text: str) -> Mapping[str, int]:
    """Offsets by path, such as `instance_group[0].kind`; under a list's name that of its first."""
    return walk(text, model_config_type().DESCRIPTOR).positions


def locate(text: str, field: str) -> tuple[int, int] | None:
    """Line and column, from 1, of a field, or of the nearest that is written around it.

    None if no part of it is written. A map's entry is named by its key: `input_map["X"]`.
    """
    positions = positions_in(text)
    for candidate in _with_parents(_resolved(text, field, positions)):
        if candidate in positions:
            return line_and_column(text, positions[candidate])
    return None


def _resolved(text: str, field: str, positions: Mapping[str, int]) -> str:
    """The path with the numbers of a map's entries in place of their keys."""
    while (match := _ENTRY.search(field)) is not None:
        prefix, key = field[: match.start()], json.loads(match[1])
        index = 0
        while (at := positions.get(f"{prefix}[{index}].key")) is not None:
            if _string_behind(text, at) == key:
                break
            index += 1
        if at is None:
            return prefix
        field = f"{prefix}[{index}]{field[match.end() :]}"
    return field


def _string_behind(text: str, start: int) -> str:
    """The string that is a field's value; `start` is where the field's name stands."""
    stream = tokens(text[start : start + 1000])
    found = [token for token, _ in zip(stream, range(3), strict=False) if token.kind == "string"]
    return found[0].text[1:-1] if found else ""


def _with_parents(field: str) -> Iterator[str]:
    while field:
        yield field
        match = _LAST_PART.search(field)
        field = field[: match.start()] if match is not None else ""
