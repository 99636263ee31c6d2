"""Texts of others: what terminals, logs of CI and node ids are spared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_triton.errors import PytestTritonError
from pytest_triton.text.shown_text import node_name, shown
from pytest_triton.text.tables import lay_out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain: text, CPU x2 · GPU 0\n\tindented", "plain: text, CPU x2 · GPU 0\n\tindented"),
        ("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
        ("a\u202eb\u200f", "a\\u202eb\\u200f"),
        ("broken \udcff", "broken \\udcff"),
        ("one\rtwo\x85three", "one\\rtwo\\x85three"),
        ("::error title=x::y", "\\x3a:error title=x::y"),
        ("said\n  ::set-output name=a::b", "said\n  \\x3a:set-output name=a::b"),
        (
            "x ##[error]y ##vso[task] ##teamcity[x]",
            "x \\x23#[error]y \\x23#vso[task] \\x23#teamcity[x]",
        ),
        ("std::vector ## heading", "std::vector ## heading"),
        ("\u2028::error", "\\u2028::error"),
    ],
)
def test_text_is_shown_without_what_others_act_on(text: str, expected: str) -> None:
    assert shown(text) == expected
    assert shown(expected) == expected
    assert expected in str(PytestTritonError(text))


def test_table_has_no_line_that_is_a_command() -> None:
    rows = [["model", "no GPU"], ["::error::x", "CPU"], ["", "::warning::y"]]
    lines = [line for row in lay_out(rows, 100) for line in row]
    assert lines[1].startswith("\\x3a:error")
    assert lines[2].lstrip().startswith("\\x3a:warning")


@given(st.text(), st.text())
def test_names_in_node_ids_are_printable_and_unmistakable(one: str, other: str) -> None:
    assert node_name(one).isprintable()
    assert "::" not in node_name(one)
    assert (node_name(one) == node_name(other)) is (one == other)


def test_ordinary_names_in_node_ids_stay_as_they_are() -> None:
    for name in ("bert-base_v1.2", "mit leer", "größe", "a:b"):
        assert node_name(name) == name
    assert node_name("a\x01b\udcffc::d\\") == "a\\x01b\\udcffc\\x3a\\x3ad\\x5c"
