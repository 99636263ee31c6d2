"""Protobuf text, seen as tokens: where each field stands, and what is wrong in plain English.

google.protobuf decides whether a text is valid; its errors are terse, and it forgets where a
field stood. This module walks the tokens along the message's descriptor, finds positions, and
at the first thing out of place says what it is and how to fix it.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from pytest_triton.placement.fields import NEWER_FIELDS, is_repeated
from pytest_triton.placement.placeholders import PLACEHOLDER, placeholder_fix, word_fix
from pytest_triton.repository.meant_values import MEANT_FIELDS, message_fix, number_fix

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor

__all__ = [
    "Fault",
    "Token",
    "Walk",
    "lexical_fault",
    "line_and_column",
    "tokens",
    "walk",
]

_TOKEN = re.compile(
    r"""
    (?:[ \t\n\v\f\r]+|\#[^\n]*)*
  (?:
    (?P<name>[A-Za-z_][0-9A-Za-z_+-]*)
  | (?P<number>[+-]?\.?[0-9][0-9A-Za-z_.+-]*|-(?=[A-Za-z_])[0-9A-Za-z_.+-]*)
  | (?P<string>"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*')
  | (?P<open_string>["'][^\n]*)
  | (?P<mark>[{}<>\[\]:,;=()/$%@*.&|!?`~^+-])
  | (?P<odd>.)
  | (?P<end>\Z)
  )
    """,
    re.VERBOSE | re.DOTALL,
)
# C++, and so Triton, refuses these; Python's parser lets them pass.
_SUSPECT = re.compile(r"[^\t-\r -~]|\\|\d_|\+[0-9.]")
_ESCAPE = re.compile(
    r"\\(?:[abfnrtv\\?'\"]|[0-3][0-7]{0,2}|[4-7][0-7]?(?![0-7])|[xX][0-9a-fA-F]"
    r"|u[0-9a-fA-F]{4}|U00[01][0-9a-fA-F]{5})"
)
_BACKSLASH = re.compile(r"\\.")
_INTEGER = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]+|[0-9]+)\Z")
_FLOAT_SUFFIX = re.compile(r"(?<=[0-9.])[fF]\Z")
_BRACED = re.compile(r"\{[A-Za-z_]\w*\}")
_CONFLICT = re.compile(r"(?:<{7}|={7}|>{7}|\|{7})(?=[ \r\n]|\Z)[^\n]*")
_UNIT = re.compile(r"(\d+(?:\.\d+)?)[ _]?([A-Za-z]+)\Z")
_MICROSECONDS = {"us": 1, "ms": 1000, "s": 10**6, "sec": 10**6, "m": 60 * 10**6, "min": 60 * 10**6}
_MULTIPLES = {"k": 1000, "kb": 1024, "m": 10**6, "mb": 1024**2, "g": 10**9, "gb": 1024**3}
# What frameworks, languages and Triton's own protocol call its data types.
_TYPE_ALIASES = {
    "BFLOAT16": "BF16",
    "BOOLEAN": "BOOL",
    "BYTE": "UINT8",
    "BYTES": "STRING",
    "CHAR": "INT8",
    "DOUBLE": "FP64",
    "FLOAT": "FP32",
    "FLOAT16": "FP16",
    "FLOAT32": "FP32",
    "FLOAT64": "FP64",
    "F16": "FP16",
    "F32": "FP32",
    "F64": "FP64",
    "HALF": "FP16",
    "I16": "INT16",
    "I32": "INT32",
    "I64": "INT64",
    "I8": "INT8",
    "INT": "INT32",
    "INTEGER": "INT32",
    "LONG": "INT64",
    "LONGLONG": "INT64",
    "OBJECT": "STRING",
    "SHORT": "INT16",
    "STR": "STRING",
    "TEXT": "STRING",
    "UCHAR": "UINT8",
    "UINT": "UINT32",
    "ULONG": "UINT64",
    "UNICODE": "STRING",
    "USHORT": "UINT16",
}
_DOTTED = re.compile(r"\w+(?:\.\w+)+")
_ENUM_ALIASES = {
    "CUDA": "KIND_GPU",
    "NVIDIA": "KIND_GPU",
    "HOST": "KIND_CPU",
    "HIGH": "PRIORITY_MAX",
    "LOW": "PRIORITY_MIN",
    "NORMAL": "PRIORITY_DEFAULT",
}
_QUOTES = "“”„‟‘’‚‛«»″′"

# google.protobuf.descriptor.FieldDescriptor.CPPTYPE_*: written out, for it is imported late.
_INTEGER_LIMITS = {
    1: ("32-bit integer", -(2**31), 2**31 - 1),
    2: ("64-bit integer", -(2**63), 2**63 - 1),
    3: ("32-bit unsigned integer", 0, 2**32 - 1),
    4: ("64-bit unsigned integer", 0, 2**64 - 1),
}
_FLOATS, _BOOL, _ENUM, _STRING, _MESSAGE = (5, 6), 7, 8, 9, 10
_TRUE_AND_FALSE = ("true", "True", "t", "1", "false", "False", "f", "0")
_CLOSING = {"{": "}", "<": ">", "[": "]"}


class Token(NamedTuple):
    """A piece of text: `kind` is a group's name in `_TOKEN`, or "end"."""

    kind: str
    text: str
    offset: int


@dataclass(frozen=True)
class Fault:
    """The first thing that is wrong in a text, at `offset` (in characters, from 0)."""

    offset: int
    message: str
    fix: str = ""


@dataclass(frozen=True)
class Walk:
    """What a walk over a text found: where fields stand (offsets), and the first fault."""

    positions: dict[str, int] = field(default_factory=dict)
    fault: Fault | None = None


def walk(text: str, message: Descriptor) -> Walk:
    """Walk along `text` as a message of type `message`. Never raises."""
    positions: dict[str, int] = {}
    try:
        _Walker(text, message, positions).read()
    except _FaultError as found:
        return Walk(positions, found.fault)
    return Walk(positions)


def lexical_fault(text: str) -> Fault | None:
    """What Triton's parser (C++) refuses in the spelling although Python's accepts it."""
    if _SUSPECT.search(text) is None:
        return None
    nul = text.find("\0")  # refused even in comments
    for token in tokens(text if nul < 0 else text[:nul]):
        fault = _odd_spelling(token)
        if fault is not None:
            return fault
    return Fault(nul, *_odd_character("\0")) if nul >= 0 else None


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """The line and column, from 1, of a character of `text`."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def tokens(text: str) -> Iterator[Token]:
    """The tokens of a text, whether they make sense or not; the last is of kind "end"."""
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "odd"
        yield Token(kind, match[kind], match.start(kind))
        if kind == "end":
            return


def _word_fix(token: Token) -> str:
    return word_fix(token.text) if token.kind == "name" else ""


def _and(fix: str, more: str) -> str:
    return f"{fix}. {more}" if more else fix


def _odd_spelling(token: Token) -> Fault | None:
    if token.kind == "odd":
        return Fault(token.offset, *_odd_character(token.text))
    if token.kind == "number" and token.text[0] == "+":
        return Fault(token.offset, "a `+` before a number", f"Write {token.text[1:]}")
    if token.kind == "number" and "_" in token.text:
        return Fault(
            token.offset,
            f"`{token.text}` is not a number",
            f"Numbers have no underscores here: {token.text.replace('_', '')}",
        )
    if token.kind == "string" and "\\" in token.text:
        for match in _BACKSLASH.finditer(token.text):
            if not _ESCAPE.match(token.text, match.start()):
                return Fault(
                    token.offset + match.start(),
                    f"`{match.group()}` is not an escape sequence",
                    "Write a backslash as two: \\\\",
                )
    return None


def _odd_character(character: str) -> tuple[str, str]:
    if character == "\0":
        return "a NUL character", "Is this a text file? Write it again as UTF-8."
    code = f"U+{ord(character):04X}"
    name = unicodedata.name(character, "").lower()
    what = f"a character that can't stand here: {code}" + (f" ({name})" if name else "")
    if character in _QUOTES:
        return what, "Typographic quotes don't count: write \""
    if character.isspace() or unicodedata.category(character) in ("Cf", "Zs", "Cc"):
        return what, "It looks like a space or like nothing: delete it, type a plain space."
    return what, 'Text stands in quotes ("…"), or after # as a comment.'


def _message_type(spec: FieldDescriptor) -> Descriptor:
    assert spec.message_type is not None  # asked of message fields only
    return spec.message_type


def _enum_values(spec: FieldDescriptor) -> list[str]:
    assert spec.enum_type is not None  # asked of enum fields only
    return list(spec.enum_type.values_by_name)


class _FaultError(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class _Level(NamedTuple):
    """A message that is being read: its type, and its field's name ("" for the whole)."""

    message: Descriptor
    name: str

    @property
    def shown(self) -> str:
        return self.name or "the model configuration"

    @property
    def is_entry(self) -> bool:
        """Whether it is a key and its value, such as one of `parameters`."""
        return bool(self.message.GetOptions().map_entry)


class _Walker:
    """Reads one text, once. Its depth is bounded by the schema: no message holds itself."""

    def __init__(self, text: str, message: Descriptor, positions: dict[str, int]) -> None:
        self.text = text
        self.root = message
        self.positions = positions
        self.tokens = tokens(text)
        self.token = next(self.tokens)
        self.before: Token | None = None
        self.string_before: Token | None = None
        self.levels: list[_Level] = []

    def read(self) -> None:
        if self.token.text == "{":
            self._fail(*_JSON, self.token)
        begin = len(self.text) - len(self.text.lstrip())
        head = self.text[begin : begin + _LONGEST_START].lower()
        for start, message, fix in _OTHER_FILES:
            if head.startswith(start):
                raise _FaultError(Fault(begin, message, fix))
        self._message(_Level(self.root, ""), "", None)

    # Tokens

    def _next(self) -> Token:
        token = self.token
        if token.kind != "end":
            if token.kind == "string":
                self.string_before = token
            self.before, self.token = token, next(self.tokens)
        return token

    def _take(self, *texts: str) -> bool:
        if self.token.kind == "mark" and self.token.text in texts:
            self._next()
            return True
        return False

    def _fail(self, message: str, fix: str, token: Token) -> NoReturn:
        known = self._template(token) or self._conflict(token) or self._ended_early(token)
        raise _FaultError(known or Fault(token.offset, message, fix))

    def _conflict(self, token: Token) -> Fault | None:
        """Markers that git leaves where it couldn't merge."""
        start = self.text.rfind("\n", 0, token.offset) + 1
        marker = _CONFLICT.match(self.text, start)
        if marker is None:
            return None
        return Fault(
            start,
            f"`{_short(marker[0].rstrip())}` is the mark of a merge conflict",
            "Keep one of the two sides, and delete the lines <<<<<<<, ======= and >>>>>>>.",
        )

    def _ended_early(self, token: Token) -> Fault | None:
        """A string that ended at a quote inside of it: what follows touches the quote."""
        string = self.before
        if string is token or (string is not None and string.offset >= token.offset):
            string = self.string_before
        if string is None or string.kind != "string" or token.kind in ("end", "mark"):
            return None
        end = string.offset + len(string.text)
        if end != token.offset:
            return None
        line, column = line_and_column(self.text, end - 1)
        fix = 'Quotes inside of a string stand behind a backslash, \\"'
        rest = self.text[string.offset : end + 200].split("\n", 1)[0]
        if "'" not in rest:
            fix += ", or the whole stands in single quotes: '...\"...'"
        return Fault(
            string.offset,
            f"the string that starts here ends at the quote in line {line}, column {column}",
            f"{fix}.",
        )

    def _template(self, token: Token) -> Fault | None:
        # A window, for minified lines are long and placeholders are short.
        start = max(self.text.rfind("\n", 0, token.offset) + 1, token.offset - 200)
        line = self.text[start : token.offset + 200].split("\n", 1)[0]
        for match in PLACEHOLDER.finditer(line):
            if start + match.end() > token.offset >= start + match.start() - 1:
                return Fault(
                    start + match.start(),
                    f"`{match.group()}` is a placeholder: this file is a template",
                    placeholder_fix(match.group()),
                )
        return None

    def _unexpected(self, wanted: str, fix: str = "") -> NoReturn:
        token = self.token
        if token.kind == "end":
            self._fail(f"the file ends where {wanted} should stand", fix, token)
        odd = _odd_spelling(token)
        if odd is not None:
            self._fail(odd.message, odd.fix, token)
        if token.kind == "open_string":
            self._open_string(token)
        if token.text == "=":
            self._fail("`=` can't stand here", "Write `:` between a field and its value.", token)
        if token.text in ("/", "*"):
            self._fail(f"`{token.text}` can't stand here", "Comments start with #.", token)
        self._fail(f"`{_short(token.text)}` stands where {wanted} should", fix, token)

    def _open_string(self, token: Token) -> NoReturn:
        quote = token.text[0]
        body = token.text.rstrip()
        fix = f"Close it with {quote} on the same line."
        if body.endswith("\\"):
            fix = "A string can't go on after a line's end: close it, and open the rest anew."
        self._fail(f"the string that starts here has no closing {quote}", fix, token)

    # Messages

    def _message(self, level: _Level, path: str, opened: Token | None) -> None:
        """Fields up to the closing mark of `opened`, or the end of the text."""
        self.levels.append(level)
        seen: dict[str, Token] = {}
        counts: dict[str, int] = {}
        closing = _CLOSING[opened.text] if opened else ""
        while True:
            token = self.token
            if opened and token.text == closing and token.kind == "mark":
                self._next()
                break
            if token.kind == "end":
                if opened:
                    self._fail(
                        f"`{opened.text}` of {level.shown} is never closed",
                        f"A `{closing}` is missing.",
                        opened,
                    )
                break
            if token.kind == "mark" and token.text in "}>]":
                self._stray(token, level, opened, closing)
            spec = self._field(level, path, seen, counts)
            if not self._take(","):
                self._take(";")
            if self.token.kind in ("number", "string"):
                self._check_more_values(spec)
        self.levels.pop()

    def _check_more_values(self, spec: FieldDescriptor) -> None:
        """`gpus: 0, 1`: several values without brackets."""
        token = self.token
        next_mark = self.text[token.offset + len(token.text) :].lstrip()[:1]
        if is_repeated(spec) and spec.cpp_type != _MESSAGE and next_mark != ":":
            self._fail(
                f"`{spec.name}` has a second value, and no brackets",
                f"Write several values as a list: {spec.name}: [ ..., {_short(token.text)} ]",
                token,
            )

    def _stray(self, token: Token, level: _Level, opened: Token | None, closing: str) -> NoReturn:
        if opened is None:
            self._fail(
                f"a `{token.text}` too many", "Delete it, or find the field it closes.", token
            )
        line, _ = line_and_column(self.text, opened.offset)
        self._fail(
            f"`{token.text}` stands where {level.shown} should be closed by `{closing}`",
            f"`{opened.text}` was opened on line {line}.",
            token,
        )

    def _field(
        self, level: _Level, path: str, seen: dict[str, Token], counts: dict[str, int]
    ) -> FieldDescriptor:
        token = self.token
        if token.kind == "string":
            self._next()
            bare = token.text[1:-1]
            if self.token.text == ":" and level.is_entry:
                self._fail(
                    f"{_short(token.text)} is a string where a field's name should stand",
                    f"This is protobuf text, not JSON: write {level.name} "
                    f"{{ key: {_short(token.text)} value: {_map_value(level)} }}",
                    token,
                )
            if self.token.text == ":" and bare.isidentifier():
                self._fail(
                    f"{token.text} is a string where a field's name should stand",
                    f"This is protobuf text, not JSON: write {bare} without quotes.",
                    token,
                )
            self._fail(
                f"{_short(token.text)} is a string where a field's name should stand",
                "Is a quote missing, or `name:` before it?",
                token,
            )
        if token.text == "[" and token.kind == "mark":
            self._fail("`[` stands where a field's name should", "", token)
        if token.kind != "name":
            self._unexpected("a field's name")
        self._next()
        spec = level.message.fields_by_name.get(token.text)
        if spec is None:
            self._fail(
                f"`{_short(token.text)}` is not a field of {level.shown}",
                self._advice(token.text),
                token,
            )
        self._only_once(spec, token, seen)
        self.positions.setdefault(_join(path, spec.name), token.offset)
        self._value(spec, path, token, counts)
        return spec

    def _only_once(self, spec: FieldDescriptor, token: Token, seen: dict[str, Token]) -> None:
        if not is_repeated(spec) and spec.name in seen:
            line, _ = line_and_column(self.text, seen[spec.name].offset)
            self._fail(
                f"`{spec.name}` stands here a second time",
                f"It takes one value, and has it since line {line}: delete one of the two.",
                token,
            )
        group = spec.containing_oneof
        for other in group.fields if group else ():
            if other.name in seen and other.name != spec.name:
                line, _ = line_and_column(self.text, seen[other.name].offset)
                self._fail(
                    f"`{spec.name}` can't stand beside `{other.name}`",
                    f"Only one of the two may be there; `{other.name}` is on line {line}.",
                    token,
                )
        seen[spec.name] = token

    # Values

    def _value(self, spec: FieldDescriptor, path: str, name: Token, counts: dict[str, int]) -> None:
        is_message = spec.cpp_type == _MESSAGE
        colon = self._take(":")
        if not colon and not is_message:
            token = self.token
            if token.text == "=":
                self._unexpected("`:`")
            self._fail(
                f"`:` is missing after `{name.text}`",
                f"Write {name.text}: {_written(spec, token)}",
                token,
            )
        opened = self.token
        if opened.text != "[" or opened.kind != "mark":
            self._element(spec, path, counts)
            return
        if not is_repeated(spec):
            self._next()
            fix = f"Write {spec.name}: {_written(spec, self.token)} without the brackets."
            if is_message and self.token.kind in ("number", "string", "name"):
                lists = [one.name for one in _message_type(spec).fields if is_repeated(one)]
                if len(lists) == 1:
                    fix = f"Write {spec.name} {{ {lists[0]}: [ {_short(self.token.text)} ] }}"
            self._fail(f"`{spec.name}` takes one value, not a list", fix, opened)
        self._next()
        if self._take("]"):
            return
        while True:
            if self.token.text == "]" and self.token.kind == "mark":
                self._fail(
                    "a comma before `]`",
                    "Delete the comma after the list's last value.",
                    self.token,
                )
            if self.token.kind == "end":
                self._fail(f"`[` of {spec.name} is never closed", "A `]` is missing.", opened)
            self._element(spec, path, counts)
            if self._take("]"):
                return
            if not self._take(","):
                self._list_goes_wrong(spec, opened)

    def _list_goes_wrong(self, spec: FieldDescriptor, opened: Token) -> NoReturn:
        token = self.token
        if token.kind == "end":
            self._fail(f"`[` of {spec.name} is never closed", "A `]` is missing.", opened)
        if token.kind in ("number", "string") or token.text in ("{", "<"):
            self._fail(
                f"`,` is missing between two values of {spec.name}", "Write a comma here.", token
            )
        line, _ = line_and_column(self.text, opened.offset)
        self._unexpected(f"`,` or `]` of {spec.name}", f"`[` was opened on line {line}.")

    def _element(self, spec: FieldDescriptor, path: str, counts: dict[str, int]) -> None:
        here = _join(path, spec.name)
        if is_repeated(spec):
            index = counts.get(spec.name, 0)
            counts[spec.name] = index + 1
            here = f"{here}[{index}]"
            self.positions[here] = self.token.offset
        if spec.cpp_type == _MESSAGE:
            opened = self.token
            if opened.kind != "mark" or opened.text not in ("{", "<"):
                self._not_a_message(spec)
            self._next()
            self._message(_Level(_message_type(spec), spec.name), here, opened)
            return
        self._scalar(spec)

    def _not_a_message(self, spec: FieldDescriptor) -> NoReturn:
        token = self.token
        fix = f"Write {_usage(spec)}"
        fields = [one.name for one in _message_type(spec).fields]
        if fields == ["string_value"] and token.kind == "string":
            fix = f"Write {spec.name}: {{ string_value: {_short(token.text)} }}"
        if token.kind in ("string", "number", "name"):
            kinds = {one.name: _kind(one) for one in _message_type(spec).fields}
            fix = message_fix(spec.name, token.text, kinds) or fix
            self._fail(f"`{spec.name}` has fields of its own and takes no plain value", fix, token)
        self._unexpected(f"`{{` of {spec.name}", fix)

    def _scalar(self, spec: FieldDescriptor) -> None:
        token = self.token
        kind = spec.cpp_type
        if token.text in ("?", "*", "-") and spec.name in ("dims", "shape"):
            self._not_a_number(spec, token, "a whole number")
        if token.kind not in ("name", "number", "string"):
            braced = _BRACED.match(self.text, token.offset)
            if braced is not None:
                self._fail(
                    f"`{braced[0]}` is a placeholder: this file is a template",
                    placeholder_fix(braced[0]),
                    token,
                )
            self._unexpected(f"the value of {spec.name}", f"Write {_usage(spec)}")
        self._next()
        if kind == _STRING:
            if token.kind != "string":
                fix = f'Write {spec.name}: "{_short(token.text)}"'
                if token.text.lower() in ("none", "null", "nil"):
                    fix = f"Leave {spec.name} out"
                elif token.text.isupper() and "_" in token.text:
                    fix += f", if that is its value. {word_fix(token.text)}".rstrip()
                self._fail(f"`{spec.name}` takes text in quotes", fix, token)
            while self.token.kind == "string":
                self._next()
        elif kind == _ENUM:
            self._enum_value(spec, token)
        elif kind == _BOOL:
            if token.text not in _TRUE_AND_FALSE:
                self._fail(
                    f"`{spec.name}` takes true or false, not {_short(token.text)}",
                    _and(f"Write {spec.name}: {_bool_guess(token.text)}", _word_fix(token)),
                    token,
                )
        elif kind in _FLOATS:
            self._float_value(spec, token)
        else:
            self._integer_value(spec, token)

    def _enum_value(self, spec: FieldDescriptor, token: Token) -> None:
        values = _enum_values(spec)
        bare = token.text.strip("\"'")
        if token.kind == "name" and (dotted := _DOTTED.match(self.text, token.offset)):
            bare = dotted[0]
        if token.kind == "name" and bare in values:
            return
        if token.kind == "number" and _INTEGER.match(token.text):
            self._whole_number(spec, token, 1)
            return
        if token.kind == "string" and bare in values:
            self._fail(
                f"`{spec.name}` takes a name without quotes", f"Write {spec.name}: {bare}", token
            )
        guess = _enum_guess(bare, values)
        self._fail(
            f"`{_short(bare)}` is not a value of {spec.name}",
            f"Did you mean {guess}?"
            if guess
            else _and(f"Its values: {', '.join(values)}", _word_fix(token)),
            token,
        )

    def _float_value(self, spec: FieldDescriptor, token: Token) -> None:
        try:
            float(_FLOAT_SUFFIX.sub("", token.text))
        except ValueError:
            self._not_a_number(spec, token, "a number")
        if re.match(r"-?0[0-9]", token.text):
            self._fail(
                f"`{token.text}` is not a number: a leading 0 makes it octal",
                f"Write {spec.name}: {token.text.lstrip('-0')}",
                token,
            )

    def _integer_value(self, spec: FieldDescriptor, token: Token) -> None:
        if token.kind != "number" or not _INTEGER.match(token.text):
            self._not_a_number(spec, token, "a whole number")
        self._whole_number(spec, token, spec.cpp_type)

    def _whole_number(self, spec: FieldDescriptor, token: Token, kind: int) -> None:
        digits = token.text.lstrip("+-")
        try:
            octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
            value = int(digits, 8 if octal else 0)
        except ValueError:
            self._fail(
                f"`{token.text}` is not a number: a leading 0 makes it octal",
                f"Write {spec.name}: {digits.lstrip('0') or '0'}",
                token,
            )
        name, low, high = _INTEGER_LIMITS[kind]
        if not low <= (-value if token.text[0] == "-" else value) <= high:
            self._fail(
                f"{_short(token.text)} doesn't fit `{spec.name}`",
                f"It is a {name}: {low} to {high}.",
                token,
            )

    def _not_a_number(self, spec: FieldDescriptor, token: Token, wanted: str) -> NoReturn:
        bare = token.text.strip("\"'")
        meant = number_fix(spec.name, token.text, is_repeated(spec)) if "whole" in wanted else ""
        if meant:
            self._fail(f"`{spec.name}` takes {wanted}, not {_short(token.text)}", meant, token)
        if spec.name in ("dims", "shape") and not re.match(r"[+-]?\d", bare):
            self._fail(
                f"`{spec.name}` takes whole numbers, not {_short(token.text)}",
                f"Write -1 for a dimension whose size varies. {_word_fix(token)}".rstrip(),
                token,
            )
        value = _without_unit(spec.name, bare)
        if value:
            self._fail(
                f"`{spec.name}` takes {wanted} without a unit, not {_short(token.text)}",
                f"Write {spec.name}: {value}",
                token,
            )
        number = _plain_number(bare, whole="whole" in wanted)
        self._fail(
            f"`{spec.name}` takes {wanted}, not {_short(token.text)}",
            f"Write {spec.name}: {number}"
            if number
            else _word_fix(token) or f"Write {wanted}: {spec.name}: ...",
            token,
        )

    # Advice

    def _advice(self, name: str) -> str:
        """What somebody may have meant who wrote the unknown field `name` at this place."""
        here = self.levels[-1]
        for newer in NEWER_FIELDS:
            if newer.path.rpartition(".")[2] == name:
                release = ".".join(map(str, newer.since))
                return (
                    f"It is a field of Triton {release} ({newer.ngc}) and newer, and the installed "
                    "tritonclient is older: pip install --upgrade tritonclient"
                )
        if (here.name, name) in MEANT_FIELDS:
            return f"Write {MEANT_FIELDS[here.name, name]} instead."
        if here.name == "" and name in ("model_config", "ModelConfig", "config"):
            return f"Write its fields without `{name} {{ }}` around them."
        for outer in reversed(self.levels[:-1]):
            if name in outer.message.fields_by_name:
                return f"`{name}` is a field of {outer.shown}: is a `}}` missing before it?"
        fields = list(here.message.fields_by_name)
        inner = [
            one.name
            for one in here.message.fields
            if one.message_type is not None and name in one.message_type.fields_by_name
        ]
        if len(inner) == 1 and not difflib.get_close_matches(name, fields, n=1, cutoff=0.9):
            return f"`{name}` is a field of `{inner[0]}`: write {inner[0]} {{ {name} ... }}"
        close = difflib.get_close_matches(name.lower(), fields, n=1, cutoff=0.7)
        if close:
            return f"Did you mean `{close[0]}`?"
        homes = _homes(name, self.root)
        if homes:
            return f"`{name}` is a field of {_listed(homes)}."
        close = difflib.get_close_matches(name.lower(), fields, n=1, cutoff=0.5)
        if close:
            return f"Did you mean `{close[0]}`?"
        return f"Its fields: {', '.join(fields)}."


# What a file starts with that is none of protobuf text, in lower case.
_OTHER_FILES = (
    (
        "version https://git-lfs",
        "is a Git LFS pointer, not the config",
        "Fetch it: git lfs pull",
    ),
    (
        "<!doctype html",
        "is an HTML page, not the config",
        "Download the file itself (on GitHub: the raw file).",
    ),
    ("<html", "is an HTML page, not the config", "Download the file itself."),
    (
        "```",
        "is a code block of Markdown, not the config",
        "Delete the lines with ```.",
    ),
)
_LONGEST_START = max(len(start) for start, _, _ in _OTHER_FILES)
_JSON = (
    "this is JSON, or a message in braces; config.pbtxt is protobuf text",
    'Write fields without braces around them, names without quotes: backend: "python"',
)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _homes(name: str, root: Descriptor) -> list[str]:
    """Where in the schema a field called `name` is, nearest the top first; three at most."""
    found: list[str] = []
    seen = {root.full_name}
    level = [(root, "")]
    while level and not found:
        deeper = []
        for message, path in level:
            for spec in message.fields:
                if spec.message_type is None or spec.message_type.full_name in seen:
                    continue
                seen.add(spec.message_type.full_name)
                here = _join(path, spec.name)
                deeper.append((spec.message_type, here))
                if name in spec.message_type.fields_by_name:
                    found.append(here)
        level = deeper
    return found[:3]


def _enum_guess(value: str, values: list[str]) -> str:
    upper = value.upper()
    prefix = values[0].split("_")[0] + "_"
    plain = upper.rpartition(".")[2].removeprefix(prefix).removeprefix("DT_")
    plain = re.sub(r"^TENSOR\((.*)\)$|_T$", r"\1", plain).strip("_")
    if prefix == "TYPE_":
        alias = "TYPE_" + _TYPE_ALIASES.get(plain, plain)
        if alias in values:
            return alias
    elif plain in _ENUM_ALIASES and _ENUM_ALIASES[plain] in values:
        return _ENUM_ALIASES[plain]
    for guess in (upper, prefix + upper, prefix + upper.removeprefix("DT_")):
        if guess in values:
            return guess
    close = difflib.get_close_matches(upper, values, n=1, cutoff=0.6)
    close = close or difflib.get_close_matches(prefix + upper, values, n=1, cutoff=0.6)
    return close[0] if close else ""


def _without_unit(name: str, value: str) -> str:
    """A number with a unit behind it as the number that the field wants; "" if it is none."""
    match = _UNIT.match(value)
    if match is None:
        return ""
    factors = _MICROSECONDS if name.endswith("microseconds") else _MULTIPLES
    factor = factors.get(match[2].lower())
    if factor is None:
        return ""
    number = float(match[1]) * factor
    return str(int(number)) if number.is_integer() else ""


def _plain_number(value: str, *, whole: bool) -> str:
    """A number in quotes, or a whole one with `.0`, as it is right; "" if it is none."""
    found = re.fullmatch(r"\+?(-?\d+)(\.0*)?" if whole else r"\+?(-?\d+(?:\.\d*)?)", value)
    return found[1] if found is not None else ""


def _bool_guess(value: str) -> str:
    return "true" if value.strip("\"'").lower() in ("true", "yes", "on", "1", "y") else "false"


def _example(spec: FieldDescriptor) -> str:
    if spec.cpp_type == _STRING:
        return '"..."'
    if spec.cpp_type == _BOOL:
        return "true"
    if spec.cpp_type == _ENUM:
        values = _enum_values(spec)
        return next((one for one in values if not one.endswith("INVALID")), values[0])
    return "1.0" if spec.cpp_type in _FLOATS else "1"


def _written(spec: FieldDescriptor, token: Token) -> str:
    """The value that stands there, as it is right; an example where that isn't known."""
    if spec.cpp_type == _MESSAGE:
        return "{ ... }"
    text = _short(token.text)
    if spec.cpp_type == _STRING:
        fits = token.kind in ("string", "name", "number")
        text = text if token.kind == "string" else f'"{text}"'
    elif spec.cpp_type == _ENUM:
        fits = token.text in _enum_values(spec)
    elif spec.cpp_type == _BOOL:
        fits = token.text in _TRUE_AND_FALSE
    else:
        fits = token.kind == "number"
    return text if fits else _example(spec)


def _map_value(level: _Level) -> str:
    is_message = level.message.fields_by_name["value"].cpp_type == _MESSAGE
    return "{ ... }" if is_message else '"..."'


def _kind(spec: FieldDescriptor) -> str:
    if spec.cpp_type == _MESSAGE:
        return "message"
    return "number" if spec.cpp_type in _INTEGER_LIMITS else "other"


def _usage(spec: FieldDescriptor) -> str:
    if spec.cpp_type != _MESSAGE:
        return f"{spec.name}: {_example(spec)}"
    return f"{spec.name} [ {{ ... }} ]" if is_repeated(spec) else f"{spec.name} {{ ... }}"
