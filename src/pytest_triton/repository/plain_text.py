"""Protobuf text in its plain forms, read fast.

google.protobuf reads text token by token, in Python. Most configs need little of its grammar:
names, whole and decimal numbers, strings without escapes, `{ }` and `[ ]`. Those are read here, in
a quarter of the time. Of everything else, and of everything that may be wrong, this module says
None, and google.protobuf has the word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_triton.placement.fields import is_repeated

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor

__all__ = ["read_plain"]

_PIECES = re.compile(
    r"""
    (?: [ \t\n\v\f\r]+ | \#[^\n]* )*
    ( [A-Za-z_][0-9A-Za-z_+-]* | [0-9.+-][0-9A-Za-z_.+-]* | "[^"\\\n]*" | '[^'\\\n]*' | . | \Z )
    """,
    re.VERBOSE | re.DOTALL,
)
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_TRUE_AND_FALSE = {"true": True, "True": True, "false": False, "False": False}


class _NotPlainError(Exception):
    """A form that google.protobuf is to read, or to refuse."""


class _Field(NamedTuple):
    """How the values of a field are read: as messages of the type `message`, or by `read`.

    In a map, `map_value` makes what is kept under an entry's key of what was read of its value.
    """

    repeated: bool
    map_value: Callable[[Any], object] | None
    rivals: Sequence[str]  # the others of its oneof
    message: Descriptor | None
    read: Callable[[str], object]


def read_plain(text: str, message: type[Any]) -> Any | None:
    """The message of the type `message` that `text` holds, if it is plain and valid; else None."""
    pieces = _PIECES.findall(text)
    try:
        fields, _ = _read_message(pieces, 0, message.DESCRIPTOR, "")
        return message(**fields)
    except (_NotPlainError, KeyError, TypeError, ValueError):
        return None


def _read_message(
    pieces: Sequence[str], at: int, message: Descriptor, closing: str
) -> tuple[dict[str, Any], int]:
    """The fields up to the piece `closing`, and where to go on after it."""
    fields = _fields_of(message)
    found: dict[str, Any] = {}
    while (name := pieces[at]) != closing:
        field = fields[name]
        at += 1
        if pieces[at] == ":":
            at += 1
        elif field.message is None:
            raise _NotPlainError
        if pieces[at] == "[" and field.repeated:
            values, at = _read_list(pieces, at + 1, field)
        else:
            value, at = _read_value(pieces, at, field)
            values = [value]
        if field.map_value is not None:
            entries = found.setdefault(name, {})
            for entry in values:
                entries[entry["key"]] = field.map_value(entry["value"])
        elif field.repeated:
            found.setdefault(name, []).extend(values)
        elif name in found or any(rival in found for rival in field.rivals):
            raise _NotPlainError
        else:
            found[name] = values[0]
        if pieces[at] in (",", ";"):
            at += 1
    return found, at + 1


def _read_list(pieces: Sequence[str], at: int, field: _Field) -> tuple[list[Any], int]:
    if pieces[at] == "]":
        return [], at + 1
    values = []
    while True:
        value, at = _read_value(pieces, at, field)
        values.append(value)
        if pieces[at] == "]":
            return values, at + 1
        if pieces[at] != ",":
            raise _NotPlainError
        at += 1


def _read_value(pieces: Sequence[str], at: int, field: _Field) -> tuple[Any, int]:
    if field.message is None:
        return field.read(pieces[at]), at + 1
    if pieces[at] != "{":
        raise _NotPlainError
    return _read_message(pieces, at + 1, field.message, "}")


@cache
def _fields_of(message: Descriptor) -> Mapping[str, _Field]:
    return {field.name: _field(field) for field in message.fields}


def _field(field: FieldDescriptor) -> _Field:
    message = field.message_type
    group = field.containing_oneof
    return _Field(
        repeated=is_repeated(field),
        map_value=_map_value(message) if message and message.GetOptions().map_entry else None,
        rivals=tuple(one.name for one in group.fields if one.name != field.name) if group else (),
        message=message,
        read=_reader(field),
    )


def _map_value(entry: Descriptor) -> Callable[[Any], object]:
    value = entry.fields_by_name["value"].message_type
    if value is None:
        return lambda read: read
    from google.protobuf.message_factory import GetMessageClass

    make = GetMessageClass(value)  # protobuf 5 takes no dict for a message in a map
    return lambda read: make(**read)


def _reader(field: FieldDescriptor) -> Callable[[str], object]:
    if field.enum_type is not None:
        numbers = {name: one.number for name, one in field.enum_type.values_by_name.items()}
        return numbers.__getitem__
    if field.cpp_type == field.CPPTYPE_BOOL:
        return _TRUE_AND_FALSE.__getitem__
    if field.type == field.TYPE_STRING:
        return _string
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return _decimal
    return _integer


def _string(piece: str) -> str:
    if piece[:1] not in ("'", '"') or len(piece) < 2:
        raise _NotPlainError
    return piece[1:-1]


def _integer(piece: str) -> int:
    number = int(piece)
    if str(number) != piece:  # octal, underscores, other scripts' digits
        raise _NotPlainError
    return number


def _decimal(piece: str) -> float:
    if _DECIMAL.fullmatch(piece) is None:
        raise _NotPlainError
    return float(piece)
