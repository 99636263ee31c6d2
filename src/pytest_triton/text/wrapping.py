"""Text in lines of some width, with options, paths and names left whole."""

from __future__ import annotations

import textwrap


def wrapped(text: str, width: int, *, start: str = "", behind: str = "") -> list[str]:
    """Lines of up to `width` characters; longer words keep their length.

    The first line begins with `start`, the others with `behind`. `--triton-gpus=sim:2` is one word:
    it could not be copied from two lines.
    """
    return textwrap.wrap(
        text,
        width,
        initial_indent=start,
        subsequent_indent=behind,
        break_long_words=False,
        break_on_hyphens=False,
    )
