"""Sizes and durations as deployment files write them."""

from __future__ import annotations

import re

_BINARY = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def whole(text: str) -> int | None:
    """Of `3`; None for what is no number, or none that anybody means."""
    return int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else None


def compose_bytes(text: str) -> int | None:
    """Of `1g`, `512mb` or `1073741824`; units are powers of 1024 there."""
    found = re.fullmatch(r"\s*(\d{1,15}(?:\.\d+)?)\s*([kmgt]?)i?b?\s*", text.lower(), re.ASCII)
    return None if found is None else int(float(found[1]) * _BINARY.get(found[2], 1))


def kubernetes_bytes(text: str) -> int | None:
    """Of `1Gi`, `500M` or `1073741824`."""
    found = re.fullmatch(r"\s*(\d{1,15}(?:\.\d+)?)\s*([kKMGT]?)(i?)\s*", text, re.ASCII)
    if found is None:
        return None
    units = _BINARY if found[3] else _DECIMAL
    return int(float(found[1]) * units.get(found[2].lower(), 1))


def seconds(text: str) -> int | None:
    """Of compose's `1m30s`, `10s`, `500ms`."""
    parts = re.findall(r"(\d{1,15}(?:\.\d+)?)(ms|us|h|m|s)", text, re.ASCII)
    if not parts:
        return None
    scale = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 0.000001}
    return round(sum(float(number) * scale[unit] for number, unit in parts))
