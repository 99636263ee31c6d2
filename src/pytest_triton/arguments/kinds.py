"""Kinds of arguments: what fits, and how an error says so.

The readers of options (`options/reading.py`) and the checks of public functions share these.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

LONGEST_TIME = 1e9  # seconds: 30 years, which every clock can count
_LONGEST = 4096  # characters of a text; paths are no longer


class ArgumentKind(NamedTuple):
    """What an argument may be. `words`: all that it may be, where these are a few texts.

    `shown_as` has the words that tables and messages show in other texts: (text, word).
    """

    expected: str
    fits: Callable[[Any], bool]
    words: tuple[str, ...] = ()
    shown_as: tuple[tuple[str, str], ...] = ()

    def meant_by(self, text: str) -> str:
        """The word that somebody meant who wrote this text; "" if none comes to mind."""
        by_text = {_plain(word): word for word in self.words}
        by_text.update((_plain(shown), word) for shown, word in self.shown_as)
        close = get_close_matches(_plain(text), by_text, n=1)
        return by_text[close[0]] if close else ""


def a(expected: str, *types: type) -> ArgumentKind:
    """An instance of one of these types. A bool is no number here."""
    return ArgumentKind(expected, lambda value: _is(value, types))


def one_of(words: Collection[str], shown_as: Iterable[tuple[str, str]] = ()) -> ArgumentKind:
    known = tuple(words)
    listed = ", ".join(map(repr, known))
    return ArgumentKind(
        f"one of {listed}",
        lambda value: isinstance(value, str) and value in known,
        known,
        tuple(shown_as),
    )


def optional(kind: ArgumentKind) -> ArgumentKind:
    return ArgumentKind(
        f"{kind.expected}, or None",
        lambda value: value is None or kind.fits(value),
        kind.words,
        kind.shown_as,
    )


def either(one: ArgumentKind, other: ArgumentKind) -> ArgumentKind:
    return ArgumentKind(
        f"{one.expected}, or {other.expected}",
        lambda value: one.fits(value) or other.fits(value),
        one.words + other.words,
        one.shown_as + other.shown_as,
    )


def several(kind: ArgumentKind, expected: str) -> ArgumentKind:
    """A list, tuple or set of these. A text isn't one, though Python can walk over it."""
    return ArgumentKind(
        expected,
        lambda value: (
            isinstance(value, Collection)
            and not isinstance(value, (str, bytes, bytearray, Mapping))
            and all(map(kind.fits, value))
        ),
    )


def mapping(key: ArgumentKind, of: ArgumentKind, expected: str) -> ArgumentKind:
    return ArgumentKind(
        expected,
        lambda value: (
            isinstance(value, Mapping)
            and all(map(key.fits, value.keys()))
            and all(map(of.fits, value.values()))
        ),
    )


def _plain(text: str) -> str:
    return text.lower().replace("-", " ").replace("_", " ")


def _is(value: object, types: tuple[type, ...]) -> bool:
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))


def _is_path(value: object) -> bool:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    return isinstance(value, str) and 0 < len(value) <= _LONGEST and "\0" not in value


def _is_version(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(ZERO_OR_MORE.fits, value))


ANYTHING = ArgumentKind("anything", lambda value: True)
TEXT = ArgumentKind("a text", lambda value: isinstance(value, str) and "\0" not in value)
NAME = ArgumentKind("a name", lambda value: TEXT.fits(value) and 0 < len(value.strip()) <= _LONGEST)
SWITCH = ArgumentKind("True or False", lambda value: isinstance(value, bool))
COUNT = ArgumentKind("a whole number above zero", lambda value: _is(value, (int,)) and value > 0)
ZERO_OR_MORE = ArgumentKind(
    "a whole number, 0 or more", lambda value: _is(value, (int,)) and value >= 0
)
SECONDS = ArgumentKind(
    "a number of seconds above zero, such as 30 or 2.5",
    lambda value: _is(value, (int, float)) and 0 < value <= LONGEST_TIME,
)
TOLERANCE = ArgumentKind(
    "a number, 0 or more",
    lambda value: _is(value, (int, float)) and 0 <= value < float("inf"),
)
PATH = ArgumentKind("a path", _is_path)
BYTES = a("bytes", bytes)
CALLABLE = ArgumentKind("a function", callable)
COMPUTE_CAPABILITY = ArgumentKind("a compute capability such as (8, 0)", _is_version)
