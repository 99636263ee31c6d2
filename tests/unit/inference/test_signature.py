"""What a model takes, from its config as a server reports it."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_triton.inference.signature import ModelSignature, UnknownInput

CONFIG: dict[str, Any] = {
    "name": "m",
    "max_batch_size": "8",  # as protobuf's JSON has int64
    "input": [
        {"name": "a", "data_type": "TYPE_FP32", "dims": ["3", "-1"]},
        {"name": "t", "data_type": "TYPE_STRING", "dims": [1], "optional": True},
        {"name": "s", "data_type": "TYPE_INT32", "dims": [2], "is_shape_tensor": True},
    ],
    "output": [{"name": "y", "data_type": "TYPE_BF16", "dims": [-1]}],
}


def test_of_a_config() -> None:
    signature = ModelSignature.from_config(CONFIG)
    assert signature.describe_inputs() == (
        "a FP32 [-1, 3, -1]; t BYTES [-1, 1], optional; s INT32 [2], shape tensor"
    )
    assert (signature.max_batch_size, signature.decoupled, signature.sequence) == (8, False, False)
    assert str(signature.outputs[0]) == "y BF16 [-1, -1]"


def test_without_batching_and_without_inputs() -> None:
    signature = ModelSignature.from_config({"name": "m"})
    assert (signature.inputs, signature.outputs) == ((), ())
    assert signature.describe_inputs() == "none"
    unbatched = ModelSignature.from_config({**CONFIG, "max_batch_size": 0})
    assert unbatched.inputs[0].shape == (3, -1)


@pytest.mark.parametrize(
    ("sequence", "text_ids"),
    [
        ({}, False),
        ({"control_input": [{"control": [{"kind": "CONTROL_SEQUENCE_START"}]}]}, False),
        (
            {
                "control_input": [
                    {"control": [{"kind": "CONTROL_SEQUENCE_CORRID", "data_type": "TYPE_STRING"}]}
                ]
            },
            True,
        ),
    ],
)
def test_sequences(sequence: dict[str, Any], text_ids: bool) -> None:
    signature = ModelSignature.from_config({**CONFIG, "sequence_batching": sequence})
    assert (signature.sequence, signature.text_ids) == (True, text_ids)


def test_request_shapes() -> None:
    signature = ModelSignature.from_config(CONFIG)
    assert signature.request_shapes() == {"a": (1, 3, 1), "t": (1, 1), "s": (2,)}
    assert signature.request_shapes(4)["a"] == (4, 3, 1)
    assert signature.request_shapes(4, {"a": (3, 7)})["a"] == (4, 3, 7)
    assert signature.request_shapes(4, {"a": (2, 3, 7)})["a"] == (2, 3, 7)
    assert signature.request_shapes(1, {"a": (9, 9)})["a"] == (1, 9, 9), "Triton shall refuse it"


@pytest.mark.parametrize("shapes", [{"b": (1,)}, {"a": (1,)}, {"a": (1, 2, 3, 4)}, {"a": (3, -1)}])
def test_shapes_that_fit_no_input(shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(UnknownInput):
        ModelSignature.from_config(CONFIG).request_shapes(1, shapes)
