"""Errors that users see: each says what happened, what was tried and what to do.

Every error this package raises on purpose is a `PytestTritonError`. One subclass stands for
one cause, so that callers can tell causes apart without reading texts. Classes that only one
module raises live in that module; the ones here are shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_triton.text.shown_text import shown

if TYPE_CHECKING:
    import pytest


class PytestTritonError(Exception):
    """Something went wrong, in words for the person who has to mend it.

    `what` is one sentence on what happened, `tried` the steps that were taken (in order),
    `cure` what to do now. `str(error)` shows all three, over several lines.
    """

    def __init__(self, what: str, *, tried: Sequence[str] = (), cure: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.tried = tuple(tried)
        self.cure = cure

    def __str__(self) -> str:
        lines = [self.what]
        if self.tried:
            lines.append("Tried:")
            lines += [f"  - {step}" for step in self.tried]
        if self.cure:
            lines.append(f"What to do: {self.cure}")
        return shown("\n".join(lines))


def tells_all(excinfo: pytest.ExceptionInfo[Any]) -> bool:
    """Whether a traceback needs no frames of ours: the error's text says what there is to say.

    Modules that users call set `__tracebackhide__` to this.
    """
    return excinfo.errisinstance((PytestTritonError, AssertionError))
