"""Fields of config.pbtxt that not every release knows: one table for the schemas of all.

Source: the releases' `model_config.proto` (triton-inference-server/common, r23.04 to r26.07). An
older server can't parse a config that has such a field, whatever its value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_triton.diagnostics.diagnostic import Diagnostic, Version

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor
    from tritonclient.grpc.model_config_pb2 import ModelConfig


def is_repeated(spec: FieldDescriptor) -> bool:
    """Whether a field takes any number of values (a map's, too)."""
    # protobuf 6.31 brings is_repeated and later drops label; 4.25 has label only.
    repeated = getattr(spec, "is_repeated", None)
    return bool(getattr(spec, "label", 0) == 3 if repeated is None else repeated)


@dataclass(frozen=True)
class NewerField:
    """A field, without indexes, and the first release that knows it."""

    path: str
    since: Version
    ngc: str


NEWER_FIELDS = (
    NewerField("sequence_batching.oldest.preserve_ordering", (2, 37, 0), "23.08"),
    NewerField("sequence_batching.state.use_same_buffer_for_input_output", (2, 40, 0), "23.11"),
    NewerField("sequence_batching.state.use_growable_memory", (2, 40, 0), "23.11"),
    NewerField("sequence_batching.iterative_sequence", (2, 40, 0), "23.11"),
    NewerField("runtime", (2, 42, 0), "24.01"),
    NewerField("input.is_non_linear_format_io", (2, 49, 0), "24.08"),
    NewerField("output.is_non_linear_format_io", (2, 49, 0), "24.08"),
    NewerField("model_metrics", (2, 52, 0), "24.11"),
    NewerField("ensemble_scheduling.max_inflight_requests", (2, 63, 0), "25.11"),
)
_BY_PATH = {field.path: field for field in NEWER_FIELDS}
_NAMES = frozenset(field.path.rpartition(".")[2] for field in NEWER_FIELDS)
_ANY_NAME = re.compile(rf"\b(?:{'|'.join(sorted(_NAMES))})\b")


def names_newer_field(text: str) -> bool:
    """Whether a config's text has the name of such a field, anywhere."""
    return _ANY_NAME.search(text) is not None


def since(path: str) -> NewerField | None:
    """The row of a field such as `input[1].is_non_linear_format_io`, if it has one."""
    return _BY_PATH.get(re.sub(r"\[\d+\]", "", path))


def written_fields(positions: Mapping[str, int]) -> tuple[str, ...]:
    """Those of the fields at these positions that not every release knows, in the text's order."""
    found = [path for path in positions if not path.endswith("]") and since(path) is not None]
    return tuple(sorted(found, key=positions.__getitem__))


def set_fields(config: ModelConfig) -> Iterator[str]:
    """The same of a message: a field that was written with its default value doesn't show."""
    batching = config.sequence_batching
    if config.WhichOneof("scheduling_choice") == "sequence_batching":
        if batching.oldest.preserve_ordering:
            yield "sequence_batching.oldest.preserve_ordering"
        for index, state in enumerate(batching.state):
            for name in ("use_same_buffer_for_input_output", "use_growable_memory"):
                if getattr(state, name, False):
                    yield f"sequence_batching.state[{index}].{name}"
        if getattr(batching, "iterative_sequence", False):
            yield "sequence_batching.iterative_sequence"
    if getattr(config, "runtime", ""):
        yield "runtime"
    tensors: tuple[tuple[str, Any], ...] = (("input", config.input), ("output", config.output))
    for word, each in tensors:
        for index, tensor in enumerate(each):
            if getattr(tensor, "is_non_linear_format_io", False):
                yield f"{word}[{index}].is_non_linear_format_io"
    if "model_metrics" in config.DESCRIPTOR.fields_by_name and config.HasField("model_metrics"):
        yield "model_metrics"
    if getattr(config.ensemble_scheduling, "max_inflight_requests", 0):
        yield "ensemble_scheduling.max_inflight_requests"


def field_flaws(fields: tuple[str, ...], name: str) -> Iterator[Diagnostic]:
    """What releases say that don't know one of these fields; the newest first."""
    rows = [(path, since(path)) for path in fields]
    known = [(path, row) for path, row in rows if row is not None]
    for path, row in sorted(known, key=lambda one: one[1].since, reverse=True):
        release = ".".join(map(str, row.since))
        field = path.rpartition(".")[2]
        yield Diagnostic(
            "config",
            f"failed to read text proto from {name}/config.pbtxt",
            path,
            f"`{field}` is a field of Triton {release} ({row.ngc}) and newer; older ones can't "
            "read a config that has it",
            f"Take release {row.ngc} or newer (--triton-release={row.ngc} goes by "
            "its rules), or delete the field.",
            until=row.since,
            code="Internal",
        )


def entry_of(field: str, key: str) -> str:
    """The field of a map's entry: `input_map["X"]`."""
    return f"{field}[{json.dumps(key, ensure_ascii=False)}]"
