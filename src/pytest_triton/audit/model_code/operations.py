"""Operations on values and nodes that need no state."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from pytest_triton.audit.model_code.values import (
    GIVEN,
    MOST_ITEMS,
    SOME,
    UNKNOWN,
    Const,
    Mark,
    Member,
    Probe,
    Ref,
    Seq,
    Text,
    Value,
    depends_on_given,
    seq,
    text,
    text_of,
)


def name_of(kind: type[ast.AST]) -> str:
    """`if_exp` for ast.IfExp."""
    name = _NAMES.get(kind)
    if name is None:
        name = _NAMES[kind] = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    return name


def names_cpu(node: ast.AST) -> bool:
    return any(
        (isinstance(one, ast.Constant) and one.value in ("cpu", "CPU", "CPUExecutionProvider", -1))
        or (isinstance(one, ast.Attribute) and one.attr == "cpu")
        for one in ast.walk(node)
    )


def last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def is_environment(value: Value) -> bool:
    return isinstance(value, Ref) and value.name == "os.environ"


def is_bool(value: Value) -> bool:
    return isinstance(value, Probe) or (isinstance(value, Const) and isinstance(value.value, bool))


def is_text(value: Value) -> bool:
    return isinstance(value, Text) or (isinstance(value, Const) and isinstance(value.value, str))


def percent(pattern: str, right: Value) -> Value:
    items = right.items if isinstance(right, Seq) and right.exact else (right,)
    pieces = pattern.replace("%d", "%s").replace("%i", "%s").split("%s")
    if len(pieces) != len(items) + 1 or len(pieces) > MOST_ITEMS:
        return UNKNOWN
    parts: list[str | Mark] = [pieces[0]]
    for item, piece in zip(items, pieces[1:], strict=True):
        parts += [*text_of(item), piece]
    return text(tuple(parts))


def formatted(pattern: str, arguments: Sequence[Value], named: dict[str, Value]) -> Value:
    parts: list[str | Mark] = []
    rest, number = pattern, 0
    for _ in range(MOST_ITEMS):
        before, brace, after = rest.partition("{")
        parts.append(before)
        if not brace:
            return text(tuple(parts))
        name, _, rest = after.partition("}")
        name = name.partition(":")[0].partition("!")[0]
        position = int(name) if name.isdigit() and len(name) < 4 else number
        if name == "" or name.isdigit():
            number += 1
            value = arguments[position] if position < len(arguments) else UNKNOWN
        else:
            value = named.get(name, UNKNOWN)
        parts += text_of(value)
    return UNKNOWN


def text_method(value: str, name: str, arguments: Sequence[str]) -> Value:
    plain = ("lower", "upper", "strip", "lstrip", "rstrip", "title", "casefold", "capitalize")
    if name in plain and len(arguments) <= 1:
        return Const(getattr(value, name)(*arguments[: 1 if "strip" in name else 0]))
    if name in ("startswith", "endswith") and len(arguments) == 1:
        return Const(getattr(value, name)(arguments[0]))
    if name == "split" and len(arguments) <= 1 and arguments != [""]:
        parts = value.split(arguments[0] if arguments else None)
        return seq([Const(one) for one in parts[:MOST_ITEMS]])
    if name == "removeprefix" and len(arguments) == 1:
        return Const(value.removeprefix(arguments[0]))
    return UNKNOWN


_LARGE = 1_000_000


def arithmetic(op: ast.operator, left: object, right: object) -> Value:
    if type(left) is not int or type(right) is not int or max(abs(left), abs(right)) > _LARGE:
        return UNKNOWN
    if isinstance(op, ast.Add):
        return Const(left + right)
    if isinstance(op, ast.Sub):
        return Const(left - right)
    if isinstance(op, ast.Mult):
        return Const(left * right)
    if isinstance(op, ast.Mod) and right:
        return Const(left % right)
    return UNKNOWN


def compared_constants(op: ast.cmpop, left: object, right: object) -> Value:
    if isinstance(op, (ast.Eq, ast.Is)):
        return Const(left == right)
    if isinstance(op, (ast.NotEq, ast.IsNot)):
        return Const(left != right)
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        if isinstance(op, ast.Gt):
            return Const(left > right)
        if isinstance(op, ast.GtE):
            return Const(left >= right)
        if isinstance(op, ast.Lt):
            return Const(left < right)
        if isinstance(op, ast.LtE):
            return Const(left <= right)
    return UNKNOWN


def compared_count(op: ast.cmpop, left: Value, right: Value) -> Value:
    """A number of GPUs, 1 or more, with another number."""
    if left is not SOME:
        flipped: dict[type, ast.cmpop] = {
            ast.Lt: ast.Gt(),
            ast.LtE: ast.GtE(),
            ast.Gt: ast.Lt(),
            ast.GtE: ast.LtE(),
        }
        return compared_count(flipped.get(type(op), op), right, left)
    if not isinstance(right, Const) or type(right.value) is not int:
        return Member(GIVEN, "derived") if depends_on_given(right) else UNKNOWN
    n = right.value
    if isinstance(op, ast.Gt) and n < 1:
        return Probe(True)
    if isinstance(op, ast.GtE) and n <= 1:
        return Probe(True)
    if isinstance(op, ast.Lt) and n <= 1:
        return Probe(False)
    if isinstance(op, ast.LtE) and n < 1:
        return Probe(False)
    if isinstance(op, ast.Eq) and n < 1:
        return Probe(False)
    if isinstance(op, ast.NotEq) and n < 1:
        return Probe(True)
    return UNKNOWN


_NAMES: dict[type[ast.AST], str] = {}
