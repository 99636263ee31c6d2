"""Names of Model Analyzer's variants: `MODEL_config_3`, `MODEL_config_default`."""

from __future__ import annotations

import re

_VARIANT = re.compile(r"(?P<model>.+)_config_(?P<number>default|[0-9]+)", re.DOTALL)
_DIGITS = re.compile(r"([0-9]+)")


def model_of_variant(name: str) -> str:
    """The model that Model Analyzer made a variant of; "" if the name is none of its."""
    match = _VARIANT.fullmatch(name)
    return match["model"] if match is not None else ""


def natural_order(name: str) -> tuple[object, ...]:
    """To sort by: a model before its variants, `default` first, `_config_10` after `_config_9`."""
    match = _VARIANT.fullmatch(name)
    if match is None:
        return (_natural(name), -2)
    number = match["number"]
    return (_natural(match["model"]), -1 if number == "default" else int(number[:18]))


def _natural(text: str) -> tuple[tuple[str, int], ...]:
    parts = _DIGITS.split(text)
    numbers = (int(digits[:18]) for digits in parts[1::2])
    return tuple(zip(parts[::2], (*numbers, -1), strict=True))
