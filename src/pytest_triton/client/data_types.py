"""Triton's data types and numpy's, as the installed tritonclient has them."""

from __future__ import annotations

from typing import Any


def numpy_type_of(datatype: str) -> Any:
    """None for what is no data type of Triton's protocol."""
    from tritonclient.utils import triton_to_np_dtype

    return triton_to_np_dtype(datatype)


def triton_type_of(dtype: Any) -> str | None:
    """None for a numpy type that Triton has none for."""
    from tritonclient.utils import np_to_triton_dtype

    found: str | None = np_to_triton_dtype(dtype)
    return found


def texts_in(content: bytes) -> Any:
    """The array of a BYTES tensor. Raises what struct or numpy raise."""
    from tritonclient.utils import deserialize_bytes_tensor

    return deserialize_bytes_tensor(content)
