"""The lines of a server's log that are worth showing beside a failure."""

from __future__ import annotations

import re
from collections.abc import Iterable

_TRITON = re.compile(r"[EWIV]\d{4} \d\d:\d\d:\d+\.\d+ +\d+ [\w.]+:\d+\] ")
# A table's lines, and the empty line that Triton writes before it.
_TABLE = re.compile(r"\s*(\+-[-+]*\+?|\|.*\|)\s*$|I\d{4} [^\]]*\]\s*$")
# Of the GPUs' telemetry, which no model needs. As an error of Triton's it may be a model's own.
_TELEMETRY = re.compile(
    r"[WIV]\d{4} .*\b(DCGM|NVML|dcgm|nvml)\b|Error: Failed to initialize (NVML|DCGM)$"
)


def is_triton_line(line: str) -> bool:
    """Whether Triton wrote it, and not a model."""
    return _TRITON.match(line) is not None


def without_tables_and_telemetry(lines: Iterable[str]) -> list[str]:
    """Without what is there whatever has failed: tables of models, DCGM's and NVML's reports."""
    return [line for line in lines if line and not (_TABLE.match(line) or _TELEMETRY.match(line))]


def named_in(text: str, names: Iterable[str]) -> list[str]:
    """The names that a text mentions, each as a whole word."""
    return [
        name for name in names if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-]*\w)", text)
    ]
