"""pytest's way in: the hooks, and nothing decided.

This module, `options`, `fixtures` and `factories` are all that is imported at every start of
pytest. Everything else is imported when a repository is to be checked, or a test wants a server.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from pytest_triton.inference.golden_place import CURRENT
from pytest_triton.options.settings import ARGUMENT_OPTIONS, RUN_OPTIONS
from pytest_triton.options.sources import add_options, is_given
from pytest_triton.plugin import fixtures

if TYPE_CHECKING:
    from collections.abc import Sequence

_MARKERS = (
    f"triton(*, {', '.join(row.name for row in ARGUMENT_OPTIONS)}): which Triton server a test's "
    "triton_server is; what isn't said is left to the --triton options. changes=True: the test may "
    "load and unload models.",
    "triton_models(*, declares, backend, name): one test for each model of the repository that "
    "declares 'gpu', 'cpu', 'mixed', 'model', 'nothing' or 'ensemble', and whose backend and name "
    "match the patterns (fixture triton_model).",
    "triton_checks: the checks that come with pytest-triton, those of models and of deployments; "
    "-m triton_checks selects them, -m 'not triton_checks' leaves them out.",
    "triton_requires(*, gpus, container, real_backends): skip the test where the run hasn't got "
    "these; a run that requires them (--triton-require) fails instead.",
)
_FLAGS = frozenset(row.flag for row in RUN_OPTIONS)
_INI_NAMES = frozenset(row.ini for row in RUN_OPTIONS)
_INI_NAME = re.compile(r"^(triton\w*)[ \t]*[=:]", re.MULTILINE)
_VARIABLES = ("PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST", "PYTEST_PLUGINS", "PYTEST_VERSION")


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    add_options(parser)
    pluginmanager.register(fixtures, "triton-fixtures")


def pytest_load_initial_conftests(parser: pytest.Parser, args: Sequence[str]) -> None:
    flags = [word.partition("=")[0] for word in args if word.startswith("--triton")]
    if not _FLAGS.issuperset(flags):
        from pytest_triton.plugin.misspelt_options import explain_flags

        explain_flags(parser, flags)


def pytest_configure(config: pytest.Config) -> None:
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    if config.option.help or config.option.version:
        return
    if not hasattr(config, "workerinput"):
        _look_for_misspelt(config)
    if is_given("update_golden", config):
        from pytest_triton.plugin.golden_update import prepare

        prepare(config)
    if is_given("repo", config):
        from pytest_triton.plugin.repository_checks import RepositoryChecks

        config.pluginmanager.register(RepositoryChecks.of(config), "triton-repository-checks")
    elif is_given("server", config) and not config.option.collectonly:
        from pytest_triton.plugin.without_repository import WithoutRepository

        checks = WithoutRepository.of(config)
        if checks is not None:
            config.pluginmanager.register(checks, "triton-without-repository")
    if is_given("deployment", config):
        from pytest_triton.plugin.deployment_checks import DeploymentChecks

        config.pluginmanager.register(DeploymentChecks.of(config), "triton-deployment-checks")
    if is_given("require", config):
        from pytest_triton.plugin.requirements import check_requirements

        check_requirements(config)


def _look_for_misspelt(config: pytest.Config) -> None:
    named = [
        name
        for name in os.environ
        if name[:4].upper() in ("PYTE", "PYTS") and name not in _VARIABLES
    ]
    if named:
        from pytest_triton.plugin.misspelt_variables import warn_of_misspelt

        warn_of_misspelt(config, named)
    if config.inipath is None:
        return
    likely = _INI_NAME.findall(config.inipath.read_text("utf-8", "replace"))  # in any table
    if not _INI_NAMES.issuperset(likely):
        from pytest_triton.plugin.misspelt_options import warn_of_misspelt_ini

        warn_of_misspelt_ini(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist is about to start a worker: it may ask the controller for servers."""
    from pytest_triton.plugin.session import BROKER, check_sendable, invite

    check_sendable(node.config)

    node.workerinput[BROKER] = invite(node.config, local=bool(node.gateway.spec.popen))


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    asks = {"triton_model", "triton_hardware"}.intersection(metafunc.fixturenames)
    if asks and metafunc.module.__name__ != "pytest_triton.plugin.bundled_checks":
        from pytest_triton.plugin.markers import parametrize

        parametrize(metafunc)


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    names = {"triton", "triton_models", "triton_requires"}
    if any(mark.name in names for item in items for mark in item.iter_markers()):
        from pytest_triton.plugin.markers import check_markers

        check_markers(items)


def pytest_runtest_setup(item: pytest.Item) -> None:
    CURRENT.start = item.path.parent
    if item.get_closest_marker("triton_requires") is not None:
        from pytest_triton.plugin.requirements import check_needs

        check_needs(item)


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    if op == "==" and "pytest_triton." in f"{type(left).__module__} {type(right).__module__}":
        from pytest_triton.testing.assertions import explain_comparison

        return explain_comparison(left, right)
    return None
