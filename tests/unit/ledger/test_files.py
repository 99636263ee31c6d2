"""Ledgers as files: what is written is read, the schema holds, and nothing else is taken."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pytest_triton.errors import PytestTritonError
from pytest_triton.ledger import (
    Ledger,
    LedgerUnusable,
    read_ledger,
    write_ledger,
)
from pytest_triton.ledger.ledger_file import SCHEMA_FILE, SIZE_LIMIT, from_json, schema
from support.ledger_strategies import as_json, changed, entry, ledger, ledgers

SCHEMA: dict[str, Any] = json.loads(SCHEMA_FILE.read_text("utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)


def test_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@given(ledgers())
def test_what_is_written_is_read_and_as_the_schema_says(one: Ledger) -> None:
    value = as_json(one)
    VALIDATOR.validate(value)
    assert from_json(value) == one


def test_schema_is_that_of_the_types() -> None:
    assert schema() == SCHEMA, "write it anew: scripts/ledger-schema"


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict | list):
        inside = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in inside:
            yield from _places(one, (*path, key))


@given(one=ledgers(), data=st.data())
def test_what_the_schema_refuses_is_not_read(one: Ledger, data: st.DataObject) -> None:
    value = as_json(one)
    path = data.draw(st.sampled_from([path for path in _places(value) if path]))
    parent = value
    for key in path[:-1]:
        parent = parent[key]
    odd: st.SearchStrategy[Any] = st.sampled_from([None, True, -1, 1.5, "odd", [], {}, [7], 10**30])
    if data.draw(st.booleans()):
        parent[path[-1]] = data.draw(odd)
    else:
        del parent[path[-1]]
    if VALIDATOR.is_valid(value):
        return  # still a ledger, or one that only names what isn't there
    with pytest.raises(LedgerUnusable) as caught:
        from_json(value)
    assert caught.value.fix


def test_file_holds_one_object_a_line_and_odd_names(tmp_path: Path) -> None:
    odd = ledger(entry(model="b\udcffd · né"), entry(spec="sim:2"))
    path = tmp_path / "deep" / "ledger.json"
    write_ledger(path, odd)
    assert read_ledger(path) == odd
    lines = path.read_text("utf-8").splitlines()
    assert sum(line.startswith("  {") for line in lines) == 2 + 1, "entries, job"


def test_file_keeps_its_permissions_and_a_new_one_gets_the_usual(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    write_ledger(path, Ledger())
    plain = tmp_path / "plain"
    plain.write_text("")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    path.chmod(0o640)
    write_ledger(path, Ledger())
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_failed_writing_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.json"
    write_ledger(path, ledger(entry()))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fchmod", full)
    with pytest.raises(LedgerUnusable, match="No space left on device"):
        write_ledger(path, Ledger())
    assert read_ledger(path) == ledger(entry())
    assert [one.name for one in tmp_path.iterdir()] == ["ledger.json"]


def _written(**changes: object) -> bytes:
    return json.dumps({**as_json(ledger(entry())), **changes}).encode()


UNUSABLE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "blank": (b" \n", "is empty"),
    "cut off": (_written()[:200], "is not JSON"),
    "binary": (bytes(range(256)), "is not JSON"),
    "not a number": (b'{"format": NaN}', "is not JSON"),
    "deep": (b"[" * 100_000, "is not JSON"),
    "a list": (b"[]", "is no ledger"),
    "foreign": (b'{"version": 2}', "is no ledger"),
    "older": (_written(schema=0), "schema 0"),
    "newer": (_written(schema=2), "schema 2"),
    "no number": (_written(schema=True), "schema True"),
    "no entries": (_written(entries=None), "damaged"),
    "jobless": (_written(jobs=[]), "damaged"),
    "proven by nobody": (
        _written(entries=as_json(ledger(changed(entry(), server=None)))["entries"]),
        "proven without a server",
    ),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_is_no_ledger_is_refused_with_a_fix(case: str, tmp_path: Path) -> None:
    data, message = UNUSABLE[case]
    path = tmp_path / "ledger.json"
    path.write_bytes(data)
    with pytest.raises(LedgerUnusable) as caught:
        read_ledger(path)
    assert message in caught.value.what
    assert str(path) in caught.value.what
    assert caught.value.fix


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(SIZE_LIMIT + 1)
    cases: dict[Path, str] = {
        tmp_path / "missing": "does not exist",
        tmp_path: "is not a file",
        tmp_path / "pipe": "is not a file",
        huge: "bytes; up to",
        tmp_path / "nul\0": "does not exist|can't be read",
        tmp_path / ("long" * 100): "can't be read",
    }
    for path, message in cases.items():
        with pytest.raises(PytestTritonError, match=message):
            read_ledger(path)


def test_other_fields_are_ignored() -> None:
    add: Callable[[Any], Any] = lambda one: {**one, "later": 1}  # noqa: E731
    value = add(as_json(ledger(entry())))
    value["entries"] = [add(one) for one in value["entries"]]
    assert from_json(value) == ledger(entry())
    VALIDATOR.validate(value)
