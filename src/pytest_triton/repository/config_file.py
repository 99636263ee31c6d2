"""Read one config.pbtxt: its text, its message, or what is wrong with it and where."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_triton.diagnostics.diagnostic import Diagnostic, Effect
from pytest_triton.repository.pbtxt import Fault, lexical_fault, line_and_column, tokens, walk
from pytest_triton.repository.plain_text import read_plain
from pytest_triton.repository.positions import locate
from pytest_triton.repository.schema import model_config_type
from pytest_triton.repository.templates import (
    Rendered,
    TemplateFault,
    ValueSet,
    is_jinja,
    is_template,
    render,
)
from pytest_triton.text.paths import place_of, shown_path
from pytest_triton.text.readable import is_closed

if TYPE_CHECKING:
    from pytest_triton.repository.schema import ModelConfig

__all__ = ["SIZE_LIMIT", "ConfigFile", "located", "position_of", "read_config"]

SIZE_LIMIT = 1024 * 1024
"""Bytes. Triton has no limit; real configs have some kilobytes, and memory must stay bounded."""

CONFIG_NAME = "config.pbtxt"
_BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "UTF-8 with a byte order mark"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\v\f"))
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True)
class ConfigFile:
    """A config.pbtxt as it was read.

    `config` is the message it holds, untouched, or None; then `problem` says why. `text` is ""
    if there was no reading it; bytes of a comment that aren't UTF-8 show as U+FFFD. Of a template
    it is what was `rendered`.
    """

    path: Path
    text: str
    config: ModelConfig | None
    problem: Diagnostic | None
    rendered: Rendered | None = None

    @property
    def source(self) -> str:
        """The file's own text, also of a template."""
        return self.text if self.rendered is None else self.rendered.template

    def place(self, line: int, column: int) -> tuple[int, int]:
        """The place in the file of a place in `text`."""
        return (line, column) if self.rendered is None else self.rendered.origin(line, column)

    def position_of(self, field_path: str) -> tuple[int, int] | None:
        """Line and column in the file at which a field stands; see `position_of`."""
        found = position_of(self.text, field_path)
        return None if found is None else self.place(*found)

    def locate(self, field_path: str) -> tuple[int, int] | None:
        """Line and column in the file of a field, or of what is written around it."""
        found = locate(self.text, field_path)
        return None if found is None else self.place(*found)


def read_config(path: Path | str, values: ValueSet | None = None) -> ConfigFile:
    """Read a config.pbtxt, or render a template with `values`.

    Bad input of any kind is a `problem`, never an exception.

    Raises SchemaUnavailable if tritonclient isn't there to say what a config is.
    """
    path = Path(path)
    data = _read_bytes(path)
    if isinstance(data, Diagnostic):
        return ConfigFile(path, "", None, data)
    return _parse(path, data, values)


def position_of(text: str, field_path: str) -> tuple[int, int] | None:
    """Line and column, from 1, at which a field stands in a config's text, or None.

    Fields are written `max_batch_size`, `instance_group[1].kind`, `instance_group[0].gpus[2]`;
    a repeated field without an index is the place where its name first stands.
    """
    offset = walk(text, model_config_type().DESCRIPTOR).positions.get(field_path)
    return None if offset is None else line_and_column(text, offset)


def located(diagnostic: Diagnostic, file: ConfigFile) -> Diagnostic:
    """The same, pointing at its field in a config that could be read, if it is there."""
    position = file.locate(diagnostic.field) if diagnostic.field else None
    line, column = position or (None, None)
    return replace(
        diagnostic,
        path=file.path,
        line=line,
        column=column,
        source_line=_line(file.source, line) if line else "",
    )


def _read_bytes(path: Path) -> bytes | Diagnostic:
    try:
        found = os.stat(path)
        for is_kind, name in _KINDS:
            if is_kind(found.st_mode):
                # A directory makes Triton 2.51.0 abort, a pipe without a writer makes it wait
                # for good; whatever is not a file isn't worth trying on a server.
                return Diagnostic(
                    reason="config",
                    path=path,
                    message=f"is {name}, not a file",
                    fix="Put a text file in its place, or remove it: without a config.pbtxt "
                    "Triton completes the configuration where the backend can.",
                    effect=Effect.BREAKS_SERVER,
                )
        # O_NONBLOCK: should it have become a pipe since, opening must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except (OSError, ValueError) as error:
        return _unreadable(path, error)
    if len(data) > SIZE_LIMIT:
        return Diagnostic(
            reason="config",
            path=path,
            message=f"has {max(found.st_size, len(data)):,} bytes; up to {SIZE_LIMIT:,} are read",
            fix="A config.pbtxt has some kilobytes: is this the model's file?",
            effect=Effect.ACCEPTED,
        )
    return data


def _unreadable(path: Path, error: OSError | ValueError) -> Diagnostic:
    code = error.errno if isinstance(error, OSError) else None
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if os.path.islink(path) and code in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
        target = os.readlink(path)
        what = "leads in a circle" if code == errno.ELOOP else "leads nowhere"
        return Diagnostic(
            reason="model-file",  # as the server's log is read
            path=path,
            message=f"is a link to {shown_path(Path(target))}, which {what}",
            fix="Correct or remove the link."
            + ("" if code == errno.ELOOP else " In a checkout: was its target fetched too?"),
            triton=f"failed to stat file {place_of(path)}",
        )
    command = f"a+rx {shown_path(path.parent)}" if is_closed(path) else f"a+r {shown_path(path)}"
    fix = f"Let the user who runs the tests read it: chmod {command}"
    return Diagnostic(
        reason="config",
        path=path,
        message=f"can't be read: {reason}",
        fix=fix if code in (errno.EACCES, errno.EPERM) else "",
    )


