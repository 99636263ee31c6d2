"""The results of Triton's Model Analyzer, `metrics-model-inference.csv`.

A row for each measurement: the variants that ran together, and how many instances of each kind
each of them had.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_triton.errors import PytestTritonError
from pytest_triton.text.paths import shown_path
from pytest_triton.text.shown_text import printable

_INSTANCES = re.compile(r"([0-9]{1,9}):([A-Z]+)")
_VARIANTS, _GROUPS = "model config path", "instance group"
_FILE = "metrics-model-inference.csv"
_MOST_BYTES = 64 << 20
_LONGEST = 60  # characters of a cell, in an error


class ResultsUnreadable(PytestTritonError):
    """A file that isn't Model Analyzer's results, or is broken."""


@dataclass(frozen=True)
class Measured:
    """What a variant was measured on, such as "2:GPU + 1:CPU"."""

    text: str
    counts: Mapping[str, int]


def read_results(path: Path) -> Mapping[str, Sequence[Measured]]:
    """What each variant was measured on, by its name. Raises ResultsUnreadable."""
    shown = shown_path(path)
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _no_results(f"{shown} is not UTF-8") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise _no_results(f"{shown} can't be read: {reason}") from None
    if len(data) > _MOST_BYTES:
        raise _no_results(f"{shown} has more than {_MOST_BYTES >> 20} MiB")
    found: dict[str, list[Measured]] = {}
    try:
        for variant, measured in _measurements(text, shown):
            known = found.setdefault(variant, [])
            if measured not in known:
                known.append(measured)
    except csv.Error as error:
        raise _no_results(f"{shown} is no CSV file: {error}") from None
    if not found:
        raise _no_results(f"{shown} has no measurement, only a header")
    return found


def _no_results(what: str) -> ResultsUnreadable:
    return ResultsUnreadable(
        what, fix=f"name the {_FILE} that Model Analyzer writes below its export path, in results/"
    )


def _measurements(text: str, shown: str) -> Iterator[tuple[str, Measured]]:
    """Each variant of each row, with what it was measured on."""
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)  # spreadsheets write others
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names = [name.strip().casefold() for name in next(rows, [])]
    if _VARIANTS not in names or _GROUPS not in names:
        missing = " and ".join(
            f"`{one.title()}`" for one in (_VARIANTS, _GROUPS) if one not in names
        )
        raise ResultsUnreadable(
            f"{shown} has no column {missing}",
            tried=[f"its columns: {', '.join(printable(one) for one in names if one) or 'none'}"],
            fix=f"name Model Analyzer's {_FILE}, written with model_config_path and "
            "instance_group in inference_output_fields, as is its default",
        )
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        place = f"{shown}:{rows.line_num}"
        if len(row) < len(names):
            raise _no_results(f"{place} has {len(row)} cells, the header has {len(names)}")
        yield from _row(row[names.index(_VARIANTS)], row[names.index(_GROUPS)], place)


def _row(variants: str, groups: str, place: str) -> Iterator[tuple[str, Measured]]:
    # Of an ensemble, "ensemble_config_1: first_config_0, second_config_2": groups are of those.
    names = [name.strip() for name in variants.rpartition(": ")[2].split(",")]
    texts = [text.strip() for text in groups.split(",")]
    if not all(names):
        raise _no_results(f"{place} names no model: {_cell(variants)}")
    if len(names) != len(texts):
        raise _no_results(
            f"{place} names {len(names)} models, {_cell(variants)}, and the instance groups of "
            f"{len(texts)}, {_cell(groups)}"
        )
    for name, text in zip(names, texts, strict=True):
        counts: dict[str, int] = {}
        for part in text.split("+"):
            match = _INSTANCES.fullmatch(part.strip())
            if match is None:
                raise _no_results(
                    f"{place}: {_cell(text)} is no instance group: expected one such as "
                    "2:GPU + 1:CPU"
                )
            counts[match[2]] = counts.get(match[2], 0) + int(match[1])
        yield name, Measured(text, counts)


def _cell(text: str) -> str:
    shown = printable(text.strip())
    return f"`{shown if len(shown) <= _LONGEST else shown[:_LONGEST] + '...'}`"
