"""Triton's `ModelConfig` message, loaded without the client that surrounds it.

`import tritonclient.grpc` brings grpc and numpy along (0.25 to 0.43 s). The message needs only
google.protobuf, so its generated module is loaded by file, under a name of its own. Python's
protobuf keeps one class for each message type in a process, so this is the very class that a
real `import tritonclient.grpc` has, whichever comes first (a test holds that).
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from pytest_triton.errors import PytestTritonError

if TYPE_CHECKING:
    # Generated at run time from a descriptor: no type checker can see into it.
    ModelConfig: TypeAlias = Any

__all__ = ["SchemaUnavailable", "model_config_module", "model_config_type"]

_CLIENT_MODULE = "tritonclient.grpc.model_config_pb2"


class SchemaUnavailable(PytestTritonError):
    """tritonclient's description of config.pbtxt can't be loaded."""


@cache
def model_config_module() -> ModuleType:
    """tritonclient's generated module `model_config_pb2`. Raises SchemaUnavailable."""
    already = sys.modules.get(_CLIENT_MODULE)
    if already is not None:
        return already
    client = importlib.util.find_spec("tritonclient")
    if client is None or not client.submodule_search_locations:
        raise SchemaUnavailable(
            "tritonclient is not installed, and config.pbtxt can't be read without it",
            tried=[f"import tritonclient with {sys.executable}"],
            fix="pip install 'tritonclient[grpc]'",
        )
    file = Path(next(iter(client.submodule_search_locations)), "grpc", "model_config_pb2.py")
    spec = importlib.util.spec_from_file_location("_pytest_triton_model_config_pb2", file)
    if spec is None or spec.loader is None:  # only for a name that isn't a Python file's
        raise SchemaUnavailable(f"{file} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    try:
        with warnings.catch_warnings():
            # protobuf warns of generated code that is a year old; users can't do a thing about it.
            warnings.simplefilter("ignore")
            spec.loader.exec_module(module)
    except Exception as error:
        raise SchemaUnavailable(
            "tritonclient's model_config_pb2.py can't be loaded",
            tried=[f"load {file}: {type(error).__name__}: {error}"],
            fix="pip install --upgrade protobuf tritonclient, so that the two fit together",
        ) from error
    return module


def model_config_type() -> type[ModelConfig]:
    """The class of Triton's message `inference.ModelConfig`. Raises SchemaUnavailable."""
    config_type: type[ModelConfig] = model_config_module().ModelConfig
    return config_type
