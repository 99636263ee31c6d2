"""The checks that Triton's core makes on `model_warmup` when it makes a model's instances.

Source: core's `TritonModelInstance::GenerateWarmupData` (backend_model_instance.cc) and
`InferenceRequest::Normalize` (infer_request.cc), r23.04 to r26.06. A sample whose batch_size is 0
is skipped. Which of several wrong inputs core names first depends on a hash table.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pytest_triton.diagnostics.diagnostic import NEVER, Diagnostic, Version
from pytest_triton.placement.data_types import BYTE_SIZES, STRING, type_name, wire_name
from pytest_triton.placement.fields import entry_of
from pytest_triton.placement.named_files import WARM_UP, NamedFiles, missing_file_flaw
from pytest_triton.placement.tensors import OVERFLOW_CHECK, element_count

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

# Releases in which the text changed, or a check was added.
TYPES_NAMED: Version = (2, 38, 0)
INPUTS_LISTED: Version = (2, 44, 0)
STRINGS_CHECKED: Version = (2, 47, 0)
CORRELATION_CHECKED: Version = (2, 54, 0)

_MOST_BYTES = 2**38  # of a sample's made-up data; no machine gives that much at once
_REQUEST = "[request id: <id_unknown>] "
_BATCH_NOTE = (
    "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be "
    "prepended to each input shape. If you want to specify the full shape including the batch dim "
    "in your input dims config, try setting max_batch_size to zero. See the model configuration "
    "docs for more info on max_batch_size."
)
_WITHOUT_BATCH = "Write the dims that the input has, with a number for each -1, without the batch."


def warm_up_flaws(
    config: ModelConfig, name: str, files: NamedFiles | None = None
) -> Iterator[Diagnostic]:
    """What is refused in the samples, in core's order."""
    if any(tensor.is_shape_tensor for tensor in config.input):
        return  # of TensorRT only, and then core counts the batch dimension in ways of its own
    for index, sample in enumerate(config.model_warmup):
        if sample.batch_size > 0:
            place = f"model_warmup[{index}]"
            keys = {key: entry_of(f"{place}.inputs", key) for key in sorted(sample.inputs)}
            yield from _size_flaws(sample, keys)
            yield from _data_flaws(sample, keys, files)
            yield from _request_flaws(config, name, sample, place, keys, files)


def _size_flaws(sample: Any, keys: Mapping[str, str]) -> Iterator[Diagnostic]:
    for key in keys:
        tensor = sample.inputs[key]
        if -1 in tensor.dims:
            yield _flaw(
                "warmup setting expects all variable-size dimensions are specified for input "
                f"'{key}'",
                f"{keys[key]}.value.dims",
                f"the sample's `{key}` has a dimension of -1",
                "Write the size that the sample has.",
            )
        elif any(dim < 1 for dim in tensor.dims):
            yield _flaw(
                f"tensor '{key}' contains an invalid dimension in shape {_shape(tensor.dims)}",
                f"{keys[key]}.value.dims",
                f"the sample's `{key}` has a dimension below 1",
                _WITHOUT_BATCH,
                since=OVERFLOW_CHECK,
            )


def _data_flaws(
    sample: Any, keys: Mapping[str, str], files: NamedFiles | None
) -> Iterator[Diagnostic]:
    for key in keys:
        tensor = sample.inputs[key]
        given = tensor.WhichOneof("input_data_type")
        if given is None:
            yield _flaw(
                f"{_REQUEST}warmup setting expects input '{key}' to have input_data_type set",
                f"{keys[key]}.value",
                f"the sample's `{key}` has no data",
                "Write zero_data: true, random_data: true, or input_data_file with a file in "
                "warmup/.",
            )
        if given in ("zero_data", "random_data") and _byte_size(tensor) > _MOST_BYTES:
            yield Diagnostic(
                "crash",
                "(no text: the server ends with signal 11)",
                f"{keys[key]}.value.dims",
                f"the sample's `{key}` takes {_byte_size(tensor):,} bytes of memory: Triton "
                "crashes where that can't be had",
                "Write dims of the size that requests have.",
            )
        if given != "input_data_file":
            continue
        file = tensor.input_data_file
        field = f"{keys[key]}.value.input_data_file"
        relative = f"{WARM_UP}/{file}"
        missing = missing_file_flaw(
            files, relative, field, f"the sample's file of `{key}`", WARM_UP
        )
        if missing is not None:
            yield missing
            continue
        found = files.get(relative) if files is not None else None
        wanted = _byte_size(tensor)
        if found is None or found.size is None or tensor.data_type == STRING:
            continue
        if wanted % 2**64 > found.size:
            yield _flaw(
                f"{_REQUEST}warmup setting expects {wanted % 2**64} bytes, but the data provided "
                f"from {file}only has {found.size} bytes",
                field,
                f"the sample's file of `{key}` has {found.size} bytes, and its dims need {wanted}",
                "Write the file anew (raw bytes, as of numpy's tobytes()), or correct dims and "
                "data_type.",
            )


