"""The pytest hooks of a run that checks deployments: each server of a file is a test.

`deploy/compose.yaml::triton::test_deployment`. Registered only with --triton-deployment.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from pytest_triton.errors import PytestTritonError
from pytest_triton.plugin.session import fail, session_of
from pytest_triton.text.shown_text import node_name, shown
from pytest_triton.text.tables import lay_out, screen_width

if TYPE_CHECKING:
    from pytest_triton.checks.run import TritonSession
    from pytest_triton.deployment.deployed_server import DeployedServer

TEST = "test_deployment"
PROPERTY = "triton_deployment"  # of a report: a row of the table


class DeploymentChecks:
    """Collects the deployment files, and shows what became of their servers."""

    def __init__(self, config: pytest.Config, session: TritonSession) -> None:
        from pytest_triton.deployment.reading import read_deployments

        self.config = config
        self.session = session
        self._servers: dict[Path, list[DeployedServer]] = {}
        self._rows: list[list[str]] = []
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

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        row = dict(report.user_properties).get(PROPERTY)
        if report.when == "call" and row is not None:
            mark = "" if report.passed else "  <- failed"
            cells = str(row).split("\t")
            self._rows.append([*cells[:-1], f"{cells[-1]}{mark}"])

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._rows:
            return
        terminalreporter.section("triton deployments")
        head = ["server", "GPUs", "on them", "GPUs lost", "noticed by", "rehearsed on"]
        for lines in lay_out([head, *self._rows], screen_width()):
            for line in lines:
                terminalreporter.line(shown(line))


class DeploymentFile(pytest.File):
    """A compose file or manifest, with the Triton servers that it starts."""

    servers: Iterable[DeployedServer]
    session_of_triton: TritonSession

    def collect(self) -> Iterable[pytest.Collector]:
        for server in self.servers:
            node: ServerNode = ServerNode.from_parent(self, name=node_name(server.name))
            node.server = server
            node.session_of_triton = self.session_of_triton
            yield node


class ServerNode(pytest.Collector):
    """One server of a deployment file."""

    server: DeployedServer
    session_of_triton: TritonSession

    def collect(self) -> Iterable[pytest.Item]:
        item: DeploymentItem = DeploymentItem.from_parent(self, name=TEST)
        item.add_marker(pytest.mark.triton_checks)
        item.server = self.server
        item.session_of_triton = self.session_of_triton
        yield item


class DeploymentItem(pytest.Item):
    """Does the server come up on its own hardware, and is it noticed when its GPUs are lost?"""

    server: DeployedServer
    session_of_triton: TritonSession

    def runtest(self) -> None:
        from pytest_triton.checks.deployment_check import DeploymentCheck

        try:
            result = DeploymentCheck(self.server, self.session_of_triton).result()
        except PytestTritonError as error:
            fail(error)
        row = "\t".join((self.server.name, *result.row))
        self.user_properties.append((PROPERTY, row))
        if result.failure:
            self._fail(result.failure)

    def _fail(self, text: str) -> NoReturn:
        raise pytest.fail.Exception(shown(text), pytrace=False)

    def reportinfo(self) -> tuple[Path, int, str]:
        line = self.server.node.place.line - 1
        return self.path, line, f"{node_name(self.server.name)}::{self.name}"
