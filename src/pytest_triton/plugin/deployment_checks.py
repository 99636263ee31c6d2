"""The pytest hooks of a run that checks deployments: each server of a file is a test.

`deploy/compose.yaml::triton::test_deployment`. Registered only with --triton-deployment.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_triton.checks.result import (
    DEPLOYMENT_TEST,
    PLACEMENT_TEST,
    REPORT_ATTRIBUTE,
    properties_of,
    result_of,
    to_json,
)
from pytest_triton.errors import PytestTritonError
from pytest_triton.plugin.run_ledger import RunLedger
from pytest_triton.plugin.selection import shows_failure
from pytest_triton.plugin.session import fail, sections_about, session_of
from pytest_triton.text.shown_text import node_name, shown
from pytest_triton.text.tables import lay_out, screen_width

if TYPE_CHECKING:
    from pytest_triton.checks.model_check import Answer, ModelCheck
    from pytest_triton.checks.result import CheckResult
    from pytest_triton.checks.run import TritonSession
    from pytest_triton.checks.service_check import DeploymentCheck
    from pytest_triton.checks.service_models import DeployedHardware, DeployedModels
    from pytest_triton.deployment.deployed_server import DeployedServer
    from pytest_triton.placement.hardware import HardwareRequest
    from pytest_triton.repository import Model

SELECTED: pytest.StashKey[frozenset[object]] = pytest.StashKey()
PROPERTY = "triton_deployment"  # of a report: a row of the table


class DeploymentChecks:
    """Collects the deployment files, and shows what became of their servers."""

    def __init__(self, config: pytest.Config, session: TritonSession) -> None:
        from pytest_triton.deployment.reading import read_deployments

        self.config = config
        self.session = session
        self._servers: dict[Path, list[DeployedServer]] = {}
        self._rows: dict[str, list[str]] = {}  # by the tests' ids
        self._results: list[tuple[CheckResult, bool]] = []  # of models, and whether it failed
        self._left_to_others = ""  # why a check left its failure to another one
        # With repositories their checks keep the ledger of the run.
        is_alone = not config.pluginmanager.has_plugin("triton-repository-checks")
        self._ledger = RunLedger(config, session.settings) if is_alone else None
        for one in session.settings.deployment:
            for server in read_deployments(one.text, one.start):
                known = self._servers.setdefault(server.path, [])
                if all(server.name != other.name for other in known):
                    known.append(server)

    @classmethod
    def of(cls, config: pytest.Config) -> DeploymentChecks:
        try:
            checks = cls(config, session_of(config))
        except PytestTritonError as error:
            raise pytest.UsageError(shown(str(error))) from None
        checks._add_arguments()
        return checks

    def _add_arguments(self) -> None:
        """Make pytest collect the files, unless its arguments choose some of their tests."""
        start = self.config.invocation_params.dir
        given = [Path(os.path.abspath(start / one.split("::", 1)[0])) for one in self.config.args]
        if any(path in given for path in self._servers):
            return
        for path in self._servers:
            if not any(path.is_relative_to(argument) for argument in given):
                self.config.args.append(str(path))

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> pytest.Collector | None:
        if file_path not in self._servers:
            return None
        file: DeploymentFile = DeploymentFile.from_parent(parent, path=file_path)
        file.servers = self._servers[file_path]
        file.session_of_triton = self.session
        return file

    def pytest_report_header(self) -> list[str]:
        from pytest_triton.checks.rehearsed_service import ServiceRehearsal

        servers = [server for found in self._servers.values() for server in found]
        count = f"{len(servers)} server{'s' if len(servers) != 1 else ''}"
        names = ", ".join(
            f"{one.name} ({ServiceRehearsal(one, self.session).planned_on})" for one in servers[:10]
        )
        files = ", ".join(os.path.relpath(path) for path in list(self._servers)[:5])
        return [shown(f"triton: {count} of {files}, rehearsed on a real core: {names}")]

    def pytest_sessionstart(self) -> None:
        try:
            self.session.fetch()
            if self._ledger is not None:
                self._ledger.start()
        except PytestTritonError as error:
            raise pytest.UsageError(shown(str(error))) from None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.config.stash[SELECTED] = _selected(session.items)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if isinstance(item, DeployedItem) and (report.when == "call" or not report.passed):
            result = item.result(failed=report.failed)
            setattr(report, REPORT_ATTRIBUTE, to_json(result))
            properties = [*properties_of(result)]
            item.user_properties += properties
            report.user_properties += properties
        if isinstance(item, DeployedModelItem) and report.failed:
            report.sections += item.log_sections()
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        if session.exitstatus == pytest.ExitCode.OK and self._left_to_others:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        yield
        if self._ledger is not None:
            self._ledger.finish(session)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._take_result(report)
        row = dict(report.user_properties).get(PROPERTY)
        if report.when == "call" and row is not None:
            mark = "" if report.passed else "  <- failed"
            cells = str(row).split("\t")
            self._rows[report.nodeid] = [*cells[:-1], f"{cells[-1]}{mark}"]

    def _take_result(self, report: pytest.TestReport) -> None:
        result = result_of(report)
        if self._ledger is not None:
            self._ledger.add(report, result)
        if result is None or not result.deployed:
            return
        if report.skipped:
            self._left_to_others = result.reported_elsewhere or self._left_to_others
        if result.test != DEPLOYMENT_TEST:
            self._results.append((result, report.failed))

    def _write_models(self, reporter: pytest.TerminalReporter) -> None:
        """Models x hardware, for all deployments."""
        from pytest_triton.reports.matrix import column_titles
        from pytest_triton.reports.terminal import PlacementTable

        labels = {one.hardware.label: one.hardware.gpus or 0 for one, _ in self._results}
        labels.pop("", None)
        hardware = sorted(labels, key=lambda label: (-labels[label], label))
        titles = column_titles((one.deployment, one.hardware.label) for one, _ in self._results)
        table = PlacementTable(hardware, titles)
        for result, failed in self._results:
            table.add(result, failed=failed)
        table.write(reporter, "triton deployments: models")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._results:
            self._write_models(terminalreporter)
        if not self._rows:
            return
        terminalreporter.section("triton deployments")
        head = ["server", "GPUs", "on them", "GPUs lost", "noticed by", "rehearsed on"]
        order = [server.name for servers in self._servers.values() for server in servers]
        rows = sorted(self._rows.values(), key=lambda row: order.index(row[0]))
        for lines in lay_out([head, *rows], screen_width()):
            for line in lines:
                terminalreporter.line(shown(line))
        seen = {row[0] for row in rows}
        servers = (one for found in self._servers.values() for one in found)
        for note in dict.fromkeys(
            _assumed(one, self.session) for one in servers if one.name in seen
        ):
            if note:
                terminalreporter.line(shown(note))


class DeploymentFile(pytest.File):
    """A compose file or manifest, with the Triton servers that it starts."""

    servers: Iterable[DeployedServer]
    session_of_triton: TritonSession

    def collect(self) -> Iterable[pytest.Collector]:
        for server in self.servers:
            node: ServerNode = ServerNode.from_parent(self, name=node_name(server.name))
            node.start_with(server, self.session_of_triton)
            yield node


class ServerNode(pytest.Collector):
    """One server of a deployment file: itself, and the models that it loads."""

    check: DeploymentCheck
    models: DeployedModels | None = None  # None: they aren't known, and its own test says why

    def start_with(self, server: DeployedServer, session: TritonSession) -> None:
        from pytest_triton.checks.service_check import DeploymentCheck
        from pytest_triton.checks.service_models import DeployedModels

        self.check = DeploymentCheck(server, session)
        with suppress(PytestTritonError):
            start = self.config.invocation_params.dir
            self.models = DeployedModels.of(self.check.rehearsal, session, start)

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        item: DeploymentItem = DeploymentItem.from_parent(self, name=DEPLOYMENT_TEST)
        item.add_marker(pytest.mark.triton_checks)
        yield item
        for model in () if self.models is None else self.models.checked.repository.models:
            node: DeployedModelNode = DeployedModelNode.from_parent(
                self, name=node_name(model.name)
            )
            node.model = model
            yield node


class DeployedModelNode(pytest.Collector):
    """One model that a deployed server loads."""

    model: Model

    def collect(self) -> Iterable[pytest.Item]:
        from pytest_triton.checks.service_models import CHECKS

        server = self.getparent(ServerNode)
        assert server is not None
        assert server.models is not None
        for test in CHECKS:
            yield self._item(test, None)
        for hardware in server.models.hardware:
            yield self._item(PLACEMENT_TEST, hardware)

    def _item(self, test: str, hardware: DeployedHardware | None) -> pytest.Item:
        name = test if hardware is None else f"{test}[{hardware.id}]"
        item: DeployedModelItem = DeployedModelItem.from_parent(self, name=name)
        item.add_marker(pytest.mark.triton_checks)
        item.test, item.hardware = test, hardware
        return item


class DeployedItem(pytest.Item):
    """A test of a deployed server, which leaves a CheckResult."""

    @property
    def node(self) -> ServerNode:
        found = self.getparent(ServerNode)
        assert found is not None
        return found

    def result(self, *, failed: bool) -> CheckResult:
        """What was found, for reports."""
        raise NotImplementedError

    def reportinfo(self) -> tuple[Path, int, str]:
        names = [one.name for one in self.listchain()]
        shown_name = "::".join(names[names.index(self.node.name) :])
        return self.path, self.node.check.deployed.node.place.line - 1, shown_name


class DeploymentItem(DeployedItem):
    """Does the server come up on its own hardware, and is it noticed when its GPUs are lost?"""

    def runtest(self) -> None:
        try:
            result = self.node.check.result()
        except PytestTritonError as error:
            fail(error)
        row = "\t".join((self.node.check.deployed.name, *result.row))
        self.user_properties.append((PROPERTY, row))
        if result.failure:
            raise pytest.fail.Exception(shown(result.failure), pytrace=False)

    def result(self, *, failed: bool) -> CheckResult:
        from pytest_triton.checks.service_models import service_result

        start = self.config.invocation_params.dir
        return service_result(self.node.check.rehearsal, start)


class DeployedModelItem(DeployedItem):
    """A bundled check of a model, on the hardware of its deployment or without its GPUs."""

    test: str
    hardware: DeployedHardware | None
    _check: ModelCheck | None = None

    @property
    def model(self) -> Model:
        assert isinstance(self.parent, DeployedModelNode)
        return self.parent.model

    @property
    def check(self) -> ModelCheck:
        if self._check is None:
            assert self.node.models is not None
            self._check = self.node.models.check(self.model, self._runs)
        return self._check

    def _runs(self, model: Model, test: str, hardware: HardwareRequest | None) -> bool:
        asked = self.node.nodeid, model.name, test, hardware
        return asked in self.config.stash.get(SELECTED, frozenset())

    def runtest(self) -> None:
        answer = self._answer()
        if not isinstance(answer, str):
            pytest.skip(answer.reason)
        if answer:
            raise pytest.fail.Exception(shown(answer), pytrace=False)

    def _answer(self) -> Answer:
        if self.hardware is None:
            ask = {
                "test_config": self.check.config_failure,
                "test_explicit_placement": self.check.explicit_placement_failure,
                "test_audit": self.check.audit_failure,
            }
            return ask[self.test]()
        try:
            return self.check.placement_failure(self.hardware.request)
        except PytestTritonError as error:
            return self.check.no_answer(error)

    def log_sections(self) -> list[tuple[str, str]]:
        """What the server wrote about the model, where that may explain the failure."""
        models = self.node.models
        if models is None or self.hardware is None or not self.check.log_explains:
            return []
        spec = models.session.spec(models.checked, self.hardware.request)
        return sections_about(spec, self.model.name, models.session.pool)

    def result(self, *, failed: bool) -> CheckResult:
        assert self.node.models is not None
        return self.node.models.result(self.check, self.test, self.hardware, failed=failed)


def _assumed(server: DeployedServer, session: TritonSession) -> str:
    """What is assumed of a server, since its file doesn't say; "" if nothing is."""
    from pytest_triton.checks.rehearsed_service import ServiceRehearsal

    notes = [f"{text} ({place})" for place, text in server.assumed]
    notes += filter(None, [ServiceRehearsal(server, session).assumed])
    return f"assumed: {server.name}: {'; '.join(notes)}" if notes else ""


def _selected(items: Iterable[pytest.Item]) -> frozenset[object]:
    """The checks that run, and whose failure would be seen."""
    return frozenset(
        (
            one.node.nodeid,
            one.model.name,
            one.test,
            one.hardware.request if one.hardware is not None else None,
        )
        for one in items
        if isinstance(one, DeployedModelItem) and shows_failure(one)
    )
