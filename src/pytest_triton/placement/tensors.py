"""The checks that Triton's core makes on inputs and outputs when the model loads.

Source: core's `ValidateModelIOConfig` (model_config_utils.cc); it runs after the instance groups.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pytest_triton.placement.flaws import Flaw

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig


def io_flaws(config: ModelConfig, name: str, platform: str) -> Iterator[Flaw]:
    """What `ValidateModelIOConfig` refuses in inputs and outputs that are both written.

    These have a field and Triton's words, no message or cure of ours.
    """
    for word, tensors in (("input", config.input), ("output", config.output)):
        for index, tensor in enumerate(tensors):
            problem = _tensor_problem(tensor, word, config.max_batch_size, platform)
            if problem:
                yield Flaw("config", f"{problem} for {name}", f"{word}[{index}]")


_FORMATS_OF_THREE_DIMS = (1, 2)  # ModelInput.Format: FORMAT_NHWC, FORMAT_NCHW


def _tensor_problem(tensor: Any, word: str, max_batch_size: int, platform: str) -> str:
    label = f"model {word} "
    if not tensor.name:
        return f"{label}must specify 'name'"
    label += f"'{tensor.name}' "
    if not tensor.data_type:
        return f"{label}must specify 'data_type'"
    dims = tensor.dims
    if not len(dims):
        return f"{label}must specify 'dims'"
    shape = tensor.reshape.shape if tensor.HasField("reshape") else None
    if shape is not None and not len(shape) and max_batch_size == 0:
        return (
            f"{label}cannot have empty reshape for non-batching model as scalar tensors "
            "are not supported"
        )
    range_of = "must be integer >= 1, or -1 to indicate a variable-size dimension"
    for dim in dims:
        if dim < 1 and dim != -1:
            return f"{label}dimension {range_of}"
    if shape is not None:
        for dim in shape:
            if dim < 1 and dim != -1:
                return f"{label}reshape dimensions {range_of}"
        if _element_counts(dims) != _element_counts(shape):
            return f"{label}has different size for dims and reshape"
    if word == "input" and tensor.format in _FORMATS_OF_THREE_DIMS and len(dims) != 3:
        return "model input NHWC/NCHW require 3 dims"
    if platform != "tensorrt_plan" and tensor.is_shape_tensor:
        return "shape tensors are only supported for TensorRT platform"
    if getattr(tensor, "is_non_linear_format_io", False):
        if platform != "tensorrt_plan":
            return "Non-linear IO format is only supported for the TensorRT platform"
        if len(dims) != 3:
            return f"Non-linear IO format {word} requires 3 dims"
    return ""


def _element_counts(dims: Any) -> list[int]:
    """The element counts between variable-size dimensions; an empty shape is one element."""
    counts = [[]]  # type: list[list[int]]
    for dim in dims:
        if dim == -1:
            counts.append([])
        else:
            counts[-1].append(dim)
    return [math.prod(part) for part in counts]
