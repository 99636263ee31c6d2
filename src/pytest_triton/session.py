"""What one run of pytest checks, and the servers that it does it with.

The way of a model: directory -> Model (declared) -> predicted -> ServerSpec -> pool -> server ->
observed -> Finding. Everything but the pool is a value; a Finding is computed once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pytest_triton.errors import PytestTritonError
from pytest_triton.options import Deployment, Settings
from pytest_triton.placement.compare import Observed
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.repository import Model, Repository, read_repository
from pytest_triton.servers.pool import ServerPool
from pytest_triton.servers.spec import ServerSpec


@dataclass(frozen=True, eq=False)
class CheckedDeployment:
    """A deployment that is to be checked: its repositories as they are on disk."""

    deployment: Deployment
    repository: Repository

    @cached_property
    def _by_repository(self) -> Mapping[Path, Sequence[Model]]:
        found: dict[Path, list[Model]] = {path: [] for path in self.deployment.paths}
        for model in self.repository.models:
            found[model.repository].append(model)
        return found

    def models_in(self, repository: Path) -> Sequence[Model]:
        """The models that stand in one of the deployment's repositories, by name."""
        return self._by_repository[repository]


class TritonSession:
    """The deployments of this run, their servers, and what those were seen to do."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.pool = ServerPool()
        self._observed: dict[ServerSpec, Mapping[str, Observed] | PytestTritonError] = {}

    @cached_property
    def deployments(self) -> tuple[CheckedDeployment, ...]:
        """Read from disk at the first use. Raises PytestTritonError for a bad repository."""
        return tuple(
            CheckedDeployment(deployment, read_repository(deployment.paths))
            for deployment in self.settings.repo
        )

    def spec(self, checked: CheckedDeployment, hardware: HardwareRequest) -> ServerSpec:
        """The server that checks a deployment on some hardware."""
        return ServerSpec(
            repositories=checked.deployment.paths,
            hardware=hardware,
            binary=self.settings.binary,
            version=self.settings.version,
            python=self.settings.python,
            timeout=self.settings.timeout,
        )

    def observed(
        self, checked: CheckedDeployment, hardware: HardwareRequest
    ) -> Mapping[str, Observed]:
        """What a server with this hardware made of each model, by name.

        The first call starts the servers for all hardware of the run, side by side. Raises the
        PytestTritonError that kept the server from telling, at every call.
        """
        from pytest_triton.witnesses.observe import observe

        spec = self.spec(checked, hardware)
        if spec not in self._observed:
            self.pool.launch([self.spec(checked, other) for other in self.settings.gpus])
            try:
                self._observed[spec] = observe(self.pool.get(spec), checked.repository.models)
            except PytestTritonError as error:
                self._observed[spec] = error
        found = self._observed[spec]
        if isinstance(found, PytestTritonError):
            raise found.with_traceback(None)
        return found

    def close(self) -> None:
        self.pool.close()
