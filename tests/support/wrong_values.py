"""Values that an argument may be given by mistake, and calls of every public function.

`CALLS` has a valid value for each argument of each public function and method; each is replaced
in turn by each of `WRONG`. A new argument without a valid value here makes the tests red.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest_triton
from pytest_triton.errors import PytestTritonError


class Nonsense:
    """An object that no argument can take."""


class NoRepr:
    """A class of the user's that can't be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


WRONG: Mapping[str, Any] = {
    "None": None,
    "True": True,
    "zero": 0,
    "minus one": -1,
    "five": 5,
    "huge": 10**30,
    "float": 2.5,
    "nan": float("nan"),
    "infinite": float("inf"),
    "decimal": Decimal(1),
    "empty text": "",
    "space": " ",
    "text": "no such thing",
    "slash": "a/b",
    "dots": "../..",
    "zero byte": "a\0b",
    "long text": "x" * 10_000,
    "bytes": b"x",
    "path": Path("/nope"),
    "empty list": [],
    "list": ["A=B"],
    "list of numbers": [1, 2],
    "nested list": [[None]],
    "empty dict": {},
    "dict": {1: 2},
    "set": {"x"},
    "generator": (one for one in "ab"),
    "class": int,
    "function": len,
    "error": ValueError("x"),
    "hardware": pytest_triton.NO_GPU,
    "placement": pytest_triton.gpu(0),
    "nonsense": Nonsense(),
    "no repr": NoRepr(),
}
IMPOSSIBLE = ("nonsense", "no repr", "decimal", "error")
"""Those that no argument takes: that nothing is raised is wrong as well."""


class Wrong(NamedTuple):
    """A call with one wrong value. `run` raises what the call raises."""

    function: str
    argument: str
    value: str
    run: Callable[[], object]

    def __str__(self) -> str:
        return f"{self.function}({self.argument}={self.value})"


def calls(
    name: str, function: Callable[..., object], valid: Mapping[str, Any], *first: object
) -> Iterator[Wrong]:
    """Each argument of a function with each wrong value, the others being right.

    `first` are arguments that come before and are right. Raises AssertionError for an argument
    that `valid` doesn't have.
    """
    parameters = list(inspect.signature(function).parameters.values())[len(first) :]
    public = [one for one in parameters if not one.name.startswith("_")]
    several = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    public = [one for one in public if one.kind not in several or one.name in valid]
    assert {one.name for one in public} == set(valid), name
    for parameter in public:
        for label, value in WRONG.items():
            yield Wrong(
                name, parameter.name, label, _call(function, parameter, value, valid, first)
            )


def _call(
    function: Callable[..., object],
    parameter: inspect.Parameter,
    value: object,
    valid: Mapping[str, Any],
    first: tuple[object, ...],
) -> Callable[[], object]:
    def run() -> object:
        if parameter.kind is parameter.VAR_POSITIONAL:
            return function(*first, *valid_places(function, valid, first), value)
        return function(*first, **{**_named(function, valid), parameter.name: value})

    return run


def valid_places(
    function: Callable[..., object], valid: Mapping[str, Any], first: tuple[object, ...]
) -> list[object]:
    """Arguments that have to be given by their place, before `*names`."""
    parameters = list(inspect.signature(function).parameters.values())[len(first) :]
    return [valid[one.name] for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]


def _named(function: Callable[..., object], valid: Mapping[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters
    return {
        name: value
        for name, value in valid.items()
        if parameters[name].kind is not inspect.Parameter.VAR_POSITIONAL
    }


def mistake(wrong: Wrong) -> str | None:
    """What is wrong with a call: it raises another error than ours, or none where one must be."""
    try:
        wrong.run()
    except PytestTritonError as error:
        text = str(error)
        if len(text) > 3_000:
            return f"{wrong}: an error of {len(text)} characters"
        return None
    except AssertionError as error:  # an assertion that was made and doesn't hold
        return None if str(error) else f"{wrong}: an assertion of ours"
    except Exception as error:
        return f"{wrong}: {type(error).__name__}: {str(error)[:100]}"
    return f"{wrong}: accepted" if wrong.value in IMPOSSIBLE else None
