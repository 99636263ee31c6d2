"""The checks that Triton's core makes on inputs and outputs when the model loads.

Source: core's `ValidateModelIOConfig`, `ValidateBatchIO` (model_config_utils.cc) and `Model::Init`
(model.cc); they run after the instance groups, on the config as the backend has completed it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_triton.diagnostics.diagnostic import Diagnostic, Version
from pytest_triton.placement.named_files import NamedFiles, missing_file_flaw

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

TENSORS_NAMED: Version = (2, 49, 0)
OVERFLOW_CHECK: Version = (2, 67, 0)
LABELS_INSIDE: Version = (2, 66, 0)
_MOST = 2**63 - 1
_NO_DATA_TYPE = "must specify 'data_type'"

_DIMS = (
    "Write each dimension as a number of 1 or more, or -1 where its size varies; without the batch "
    "dimension if max_batch_size is above 0."
)


class _Fault(NamedTuple):
    """What is wrong with one tensor: the field in it, Triton's text, ours, and what to do."""

    field: str
    text: str
    message: str
    fix: str
    since: Version = (0, 0, 0)


def io_flaws(
    config: ModelConfig, name: str, platform: str, files: NamedFiles | None = None
) -> Iterator[Diagnostic]:
    """What is refused in inputs, outputs, batch I/O and label files, in core's order."""
    for word, tensors in (("input", config.input), ("output", config.output)):
        for index, tensor in enumerate(tensors):
            for fault in _tensor_faults(tensor, word, config.max_batch_size, platform):
                place = f"{word}[{index}]" + (f".{fault.field}" if fault.field else "")
                text, older = f"{fault.text} for {name}", ""
                if fault.text.startswith(f"model {word} '"):  # names the tensor
                    what = fault.text.removeprefix(f"model {word} '{tensor.name}' ")
                    older = f"model {word} {what} for {name}"
                    if what == _NO_DATA_TYPE:
                        older = f"model output {what} for {name}"
                    yield Diagnostic(
                        "config", older, place, fault.message, fault.fix, until=TENSORS_NAMED
                    )
                since = max(fault.since, TENSORS_NAMED) if older else fault.since
                yield Diagnostic("config", text, place, fault.message, fault.fix, since=since)
    yield from _batch_io_flaws(config, name)
    yield from _label_flaws(config, name, files)


_FORMATS_OF_THREE_DIMS = (1, 2)  # ModelInput.Format: FORMAT_NHWC, FORMAT_NCHW


def _tensor_faults(tensor: Any, word: str, max_batch_size: int, platform: str) -> Iterator[_Fault]:
    label = f"model {word} "
    if not tensor.name:
        yield _Fault("", f"{label}must specify 'name'", f"an {word} without a name", "Name it.")
        return
    label += f"'{tensor.name}' "
    who = f"{word} `{tensor.name}`"
    dims = tensor.dims
    if not tensor.data_type:
        yield _Fault(
            "",
            f"{label}{_NO_DATA_TYPE}",
            f"{who} has no data_type",
            "Write data_type: TYPE_FP32, or what the model takes.",
        )
        return
    if not len(dims):
        yield _Fault("", f"{label}must specify 'dims'", f"{who} has no dims", _DIMS)
        return
    shape = tensor.reshape.shape if tensor.HasField("reshape") else None
    if shape is not None and not len(shape) and max_batch_size == 0:
        yield _Fault(
            "reshape",
            f"{label}cannot have empty reshape for non-batching model as scalar tensors "
            "are not supported",
            f"an empty reshape of {who}, in a model with max_batch_size 0",
            "Delete the reshape, or write max_batch_size: 1 or more.",
        )
        return
    yield from _dimension_faults(tensor.name, label, who, dims, shape)
    if word == "input" and tensor.format in _FORMATS_OF_THREE_DIMS and len(dims) != 3:
        yield _Fault(
            "format",
            "model input NHWC/NCHW require 3 dims",
            f"the format of {who} is for 3 dims, and it has {len(dims)}",
            "Write three dims without the batch dimension, or delete the format.",
        )
    if platform != "tensorrt_plan" and tensor.is_shape_tensor:
        yield _Fault(
            "is_shape_tensor",
            "shape tensors are only supported for TensorRT platform",
            f"{who} is a shape tensor, which is for TensorRT only",
            "Delete is_shape_tensor.",
        )
    if getattr(tensor, "is_non_linear_format_io", False):
        if platform != "tensorrt_plan":
            yield _Fault(
                "is_non_linear_format_io",
                "Non-linear IO format is only supported for the TensorRT platform",
                f"is_non_linear_format_io of {who} is for TensorRT only",
                "Delete it.",
            )
        elif len(dims) != 3:
            yield _Fault(
                "is_non_linear_format_io",
                f"Non-linear IO format {word} requires 3 dims",
                f"is_non_linear_format_io of {who} is for 3 dims, and it has {len(dims)}",
                "Write three dims, or delete it.",
            )


