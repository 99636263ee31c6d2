"""The table of data types, held against Triton's protocol and numpy."""

from __future__ import annotations

import numpy as np
import pytest
from tritonclient.grpc.model_config_pb2 import DataType
from tritonclient.utils import triton_to_np_dtype

from pytest_triton.placement.data_types import BYTE_SIZES, STRING, type_name, wire_name


@pytest.mark.parametrize(("name", "number"), DataType.items())
def test_data_type_has_its_name_in_the_protocol(name: str, number: int) -> None:
    assert type_name(number) == name
    plain = name.removeprefix("TYPE_")
    assert wire_name(number) == {"INVALID": "<invalid>", "STRING": "BYTES"}.get(plain, plain)


@pytest.mark.parametrize("number", set(BYTE_SIZES) - {0, STRING})
def test_data_type_has_as_many_bytes_as_in_numpy(number: int) -> None:
    name = wire_name(number)
    # numpy has no BF16, and tritonclient's substitute depends on its release.
    size = 2 if name == "BF16" else np.dtype(triton_to_np_dtype(name)).itemsize
    assert BYTE_SIZES[number] == size
    assert BYTE_SIZES[0] == BYTE_SIZES[STRING] == 0


@pytest.mark.parametrize("number", [-1, len(DataType.items())])
def test_number_of_no_data_type_has_no_name(number: int) -> None:
    assert (type_name(number), wire_name(number)) == ("", "<invalid>")
