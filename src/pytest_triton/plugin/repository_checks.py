"""The pytest hooks of a run that checks repositories. Registered only then."""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Generator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_triton.checks.result import (
    REPORT_ATTRIBUTE,
    properties_of,
    result_of,
    to_json,
)
from pytest_triton.errors import PytestTritonError
from pytest_triton.options.settings import Settings
from pytest_triton.plugin.collection import VALUES, model_of, repository_node, values_of
from pytest_triton.plugin.editors import suit_editor
from pytest_triton.plugin.pytest_internals import copies_checks, hand_in
from pytest_triton.plugin.run_ledger import RunLedger
from pytest_triton.plugin.selection import (
    Selection,
    hardware_of,
    may_share_servers,
)
from pytest_triton.text.paths import with_urls
from pytest_triton.text.shown_text import shown

if TYPE_CHECKING:
    from pytest_triton.checks.checked_deployment import CheckedDeployment
    from pytest_triton.checks.model_check import ModelCheck
    from pytest_triton.checks.result import CheckResult
    from pytest_triton.checks.run import TritonSession
    from pytest_triton.repository import Model

_CHECK: pytest.StashKey[ModelCheck] = pytest.StashKey()


class RepositoryChecks:
    """Collects the repositories, hands the checks what they need, reports what they found."""

    def __init__(self, config: pytest.Config, session: TritonSession) -> None:
        from pytest_triton.checks.model_check import ModelCheck
        from pytest_triton.reports.terminal import PlacementTable

        settings = session.settings
        self.config = config
        self.settings = settings
        self.session: TritonSession = session
        self.table = PlacementTable(_columns(session))
        self.ledger = RunLedger(config, settings)
        self._model_check = ModelCheck
        self._asking_others = False
        self._is_frozen = False
        self._collected: set[Path] = set()
        self._selection = Selection()
        self._latest: tuple[str | None, CheckResult | None] = (None, None)  # JSON and value
        self._left_to_others = ""  # why a check left its failure to another one
        self._unreported = ""  # the same, when that one didn't fail

    @classmethod
    def of(cls, config: pytest.Config) -> RepositoryChecks:
        from pytest_triton.plugin.session import session_of

        session = session_of(config)
        settings = session.settings
        if not settings.repo:
            raise pytest.UsageError(
                f"PYTEST_TRITON_REPO ({settings.sources['repo']}) names no model repository: "
                "unset it, or name one."
            )
        _check_directories(settings)
        checks = cls(config, session)
        checks._add_arguments()
        config.add_cleanup(checks._unfreeze)  # the last: pytest collects garbage in its own
        _warn_of_moved_rootdir(config, settings)
        return checks

    def _unfreeze(self) -> None:
        """Leave no tests behind in a process that goes on, and may run pytest again."""
        if self._is_frozen:
            gc.unfreeze()

    # --- what is collected -------------------------------------------------------------------

    def _add_arguments(self) -> None:
        """Make pytest collect the repositories, unless its arguments lead there already.

        Arguments that lie inside a repository select from what there is: nothing is added then.
        """
        self.config.args[:] = [*map(self._in_copy, self.config.args)]
        given = [self._absolute(argument) for argument in self.config.args]
        if self._is_selection():
            return
        for deployment in self.settings.repo:
            for path in deployment.paths:
                if not any(path.is_relative_to(argument) for argument in given):
                    self.config.args.append(str(path))

    def _in_copy(self, argument: str) -> str:
        """The place in the copy of an object store that a node id such as `s3://...` means."""
        for store in (store for deployment in self.settings.repo for store in deployment.stores):
            rest = argument.removeprefix(store.url)
            if rest != argument and rest[:1] in ("", "/", ":"):
                return f"{store.path}{rest}"
        return argument

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        """Arguments that pytest finds nothing for are shown as they were given."""
        try:
            return (yield)
        except pytest.UsageError as error:
            texts = [with_urls(str(one)) for one in error.args]
            raise pytest.UsageError(*texts) from None

    def _is_selection(self) -> bool:
        """Whether the arguments ask for certain tests, and not for the whole repositories."""
        if self.config.args_source is not pytest.Config.ArgsSource.ARGS:
            return False
        if self.settings.sources["repo"] != "command line":
            return True  # certain tests, in a project that checks repositories as well
        paths = [path for deployment in self.settings.repo for path in deployment.paths]
        given = [self._absolute(argument) for argument in self.config.args]
        return any(argument.is_relative_to(path) for argument in given for path in paths)

    def _absolute(self, argument: str) -> Path:
        """The path of an argument such as `tests/test_a.py::test_b[1]`."""
        start = self.config.invocation_params.dir
        return Path(os.path.abspath(start / argument.split("::", 1)[0]))

    def _checked_at(self, path: Path) -> list[CheckedDeployment]:
        """The deployment that has this repository, with each set of values."""
        return [one for one in self.session.deployments if path in one.deployment.paths]

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(
        self, path: Path, parent: pytest.Collector
    ) -> pytest.Collector | None:
        checked = self._checked_at(path)
        if not checked:
            return None
        self._collected.add(path)
        return repository_node(parent, path, checked, copies=self._fast)

    @pytest.hookimpl(tryfirst=True)
    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Lead pytest to the repositories, also through directories that it ignores (build, .x).

        What else lies in such a directory stays ignored.
        """
        if self._asking_others:
            return None
        path = collection_path
        paths = [path for deployment in self.settings.repo for path in deployment.paths]
        if any(repository.is_relative_to(path) for repository in paths):
            return False
        on_the_way = [parent for parent in path.parents if self._leads_on(parent, paths)]
        return True if any(map(self._is_ignored, on_the_way)) else None

    def _leads_on(self, directory: Path, repositories: Sequence[Path]) -> bool:
        inside = directory.is_relative_to(self.config.rootpath) and (
            directory != self.config.rootpath
        )
        return inside and any(
            path != directory and path.is_relative_to(directory) for path in repositories
        )

    def _is_ignored(self, directory: Path) -> bool:
        """Whether pytest, without this plugin, would ignore a directory."""
        self._asking_others = True
        try:
            ignored = self.config.hook.pytest_ignore_collect(
                collection_path=directory, config=self.config
            )
        finally:
            self._asking_others = False
        return bool(ignored)

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if model_of(metafunc.definition) is None:
            return
        sets = [values.name for values in self.session.value_sets]
        if len(sets) > 1 and VALUES in metafunc.fixturenames:
            metafunc.parametrize(VALUES, sets)
        if "triton_hardware" in metafunc.fixturenames:
            hardware = self.settings.gpus
            metafunc.parametrize("triton_hardware", hardware, ids=[each.id for each in hardware])

    @pytest.fixture
    def triton_check(self, request: pytest.FixtureRequest) -> ModelCheck:
        """A model of the repository, with what is known and seen of it (bundled checks only)."""
        check: ModelCheck | None = request.node.stash.get(_CHECK, None)
        if check is None:
            pytest.fail("triton_check is for the bundled checks only")
        return check

    @pytest.fixture
    def triton_values(self, request: pytest.FixtureRequest) -> str:
        """The name of the set of values that templates get, of several (bundled checks only)."""
        return values_of(request.node)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        found = model_of(item)
        if found is None:
            return
        check = item.stash[_CHECK] = self._check_of(item, *found)
        if not self._fast or not isinstance(item, pytest.Function):
            return
        arguments: dict[str, object] = {"triton_check": check, VALUES: values_of(item)}
        hardware = hardware_of(item)
        if hardware is not None:
            arguments["triton_hardware"] = hardware
        hand_in(item, arguments)

    @cached_property
    def _fast(self) -> bool:
        models = sum(len(checked.repository.models) for checked in self.session.deployments)
        return copies_checks(self.settings.copy_checks, models)

    def _check_of(self, item: pytest.Item, model: Model, checked: CheckedDeployment) -> ModelCheck:
        start = self.config.invocation_params.dir
        values = values_of(item)
        runs = partial(self._selection.runs, values=values) if values else self._selection.runs
        return self._model_check(model, checked, self.session, start, runs)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave the models of other shards out. Tests that aren't about a model stay."""
        shard = self.settings.shard
        if shard is None:
            return
        found = [(item, model_of(item)) for item in items]
        others = [item for item, about in found if about and not shard.holds(about[0].name)]
        if others:
            self.config.hook.pytest_deselected(items=others)
            left_out = set(others)
            items[:] = [item for item in items if item not in left_out]

    # --- the session -------------------------------------------------------------------------

    def pytest_sessionstart(self) -> None:
        from pytest_triton.servers.process.discovery import find_tritonserver

        try:
            _ = self.session.deployments
            self.session.check_values()
            self.session.check_patterns()
            if self.settings.binary is not None or self.settings.version is not None:
                find_tritonserver(self.settings.binary, self.settings.version)
            self.ledger.start()
        except PytestTritonError as error:
            raise pytest.UsageError(str(error)) from None

    def pytest_report_header(self) -> list[str]:
        from pytest_triton.reports.terminal import header

        lines = [*header(self.session, self.config.get_verbosity() > 0), *self._shard_line()]
        return [*map(shown, lines)]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """A repository that was given and not collected is an error, never silence."""
        self._selection = Selection(session.items)
        self.session.keeps_servers = any(map(may_share_servers, session.items))
        if self._fast:
            # Thousands of tests live until the end: that Python looks through them for garbage
            # again and again, and once more at its exit, takes a fifth of a run.
            gc.freeze()
            self._is_frozen = True
            atexit.register(gc.freeze)
        suit_editor(self.config, session.items)
        if self._is_selection():
            return
        for deployment in self.settings.repo:
            for path in deployment.paths:
                if path not in self._collected:
                    raise pytest.UsageError(
                        shown(
                            f"The model repository {path} was given, but pytest did not collect "
                            "it: something keeps it from getting there. Name it as an argument: "
                            f"pytest --triton-repo={deployment.text} {path}"
                        )
                    )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.failed:
            report.sections += self._log_sections(item)
        elif report.skipped and isinstance(report.longrepr, tuple) and model_of(item):
            # `-rs` shows where to look, and that is not our module
            report.longrepr = (item.location[0], 1, report.longrepr[2])
        if report.when == "call" or not report.passed:
            self._add_result(report, item)
        return report

    def _add_result(self, report: pytest.TestReport, item: pytest.Item) -> None:
        found = model_of(item)
        if found is None or not isinstance(item, pytest.Function):
            return
        check = item.stash.get(_CHECK, None) or self._check_of(
            item, *found
        )  # skipped before it began
        hardware = hardware_of(item)
        test = item.originalname or item.name
        result = check.result(test, hardware, failed=report.failed)
        text = to_json(result)
        setattr(report, REPORT_ATTRIBUTE, text)
        self._latest = (text, result)
        if report.when != "teardown":  # JUnit takes the properties of the teardown's report
            properties = [*properties_of(result)]
            item.user_properties += properties
            report.user_properties += properties

    def _log_sections(self, item: pytest.Item) -> list[tuple[str, str]]:
        """What the servers wrote about the model that is checked."""
        found = model_of(item)
        hardware = hardware_of(item)
        check = item.stash.get(_CHECK, None)
        if found is None or hardware is None or check is None or not check.log_explains:
            return []
        from pytest_triton.plugin.session import sections_about

        model, checked = found
        spec = self.session.spec(checked, hardware)
        return sections_about(spec, model.name, self.session.pool)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        text, result = self._latest
        if text is None or text is not getattr(report, REPORT_ATTRIBUTE, None):
            result = result_of(report)  # from a worker
        if result is not None and not result.deployed:
            self.table.add(result, failed=report.failed)
            if report.skipped:
                self._left_to_others = result.reported_elsewhere or self._left_to_others
        self.ledger.add(report, result)

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        if session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self._shard_is_empty():
            session.exitstatus = pytest.ExitCode.OK
        if session.exitstatus == pytest.ExitCode.OK and self._left_to_others:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            self._unreported = self._left_to_others
        yield
        self.ledger.finish(session)

    def _shard_line(self) -> list[str]:
        shard = self.settings.shard
        if shard is None:
            return []
        models = sum(len(checked.repository.models) for checked in self.session.deployments)
        mine = len(self._in_shard())
        nothing = "; merge sees to it that the others are proven" if not mine else ""
        return [f"triton: shard {shard} has {mine or 'none'} of the {models} models{nothing}"]

    def _shard_is_empty(self) -> bool:
        """Whether there was nothing to do because other shards have all the models.

        That is no failure: with few models some shard may be empty, and what is expected comes
        from the plan, so that no model can get lost between the shards.
        """
        return self.settings.shard is not None and not self._in_shard()

    def _in_shard(self) -> list[str]:
        shard = self.settings.shard
        names = [m.name for checked in self.session.deployments for m in checked.repository.models]
        return [name for name in names if shard is None or shard.holds(name)]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        from pytest_triton.reports.variants import variant_lines

        self.table.variants = [*variant_lines(self.session)]
        self.table.write(terminalreporter)
        if self._unreported:
            terminalreporter.section("triton checks", red=True)
            terminalreporter.line(
                f'A check was skipped ("{self._unreported}"), and that one did not fail: something '
                "skipped it or expected it to fail while the tests ran. Mark it (skip, xfail) "
                "before they run: then each check that can't pass fails itself."
            )


