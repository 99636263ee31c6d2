"""Whether a deployed server comes up on its own hardware, and what it does when its GPUs are lost.

A rehearsal: the real core with production's own command line, addresses aside, stand-in backends,
and simulated GPUs that are there or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from pytest_triton.checks.deployment import CheckedDeployment
from pytest_triton.checks.run import TritonSession, look
from pytest_triton.client.http import HttpApi
from pytest_triton.deployment.deployed_server import DeployedServer
from pytest_triton.deployment.noticing import noticed_by
from pytest_triton.deployment.repositories import NotMounted, repository_paths
from pytest_triton.options.values import Deployment
from pytest_triton.placement.command_line import read_version
from pytest_triton.placement.compare import READY
from pytest_triton.placement.hardware import NO_GPU, HardwareRequest
from pytest_triton.placement.outcome import SERVICES, ServiceOutcome, service_outcome
from pytest_triton.placement.predict import Prediction, predict_all
from pytest_triton.repository.predicted import with_unreadable
from pytest_triton.servers.process.discovery import find_tritonserver
from pytest_triton.servers.server_errors import ServerExited

_NOT_LOADED = "models not loaded"  # the cause of an exit: exit_diagnosis
_MOST_SIMULATED = 16


@dataclass(frozen=True)
class SeenService:
    """What the real core did with a deployed server's command line; `server` is which core."""

    server: str
    hardware: str
    seen: ServiceOutcome
    predicted: ServiceOutcome


@dataclass(frozen=True)
class DeploymentResult:
    """A row of the table of deployments, and the text of a failure, "" for none."""

    row: tuple[str, ...]
    failure: str


