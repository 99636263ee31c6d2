"""Triton's data types (`inference.DataType`): their numbers, names and sizes."""

from __future__ import annotations

STRING = 13

_TYPES = (
    ("INVALID", 0),
    ("BOOL", 1),
    ("UINT8", 1),
    ("UINT16", 2),
    ("UINT32", 4),
    ("UINT64", 8),
    ("INT8", 1),
    ("INT16", 2),
    ("INT32", 4),
    ("INT64", 8),
    ("FP16", 2),
    ("FP32", 4),
    ("FP64", 8),
    ("STRING", 0),
    ("BF16", 2),
)
BYTE_SIZES = {number: size for number, (_, size) in enumerate(_TYPES)}
"""Bytes of one element; 0 for strings, whose sizes vary."""


def type_name(number: int) -> str:
    """As config.pbtxt says it: TYPE_FP32."""
    return f"TYPE_{_TYPES[number][0]}" if 0 <= number < len(_TYPES) else ""


def wire_name(number: int) -> str:
    """As the protocol says it: FP32, BYTES."""
    if number == STRING:
        return "BYTES"
    return _TYPES[number][0] if 0 < number < len(_TYPES) else "<invalid>"
