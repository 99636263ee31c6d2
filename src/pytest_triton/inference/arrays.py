"""numpy arrays in Triton's data types. numpy is imported here, when it is first needed."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from pytest_triton.client.data_types import numpy_type_of, triton_type_of
from pytest_triton.errors import PytestTritonError, says_all

if TYPE_CHECKING:
    import numpy as np

    from pytest_triton.inference.signature import ModelSignature, TensorSpec

    Type: TypeAlias = np.dtype[Any]
    Array: TypeAlias = np.ndarray[Any, Type]

__tracebackhide__ = says_all

_LETTERS = b"abcdefghijklmnopqrstuvwxyz0123456789"
_TEXT_LENGTH = 8  # bytes of a random BYTES element
_INTEGERS_BELOW = 100  # random integers may be ids of tokens or rows: small ones exist everywhere
LARGEST_REQUEST = 2 << 30  # bytes; gRPC holds no more


class NumpyMissing(PytestTritonError):
    """numpy or tritonclient, which inference needs, can't be imported."""


class WrongData(PytestTritonError):
    """Data that can't be made into an input: no such type, not as many elements as its shape."""


def numpy() -> ModuleType:
    """The module. Raises NumpyMissing."""
    try:
        import numpy as np
    except ImportError as error:
        raise NumpyMissing(
            f"numpy can't be imported, and inference needs it: {error}",
            fix="pip install 'tritonclient[grpc]', which brings numpy",
        ) from error
    return np


def numpy_type(datatype: str) -> Type:
    """The numpy type of a Triton data type, as the installed tritonclient has it.

    BF16 is ml_dtypes.bfloat16 with tritonclient 2.70 and newer, float32 with older ones.
    """
    np = numpy()
    found = numpy_type_of(datatype)
    if found is None:
        raise WrongData(f"{datatype} is not a data type of Triton's inference protocol")
    dtype: Type = np.dtype(found)
    return dtype


def triton_type(array: Array, declared: str) -> str:
    """The data type that an array is sent as; raises WrongData if Triton has none for it."""
    if array.dtype == numpy_type(declared):
        return declared  # where two Triton types share a numpy type
    found = triton_type_of(array.dtype)
    if found is None:
        raise WrongData(
            f"an array of dtype {array.dtype} has no data type in Triton",
            fix=f"convert it: {declared} is numpy's {numpy_type(declared)}",
        )
    return found


def zeros(signature: ModelSignature, shapes: Mapping[str, Sequence[int]]) -> dict[str, Array]:
    """Zeros for each input (empty texts; ones in a shape tensor). `shapes` are request shapes."""
    _check_size(signature, shapes)
    return {tensor.name: _zeros(tensor, shapes[tensor.name]) for tensor in signature.inputs}


def randoms(
    signature: ModelSignature, shapes: Mapping[str, Sequence[int]], seed: int
) -> dict[str, Array]:
    """Random values for each input: the same for the same seed, name, type and shape.

    Floats are in [0, 1), 8-bit integers anywhere, wider ones 0 to 99, texts 8 letters and digits.
    """
    _check_size(signature, shapes)
    return {tensor.name: _random(tensor, shapes[tensor.name], seed) for tensor in signature.inputs}


def as_array(value: object, tensor: TensorSpec | None) -> Array:
    """An array to send for an input. Arrays keep their dtype: Triton says if it is wrong.

    Lists and numbers take the declared type; texts become bytes, float32 becomes BF16.
    """
    np = numpy()
    datatype = tensor.datatype if tensor is not None else ""
    array: Array
    if isinstance(value, np.ndarray):
        array = value
    elif datatype == "BYTES" or tensor is None:
        array = np.asarray(value)
    else:
        try:
            array = np.asarray(value, dtype=numpy_type(datatype))
        except (TypeError, ValueError, OverflowError) as error:
            raise WrongData(f"the data for {tensor} can't be made into an array: {error}") from None
    if array.dtype.kind in "US":
        texts = [one if isinstance(one, bytes) else one.encode() for one in array.ravel().tolist()]
        array = object_array(texts, array.shape)
    if datatype == "BF16" and array.dtype == np.float32:
        array = array.astype(numpy_type("BF16"))
    return array


def object_array(texts: Sequence[object], shape: Sequence[int]) -> Array:
    """An array of Python objects, which BYTES tensors are."""
    np = numpy()
    array: Array = np.empty(len(texts), dtype=np.object_)
    array[:] = texts
    return array.reshape(tuple(shape))


def describe(arrays: Mapping[str, Array], signature: ModelSignature | None = None) -> str:
    """`X FP32 [1, 4]; TEXT BYTES [1, 1]`"""
    parts = []
    for name, array in arrays.items():
        tensor = signature.input_named(name) if signature is not None else None
        datatype = triton_type(array, tensor.datatype if tensor is not None else "FP32")
        parts.append(f"{name} {datatype} {list(array.shape)}")
    return "; ".join(parts) or "none"


def _zeros(tensor: TensorSpec, shape: Sequence[int]) -> Array:
    np = numpy()
    dtype = numpy_type(tensor.datatype)
    if tensor.datatype == "BYTES":
        return object_array([b""] * _elements(shape), shape)
    made: Array = (np.ones if tensor.is_shape else np.zeros)(tuple(shape), dtype=dtype)
    return made


def _random(tensor: TensorSpec, shape: Sequence[int], seed: int) -> Array:
    np = numpy()
    if tensor.is_shape:
        return _zeros(tensor, shape)  # a random shape fits nothing
    generator = np.random.default_rng([seed, zlib.crc32(tensor.name.encode())])
    size, datatype = tuple(shape), tensor.datatype
    if datatype == "BYTES":
        letters = generator.choice(list(_LETTERS), (_elements(shape), _TEXT_LENGTH))
        return object_array([bytes(row.tolist()) for row in letters], shape)
    made: Array
    if datatype == "BOOL":
        made = generator.integers(0, 2, size).astype(np.bool_)
    elif datatype in ("INT8", "UINT8"):
        limits = np.iinfo(numpy_type(datatype))
        made = generator.integers(limits.min, limits.max, size, limits.dtype, endpoint=True)
    elif "INT" in datatype:
        made = generator.integers(0, _INTEGERS_BELOW, size, numpy_type(datatype))
    else:
        # Multiples of 1/256, which every float type holds exactly, BF16 too.
        made = (generator.integers(0, 256, size) / 256).astype(numpy_type(datatype))
    return made


def _check_size(signature: ModelSignature, shapes: Mapping[str, Sequence[int]]) -> None:
    """Raise WrongData for more than a request can hold, before memory is taken for it."""
    for tensor in signature.inputs:
        shape = shapes[tensor.name]
        if _elements(shape) * numpy_type(tensor.datatype).itemsize > LARGEST_REQUEST:
            raise WrongData(
                f"an array for {tensor} of shape {list(shape)} is larger than a request can be "
                f"({LARGEST_REQUEST >> 20} MiB)",
                fix="give a smaller batch_size, or smaller shapes",
            )


def _elements(shape: Sequence[int]) -> int:
    count = 1
    for dim in shape:
        count *= dim
    return count
