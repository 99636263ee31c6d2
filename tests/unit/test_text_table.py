"""Columns of text: nothing is lost, lines end within the width, names stay whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_triton.text.tables import lay_out, screen_width

ROWS = [
    ["model", "declared", "no GPU", "4 GPUs"],
    ["ranker", "GPU + CPU", "refused: no GPU", "GPU 0 · GPU 1 x2 · CPU x2"],
    ["legacy", "nothing", "CPU x2  <- fallback (allowed)", "GPU 0"],
]


def test_table_that_fits_has_one_line_a_row() -> None:
    assert lay_out(ROWS, 100) == [
        ["model    declared    no GPU                          4 GPUs"],
        ["ranker   GPU + CPU   refused: no GPU                 GPU 0 · GPU 1 x2 · CPU x2"],
        ["legacy   nothing     CPU x2  <- fallback (allowed)   GPU 0"],
    ]


def test_long_cells_are_broken_between_instances_and_words() -> None:
    assert lay_out(ROWS, 60) == [
        ["model    declared    no GPU                  4 GPUs"],
        [
            "ranker   GPU + CPU   refused: no GPU         GPU 0 ·",
            "                                             GPU 1 x2 ·",
            "                                             CPU x2",
        ],
        [
            "legacy   nothing     CPU x2                  GPU 0",
            "                     <- fallback (allowed)",
        ],
    ]


def test_without_rows_there_are_no_lines() -> None:
    assert lay_out([], 100) == []


@pytest.mark.parametrize(("columns", "width"), [("60", 100), ("100", 100), ("170", 170)])
def test_screen_is_never_taken_for_narrower_than_100(
    columns: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert screen_width() == width


words = st.lists(
    st.sampled_from(["GPU 0", "CPU x2", "refused:", "a", "name", "-"]), min_size=1, max_size=5
)
cells = words.map(" · ".join)


@given(
    st.integers(1, 5).flatmap(
        lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=1, max_size=6)
    ),
    st.integers(1, 120),
)
def test_every_word_is_there_and_columns_are_straight(rows: list[list[str]], width: int) -> None:
    laid = lay_out(rows, width)
    assert len(laid) == len(rows)
    for row, lines in zip(rows, laid, strict=True):
        assert sorted(" ".join(lines).split()) == sorted(" ".join(row).split())
        assert lines[0].startswith(row[0])
    natural = max(len(lines[0]) for lines in lay_out(rows, 10_000))
    if natural <= width:
        assert all(len(lines) == 1 for lines in laid)
