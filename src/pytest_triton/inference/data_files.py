"""Inputs that a project keeps for its models, in files.

A folder is one entry, with a file for each input: `<input>.npy` (numpy), or `<input>` with no
ending, the raw bytes in row-major order that perf_analyzer takes. Every sub-folder is an entry of
its own, and so is each item in the `data` of a JSON file in perf_analyzer's format
(docs/input_data.md of the perf_analyzer project), in which `validation_data` are the outputs that
are expected.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_triton.client.data_types import texts_in
from pytest_triton.errors import PytestTritonError, says_all
from pytest_triton.inference.arrays import (
    WrongData,
    as_array,
    numpy,
    numpy_type,
    object_array,
)

if TYPE_CHECKING:
    from pytest_triton.inference.arrays import Array
    from pytest_triton.inference.signature import ModelSignature, TensorSpec


__tracebackhide__ = says_all


class DataBroken(PytestTritonError):
    """A file of test data can't be read, or isn't data for this model."""


@dataclass(frozen=True)
class DataEntry:
    """One request's inputs, with the batch dimension where the model batches.

    `expected` are the outputs that the file expects, empty if it expects nothing. `sequence` is
    the number of the entry's sequence where the file has sequences, else None.
    """

    name: str
    inputs: Mapping[str, Array]
    expected: Mapping[str, Array]
    sequence: int | None = None


def read_test_data(path: Path, signature: ModelSignature) -> tuple[DataEntry, ...]:
    """All entries of a folder or JSON file, in the order of their names.

    Raises DataBroken, also if there is no data.
    """
    if path.is_file():
        entries = _json_entries(path, signature)
    elif path.is_dir():
        entries = _folder_entries(path, path.name, signature)
        for file in sorted(path.glob("*.json")):
            entries += _json_entries(file, signature)
        for folder in sorted(path.iterdir()):
            if folder.is_dir() and not folder.name.startswith("."):
                entries += _folder_entries(folder, f"{path.name}/{folder.name}", signature)
    else:
        raise DataBroken(f"there is no test data at {path}", fix="correct the path")
    if not entries:
        raise DataBroken(
            f"{path} holds no test data for {signature.name}",
            tried=[f"{one.name}.npy, and {one.name} without ending" for one in signature.inputs]
            + ["*.json in perf_analyzer's format", "sub-folders with such files"],
            fix="name the files after the model's inputs",
        )
    return tuple(entries)


def _folder_entries(folder: Path, name: str, signature: ModelSignature) -> list[DataEntry]:
    known = {tensor.name: tensor for tensor in signature.inputs}
    inputs: dict[str, Array] = {}
    for file in sorted(folder.iterdir()):
        tensor = known.get(file.stem if file.suffix == ".npy" else file.name)
        if tensor is not None and file.is_file():
            inputs[tensor.name] = _file_array(file, tensor)
        elif file.suffix == ".npy":
            raise DataBroken(
                f"{file}: {signature.name} has no input {file.stem!r}",
                tried=[f"the inputs that it has: {signature.describe_inputs()}"],
                fix="name the file after an input",
            )
    return [DataEntry(name, inputs, {})] if inputs else []


def _file_array(file: Path, tensor: TensorSpec) -> Array:
    np = numpy()
    try:
        if file.suffix != ".npy":
            return _from_bytes(file.read_bytes(), None, tensor)
        array: Array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        fix = "BYTES tensors: save them with a dtype of S, or use JSON" * ("pickle" in str(error))
        raise DataBroken(f"{file} can't be read as {tensor}: {error}", fix=fix) from error
    except WrongData as error:
        raise DataBroken(f"{file}: {error.what}", fix=error.fix) from error
    return _with_batch(as_array(array, tensor), tensor)


def _json_entries(file: Path, signature: ModelSignature) -> list[DataEntry]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataBroken(f"{file} can't be read as JSON: {error}") from error
    data = content.get("data") if isinstance(content, dict) else None
    if not isinstance(data, list):
        raise DataBroken(
            f'{file} has no list called "data"',
            fix='perf_analyzer\'s format: {"data": [{"INPUT": [1, 2]}, ...]}',
        )
    required = content.get("validation_data", [])
    entries = []
    for number, item in enumerate(data):
        steps = item if isinstance(item, list) else [item]
        expected = required[number] if number < len(required) else {}
        expected = expected if isinstance(expected, list) else [expected]
        for step, tensors in enumerate(steps):
            in_sequence = isinstance(item, list)
            name = f"{file.name}[{number}]" + (f"[{step}]" if in_sequence else "")
            outputs = expected[step] if step < len(expected) else {}
            entries.append(
                DataEntry(
                    name,
                    _json_arrays(f"{file}: {name}", tensors, signature.inputs),
                    _json_arrays(f"{file}: {name}", outputs, signature.outputs),
                    number if in_sequence else None,
                )
            )
    return entries


def _json_arrays(where: str, tensors: object, declared: tuple[TensorSpec, ...]) -> dict[str, Array]:
    if not isinstance(tensors, dict):
        raise DataBroken(f"{where} is not an object of tensors: {json.dumps(tensors)[:100]}")
    known = {tensor.name: tensor for tensor in declared}
    arrays = {}
    for name, value in tensors.items():
        if name not in known:
            raise DataBroken(
                f"{where}: the model has no tensor {name!r}",
                tried=[f"those that it has: {'; '.join(map(str, declared))}"],
                fix="correct the name",
            )
        try:
            arrays[name] = _json_array(value, known[name])
        except WrongData as error:
            raise DataBroken(f"{where}: {error.what}", fix=error.fix) from error
    return arrays


def _json_array(value: Any, tensor: TensorSpec) -> Array:
    shape = None
    if isinstance(value, dict) and "content" in value:
        shape = [int(dim) for dim in value["shape"]] if "shape" in value else None
        value = value["content"]
    if isinstance(value, dict) and isinstance(value.get("b64"), str):
        try:
            return _from_bytes(base64.b64decode(value["b64"], validate=True), shape, tensor)
        except ValueError as error:
            raise WrongData(f"the base64 data for {tensor} can't be read: {error}") from None
    if isinstance(value, dict):
        raise WrongData(f"neither a list nor content nor b64 for {tensor}")
    flat = as_array(value, tensor).reshape(-1)
    return _with_batch(_shaped(flat, shape, tensor), tensor)


def _from_bytes(content: bytes, shape: list[int] | None, tensor: TensorSpec) -> Array:
    np = numpy()
    if tensor.datatype == "BYTES":
        try:
            texts = texts_in(content).tolist()
        except Exception as error:  # of struct, if the lengths lead beyond the end
            raise WrongData(f"not a BYTES tensor with a length before each text: {error}") from None
        flat = object_array(texts, (len(texts),))
    elif tensor.datatype == "BF16":
        bits = np.frombuffer(content[: len(content) // 2 * 2], np.dtype("<u2"))
        flat = (bits.astype(np.uint32) << 16).view(np.float32).astype(numpy_type("BF16"))
    else:
        dtype = numpy_type(tensor.datatype).newbyteorder("<")
        if len(content) % dtype.itemsize:
            raise WrongData(f"{len(content)} bytes are not a whole number of {tensor.datatype}")
        flat = np.frombuffer(content, dtype).astype(numpy_type(tensor.datatype))
    return _with_batch(_shaped(flat, shape, tensor), tensor)


def _shaped(flat: Array, shape: list[int] | None, tensor: TensorSpec) -> Array:
    """Of the given shape, else the declared one with at most one variable dimension."""
    wanted = shape if shape is not None else list(tensor.dims)
    if sum(dim < 0 for dim in wanted) > 1:
        raise WrongData(
            f"{tensor} has several variable dimensions, and no shape is given",
            fix='write {"content": [...], "shape": [...]}',
        )
    try:
        return flat.reshape(wanted)
    except ValueError:
        raise WrongData(
            f"{flat.size} elements can't be {tensor.name} of shape {wanted}",
            fix="give as many elements as the shape has",
        ) from None


def _with_batch(array: Array, tensor: TensorSpec) -> Array:
    """With a batch dimension of 1 if the model batches and the data has none."""
    if tensor.batched and array.ndim == len(tensor.dims):
        return array[None]
    return array
