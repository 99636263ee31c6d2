"""Where a field of protobuf text ends, for edits that keep all the rest as it is."""

from __future__ import annotations

from pytest_triton.audit.subject import Subject
from pytest_triton.diagnostics.diagnostic import Edit
from pytest_triton.repository.pbtxt import tokens

_OPENING = ("{", "[", "<")
_CLOSING = ("}", "]", ">")


def field_span(text: str, start: int) -> tuple[int, int]:
    """From the name of the field at `start` to the end of its value, and a comma or semicolon.

    The text is known to be valid.
    """
    stream = tokens(text[start:])
    next(stream)  # the name
    token = next(stream)
    if token.text == ":":
        token = next(stream)
    depth = 0
    while token.kind != "end":
        if token.kind == "mark":
            depth += (token.text in _OPENING) - (token.text in _CLOSING)
        last, token = token, next(stream)
        side_by_side = last.kind == "string" and token.kind == "string"  # those are one
        if depth == 0 and not side_by_side:
            break
    if token.kind == "mark" and token.text in (",", ";"):
        last = token
    return start, start + last.offset + len(last.text)


def delete_field(subject: Subject, field: str) -> tuple[Edit, ...]:
    """Edits that take a field away, with its line if nothing else stands on it."""
    start = subject.positions.get(field)
    if start is None or not _can_edit(subject):
        return ()
    text = subject.text
    start, end = field_span(text, start)
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", end)
    line_end = len(text) if line_end < 0 else line_end + 1
    if not text[line_start:start].strip() and not text[end:line_end].strip():
        start, end = line_start, line_end
    elif text[start - 1 : start] == " ":
        start -= 1  # one of the two spaces around it
    return (Edit(start, end, ""),)


def set_field(subject: Subject, group: int, name: str, value: str) -> tuple[Edit, ...]:
    """Edits that give a field of an instance group this value, whether it is written or not."""
    if not _can_edit(subject):
        return ()
    text, prefix = subject.text, f"instance_group[{group}]"
    written = subject.positions.get(f"{prefix}.{name}")
    if written is not None:
        start, end = field_span(text, written)
        tail = text[end - 1] if text[end - 1] in ",;" else ""
        return (Edit(start, end, f"{name}: {value}{tail}"),)
    opened = subject.positions.get(prefix)
    if opened is None:
        return ()
    after = opened + 1
    line_end = text.find("\n", after)
    rest = text[after : line_end if line_end >= 0 else len(text)]
    if line_end >= 0 and not rest.strip():
        following = text[line_end + 1 :]
        indent = following[: len(following) - len(following.lstrip(" \t"))]
        return (Edit(line_end + 1, line_end + 1, f"{indent}{name}: {value}\n"),)
    return (Edit(after, after, f" {name}: {value}"),)


def _can_edit(subject: Subject) -> bool:
    # Bytes that aren't UTF-8 (in comments) would not survive.
    return subject.model.config_file is not None and "\ufffd" not in subject.text
