"""Files of a model's directory that its config names: what the core looks up when it loads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.text.paths import place_of

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

WARM_UP = "warmup"
INITIAL_STATE = "initial_state"
BATCH_STRATEGY = "TRITON_BATCH_STRATEGY_PATH"


@dataclass(frozen=True)
class NamedFile:
    """What stands at a place: `path` is the whole one, `size` in bytes, None if nothing is there.

    `data` is its content, of those that are small enough. `elsewhere` is a file of that name in
    another place of the model's directory, relative to it ("" if there is none). `outside`:
    the path leads out of the model's directory.
    """

    path: str
    size: int | None = None
    data: bytes | None = None
    is_directory: bool = False
    error: str = "No such file or directory"
    elsewhere: str = ""
    outside: bool = False


NamedFiles = Mapping[str, NamedFile]


def paths_named(config: ModelConfig) -> Iterator[str]:
    """The files that a config names, relative to the model's directory."""
    for output in config.output:
        if output.label_filename:
            yield output.label_filename
    for sample in config.model_warmup:
        for tensor in sample.inputs.values():
            if tensor.WhichOneof("input_data_type") == "input_data_file":
                yield f"{WARM_UP}/{tensor.input_data_file}"
    if config.WhichOneof("scheduling_choice") == "sequence_batching":
        for state in config.sequence_batching.state:
            for initial in state.initial_state:
                if initial.WhichOneof("state_data") == "data_file":
                    yield f"{INITIAL_STATE}/{initial.data_file}"


def missing_file_flaw(
    files: NamedFiles | None, relative: str, field: str, what: str, folder: str = ""
) -> Diagnostic | None:
    """The refusal of a model whose file isn't there; None if it is, or nobody has looked.

    `what` is the file as text; `folder` the one that it has to be in.
    """
    found = files.get(relative) if files is not None else None
    if found is None or (found.size is not None and not found.is_directory):
        return None
    if found.is_directory:
        return Diagnostic(
            "crash",
            "terminate called after throwing an instance of 'std::length_error'",
            field,
            f"{what} is a directory, `{relative}`: Triton crashes on it",
            "Name a file.",
        )
    fix = f"Add the file `{relative}` to the model's directory, or correct the name."
    if found.elsewhere:
        fix = f"It stands in `{found.elsewhere}`: move it to `{relative}`."
    elif folder:
        fix = f"Triton looks for it in `{folder}/` beside config.pbtxt: add it there."
    return Diagnostic(
        "model-file",
        f"failed to open text file for read {place_of(found.path)}: {found.error}",
        field,
        f"{what} isn't there: `{relative}`",
        fix,
        code="Internal",
    )
