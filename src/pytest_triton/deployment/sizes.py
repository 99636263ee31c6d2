"""Sizes and durations as deployment files write them."""

from __future__ import annotations

import re

_BINARY = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def compose_bytes(text: str) -> int | None:
    """Of `1g`, `512mb` or `1073741824`; units are powers of 1024 there."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*", text.lower())
    return None if found is None else int(float(found[1]) * _BINARY.get(found[2], 1))


def kubernetes_bytes(text: str) -> int | None:
    """Of `1Gi`, `500M` or `1073741824`."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKMGT]?)(i?)\s*", text)
    if found is None:
        return None
    units = _BINARY if found[3] else _DECIMAL
    return int(float(found[1]) * units.get(found[2].lower(), 1))


def seconds(text: str) -> int | None:
    """Of compose's `1m30s`, `10s`, `500ms`."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|us|h|m|s)", text)
    if not parts:
        return None
    scale = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 0.000001}
    return round(sum(float(number) * scale[unit] for number, unit in parts))
