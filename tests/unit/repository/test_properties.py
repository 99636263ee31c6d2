"""Rules that hold for any input: no exception, positions within the text, nothing lost."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_triton.repository import ConfigFile, model_config_type, position_of, read_config
from pytest_triton.repository.plain_text import read_plain

FRAGMENTS = (
    *"{}[]<>:;,=#\"'\\\n\t \0-+/$",
    *("name", "backend", "instance_group", "kind", "gpus", "count", "input", "dims", "parameters"),
    *("KIND_GPU", '"KIND_GPU"', "TYPE_FP32", "true", "1", "-1", "0x1", "1.5", "99999999999999"),
    *('"text"', "'text'", "${x}", "{{ x }}", "é", "\u00a0", "\ufeff", "\r\n", "# note\n", "gpu"),
)


@pytest.fixture(scope="module")
def file() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder, "config.pbtxt")


def read(file: Path, data: bytes) -> ConfigFile:
    file.write_bytes(data)
    return read_config(file)


def check(found: ConfigFile) -> None:
    """What holds for every file that was read."""
    assert (found.config is None) == (found.problem is not None)
    if found.problem is None:
        return
    assert found.problem.message
    assert str(found.problem).encode()
    line, column = found.problem.line, found.problem.column
    if line is None or column is None:
        return
    lines = found.text.split("\n")
    assert 1 <= line <= len(lines)
    assert 1 <= column <= len(lines[line - 1]) + 1
    assert found.problem.source_line == lines[line - 1].rstrip("\r")


@given(data=st.binary(max_size=300))
def test_any_bytes(file: Path, data: bytes) -> None:
    check(read(file, data))


@given(text=st.text(max_size=200))
def test_any_text(file: Path, text: str) -> None:
    check(read(file, text.encode("utf-8", "replace")))


@given(parts=st.lists(st.sampled_from(FRAGMENTS), max_size=25), glue=st.sampled_from(["", " "]))
@settings(max_examples=400)
def test_any_soup_of_what_configs_are_made_of(file: Path, parts: list[str], glue: str) -> None:
    check(read(file, glue.join(parts).encode()))


# Valid configs, drawn from the schema itself

_NUMBERS = {
    1: st.integers(-(2**31), 2**31 - 1),
    2: st.integers(-(2**63), 2**63 - 1),
    3: st.integers(0, 2**32 - 1),
    4: st.integers(0, 2**64 - 1),
    5: st.floats(allow_nan=False),
    6: st.floats(allow_nan=False, width=32),
    7: st.booleans(),
}
_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


def _repeated(field: FieldDescriptor) -> bool:
    if hasattr(field, "is_repeated"):
        return bool(field.is_repeated)
    return bool(getattr(field, "label", 0) == 3)  # protobuf before 6.31


def _is_map(field: FieldDescriptor) -> bool:
    return bool(field.message_type and field.message_type.GetOptions().map_entry)


def _value(draw: st.DrawFn, field: FieldDescriptor) -> Any:
    if field.enum_type is not None:
        return draw(st.sampled_from([*field.enum_type.values_by_number, 77]))
    if field.cpp_type == 9:
        return draw(_TEXTS) if field.type == 9 else draw(st.binary(max_size=8))
    return draw(_NUMBERS[field.cpp_type])


def _fill(draw: st.DrawFn, message: Any, descriptor: Descriptor) -> None:
    fields = list(descriptor.fields)
    for field in draw(st.lists(st.sampled_from(fields), max_size=3)) if fields else ():
        target = getattr(message, field.name)
        if _is_map(field) and field.message_type is not None:
            key = _value(draw, field.message_type.fields_by_name["key"])
            value = field.message_type.fields_by_name["value"]
            if value.message_type is not None:
                _fill(draw, target[key], value.message_type)
            else:
                target[key] = _value(draw, value)
        elif field.message_type is not None:
            if _repeated(field):
                _fill(draw, target.add(), field.message_type)
            else:
                target.SetInParent()
                _fill(draw, target, field.message_type)
        elif _repeated(field):
            target.extend(_value(draw, field) for _ in range(draw(st.integers(1, 3))))
        else:
            setattr(message, field.name, _value(draw, field))


@st.composite
def configs(draw: st.DrawFn) -> Any:
    """Any ModelConfig message, valid to the parser though not to Triton."""
    config_type = model_config_type()
    config = config_type()
    _fill(draw, config, config_type.DESCRIPTOR)
    return config


LAYOUTS = st.fixed_dictionaries(
    {"as_utf8": st.booleans(), "as_one_line": st.booleans(), "pointy_brackets": st.booleans()}
)


def _places(message: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every field that is there: its path, and the name that stands at it."""
    for field, value in message.ListFields():
        here = f"{path}.{field.name}" if path else field.name
        yield here, field.name
        if _is_map(field) or field.message_type is None:
            continue
        if _repeated(field):
            for index, element in enumerate(value):
                yield from _places(element, f"{here}[{index}]")
        else:
            yield from _places(value, here)


@given(config=configs(), layout=LAYOUTS)
@settings(max_examples=200)
def test_valid_configs_come_back_and_every_field_has_a_place(
    file: Path, config: Any, layout: dict[str, Any]
) -> None:
    text = text_format.MessageToString(config, **layout)
    found = read(file, text.encode())
    assert found.problem is None, str(found.problem)
    assert found.config == config
    lines = text.split("\n")
    for path, name in _places(config):
        position = position_of(text, path)
        assert position is not None, path
        assert lines[position[0] - 1][position[1] - 1 :].startswith(name)


def _damaged(text: str, draw: Callable[[st.SearchStrategy[Any]], Any]) -> str:
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 3)))
    return str(text[:start] + draw(st.sampled_from(["", *FRAGMENTS])) + text[end:])


@given(config=configs(), layout=LAYOUTS, data=st.data())
@settings(max_examples=500)
def test_what_is_read_fast_is_what_protobuf_reads(
    config: Any, layout: dict[str, Any], data: st.DataObject
) -> None:
    text = text_format.MessageToString(config, **layout)
    for _ in range(data.draw(st.integers(0, 2))):
        text = _damaged(text, data.draw)
    plain = read_plain(text, model_config_type())
    if plain is not None:
        assert plain == text_format.Parse(text, model_config_type()())


@given(parts=st.lists(st.sampled_from(FRAGMENTS), max_size=12), glue=st.sampled_from(["", " "]))
@settings(max_examples=400)
def test_soup_is_read_fast_only_as_protobuf_reads_it(parts: list[str], glue: str) -> None:
    text = glue.join(parts)
    plain = read_plain(text, model_config_type())
    if plain is not None:
        assert plain == text_format.Parse(text, model_config_type()())


@given(config=configs(), layout=LAYOUTS, data=st.data())
@settings(max_examples=300)
def test_damaged_configs_parse_or_have_a_problem_at_a_place(
    file: Path, config: Any, layout: dict[str, Any], data: st.DataObject
) -> None:
    damaged = _damaged(text_format.MessageToString(config, **layout), data.draw)
    found = read(file, damaged.encode())
    check(found)
    if found.problem is not None:
        assert found.problem.line is not None
        assert not found.problem.message.startswith("not a model configuration"), damaged
