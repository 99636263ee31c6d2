"""A model repository as pytest nodes: the repository, its models, and their bundled checks.

A model hangs on its config.pbtxt, so that ids such as `models/bert/config.pbtxt::test_config` can
be typed again; without one it hangs on its model file, or on its directory as a last resort. The
checks of a model are the functions of one module of this package, collected as pytest collects
any test module: fixtures, marks, `-k`, `-m`, `--lf` and other plugins work as they always do.

Inside a repository only its models, and test files that lie directly in the repository's or a
model's directory, are collected: links that lead in circles are never followed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from pytest_triton.plugin.pytest_internals import copy_of, show_at
from pytest_triton.text.paths import path_from
from pytest_triton.text.shown_text import node_name

if TYPE_CHECKING:
    from pytest_triton.checks.checked_deployment import CheckedDeployment
    from pytest_triton.repository import Model


DEPLOYED_CONFIG = "test_deployed_config"
"""The check that only running servers have."""

VALUES = "triton_values"
"""The parameter of checks that says which set of values the templates get, of several."""


class RepositoryDirectory(pytest.Directory):
    """A directory of models, one node each.

    With `copies`, `checks` are the checks of one of them as pytest collected them, by which those
    of the others are made: they are the same functions, with the same fixtures and parameters, and
    to have pytest and all plugins find that out a thousand times takes longer than the checks
    themselves.
    """

    checked: CheckedDeployment
    by_values: Mapping[str, CheckedDeployment]
    copies: bool = False
    checks: Sequence[pytest.Function] = ()

    def collect(self) -> Iterable[pytest.Collector]:
        by_directory = {model.directory: model for model in self.checked.models_in(self.path)}
        for path in _sorted_entries(self.path):
            model = by_directory.pop(path, None)
            if model is not None:
                yield _model_node(self, model, self.checked)
            else:
                yield from _collect_file(self, path)


class ModelDirectory(pytest.Directory):
    """The directory of one model, or one of the directories down to the file it hangs on.

    With a conftest.py (`has_conftest`) this model's checks may have fixtures of their own.
    """

    model: Model
    checked: CheckedDeployment
    has_conftest = False

    def collect(self) -> Iterable[pytest.Collector]:
        anchor = self.model.anchor
        towards = self.path / anchor.relative_to(self.path).parts[0]
        paths = _sorted_entries(self.path)
        self.has_conftest = self.path / "conftest.py" in paths
        for path in paths:
            if path == anchor:
                yield ChecksModule.of(self, anchor, self.model, self.checked)
            elif path == towards:
                yield _directory(self, path, self.model, self.checked)
            else:
                yield from _collect_file(self, path)


class ChecksModule(pytest.Module):
    """The bundled checks, for one model."""

    model: Model
    checked: CheckedDeployment

    @classmethod
    def of(
        cls, parent: pytest.Collector, path: Path, model: Model, checked: CheckedDeployment
    ) -> ChecksModule:
        node = cls.from_parent(parent, path=path, nodeid=_node_id(parent, path))
        node.model = model
        node.checked = checked
        return node

    def _getobj(self) -> ModuleType:
        from pytest_triton.plugin import bundled_checks as bundled

        return bundled

    def funcnamefilter(self, name: str) -> bool:
        if name == DEPLOYED_CONFIG and self.checked.is_ours:
            return False
        return name.startswith("test_")  # whatever the user's python_functions say

    def classnamefilter(self, name: str) -> bool:
        return False

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        for item in self._checks():
            if isinstance(item, pytest.Item):
                show_at(item, self.nodeid, f"{node_name(self.model.name)}::{item.name}")
            yield item

    def _checks(self) -> Iterable[pytest.Item | pytest.Collector]:
        repository = self.getparent(RepositoryDirectory)
        assert repository is not None
        if not repository.copies or self._has_conftest():
            return super().collect()
        if repository.checks:
            return [copy_of(check, self) for check in repository.checks]
        checks = [*super().collect()]
        functions = [check for check in checks if type(check) is pytest.Function]
        if len(functions) == len(checks):  # no plugin has made something else of them
            repository.checks = functions
        return checks

    def _has_conftest(self) -> bool:
        parents = self.listchain()
        return any(isinstance(node, ModelDirectory) and node.has_conftest for node in parents)


def model_of(node: pytest.Item | pytest.Collector) -> tuple[Model, CheckedDeployment] | None:
    """The model that a bundled check is about, with its deployment; None for other tests."""
    checks = node.getparent(ChecksModule)
    if checks is None:
        return None
    values = values_of(node)
    repository = checks.getparent(RepositoryDirectory)
    if not values or repository is None:
        return checks.model, checks.checked
    checked = repository.by_values[values]
    return checked.model_in[checks.model.directory], checked


def values_of(node: pytest.Item | pytest.Collector) -> str:
    """The set of values that a bundled check is parametrized with; "" if it isn't."""
    callspec = getattr(node, "callspec", None)
    return callspec.params.get(VALUES, "") if callspec is not None else ""


def repository_node(
    parent: pytest.Collector,
    path: Path,
    deployments: Sequence[CheckedDeployment],
    *,
    copies: bool,
) -> RepositoryDirectory:
    """The node of one deployment, which may be there with several sets of values."""
    node = RepositoryDirectory.from_parent(parent, path=path, nodeid=_node_id(parent, path))
    node.checked = deployments[0]
    node.by_values = {checked.values: checked for checked in deployments}
    node.copies = copies
    return node


def _model_node(parent: pytest.Collector, model: Model, checked: CheckedDeployment) -> Any:
    # pytest looks for a conftest.py in directories, and fails where it may not.
    if model.anchor == model.directory or not os.access(model.directory, os.X_OK):
        return ChecksModule.of(parent, model.directory, model, checked)
    return _directory(parent, model.directory, model, checked)


def _directory(
    parent: pytest.Collector, path: Path, model: Model, checked: CheckedDeployment
) -> ModelDirectory:
    node = ModelDirectory.from_parent(parent, path=path, nodeid=_node_id(parent, path))
    node.model = model
    node.checked = checked
    return node


def _node_id(parent: pytest.Collector, path: Path) -> str:
    """The path as seen from rootdir, `../store/models` too: it names the node unmistakably."""
    if isinstance(parent, RepositoryDirectory | ModelDirectory):
        return f"{parent.nodeid}/{node_name(path.name)}"
    text = path_from(path, parent.config.rootpath)
    return "/".join(map(node_name, text.split(os.sep)))


def _sorted_entries(directory: Path) -> list[Path]:
    try:
        return [directory / name for name in sorted(os.listdir(directory))]
    except OSError:
        return []  # an unreadable directory is a problem of its model, not of collecting


def _collect_file(parent: pytest.Collector, path: Path) -> Iterator[pytest.Collector]:
    """What other plugins make of a file, as `pytest.Dir` would ask them."""
    if path.suffix != ".py" or not os.path.isfile(path):
        return
    if parent.ihook.pytest_ignore_collect(collection_path=path, config=parent.config):
        return
    for nodes in parent.ihook.pytest_collect_file(file_path=path, parent=parent):
        yield from nodes if isinstance(nodes, list) else [nodes]