@dataclass(frozen=True, eq=False)
class DeploymentCheck:
    """A deployed server, and the models that it loads."""

    deployed: DeployedServer
    session: TritonSession
    start: Path

    @cached_property
    def checked(self) -> CheckedDeployment:
        """Raises PytestTritonError for a repository that isn't here, or can't be used."""
        deployed = self.deployed
        if deployed.unknown:
            raise NotMounted(
                f"{deployed.place('command')}: the arguments of tritonserver aren't known: "
                f"{deployed.unknown}.",
                fix="write them in the file as they are",
            )
        if deployed.bad_arguments is not None:
            bad = deployed.bad_arguments
            raise NotMounted(f"{deployed.place('command')}: {bad.what}", fix=bad.fix)
        paths = repository_paths(deployed, dict(self.session.settings.deployment_repo))
        text = ":".join(map(str, paths))
        return CheckedDeployment.read(
            Deployment(text, paths),
            deployed.line,
            own_backends=self.session.settings.own_backends,
        )

    @property
    def granted(self) -> int:
        """How many GPUs Triton sees in production; 1 where nobody can say."""
        target = self.session.settings.target
        count = self.deployed.visible(target.count if target is not None else None)
        return 1 if count is None else count

    def on_its_gpus(self) -> SeenService:
        count = min(self.granted, _MOST_SIMULATED)
        return self._see(HardwareRequest.parse(f"sim:{count}" if count else "none"))

    def without_gpus(self) -> SeenService:
        return self._see(HardwareRequest.parse("none"))

    def _see(self, request: HardwareRequest) -> SeenService:
        line = self.deployed.line
        settings = replace(
            self.session.settings,
            server="process",
            backends="stand-in",
            server_args=(line.arguments,),
            version=self._version,
        )
        spec = self.session.spec(self.checked, request, settings)
        ends = str(line.exits_on_error).lower()
        # The last one counts: this server may end, as production's does.
        spec = replace(spec, arguments=(*spec.arguments, f"--exit-on-error={ends}"))
        names = [model.name for model in self.checked.repository.models]
        try:
            running = self.session.pool.get(spec)
        except ServerExited as error:
            if error.cause != _NOT_LOADED:
                raise
            found = find_tritonserver(settings.binary, settings.version)
            traits = replace(self.checked.traits, version=read_version(found.version) or (2, 51, 0))
            hardware = request.hardware() or NO_GPU
            predictions = predict_all(self.checked.declared, hardware, server=traits)
            predicted = self._predicted(predictions)
            seen = ServiceOutcome("stops", predicted.refused)
            return SeenService(f"tritonserver {found.version}", request.label, seen, predicted)
        looked = look(self.checked, running, self.session.hardware_of(running))
        with HttpApi(running.http, timeout=10.0) as api:
            ready = api.ready()
        refused = tuple(sorted(n for n in names if looked.observed[n].state != READY))
        fallbacks = tuple(
            sorted(
                name
                for name in names
                if name in looked.predicted
                and looked.predicted[name].fallback
                and looked.observed[name].placement == looked.predicted[name].placement
            )
        )
        predicted = self._predicted(looked.predicted)
        seen = _outcome(ready, refused, fallbacks)
        self.session.pool.release(spec)
        return SeenService(running.description, request.label, seen, predicted)

    def _predicted(self, predictions: Mapping[str, Prediction]) -> ServiceOutcome:
        everything = with_unreadable(self.checked.repository.models, predictions)
        return service_outcome(everything, self.deployed.line)

    @cached_property
    def _version(self) -> str | None:
        """The installed release that is production's, else the one that the run has."""
        from pytest_triton.servers.process.releases import UnknownRelease, find_release
        from pytest_triton.servers.process.releases import installed_release as installed

        settings = self.session.settings
        if settings.version is not None or settings.binary is not None:
            return settings.version
        try:
            release = find_release(self.deployed.container_release)
        except UnknownRelease:
            return None
        return release.version if installed(release) is not None else None

    @cached_property
    def is_own_release(self) -> bool:
        """Whether the rehearsal runs on the release that production runs."""
        return self._version is not None

    def result(self) -> DeploymentResult:
        """What the real core showed. Raises PytestTritonError where it can't be asked."""
        up = self.on_its_gpus()
        lost = self.without_gpus() if self.granted else None
        last = up if lost is None else lost
        who = () if lost is None else noticed_by(self.deployed, lost.seen.service)
        return DeploymentResult(
            row=(
                str(self.deployed.grant),
                up.seen.service,
                self._lost_cell(lost),
                "; ".join(who) or "nobody" if lost is not None and who_matters(lost) else "",
                last.server if self.is_own_release else f"{last.server}, not its own release",
            ),
            failure=self.failure(up, lost),
        )

    def _lost_cell(self, lost: SeenService | None) -> str:
        if lost is None:
            return "none to lose"
        return f"{lost.seen.service}{' (allowed)' if self._is_allowed(lost.seen) else ''}"

    def _is_allowed(self, seen: ServiceOutcome) -> bool:
        """Whether all that falls back may do so (triton_allow_fallback)."""
        allowed = self.session.settings.allow_fallback
        return seen.service == "unnoticed" and all(
            any(fnmatchcase(name, pattern) for pattern in allowed) for name in seen.fallbacks
        )

    def failure(self, up: SeenService, lost: SeenService | None) -> str:
        """The text of a failure; "" if the deployment is as it should be."""
        return "\n\n".join(self._failures(up, lost))

    def _failures(self, up: SeenService, lost: SeenService | None) -> Iterator[str]:
        for one in (up, lost):
            if one is not None and one.seen.service != one.predicted.service:
                yield (
                    f"With {one.hardware} the server {_verb(one.seen.service)}, and Triton's rules "
                    f"predicted that it {_verb(one.predicted.service)}."
                )
        if up.seen.service in ("stops", "not ready", "degraded"):
            yield "\n".join(
                (
                    f"{self.deployed.name} doesn't come up on its own hardware ({up.hardware}): "
                    f"the server {_verb(up.seen.service)}.",
                    f"  refused: {_names(up.seen.refused)}",
                    "  see the models' own checks: pytest --triton-repo="
                    + self.checked.deployment.text,
                )
            )
        if lost is None or up.seen.service != "unaffected":
            return
        wanted = self.session.settings.on_gpu_loss.replace("-", " ")
        seen = lost.seen
        if self._is_allowed(seen):
            return
        if seen.service == "unaffected" or SERVICES.index(seen.service) <= SERVICES.index(wanted):
            return
        yield "\n".join(self._loss(seen, wanted))

    def _loss(self, seen: ServiceOutcome, wanted: str) -> Iterator[str]:
        yield (
            f"When its GPUs are lost, {self.deployed.name} {_verb(seen.service)}"
            + (f", and triton_on_gpu_loss is {wanted}." if wanted != "degraded" else ".")
        )
        if seen.fallbacks:
            yield f"  on the CPU: {_names(seen.fallbacks)}"
        if seen.refused:
            yield f"  refused: {_names(seen.refused)}"
        who = noticed_by(self.deployed, seen.service)
        yield f"  noticed by: {'; '.join(who) or 'nobody'}"
        if seen.service == "unnoticed":
            yield (
                "  What to do: declare instance_group [ { kind: KIND_GPU } ] in these models, so "
                "that the server refuses them."
            )
        elif not self.deployed.line.exits_on_error:
            yield "  What to do: leave out --exit-on-error=false: then the server ends."


def who_matters(lost: SeenService) -> bool:
    return lost.seen.service != "unaffected"


def _outcome(ready: bool, refused: Sequence[str], fallbacks: Sequence[str]) -> ServiceOutcome:
    if not ready:
        return ServiceOutcome("not ready", tuple(refused), tuple(fallbacks))
    if refused:
        return ServiceOutcome("degraded", tuple(refused), tuple(fallbacks))
    return ServiceOutcome("unnoticed" if fallbacks else "unaffected", (), tuple(fallbacks))


_VERBS = {
    "stops": "stops",
    "not ready": "is not ready",
    "degraded": "is ready, with models refused",
    "unnoticed": "comes up READY on the CPU, unnoticed",
    "unaffected": "serves all its models",
}


def _verb(service: str) -> str:
    return _VERBS[service]


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10])
    return f"{shown}, ... ({len(names)})" if len(names) > 10 else shown
