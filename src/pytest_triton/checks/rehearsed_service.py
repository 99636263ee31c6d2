"""A deployed server rehearsed: the real core with production's own command line and variables.

Addresses aside, and what only its machine has. Backends are stand-ins; GPUs are simulated, and
there or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from pytest_triton.checks.checked_deployment import CheckedDeployment
from pytest_triton.checks.checked_service import checked_server, release_of_server
from pytest_triton.checks.crash_search import SAME_AGAIN
from pytest_triton.checks.run import Seen, TritonSession, look
from pytest_triton.client.http import HttpApi
from pytest_triton.deployment.deployed_server import DeployedServer
from pytest_triton.deployment.environment import rehearsed_environment, simulated_count
from pytest_triton.deployment.granted_gpus import advise_on_fewer, assumed_note
from pytest_triton.options.hosts import ContainerHost
from pytest_triton.options.settings import Settings
from pytest_triton.placement.advice import Advice
from pytest_triton.placement.backends import backend_named
from pytest_triton.placement.command_line import CommandLine, Given, read_version
from pytest_triton.placement.compare import READY, Observed
from pytest_triton.placement.hardware import (
    MAX_SIMULATED_GPUS,
    NEW_ENOUGH,
    NO_GPU,
    Hardware,
    HardwareRequest,
    simulated_gpus,
)
from pytest_triton.placement.outcome import ServiceOutcome, service_outcome, with_refused
from pytest_triton.placement.predict import Prediction, ServerTraits
from pytest_triton.placement.releases import (
    NEWEST_KNOWN,
    ChosenRelease,
    Version,
    read_release,
    shown_release,
    tag_of,
)
from pytest_triton.repository.engines import engine_gpus
from pytest_triton.repository.predicted import with_unreadable
from pytest_triton.servers.running_server import RunningServer
from pytest_triton.servers.server_errors import ServerExited
from pytest_triton.servers.spec import ServerSpec

TARGET_OPTION = "--triton-target"
_NOT_LOADED = "models not loaded"  # the cause of an exit: exit_diagnosis


@dataclass(frozen=True)
class SeenService:
    """What the real core did with a deployed server's command line.

    `server` is which core, `hardware` the GPUs that it saw; `placed` says of each model where it
    runs, or why it was refused. `predicted` goes by the core's own release, `own` by that of
    production's image. `engines` are models that a real backend wouldn't load, which needs more
    GPUs than there are: it is assumed, for stand-ins need none.
    """

    server: str
    version: Version
    hardware: str
    seen: ServiceOutcome
    predicted: ServiceOutcome
    own: ServiceOutcome
    placed: Mapping[str, str]
    line: CommandLine
    engines: Mapping[str, int]

    @property
    def judged(self) -> ServiceOutcome:
        """What production's own release does: as seen, unless its rules or engines are others."""
        outcome = self.seen if self.own.service == self.predicted.service else self.own
        return with_refused(outcome, self.engines, self.line)


