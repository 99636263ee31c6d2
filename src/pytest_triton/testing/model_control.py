"""Models loaded otherwise than they stand in the repository: another config, other files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_triton.errors import PytestTritonError, says_all
from pytest_triton.text.shown_text import sendable

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig


__tracebackhide__ = says_all


_SHOWN = 500  # characters of an error of protobuf


def parse_config(name: str, config: str | Mapping[str, Any]) -> ModelConfig:
    """Text of a config.pbtxt, or its JSON form. Raises PytestTritonError, naming the model."""
    from google.protobuf import json_format, text_format

    from pytest_triton.repository import model_config_type

    message = model_config_type()()
    try:
        if isinstance(config, str):
            text_format.Parse(config, message)
        else:
            json_format.ParseDict(dict(config), message)
    except (text_format.ParseError, json_format.ParseError, TypeError) as error:
        raise PytestTritonError(
            f"The config given for {name} can't be read: {_shortened(str(error))}",
            fix="write it as in config.pbtxt, or as its JSON form (a dict)",
        ) from None
    return message


def _shortened(text: str) -> str:
    """protobuf repeats the text that it can't parse."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def as_json(message: ModelConfig) -> str:
    """As Triton's load API takes it."""
    from google.protobuf import json_format

    return json.dumps(json_format.MessageToDict(message, preserving_proto_field_name=True))


def _is_part(name: str) -> bool:
    return name == "config.pbtxt" or name.isdecimal()


def model_in(
    directory: Path, config: str | Mapping[str, Any] | None, files: Mapping[str, bytes] | None
) -> tuple[str | Mapping[str, Any], Mapping[str, bytes]]:
    """Config and files of a model directory; what is given goes before what is read."""
    try:
        if not any(map(_is_part, os.listdir(directory))):  # else all of a disk would be read
            raise PytestTritonError(
                f"{directory} holds no model: no config.pbtxt, no version such as 1",
                fix="name the directory of one model",
            )
        found = {
            sendable(path.relative_to(directory).as_posix()): path.read_bytes()
            for path in sorted(directory.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }
    except OSError as error:
        raise PytestTritonError(
            f"{directory} can't be read: {error.strerror or error}",
            fix="name the directory of one model",
        ) from error
    text = found.pop("config.pbtxt", b"").decode(errors="replace")
    return config or text, {**found, **(files or {})}
