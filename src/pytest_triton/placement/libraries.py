"""Where Triton's core looks for a backend's library, and what it says if it isn't there.

Source: core's `GetBackendLibraryProperties` (backend_model.cc): the version's directory, the
model's, then the backend's in the backend directory; there also a `model.py`, which makes it a
backend on top of the python backend.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_triton.diagnostics.diagnostic import Diagnostic, Version
from pytest_triton.placement.named_files import BATCH_STRATEGY

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

PYTHON_RUNTIME = "model.py"
BATCH_LIBRARY = "batchstrategy.so"
BATCH_PATH_INSIDE: Version = (2, 70, 0)  # older ones only say that it is not found


@dataclass(frozen=True, slots=True)
class Runtime:
    """`name` is the config's `runtime` ("": the backend's usual library); `is_own` if the library
    stands in the model's directory or its version's, so that the server needn't have it."""

    name: str = ""
    is_own: bool = False

    @classmethod
    def of(cls, config: ModelConfig, backend: str, libraries: frozenset[str]) -> Runtime:
        name = getattr(config, "runtime", "")
        return cls(name, (name or library_name(backend)) in libraries)


def library_name(backend: str) -> str:
    return f"libtriton_{backend}.so"


def batch_strategy_flaws(config: ModelConfig) -> Iterator[Diagnostic]:
    """A custom batching library is for the dynamic batcher. Where it lies, the server knows."""
    if (
        config.WhichOneof("scheduling_choice") == "sequence_batching"
        and BATCH_STRATEGY in config.parameters
    ):
        yield Diagnostic(
            "config",
            f"{BATCH_STRATEGY} cannot be specified with sequence batcher, using default batching "
            "strategy",
            "parameters",
            f"{BATCH_STRATEGY} in a sequence model",
            "Delete the parameter: custom batching is for dynamic_batching.",
        )
    path = config.parameters[BATCH_STRATEGY].string_value if _has_path(config) else ""
    if path and not path.startswith("/"):
        yield Diagnostic(
            "config",
            "Batching library path escapes model repository.",
            "parameters",
            f"{BATCH_STRATEGY} is `{path}`, which Triton takes from the directory that it was "
            "started in, not from the model's",
            "Write the whole path of a library in the model's directory, as the server sees it; or "
            f"call it {BATCH_LIBRARY} and delete the parameter.",
            since=BATCH_PATH_INSIDE,
        )


def _has_path(config: ModelConfig) -> bool:
    sequence = config.WhichOneof("scheduling_choice") == "sequence_batching"
    return not sequence and BATCH_STRATEGY in config.parameters