def _columns(session: TritonSession) -> list[str]:
    """Of the table of placements: each hardware, for each set of values."""
    labels = [hardware.label for hardware in session.settings.gpus]
    sets = [values.name for values in session.value_sets if values.name]
    return [f"{name}: {label}" for name in sets for label in labels] if sets else labels


def _check_directories(settings: Settings) -> None:
    seen: dict[Path, str] = {}
    for deployment in settings.repo:
        for path in deployment.paths:
            if path in seen:
                raise pytest.UsageError(
                    shown(
                        f"--triton-repo={deployment.text} names {path} again, which "
                        f"--triton-repo={seen[path]} has already. Name each repository once; "
                        "directories that are served together are joined by ':'."
                    )
                )
            seen[path] = deployment.text


class PytestTritonWarning(pytest.PytestWarning):
    """Something that works, and most likely not as it was meant."""


def _warn_of_moved_rootdir(config: pytest.Config, settings: Settings) -> None:
    """`--triton-repo DIR` makes pytest take DIR for a test path and look for its ini there."""
    if "--triton-repo" not in config.invocation_params.args:
        return
    here = config.invocation_params.dir
    outside = any(not p.is_relative_to(here) for one in settings.repo for p in one.paths)
    if outside or not here.is_relative_to(config.rootpath):
        config.issue_config_time_warning(
            PytestTritonWarning(
                "Write --triton-repo=DIR, with '=': with a space, pytest takes DIR for a test "
                f"path and looks for its rootdir and ini file from there. It now uses rootdir "
                f"{config.rootpath} and ini file {config.inipath or 'none'}."
            ),
            stacklevel=2,
        )