def _request_flaws(
    config: ModelConfig,
    name: str,
    sample: Any,
    place: str,
    keys: Mapping[str, str],
    files: NamedFiles | None,
) -> Iterator[Diagnostic]:
    inputs = {tensor.name: tensor for tensor in reversed(config.input)}
    given = [key for key in keys if key in inputs]
    yield from _count_flaws(config, name, sample, place, keys, given)
    for key in given:
        yield from _input_flaws(config, name, inputs[key], sample.inputs[key], keys[key], files)
    if config.WhichOneof("scheduling_choice") == "sequence_batching":
        yield from _correlation_flaws(config, name, place)


def _count_flaws(
    config: ModelConfig,
    name: str,
    sample: Any,
    place: str,
    keys: Mapping[str, str],
    given: Sequence[str],
) -> Iterator[Diagnostic]:
    required = [tensor.name for tensor in config.input if not tensor.optional]
    if len(given) >= len(required):
        return
    missing = [tensor for tensor in required if tensor not in given]
    total = len(config.input)
    if total == len(required):
        head = f"expected {total} inputs but got {len(given)} inputs for model '{name}'"
    else:
        head = (
            f"expected number of inputs between {len(required)} and {total} but got {len(given)} "
            f"inputs for model '{name}'"
        )
    tail = (
        f". Got input(s) {_listed(given) if given else '[]'}, but missing required input(s) "
        f"{_listed(missing)}. Please provide all required input(s)."
    )
    unknown = [key for key in keys if key not in given]
    field = keys[unknown[0]] if unknown else place
    message = f"the sample `{sample.name}` lacks the model's input `{missing[0]}`"
    fix = f'Add inputs {{ key: "{missing[0]}" value {{ ... }} }} to the sample.'
    if unknown:
        close = get_close_matches(unknown[0], missing, n=1, cutoff=0.5) or missing[:1]
        message += f": `{unknown[0]}` is no input of it"
        fix = f'Write key: "{close[0]}". The model\'s inputs: {", ".join(required)}.'
    yield _flaw(f"{_REQUEST}{head}", field, message, fix, until=INPUTS_LISTED)
    yield _flaw(f"{_REQUEST}{head}{tail}", field, message, fix, since=INPUTS_LISTED)


