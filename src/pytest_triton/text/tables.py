"""Text in columns: the tables models x hardware, at the end of a pytest run and of `predict`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence

from pytest_triton.text.shown_text import shown
from pytest_triton.text.wrapping import wrapped

_GAP = "   "
_LEAST_WIDTH = 100
# Spaces that no line may end at: in "GPU 0", "CPU x2 ·", "GPU +", "<- fallback", "refused: ...".
_HELD_TOGETHER = re.compile(r"(?<=[A-Z\d]) (?=[\dx·+])|(?<=<-) |(?<=fallback) (?=\()")
_NO_BREAK = "\N{NO-BREAK SPACE}"


def screen_width() -> int:
    """Characters a line may have: the terminal's width, and never less than 100."""
    return max(_LEAST_WIDTH, shutil.get_terminal_size((_LEAST_WIDTH, 24)).columns)


def lay_out(rows: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """The lines of each row, in columns.

    A row is one line unless the table is wider than `width`: then long cells take several lines,
    broken between instances or words. The first column, names to search for, is never broken.
    """
    if not rows:
        return []
    cells = [[_HELD_TOGETHER.sub(_NO_BREAK, shown(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    least = [max(map(_longest_word, column)) for column in zip(*cells, strict=True)]
    least[0] = widths[0]
    while sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        narrower = [column for column in range(len(widths)) if widths[column] > least[column]]
        if not narrower:
            break
        widths[max(narrower, key=lambda column: widths[column])] -= 1
    return [_lines(row, widths) for row in cells]


def _longest_word(cell: str) -> int:
    return max(map(len, cell.split(" ")))


def _lines(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    columns = [
        [cell] if len(cell) <= width else _broken(cell, width)
        for cell, width in zip(row, widths, strict=True)
    ]
    lines = []
    for number in range(max(map(len, columns))):
        parts = [column[number] if number < len(column) else "" for column in columns]
        line = _GAP.join(part.ljust(width) for part, width in zip(parts, widths, strict=True))
        lines.append(shown(line.rstrip().replace(_NO_BREAK, " ")))
    return lines


def _broken(cell: str, width: int) -> list[str]:
    return wrapped(cell, width)