def _dimension_faults(
    name: str, label: str, who: str, dims: Sequence[int], shape: Sequence[int] | None
) -> Iterator[_Fault]:
    range_of = "must be integer >= 1, or -1 to indicate a variable-size dimension"
    for index, dim in enumerate(dims):
        if dim < 1 and dim != -1:
            yield _Fault(
                f"dims[{index}]",
                f"{label}dimension {range_of}",
                f"{who} has a dimension of {dim}",
                _DIMS,
            )
            return
    if shape is None:
        return
    for index, dim in enumerate(shape):
        if dim < 1 and dim != -1:
            yield _Fault(
                f"reshape.shape[{index}]",
                f"{label}reshape dimensions {range_of}",
                f"the reshape of {who} has a dimension of {dim}",
                _DIMS,
            )
            return
    for what, numbers in (("dims", dims), ("reshape", shape)):
        if -1 not in numbers and math.prod(numbers) > _MOST:
            yield _Fault(
                what,
                f"element count for tensor '{name} {what}' exceeds maximum size of {_MOST}",
                f"{who} has more elements than 64 bits can count",
                _DIMS,
                since=OVERFLOW_CHECK,
            )
    fix = f"Both must hold as many elements: dims {list(dims)}, reshape {list(shape)}."
    of_dims, of_shape = element_count(dims), element_count(shape)
    if of_dims != of_shape and (of_shape != 0 or of_dims != 1):
        yield _Fault(
            "reshape",
            f"{label}has different size for dims and reshape",
            f"the reshape of {who} has another size than its dims",
            fix,
        )
        return
    if of_dims != -1:
        return
    parts, reshaped = _parts(dims), _parts(shape)
    if len(parts) != len(reshaped):
        yield _Fault(
            "reshape",
            f"{label}has different number of variable-size dimensions for dims and reshape",
            f"the reshape of {who} has another number of -1 than its dims",
            "Write as many -1 in one as in the other.",
        )
    elif parts != reshaped:
        yield _Fault(
            "reshape",
            f"{label}has different size for dims and reshape",
            f"the reshape of {who} has another size than its dims, between its -1",
            fix,
        )


def element_count(dims: Sequence[int]) -> int:
    """As core counts before 2.67.0: 0 for no dims, -1 if any varies, in 64 bits."""
    if -1 in dims:
        return -1
    return _wrapped(math.prod(dims)) if len(dims) else 0


def _wrapped(number: int) -> int:
    return (number + 2**63) % 2**64 - 2**63


def _parts(dims: Sequence[int]) -> list[int]:
    """The element counts between variable-size dimensions."""
    parts = [1]
    for dim in dims:
        if dim == -1:
            parts.append(1)
        else:
            parts[-1] = _wrapped(parts[-1] * dim)
    return parts


def overflow_flaws(config: ModelConfig) -> Iterator[Diagnostic]:
    """What the making of the scheduler refuses: inputs with too many elements."""
    for index, tensor in enumerate(config.input):
        countable = not tensor.is_shape_tensor and -1 not in tensor.dims
        if countable and math.prod(tensor.dims) > _MOST:
            yield Diagnostic(
                "config",
                f"element count for tensor '{tensor.name}' exceeds maximum size of {_MOST}",
                f"input[{index}].dims",
                f"input `{tensor.name}` has more elements than 64 bits can count",
                _DIMS,
                since=OVERFLOW_CHECK,
            )


