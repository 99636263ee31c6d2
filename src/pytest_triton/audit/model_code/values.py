"""What an expression of a model's code may be, as far as a reader can see."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Literal, Union

if TYPE_CHECKING:
    from pytest_triton.audit.model_code.facts import Place as PlaceFact
    from pytest_triton.audit.model_code.modules import Module


class Mark(Enum):
    UNKNOWN = "nobody can know"
    GIVEN = "model_instance_device_id"
    CONFIG_TEXT = 'args["model_config"]'
    SOME = "a number of GPUs, 1 or more"


UNKNOWN, GIVEN, CONFIG_TEXT, SOME = Mark.UNKNOWN, Mark.GIVEN, Mark.CONFIG_TEXT, Mark.SOME


@dataclass(frozen=True)
class Const:
    value: str | int | float | bool | None


@dataclass(frozen=True)
class Probe:
    """Whether a library sees a GPU, or what follows from that."""

    truth: bool


@dataclass(frozen=True)
class Text:
    """A string with parts that aren't known: `"cuda:" + args["model_instance_device_id"]`."""

    parts: tuple[str | Mark, ...]


@dataclass(frozen=True)
class Device:
    """`index`: None is the current GPU, GIVEN the one of the instance."""

    kind: Literal["cpu", "gpu", "all"]
    index: int | Mark | None = None


CPU = Device("cpu")
ALL = Device("all")


@dataclass(frozen=True)
class Ref:
    """Something in a library, by its dotted name."""

    name: str


@dataclass(frozen=True)
class Seq:
    """A list or tuple; all of its items, unless `exact` is false. Made by `seq`."""

    items: tuple[Value, ...]
    exact: bool = True
    size: int = field(default=1, compare=False)


@dataclass(frozen=True)
class Map:
    """A dict; all of its items, if it is `complete`. Made by `mapping`."""

    items: tuple[tuple[str | int, Value], ...]
    complete: bool = True
    what: Literal["", "parameters"] = ""
    size: int = field(default=1, compare=False)

    def get(self, key: object) -> Value | None:
        for name, value in self.items:
            if name == key and type(name) is type(key):
                return value
        return None

    def with_item(self, key: str | int, value: Value) -> Map:
        kept = [item for item in self.items if item[0] != key]
        return mapping([*kept, (key, value)], self.complete, self.what)


@dataclass(frozen=True)
class Missing:
    """None, since the config has no such parameter."""

    key: str


@dataclass(frozen=True)
class Obj:
    """What a library's call returned; where it is on stands in the reader's state."""

    number: int
    fact: PlaceFact | None = None


@dataclass(frozen=True, eq=False)
class Function:
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    module: Module
    frame: int
    bound: Instance | None = None
    kind: Literal["", "static", "class", "property"] = ""


@dataclass(frozen=True, eq=False)
class Class:
    node: ast.ClassDef
    module: Module
    frame: int
    bases: tuple[Value, ...]


@dataclass(frozen=True)
class Instance:
    number: int
    cls: Class


@dataclass(frozen=True)
class Member:
    """An attribute of something whose attributes nobody follows."""

    of: Value
    name: str


@dataclass(frozen=True)
class LocalModule:
    module: Module


@dataclass(frozen=True)
class Selector:
    """Selects a GPU in a `with` statement, or with `use()`."""

    scope: str
    device: Device | None


@dataclass(frozen=True)
class OneOf:
    options: frozenset[Value]


Value = Union[  # noqa: UP007
    Mark,
    Const,
    Probe,
    Text,
    Device,
    Ref,
    Seq,
    Map,
    Missing,
    Obj,
    Function,
    Class,
    Instance,
    Member,
    LocalModule,
    Selector,
    OneOf,
]

_MOST_OPTIONS = 6
_LARGEST = 300
MOST_ITEMS = 200
_MOST_CHARACTERS = 1000
_DEEPEST = 6


def join(one: Value, other: Value) -> Value:
    """Either of two values."""
    if one is other or one == other:
        return one
    if one is UNKNOWN or other is UNKNOWN:
        return UNKNOWN
    options = set(options_of(one)) | set(options_of(other))
    if len(options) > _MOST_OPTIONS or sum(map(_size, options)) > _LARGEST:
        return UNKNOWN
    return OneOf(frozenset(options))


def seq(items: Sequence[Value], exact: bool = True) -> Seq:
    """A list of these items; of nobody knows which, if they are too many to follow."""
    size = 1 + sum(map(_size, items))
    return Seq(tuple(items), exact, size) if size <= _LARGEST else Seq((), False)


def mapping(
    items: Sequence[tuple[str | int, Value]],
    complete: bool = True,
    what: Literal["", "parameters"] = "",
) -> Map:
    """A dict of these items; of nobody knows which, if they are too many to follow."""
    size = 1 + sum(_size(value) for _, value in items)
    return Map(tuple(items), complete, what, size) if size <= _LARGEST else Map((), False)


UNKNOWN_ITEMS = Map((), False)


def merged(first: Map, second: Map) -> Map:
    """`first | second`: what nobody knows of the second one may be any item of the first."""
    kept = first.items if second.complete else ()
    items = {**dict(kept), **dict(second.items)}
    return mapping(tuple(items.items()), first.complete and second.complete)


def _size(value: Value) -> int:
    if isinstance(value, (Seq, Map)):
        return value.size
    if isinstance(value, OneOf):
        return sum(map(_size, value.options))
    return _size(value.of) + 1 if isinstance(value, Member) else 1


def options_of(value: Value) -> tuple[Value, ...]:
    return tuple(value.options) if isinstance(value, OneOf) else (value,)


def depends_on_given(value: Value, deep: int = 0) -> bool:
    """Whether what Triton says of the instance is in this value."""
    if value is GIVEN or value is CONFIG_TEXT:
        return value is GIVEN
    if deep > _DEEPEST:
        return False
    if isinstance(value, Text):
        return GIVEN in value.parts
    if isinstance(value, Device):
        return value.index is GIVEN
    if isinstance(value, Seq):
        return any(depends_on_given(item, deep + 1) for item in value.items)
    if isinstance(value, Map):
        return any(depends_on_given(item, deep + 1) for _, item in value.items)
    if isinstance(value, OneOf):
        return any(depends_on_given(item, deep + 1) for item in value.options)
    if isinstance(value, Member):
        return depends_on_given(value.of, deep + 1)
    return False


def text_of(value: Value) -> tuple[str | Mark, ...]:
    """What `str()` or an f-string makes of it, in parts."""
    if isinstance(value, Const):
        return (str(value.value),)
    if isinstance(value, Text):
        return value.parts
    if value is GIVEN:
        return (GIVEN,)
    if isinstance(value, Device) and value.kind == "cpu":
        return ("cpu",)
    if isinstance(value, Device) and value.kind == "gpu":
        if value.index is None:
            return ("cuda",)
        return ("cuda:", str(value.index) if isinstance(value.index, int) else value.index)
    return (UNKNOWN,)


def text(parts: tuple[str | Mark, ...]) -> Value:
    """A string of these parts."""
    joined: list[str | Mark] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part != "":
            joined.append(part)
    if len(joined) > MOST_ITEMS or sum(len(p) for p in joined if isinstance(p, str)) > (
        _MOST_CHARACTERS
    ):
        return UNKNOWN
    if not joined:
        return Const("")
    if len(joined) == 1 and isinstance(joined[0], str):
        return Const(joined[0])
    return Text(tuple(joined))