@dataclass(frozen=True, eq=False)
class ServiceRehearsal:
    """A deployed server, and the models that it loads."""

    deployed: DeployedServer
    session: TritonSession

    @cached_property
    def release(self) -> ChosenRelease:
        """The release that production runs, as far as anybody says."""
        version = self.session.settings.release
        default = NEWEST_KNOWN
        if version is not None:
            default = ChosenRelease(version, "--triton-release")
        return release_of_server(self.deployed, default)

    @cached_property
    def checked(self) -> CheckedDeployment:
        """Raises PytestTritonError for a repository that isn't here, or can't be used."""
        settings = self.session.settings
        return checked_server(
            self.deployed,
            dict(settings.deployment_repo),
            settings.own_backends,
            self.release,
            say=None,  # the run has fetched what is in object stores
        )

    @property
    def host(self) -> int | None:
        """How many GPUs production's machine has, None if nobody says."""
        target = self.session.settings.target
        return target.count if target is not None else None

    @cached_property
    def granted(self) -> int:
        """How many GPUs are simulated as granted."""
        return min(simulated_count(self.deployed, self.host), MAX_SIMULATED_GPUS)

    @property
    def visible(self) -> int:
        """How many of them Triton sees."""
        count = self.deployed.visible(self.granted)
        assert count is not None
        return min(count, self.granted)

    @property
    def _capability(self) -> tuple[int, int]:
        """The compute capability of production's GPUs; if nobody says, that of any new one."""
        target = self.session.settings.target
        gpus = () if target is None else target.gpus
        return gpus[0].compute_capability if gpus else NEW_ENOUGH

    @property
    def assumed(self) -> str:
        """What a report says where the number of GPUs is assumed, else ""."""
        return assumed_note(self.deployed, self.host, TARGET_OPTION)

    def advice_on_fewer(self, fewest: int) -> Advice:
        """What to do for models that need more GPUs than Triton sees."""
        seen = self.deployed.visible(self.host)
        if fewest > MAX_SIMULATED_GPUS and seen is not None and seen >= fewest:
            return Advice(
                f"Triton sees {seen} GPUs there, and no more than {MAX_SIMULATED_GPUS} can be "
                "simulated. What it does with more, a machine that has them shows:",
                "pytest-triton plan --deployment",
            )
        return advise_on_fewer(self.deployed, self.host, fewest, TARGET_OPTION)

    def request(self, granted: int) -> HardwareRequest:
        """What is asked for where so many GPUs are granted."""
        capability = "{}.{}".format(*self._capability)
        return HardwareRequest.parse(f"sim:{granted}@{capability}" if granted else "none")

    def hardware(self, granted: int) -> Hardware:
        """What Triton sees of so many granted GPUs."""
        visible = min(self.visible, granted)
        return simulated_gpus(visible, self._capability) if visible else NO_GPU

    def server_spec(self, granted: int) -> ServerSpec:
        """The server that shows what becomes of each model, whatever the service does then."""
        return self._spec(granted, exits=False)

    @cached_property
    def engines(self) -> Mapping[str, int]:
        """How many GPUs the models need whose backends take them by themselves."""
        return {
            model.name: engine_gpus(model)
            for model in self.checked.repository.models
            if backend_named(model.declared.backend).places_itself
        }

    def on_its_gpus(self) -> SeenService:
        return self._see(self.granted)

    def without_gpus(self) -> SeenService:
        return self._see(0)

    def _see(self, granted: int) -> SeenService:
        """What the service does where so many GPUs are granted."""
        hardware = self.hardware(granted)
        exits = self.deployed.line.exits_on_error
        spec = self._spec(granted, exits=exits)
        stops = False
        try:
            running = self._started(spec)
        except ServerExited as error:
            if error.cause != _NOT_LOADED or not exits:
                raise
            stops = True  # what the models came to, another one shows
            running = self._started(self._spec(granted, exits=False))
        looked = look(self.checked, running, hardware)
        with HttpApi(running.http, timeout=10.0) as api:
            ready = api.ready()
        self.session.pool.release(running.spec)
        names = [model.name for model in self.checked.repository.models]
        refused = tuple(sorted(name for name in names if looked.observed[name].state != READY))
        fallbacks = _fallbacks(names, looked)
        version = looked.traits.version if self._in_its_image else self.release.version
        own = replace(looked.traits, version=version)
        return SeenService(
            server=running.description,
            version=looked.traits.version,
            hardware=hardware.label,
            seen=_outcome(stops, ready, refused, fallbacks),
            predicted=self._outcome_of(looked.predicted),
            own=self._predicted(hardware, own),
            placed={name: _shown(looked.observed[name], name in fallbacks) for name in names},
            line=self.deployed.line,
            engines={
                name: count for name, count in self.engines.items() if count > len(hardware.gpus)
            },
        )

    def _started(self, spec: ServerSpec) -> RunningServer:
        """The server of a spec, started again where it crashes: core does so by chance.

        Raises the last error if it crashes each time.
        """
        for attempt in range(SAME_AGAIN - 1):
            try:
                return self.session.pool.get(replace(spec, attempt=attempt))
            except ServerExited as error:
                if error.cause != "crash":
                    raise
        return self.session.pool.get(replace(spec, attempt=SAME_AGAIN - 1))

    def _spec(self, granted: int, *, exits: bool) -> ServerSpec:
        spec = self.session.spec(self.checked, self.request(granted), self.settings)
        return replace(
            spec,
            # The last one counts: this server may end, as production's does.
            arguments=(*spec.arguments, f"--exit-on-error={str(exits).lower()}"),
            environment=rehearsed_environment(self.deployed, granted),
            # Not shared: it is released as soon as it was looked at.
            owner=f"{self.deployed.title} {self.session.worker}",
        )

    @cached_property
    def settings(self) -> Settings:
        """Those of the run, for this server: in production's image if the run is in containers."""
        settings = replace(self.session.settings, backends="stand-in")
        if not isinstance(settings.host, ContainerHost):
            settings = replace(settings, server="process", version=self._version(settings))
        line = self.deployed.line.without(one.name for one in self._left_out)
        settings = replace(settings, server_args=(line.arguments,))
        if not isinstance(settings.host, ContainerHost):
            return settings
        return replace(settings, image=self.deployed.image) if self._in_its_image else settings

    @property
    def _in_its_image(self) -> bool:
        """Whether it is rehearsed in the very image that production runs."""
        settings, deployed = self.session.settings, self.deployed
        has_one = deployed.image and not deployed.is_built and settings.image is None
        return isinstance(settings.host, ContainerHost) and bool(has_one)

    def _version(self, settings: Settings) -> str | None:
        """The installed release that is production's, or nearest to it; None: the run's own."""
        if settings.version is not None or settings.binary is not None or self.release.assumed:
            return settings.version
        from pytest_triton.servers.process.releases import installed_releases

        installed = {one.release.version: one for one in installed_releases()}
        wanted = self.release.version
        return min(installed, key=lambda text: _distance(read_release(text), wanted), default=None)

    @cached_property
    def _left_out(self) -> tuple[Given, ...]:
        """The flags that the core of another release, which rehearses, doesn't know."""
        settings = self.session.settings
        if isinstance(settings.host, ContainerHost):
            return ()
        version = read_version(self._version(settings))
        return () if version is None else self.deployed.line.unknown_to(version)

    def _outcome_of(self, predictions: Mapping[str, Prediction]) -> ServiceOutcome:
        everything = with_unreadable(self.checked.repository.models, predictions)
        return service_outcome(everything, self.deployed.line)

    def _predicted(self, hardware: Hardware, traits: ServerTraits) -> ServiceOutcome:
        return self._outcome_of(self.checked.predicted.on(hardware, traits))

    @property
    def planned_on(self) -> str:
        """Where it will be rehearsed, known before that."""
        settings = self.settings
        if self._in_its_image:
            return "in its image"
        if self.release.assumed:
            return "release not known"
        release = tag_of(self.release.version)
        if isinstance(settings.host, ContainerHost):
            return f"{release}, in another image"
        version = read_version(settings.version)
        if version == self.release.version:
            return release
        return f"{release}, on {settings.version or 'the server that is found'}"

    def rehearsed_on(self, seen: SeenService) -> str:
        """Which core that was, and whether it is of production's release."""
        if self._in_its_image:
            return seen.server
        if self.release.assumed:
            return f"{seen.server}; production's release isn't known"
        if seen.version == self.release.version:
            return seen.server
        less = "".join(f", without {one.shown}" for one in self._left_out)
        return f"{seen.server}, in place of {shown_release(self.release.version)}{less}"


