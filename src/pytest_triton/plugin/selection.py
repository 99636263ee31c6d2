"""Which bundled checks a session runs, so that one cause is reported by one of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_triton.plugin.collection import model_of, values_of

if TYPE_CHECKING:
    from pytest_triton.placement.hardware import HardwareRequest
    from pytest_triton.repository import Model

_MARKS = ("skip", "skipif", "xfail")


class Selection:
    """The checks that were collected and not deselected, in every worker of pytest-xdist alike.

    One with a mark that may keep its failure from being seen isn't counted.
    """

    def __init__(self, items: Sequence[pytest.Item] = ()) -> None:
        self._items = items

    def runs(
        self, model: Model, test: str, hardware: HardwareRequest | None, *, values: str = ""
    ) -> bool:
        return (model.anchor, test, hardware, values) in self._checks

    @cached_property
    def _checks(self) -> frozenset[tuple[Path, str, HardwareRequest | None, str]]:
        found = set()
        for item in self._items:
            about = model_of(item)
            if about is None or not isinstance(item, pytest.Function):
                continue
            if shows_failure(item):
                hardware, values = hardware_of(item), values_of(item)
                found.add((about[0].anchor, item.originalname, hardware, values))
        return frozenset(found)


def shows_failure(item: pytest.Item) -> bool:
    """Whether a failure of it would be seen: no mark keeps it from that."""
    return not any(item.get_closest_marker(mark) for mark in _MARKS)


def hardware_of(item: pytest.Item) -> HardwareRequest | None:
    """The hardware that a bundled check is parametrized with, if it is."""
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("triton_hardware") if callspec is not None else None


def may_share_servers(item: pytest.Item) -> bool:
    """Whether a test may want the servers of the bundled checks: it has a fixture for them."""
    return "triton_server_args" in getattr(item, "fixturenames", ())
