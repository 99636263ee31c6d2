"""pytest's way in: the hooks, and nothing decided.

This module and `options` are all that is imported at every start of pytest. Everything else is
imported when a repository is to be checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_triton.options import add_options, is_active

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    if config.option.help or config.option.version or not is_active(config):
        return
    from pytest_triton.collection.hooks import RepositoryChecks

    config.pluginmanager.register(RepositoryChecks.of(config), "triton-repository-checks")