# BatchInput.Kind and BatchOutput.Kind: all that there are take one source.
_BATCH_INPUT_KINDS = (
    "BATCH_ELEMENT_COUNT",
    "BATCH_ACCUMULATED_ELEMENT_COUNT",
    "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO",
    "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE",
    "BATCH_ITEM_SHAPE",
    "BATCH_ITEM_SHAPE_FLATTEN",
)
_BATCH_OUTPUT_KINDS = ("BATCH_SCATTER_WITH_INPUT_SHAPE",)
_TYPES_OF_BATCH_INPUT = (8, 11)  # TYPE_INT32, TYPE_FP32


def _batch_io_flaws(config: ModelConfig, name: str) -> Iterator[Diagnostic]:
    inputs = [tensor.name for tensor in config.input]
    outputs = [tensor.name for tensor in config.output]
    for index, one in enumerate(config.batch_input):
        yield from _kind_flaws(one, f"batch_input[{index}]", "input", _BATCH_INPUT_KINDS, name)
        if one.data_type not in _TYPES_OF_BATCH_INPUT:
            yield Diagnostic(
                "config",
                f"batch input data type must be TYPE_INT32 or TYPE_FP32 for {name}",
                f"batch_input[{index}].data_type",
                f"batch_input {index} is neither TYPE_INT32 nor TYPE_FP32",
                "Write one of the two.",
            )
        yield from _source_flaws(one, f"batch_input[{index}]", inputs, name)
    for index, one in enumerate(config.batch_output):
        place = f"batch_output[{index}]"
        yield from _kind_flaws(one, place, "output", _BATCH_OUTPUT_KINDS, name)
        yield from _source_flaws(one, place, inputs, name)
        seen: set[str] = set()
        for number, target in enumerate(one.target_name):
            if target not in outputs:
                yield Diagnostic(
                    "config",
                    f"unknown target output name '{target}' for {name}",
                    f"{place}.target_name[{number}]",
                    f"batch_output {index} names `{target}`, which is no output of the model",
                    _one_of(outputs, "outputs"),
                )
            elif target in seen:
                yield Diagnostic(
                    "config",
                    f"target output name '{target}' can only be specified once for {name}",
                    f"{place}.target_name[{number}]",
                    f"batch_output {index} names `{target}` twice",
                    "Delete one of the two.",
                )
            seen.add(target)


def _kind_flaws(
    one: Any, place: str, word: str, kinds: Sequence[str], name: str
) -> Iterator[Diagnostic]:
    if not 0 <= one.kind < len(kinds):
        yield Diagnostic(
            "config",
            f"unknown batch {word} kind '' for {name}",
            f"{place}.kind",
            f"kind {one.kind} is none of a batch_{word}",
            f"Its kinds: {', '.join(kinds)}.",
        )
    elif len(one.source_input) != 1:
        yield Diagnostic(
            "config",
            f"batch {word} kind '{kinds[one.kind]}' expects 1 source input, got "
            f"{len(one.source_input)} for {name}",
            f"{place}.source_input" if len(one.source_input) else place,
            f"a batch_{word} takes one source_input, and this one has {len(one.source_input)}",
            "Name one input of the model.",
        )


def _source_flaws(one: Any, place: str, inputs: Sequence[str], name: str) -> Iterator[Diagnostic]:
    for number, source in enumerate(one.source_input):
        if source not in inputs:
            yield Diagnostic(
                "config",
                f"unknown source input name '{source}' for {name}",
                f"{place}.source_input[{number}]",
                f"source_input names `{source}`, which is no input of the model",
                _one_of(inputs, "inputs"),
            )


def _one_of(names: Sequence[str], word: str) -> str:
    return f"The model's {word}: {', '.join(names) or 'none'}."


def _label_flaws(config: ModelConfig, name: str, files: NamedFiles | None) -> Iterator[Diagnostic]:
    for index, output in enumerate(config.output):
        if not output.label_filename:
            continue
        field = f"output[{index}].label_filename"
        found = files.get(output.label_filename) if files is not None else None
        if found is not None and found.outside:
            yield Diagnostic(
                "model-file",
                f"label file path '{found.path}' for output '{output.name}' in model '{name}' is "
                "outside model directory",
                field,
                f"the label file of `{output.name}` lies outside of the model's directory",
                "Put it beside config.pbtxt, as a file and not a link.",
                since=LABELS_INSIDE,
                code="Unsupported",
            )
        missing = missing_file_flaw(
            files, output.label_filename, field, f"the label file of output `{output.name}`"
        )
        if missing is not None:
            yield missing