def _distance(one: Version, other: Version) -> tuple[int, bool]:
    """How far apart two releases are; of two that are equally far, the newer one is nearer."""
    return abs(one[0] - other[0]) * 1000 + abs(one[1] - other[1]), one < other


def _fallbacks(names: Sequence[str], looked: Seen) -> tuple[str, ...]:
    return tuple(
        sorted(
            name
            for name in names
            if name in looked.predicted
            and looked.predicted[name].fallback
            and looked.observed[name].placement == looked.predicted[name].placement
        )
    )


def _outcome(
    stops: bool, ready: bool, refused: tuple[str, ...], fallbacks: tuple[str, ...]
) -> ServiceOutcome:
    if stops:
        return ServiceOutcome("stops", refused, fallbacks)
    if not ready:
        return ServiceOutcome("not ready", refused, fallbacks)
    if refused:
        return ServiceOutcome("degraded", refused, fallbacks)
    return ServiceOutcome("unnoticed" if fallbacks else "unaffected", (), fallbacks)


def _shown(observed: Observed, fallback: bool) -> str:
    """A table's cell, as a prediction's."""
    if observed.refusal is not None:
        return str(observed.refusal)
    if observed.state != READY:
        return "refused"
    where = str(observed.placement) if observed.placement else "ready"
    return f"{where}{'  <- fallback' if fallback else ''}"
