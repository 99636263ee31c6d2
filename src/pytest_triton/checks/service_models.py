"""The bundled checks of the models of a deployed server: on its own GPUs, and without them.

The servers are those of its rehearsal: the real core with production's command line and variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec.structs import replace as replace_fields

from pytest_triton.checks.checked_deployment import CheckedDeployment
from pytest_triton.checks.checked_service import title_of
from pytest_triton.checks.model_check import ModelCheck, Runs
from pytest_triton.checks.rehearsed_service import ServiceRehearsal
from pytest_triton.checks.result import (
    DEPLOYMENT_TEST,
    OWN_HARDWARE,
    SERVICE,
    CheckResult,
    ConfigFacts,
    Declaration,
)
from pytest_triton.checks.run import TritonSession
from pytest_triton.options.settings import Settings
from pytest_triton.placement.advice import Advice
from pytest_triton.placement.hardware import Hardware, HardwareRequest
from pytest_triton.placement.predict import Prediction, ServerTraits
from pytest_triton.repository import Model
from pytest_triton.servers.running_server import RunningServer
from pytest_triton.servers.spec import ServerSpec

CHECKS = ("test_config", "test_explicit_placement", "test_audit")


@dataclass(frozen=True)
class DeployedHardware:
    """What a deployed server has, or is left with: `id` is part of a test's name."""

    id: str
    label: str
    request: HardwareRequest


class DeployedSession(TritonSession):
    """The servers of one rehearsal, for the checks of its models."""

    def __init__(self, rehearsal: ServiceRehearsal, run: TritonSession) -> None:
        requests = dict.fromkeys((rehearsal.request(rehearsal.granted), rehearsal.request(0)))
        super().__init__(replace(rehearsal.settings, gpus=tuple(requests)), run.pool, run.worker)
        self._rehearsal = rehearsal

    def spec(
        self,
        checked: CheckedDeployment,
        hardware: HardwareRequest,
        settings: Settings | None = None,
    ) -> ServerSpec:
        return self._rehearsal.server_spec(hardware.count or 0)

    def advice_on_fewer(self, fewest: int) -> Advice:
        return self._rehearsal.advice_on_fewer(fewest)

    def _predicted_on(
        self, request: HardwareRequest, checked: CheckedDeployment, server: ServerTraits
    ) -> Mapping[str, Prediction]:
        return checked.predicted.on(self._rehearsal.hardware(request.count or 0), server)

    def hardware_of(self, server: RunningServer) -> Hardware:
        """The GPUs that Triton sees of those that are granted."""
        return self._rehearsal.hardware(server.spec.hardware.count or 0)


@dataclass(frozen=True, eq=False)
class DeployedModels:
    """The models that a deployed server loads. `title` is what the deployment is called."""

    rehearsal: ServiceRehearsal
    session: DeployedSession
    checked: CheckedDeployment
    title: str
    start: Path

    @classmethod
    def of(cls, rehearsal: ServiceRehearsal, run: TritonSession, start: Path) -> DeployedModels:
        """Raises PytestTritonError for a repository that isn't here, or can't be used."""
        title = title_of(rehearsal.deployed, start)
        checked = replace(rehearsal.checked, known_as=title)
        return cls(rehearsal, DeployedSession(rehearsal, run), checked, title, start)

    @property
    def hardware(self) -> tuple[DeployedHardware, ...]:
        """Its own GPUs, and none; only the latter if it has none to lose."""
        count = self.rehearsal.granted
        lost = DeployedHardware("gpus-lost", "GPUs lost", self.rehearsal.request(0))
        if not count:
            return (replace(lost, id="deployed", label=f"{OWN_HARDWARE}no GPU"),)
        label = f"{OWN_HARDWARE}{count} GPU{'s' if count != 1 else ''}"
        own = DeployedHardware("deployed", label, self.rehearsal.request(count))
        return own, lost

    def check(self, model: Model, runs: Runs) -> ModelCheck:
        return ModelCheck(model, self.checked, self.session, self.start, runs)

    def result(
        self, check: ModelCheck, test: str, hardware: DeployedHardware | None, *, failed: bool
    ) -> CheckResult:
        found = check.result(test, None if hardware is None else hardware.request, failed=failed)
        if hardware is None:
            return replace_fields(found, deployed=True)
        named = replace_fields(found.hardware, label=hardware.label)
        return replace_fields(found, hardware=named, deployed=True)


def service_result(rehearsal: ServiceRehearsal, start: Path) -> CheckResult:
    """What a ledger says of the check of the server itself."""
    title = title_of(rehearsal.deployed, start)
    path, _, _ = title.partition("::")
    line = rehearsal.deployed.node.place.line
    return CheckResult(
        deployment=title,
        model=SERVICE,
        test=DEPLOYMENT_TEST,
        config=ConfigFacts(path, "", line),
        declared=Declaration("service"),
        deployed=True,
    )
