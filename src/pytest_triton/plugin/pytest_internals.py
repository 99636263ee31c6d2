"""All that the plugin uses of pytest beyond its public names.

Checks of thousands of models are made and run without asking pytest and its plugins about each
(`copies_checks`, `copy_of`, `hand_in`). That assumes of pytest that a Function can be made with the
`_fixtureinfo` and `callspec` of another, and that a fixture whose value is in an item's `funcargs`
is not set up. Where the installed pytest is not like that, and for fewer models, where it makes no
difference, each check is collected and run as any other test.
"""

from __future__ import annotations

import inspect
from functools import cached_property

import pytest

MANY = 300
"""Models from which on it pays: it saves about a millisecond a model."""

_TAKEN = {"originalname", "callspec", "fixtureinfo", "keywords"}  # by Function


def copies_checks(wanted: bool | None, models: int) -> bool:
    """Whether that is done; `wanted` is the option's value, None to decide by the number."""
    return _is_as_assumed() and (models >= MANY if wanted is None else wanted)


def _is_as_assumed() -> bool:
    return _TAKEN.issubset(inspect.signature(pytest.Function.__init__).parameters)


def copy_of(check: pytest.Function, parent: pytest.Module) -> pytest.Function:
    """A check of one model as one of another, as pytest makes one with parameters."""
    callspec = getattr(check, "callspec", None)
    made: pytest.Function = pytest.Function.from_parent(
        parent,
        name=check.name,
        originalname=check.originalname,
        fixtureinfo=check._fixtureinfo,
        callspec=callspec,
        keywords={callspec.id: True} if callspec is not None else None,
    )
    made.fixturenames = [*made.fixturenames]  # some plugins add to it, for one test
    return made


def hand_in(item: pytest.Function, arguments: dict[str, object]) -> None:
    """Give a check its arguments, which pytest then doesn't make by their fixtures.

    `request` is among what those fixtures take, and is made anew for each test.
    """
    item.funcargs.update(arguments)
    request = getattr(item, "_request", None)
    if request is not None:
        item.funcargs["request"] = request


def show_at(item: pytest.Item, path: str, name: str) -> None:
    """What `-v` and editors show as the place of a check: the config, not our module.

    An item's `location` is worked out once and kept in its `__dict__`.
    """
    if isinstance(inspect.getattr_static(pytest.Item, "location", None), cached_property):
        item.__dict__["location"] = (path, None, name)


def hide_parameters(item: pytest.Item) -> None:
    """Let an item that isn't run look like one without parameters, which have a `callspec`."""
    item.__dict__.pop("callspec", None)


def defining_module(item: pytest.Item, fixture: str) -> str:
    """The module of the fixture of this name that a test gets; "" if it gets none."""
    info = getattr(item, "_fixtureinfo", None)
    definitions = info.name2fixturedefs.get(fixture) if info is not None else None
    return definitions[-1].func.__module__ if definitions else ""
