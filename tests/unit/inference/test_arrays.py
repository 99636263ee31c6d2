"""Inputs by rule: the right type and shape for every tensor, reproducible, and within range."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_triton.inference.arrays import (
    WrongData,
    as_array,
    describe,
    numpy_type,
    randoms,
    triton_type,
    zeros,
)
from pytest_triton.inference.signature import ModelSignature, TensorSpec

TYPES = (
    *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "FP32", "FP64", "BF16", "BYTES"),
)
tensors = st.builds(
    TensorSpec,
    name=st.text(max_size=5),
    datatype=st.sampled_from(TYPES),
    dims=st.lists(st.integers(0, 4), max_size=3).map(tuple),
    is_shape=st.booleans(),
).filter(lambda tensor: not tensor.is_shape or tensor.datatype in ("INT32", "INT64"))


@given(tensor=tensors, seed=st.integers(0, 2**40))
def test_made_inputs_have_type_and_shape_and_come_again(tensor: TensorSpec, seed: int) -> None:
    signature = ModelSignature("m", (tensor,), ())
    shapes = {tensor.name: tensor.dims}
    first = randoms(signature, shapes, seed)[tensor.name]
    again = randoms(signature, shapes, seed)[tensor.name]
    nothing = zeros(signature, shapes)[tensor.name]
    for array in (first, nothing):
        assert array.shape == tensor.dims
        assert triton_type(array, tensor.datatype) == tensor.datatype
    assert (first == again).all()
    if tensor.datatype == "BYTES":
        assert all(isinstance(text, bytes) and len(text) == 8 for text in first.flat)
        assert set(nothing.flat) <= {b""}
    elif tensor.is_shape:
        assert (nothing == 1).all()
        assert (first == 1).all()
    else:
        assert not nothing.any()
        assert np.isfinite(first.astype(np.float64)).all()
        if tensor.datatype.startswith(("FP", "BF")):
            assert (first >= 0).all()
            assert (first < 1).all()


def test_inputs_are_random_of_their_own() -> None:
    a, b = (TensorSpec(name, "FP32", (50,)) for name in "ab")
    shapes: dict[str, tuple[int, ...]] = {"a": (50,), "b": (50,)}
    both = randoms(ModelSignature("m", (a, b), ()), shapes, 1)
    alone = randoms(ModelSignature("m", (b,), ()), shapes, 1)
    assert (both["b"] == alone["b"]).all(), "another input changes nothing"
    assert (both["a"] != both["b"]).any()


def test_given_values() -> None:
    assert as_array([1, 2], TensorSpec("x", "FP16", (2,))).dtype == np.float16
    assert as_array(np.zeros(2), TensorSpec("x", "FP16", (2,))).dtype == np.float64, "kept"
    bf16 = as_array(np.ones(2, np.float32), TensorSpec("x", "BF16", (2,)))
    assert bf16.dtype == numpy_type("BF16")
    for texts in (["é", "b"], np.array(["é", "b"]), np.array(["é".encode(), b"b"])):
        made = as_array(texts, TensorSpec("x", "BYTES", (2,)))
        assert made.tolist() == ["é".encode(), b"b"]
        assert [type(text) for text in made] == [bytes, bytes]
    assert describe({"x": bf16}, ModelSignature("m", (TensorSpec("x", "BF16", (2,)),), ())) == (
        "x BF16 [2]"
    )


def test_values_that_are_no_tensor() -> None:
    with pytest.raises(WrongData, match="x INT8"):
        as_array([[1], [2, 3]], TensorSpec("x", "INT8", (2,)))
    with pytest.raises(WrongData, match="dtype complex128"):
        triton_type(np.zeros(2, complex), "FP32")
    with pytest.raises(WrongData, match="INVALID is not a data type"):
        numpy_type("INVALID")
