"""Errors that a project may meet are public, have one base, and stand in docs/errors.md."""

from __future__ import annotations

import builtins
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import pytest_triton
from pytest_triton import errors
from pytest_triton.errors import PytestTritonError

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


def documented() -> Iterator[tuple[str, str]]:
    """Names of errors in the docstrings of public functions, classes and methods."""
    for name in pytest_triton.__all__:
        value = getattr(pytest_triton, name)
        members = [value, *(vars(value).values() if isinstance(value, type) else ())]
        for member in members:
            text = inspect.getdoc(getattr(member, "__wrapped__", member)) or ""
            for sentence in re.findall(r"\b[Rr]aises? ([^.]*)", text):
                for error in re.findall(r"\b(?:[A-Z][a-z]+){2,}\b", sentence):
                    yield f"{name}: {getattr(member, '__name__', member)}", error


def rows() -> list[list[str]]:
    """The table's rows, as cells."""
    lines = PAGE.read_text().splitlines()
    return [line.split("|") for line in lines if line.startswith("| ") and "`" in line]


def test_errors_that_docstrings_name_can_be_imported() -> None:
    named = list(documented())
    assert len(named) > 15
    public = {*errors.PUBLIC, *pytest_triton.__all__, *dir(builtins)}
    assert [(where, name) for where, name in named if name not in public] == []


@pytest.mark.parametrize("name", errors.PUBLIC)
def test_error_of_public_names_has_one_base_and_is_documented(name: str) -> None:
    error = getattr(errors, name)
    assert issubclass(error, PytestTritonError)
    assert len(error.__bases__) == 1
    assert error.__name__ == name
    (row,) = [line for line in rows() if f"`{name}`" in line[1]]
    depth = row[1].count("&nbsp;&nbsp;")
    assert depth == len(error.__mro__) - len(PytestTritonError.__mro__)


def test_errors_fields_are_documented() -> None:
    for row in rows():
        error = getattr(errors, re.sub(r"&nbsp;|`", "", row[1]).strip())
        own = set(inspect.signature(error.__init__).parameters) & set(_set_by(error))
        if error is PytestTritonError or "__init__" not in vars(error):
            continue
        assert own - {"what", "tried", "fix"} <= set(re.findall(r"`(\w+)`", row[3])), error


def _set_by(error: type) -> list[str]:
    return re.findall(r"self\.(\w+) =", inspect.getsource(error))


def test_error_that_is_none_of_ours_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'NoSuchError'"):
        getattr(errors, "NoSuchError")  # noqa: B009