def _parse(path: Path, data: bytes, values: ValueSet | None = None) -> ConfigFile:
    for mark, name in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            text = data.decode("utf-8", "replace") if mark[0] == 0xEF else ""
            return _broken(
                path,
                text,
                Fault(0, f"the file is {name}", "Save it as plain UTF-8 (without BOM)."),
            )
    text = data.decode("utf-8", "replace")
    if values is None or not is_template(path, text):
        return _parse_text(path, data, text)
    try:
        rendered = render(path, text, values.values)
    except TemplateFault as fault:
        if path.name == CONFIG_NAME and (plain := _parse_text(path, data, text)).config is not None:
            return plain
        return _broken(path, text, Fault(fault.offset, fault.message, fault.fix))
    if path.name == CONFIG_NAME and not rendered.used and is_jinja(path, text):
        plain = _parse_text(path, data, text)
        if plain.config is not None:
            return plain  # a chat template in a parameter, say
    return _parse_text(path, rendered.text.encode("utf-8", "replace"), rendered.text, rendered)


def _parse_text(path: Path, data: bytes, text: str, rendered: Rendered | None = None) -> ConfigFile:
    fault = _not_text(data, text) or lexical_fault(text)
    if fault is not None:
        earlier = walk(text, model_config_type().DESCRIPTOR).fault
        first = min(fault, earlier or fault, key=lambda one: one.offset)
        return _broken(path, text, first, rendered=rendered)
    try:
        config = _message(text)
    except _NotParsedError as error:
        found = walk(text, model_config_type().DESCRIPTOR).fault
        if found is None and error.not_utf8:
            return _broken(path, text, _escaped_bytes(text), Effect.BREAKS_SERVER, rendered)
        return _broken(path, text, found or error.fault, rendered=rendered)
    foreign = _foreign_bytes(data, text, config)
    if foreign is not None:
        return _broken(path, text, foreign, Effect.BREAKS_SERVER, rendered)
    return ConfigFile(path, text, config, None, rendered)


class _NotParsedError(Exception):
    """google.protobuf's verdict; `not_utf8` if all it minds is what a string's escapes say."""

    def __init__(self, fault: Fault, *, not_utf8: bool = False) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.not_utf8 = not_utf8


def _message(text: str) -> ModelConfig:
    config = read_plain(text, model_config_type())
    if config is not None:
        return config
    from google.protobuf import text_format

    try:
        return text_format.Parse(text, model_config_type()())
    except text_format.ParseError as error:
        offset = _offset(text, error.GetLine(), error.GetColumn())
        reason = str(error).partition(" : ")[2] or str(error)
        line = _line(text, error.GetLine() or 1)
        reason = reason.removeprefix(f"'{line}': ")
        fault = Fault(offset, f"not a model configuration: {reason}")
        raise _NotParsedError(fault, not_utf8="codec can't" in reason) from error
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise _NotParsedError(Fault(0, f"not a model configuration: {reason}")) from error


_BREAKS_CLIENTS = "Triton passes it on as it is, and its clients can't read the answer."


def _escaped_bytes(text: str) -> Fault:
    from google.protobuf import text_encoding

    offset = 0
    for token in tokens(text):
        if token.kind == "string" and "\\" in token.text:
            offset = token.offset
            try:
                text_encoding.CUnescape(token.text[1:-1]).decode("utf-8")
            except ValueError:
                break
    return Fault(
        offset,
        "the escapes in this string make bytes that are not UTF-8",
        f"Write the characters themselves. {_BREAKS_CLIENTS}",
    )


def _not_text(data: bytes, text: str) -> Fault | None:
    """Data that no line and column would explain."""
    sample = data[:4096]
    odd = len(sample) - len(sample.translate(None, _CONTROLS))
    if odd < 8 or odd <= len(sample) // 10:
        return None
    return Fault(0, "the file is binary, not text", "Is this the model's file, or UTF-16?")


def _foreign_bytes(data: bytes, text: str, config: ModelConfig) -> Fault | None:
    """A value that isn't UTF-8. Triton takes it, and then can't print a valid index any more."""
    if "\ufffd" not in text:
        return None
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        if "\ufffd" not in str(config) and b"\xef\xbf\xbd" not in config.SerializeToString():
            return None  # in comments only
        start = len(data[: error.start].decode("utf-8", "replace"))
        return Fault(
            start,
            f"byte 0x{data[error.start]:02X} is not UTF-8",
            f"Save the file as UTF-8. {_BREAKS_CLIENTS}",
        )
    return None


def _broken(
    path: Path,
    text: str,
    fault: Fault,
    effect: Effect = Effect.POLL_FAILED,
    rendered: Rendered | None = None,
) -> ConfigFile:
    line, column = line_and_column(text, fault.offset)
    if rendered is not None:
        line, column = rendered.origin(line, column)
    problem = Diagnostic(
        reason="config",
        path=path,
        message=fault.message,
        line=line,
        column=column,
        source_line=_line(text if rendered is None else rendered.template, line),
        fix=fault.fix,
        effect=effect,
        triton=f"failed to read text proto from {place_of(path)}"
        if effect is Effect.POLL_FAILED
        else "",
    )
    return ConfigFile(path, text, None, problem, rendered)


def _line(text: str, number: int) -> str:
    lines = text.split("\n", number)
    return lines[number - 1].rstrip("\r") if number <= len(lines) else ""


def _offset(text: str, line: int | None, column: int | None) -> int:
    """The offset of a position that google.protobuf gives, kept within the text."""
    start = 0
    for _ in range((line or 1) - 1):
        start = text.find("\n", start) + 1
        if start == 0:
            return len(text)
    return min(start + max((column or 1) - 1, 0), len(text))
