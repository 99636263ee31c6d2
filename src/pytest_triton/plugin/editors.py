"""What editors that collect tests need to get along with checks whose file is no python file."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pytest_triton.plugin.collection import model_of
from pytest_triton.plugin.pytest_internals import hide_parameters

_VS_CODE = "vscode_pytest"


def suit_editor(config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    """Let the test discovery of VS Code list the checks.

    Its plugin splits the ids of parametrized tests, those that have a `callspec`, at ".py", and
    fails with an IndexError for `config.pbtxt`: then the editor shows no test at all. Nothing is
    run while it discovers, so that its `callspec` is of no other use to a check.
    """
    if not (config.option.collectonly and config.pluginmanager.hasplugin(_VS_CODE)):
        return
    for item in items:
        if model_of(item) is not None:
            hide_parameters(item)
