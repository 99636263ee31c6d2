"""Text in lines of some width."""

from __future__ import annotations

from pytest_triton.text.wrapping import wrapped


def test_option_in_wrapped_text_stays_in_one_line() -> None:
    text = "name the GPUs that it needs: --triton-gpus=sim:2 or --triton-shm-size=1g, and rerun"
    for width in range(20, 100):
        lines = wrapped(text, width, start="  ", behind="    ")
        assert [word for line in lines for word in line.split()] == text.split()


def test_word_longer_than_line_stays_whole() -> None:
    assert wrapped("see /a/very/long/path/of/a/config.pbtxt", 10) == [
        "see",
        "/a/very/long/path/of/a/config.pbtxt",
    ]