def _input_flaws(
    config: ModelConfig,
    name: str,
    declared: Any,
    tensor: Any,
    place: str,
    files: NamedFiles | None,
) -> Iterator[Diagnostic]:
    key = declared.name
    if tensor.data_type != declared.data_type:
        mine, its = wire_name(tensor.data_type), wire_name(declared.data_type)
        message = (
            f"the sample's `{key}` is {type_name(tensor.data_type)}, the model's input "
            f"{type_name(declared.data_type)}"
        )
        fix = f"Write data_type: {type_name(declared.data_type)}."
        field = f"{place}.value.data_type"
        yield _flaw(
            f"{_REQUEST}inference input data-type is '{mine}', model expects '{its}' for '{name}'",
            field,
            message,
            fix,
            until=TYPES_NAMED,
        )
        yield _flaw(
            f"{_REQUEST}inference input '{key}' data-type is '{mine}', but model '{name}' expects "
            f"'{its}'",
            field,
            message,
            fix,
            since=TYPES_NAMED,
        )
    dims, wanted = list(tensor.dims), list(declared.dims)
    batching = config.max_batch_size > 0
    if len(dims) != len(wanted) or any(
        its not in (-1, mine) for mine, its in zip(dims, wanted, strict=True)
    ):
        batch = [1] * batching
        yield _flaw(
            f"{_REQUEST}unexpected shape for input '{key}' for model '{name}'. Expected "
            f"{_shape([-1] * batching + wanted)}, got {_shape(batch + dims)}. "
            + _BATCH_NOTE
            * batching,
            f"{place}.value.dims",
            f"the sample's `{key}` has dims {dims}, the model's input {wanted}",
            _WITHOUT_BATCH if batching else "Write the dims that the input has.",
        )
        return
    if tensor.data_type == STRING:
        yield from _string_flaws(name, key, tensor, place, files)
    elif not getattr(declared, "is_non_linear_format_io", False):
        expected = _byte_size(tensor)
        if tensor.data_type and expected < 0:
            yield _flaw(
                f"{_REQUEST}input byte size mismatch for input '{key}' for model '{name}'. "
                f"Expected {expected}, got {expected % 2**64}",
                f"{place}.value.dims",
                f"the sample's `{key}` has a dimension below 1",
                _WITHOUT_BATCH,
                since=STRINGS_CHECKED,
                until=OVERFLOW_CHECK,
            )


def _string_flaws(
    name: str, key: str, tensor: Any, place: str, files: NamedFiles | None
) -> Iterator[Diagnostic]:
    """Strings in a file stand behind their lengths, in 4 bytes each."""
    if tensor.WhichOneof("input_data_type") != "input_data_file":
        return
    found = files.get(f"{WARM_UP}/{tensor.input_data_file}") if files is not None else None
    if found is None or found.data is None:
        return
    count, checked, rest = element_count(tensor.dims), 0, found.data
    text = ""
    while rest and not text:
        if len(rest) < 4:
            text = (
                f"incomplete string length indicator for inference input '{key}' for model "
                f"'{name}', expecting 4 bytes but only {len(rest)} bytes available. Please make "
                "sure the string length indicator is in one buffer."
            )
            break
        checked += 1
        if checked > count:
            text = (
                f"unexpected number of string elements {checked} for inference input '{key}' for "
                f"model '{name}', expecting {count}"
            )
        rest = rest[4 + struct.unpack_from("<I", rest)[0] :]
    if not text and checked != count:
        text = (
            f"expected {count} string elements for inference input '{key}' for model '{name}', "
            f"got {checked}"
        )
    if text:
        yield _flaw(
            _REQUEST + text,
            f"{place}.value.input_data_file",
            f"the sample's file of `{key}` doesn't hold {count} strings",
            "Each string stands behind its length, in 4 bytes, the lowest first: "
            "tritonclient.utils.serialize_byte_tensor writes that.",
            since=STRINGS_CHECKED,
        )


def _correlation_flaws(config: ModelConfig, name: str, place: str) -> Iterator[Diagnostic]:
    for tensor in config.sequence_batching.control_input:
        for control in tensor.control:
            if control.kind == 3 and control.data_type == STRING:  # CONTROL_SEQUENCE_CORRID
                yield _flaw(
                    f"{_REQUEST}sequence batching control '{tensor.name}' data-type is 'UINT64', "
                    f"but model '{name}' expects 'BYTES'",
                    place,
                    f"a sample has no correlation id, and `{tensor.name}` takes a string",
                    "Delete the sample, or take a number for CONTROL_SEQUENCE_CORRID.",
                    since=CORRELATION_CHECKED,
                )


def _flaw(
    text: str,
    field: str,
    message: str,
    fix: str,
    since: Version = (0, 0, 0),
    until: Version = NEVER,
) -> Diagnostic:
    return Diagnostic("warm-up", text, field, message, fix, since=since, until=until)


def _byte_size(tensor: Any) -> int:
    return element_count(tensor.dims) * (BYTE_SIZES.get(tensor.data_type) or 4)


def _shape(dims: Sequence[int]) -> str:
    return f"[{','.join(map(str, dims))}]"


def _listed(names: Sequence[str]) -> str:
    return "[" + ",".join(f"'{name}'" for name in names) + "]" if names else "]"
