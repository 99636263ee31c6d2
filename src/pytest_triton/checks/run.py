"""What one run of pytest checks, and the servers that it does it with.

The way of a model: directory -> Model -> Declared -> predicted -> ServerSpec -> pool -> server ->
observed -> verdict. Everything but the pool is a value that is computed once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pytest_triton.checks.crash_search import SAME_AGAIN, find_culprits
from pytest_triton.checks.parts import Parts, crash_note, crash_texts
from pytest_triton.checks.placement_result import server_facts
from pytest_triton.checks.release import THE_SERVER, release_of
from pytest_triton.checks.result import CheckResult, ServerFacts
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.errors import PytestTritonError, says_all
from pytest_triton.options.hosts import Host
from pytest_triton.options.production_arguments import command_line, server_arguments
from pytest_triton.options.settings import Backends, Settings
from pytest_triton.options.value_files import value_sets
from pytest_triton.options.values import Deployment
from pytest_triton.placement.backend_names import OFFICIAL_BACKENDS, PUBLISHED_BACKENDS
from pytest_triton.placement.command_line import NO_ARGUMENTS, CommandLine
from pytest_triton.placement.compare import Observed
from pytest_triton.placement.declared import Declared
from pytest_triton.placement.hardware import NO_GPU, Hardware, HardwareRequest
from pytest_triton.placement.libraries import PYTHON_RUNTIME
from pytest_triton.placement.predict import (
    Prediction,
    ServerTraits,
    predict_all,
)
from pytest_triton.placement.releases import NEWEST_KNOWN, ChosenRelease, Version
from pytest_triton.placement.unserved import with_models
from pytest_triton.plan.identity import config_hash, deployment_name, identities
from pytest_triton.plan.sharding import needed
from pytest_triton.rehearsal.completed_configs import as_json
from pytest_triton.rehearsal.simulation import is_backend_name
from pytest_triton.repository import Model, Repository, model_config_type
from pytest_triton.repository.models import read_as
from pytest_triton.repository.predicted import PredictedModels
from pytest_triton.repository.reading import AS_IT_IS, Added, Reading
from pytest_triton.repository.refusals import (
    with_known_backends,
)
from pytest_triton.repository.stores import Say, Store, fetch_all, to_standard_error
from pytest_triton.repository.template_values import check_used
from pytest_triton.repository.templates import ValueSet
from pytest_triton.servers.pool import Pool, ServerPool
from pytest_triton.servers.running_server import RunningServer
from pytest_triton.servers.server_errors import ServerExited
from pytest_triton.servers.spec import ServerSpec

if TYPE_CHECKING:
    from pytest_triton.diagnostics.diagnostic import Diagnostic


__tracebackhide__ = says_all

_MOST_NAMES = 20  # of models, in a note
_MOST_INSTANCES = 2000  # of one model; more take a test server minutes or all memory


class PatternUnused(PytestTritonError):
    """A pattern of triton_allow_fallback or triton_expect that no model's name fits."""


class NotLoaded(PytestTritonError):
    """A server's command line loads models that aren't there, or none."""


class NamesInNamespaces(PytestTritonError):
    """A server serves several models of one name, which the plugin can't distinguish."""


class NotForAttached(PytestTritonError):
    """Something was asked of a running server that only one of pytest's own could do."""


@dataclass(frozen=True, eq=False)
class CheckedDeployment:
    """A deployment that is to be checked: its repositories as they are on disk.

    `backends` are those of the servers that check it. From one that isn't `is_ours`, nothing can
    be held back: it serves what it serves. `own_backends` are names of the user's own backends.
    `line` is the command line of its servers; `not_loaded` are the models that it leaves out,
    which aren't in `repository`. `stated_release` is what is known before a server runs; where it
    is only assumed, `ask_release` asks one.
    """

    deployment: Deployment
    repository: Repository
    backends: Backends = "stand-in"
    is_ours: bool = True
    own_backends: tuple[str, ...] = ()
    line: CommandLine = NO_ARGUMENTS
    not_loaded: tuple[str, ...] = ()
    stated_release: ChosenRelease = NEWEST_KNOWN
    ask_release: Callable[[CheckedDeployment], ChosenRelease | None] | None = None

    @classmethod
    def read(
        cls,
        deployment: Deployment,
        line: CommandLine = NO_ARGUMENTS,
        *,
        backends: Backends = "stand-in",
        is_ours: bool = True,
        own_backends: tuple[str, ...] = (),
        stated_release: ChosenRelease = NEWEST_KNOWN,
        ask_release: Callable[[CheckedDeployment], ChosenRelease | None] | None = None,
        reading: Reading = AS_IT_IS,
        say: Say | None = to_standard_error,
    ) -> CheckedDeployment:
        """Read a deployment's repositories from disk, for a server with this command line.

        What is in object stores is fetched first, unless there is nobody to `say` that to: then it
        has been. Raises StoreError or RepositoryError for repositories that can't be read,
        NotLoaded for models that the command line names and that aren't there.
        """
        if deployment.stores:
            if say is not None:
                fetch_all(deployment.stores, say)
            if not reading.weights_given:
                reading = replace(reading, weights="elsewhere")
        everything = cls(
            deployment,
            read_as(
                deployment.paths,
                replace(reading, config_name=line.config_name, completes=line.completes),
            ),
            backends,
            is_ours,
            own_backends,
            line,
            stated_release=stated_release,
            ask_release=ask_release,
        )
        if line.namespacing:
            _check_namespaces(everything)
        return everything if line.loads is None else _loaded_only(everything, line.loads)

    @cached_property
    def release(self) -> ChosenRelease:
        """The release whose rules it is checked by: as stated, else what its server says."""
        if not self.stated_release.assumed or self.ask_release is None:
            return self.stated_release
        return self.ask_release(self) or self.stated_release

    @cached_property
    def declared(self) -> Mapping[str, Declared]:
        """What each model with a readable config declares, by name."""
        return self.predicted.declared

    @cached_property
    def predicted(self) -> PredictedModels:
        """What is predicted of the models."""
        return PredictedModels(self.repository.models, self.line.completes)

    @cached_property
    def completed_json(self) -> tuple[tuple[str, str], ...]:
        """What stand-ins know of the configs that real backends would complete."""
        return as_json(self.predicted.completed) if self.stand_ins else ()

    @cached_property
    def name(self) -> str:
        """What it is called in ledgers and plans."""
        return deployment_name(self.deployment.text) + self.values_suffix

    @property
    def values_suffix(self) -> str:
        """`@prod`, where a name is to say which values a deployment has; or ""."""
        return f"@{self.values}" if self.values else ""

    @property
    def values(self) -> str:
        """The name of the set of values that its templates got; "" for none, or the only one."""
        values = self.repository.reading.values
        return values.name if values is not None else ""

    @cached_property
    def model_in(self) -> Mapping[Path, Model]:
        """The models by their directories, and entries that are none: see `models_in`."""
        return {
            model.directory: model for models in self._by_repository.values() for model in models
        }

    @cached_property
    def config_hashes(self) -> Mapping[Path, str]:
        """What each model's config says, as one short text, by the model's directory."""
        return {model.directory: config_hash(model) for model in self.repository.models}

    @cached_property
    def identities(self) -> Mapping[str, str]:
        """What decides about each model, by name: a proof is for one identity."""
        return identities(self.repository.models, self.declared)

    @cached_property
    def stand_ins(self) -> tuple[str, ...]:
        """The backends that a rehearsal stands in for: all official ones, and the models' own."""
        if self.backends != "stand-in":
            return ()
        names = {*OFFICIAL_BACKENDS, *PUBLISHED_BACKENDS, *self.own_backends}
        for declared in self.declared.values():
            backend, runtime = declared.backend, declared.runtime.name
            if declared.runtime.is_own and is_backend_name(backend):
                names.add(backend)
            if runtime not in ("", PYTHON_RUNTIME) and backend in names and "/" not in runtime:
                names.add(f"{backend}/{runtime}")
        return tuple(sorted(names))

    @cached_property
    def traits(self) -> ServerTraits:
        """What is predicted for: a server that has Triton's backends and the user's own.

        Which backends a real server has, it says itself.
        """
        return self._traits_of(self.release)

    def _traits_of(self, release: ChosenRelease) -> ServerTraits:
        traits = self.line.traits(ServerTraits(version=release.version))
        if self.backends == "real":
            return traits
        return with_known_backends(traits, self.own_backends)

    @cached_property
    def excluded(self) -> Mapping[str, str]:
        """Models that no server is given, since it would not serve the others either: name -> why.

        Triton crashes on some configs, hangs on some directories, and its real python backend
        waits in vain for a model that has no file (seen with 2.51.0).
        """
        found: dict[str, str] = {}
        if not self.is_ours:
            return found
        for model in self.repository.models:
            if model.breaks_server and model.refusal is not None:
                found[model.name] = model.refusal.message
            elif self.backends == "real" and _lacks_python_file(model):
                found[model.name] = (
                    "a version directory has no python file, and Triton's python backend waits "
                    "for it without end: add 1/model.py, or rehearse (--triton-backends=stand-in)"
                )
        predicted, traits = self.predicted, self._traits_of(self.stated_release)
        for predictions in (predicted.on(NO_GPU, traits), predicted.on_ample_gpus(traits)):
            for name, prediction in predictions.items():
                refusal = prediction.refusal
                if refusal is not None and refusal.reason == "crash":
                    found[name] = f"Triton crashes on it: {refusal.text}"
                elif (
                    refusal is not None
                    and refusal.diagnostic in prediction.declared.scheduler_flaws
                ):
                    found[name] = f"Triton often crashes when it refuses it: {refusal.text}"
                elif prediction.placement.total > _MOST_INSTANCES:
                    found[name] = f"it declares {prediction.placement.total} instances"
        return found

    def refused_everywhere(self, model: str) -> Diagnostic | None:
        """The refusal on any hardware, also that of an ensemble for its models' sake."""
        return self.predicted.refused(self.traits).get(model)

    @cached_property
    def left_out(self) -> tuple[Path, ...]:
        """What no server must see of the repositories."""
        models = self.repository.models
        paths = [model.directory for model in models if model.name in self.excluded]
        paths += [problem.path for problem in self.repository.problems]
        return tuple(sorted(paths))

    @cached_property
    def shadowed(self) -> tuple[Path, ...]:
        """The models' own libraries, which a rehearsal stands in for as for all others."""
        if self.backends != "stand-in":
            return ()
        return tuple(
            sorted(path for model in self.repository.models for path in model.own_libraries)
        )

    @cached_property
    def lacks_only_files(self) -> bool:
        """Whether all of its models would load somewhere if missing files were assumed."""
        reading = self.repository.reading
        if reading.assumes_files or self.backends != "stand-in" or not self._refuses_any:
            return False
        assuming = CheckedDeployment.read(
            self.deployment,
            self.line,
            own_backends=self.own_backends,
            stated_release=self.stated_release,
            reading=replace(reading, weights="elsewhere"),
            say=None,
        )
        return not assuming._refuses_any

    @property
    def _refuses_any(self) -> bool:
        """Whether anything is refused on any hardware."""
        models = self.repository.models
        refused = self.predicted.refused(self.traits)
        return bool(self.repository.problems or refused or any(one.refusal for one in models))

    @cached_property
    def added(self) -> tuple[Added, ...]:
        """What servers are to see besides what is on disk."""
        return tuple(one for model in self.repository.models for one in model.added)

    @cached_property
    def _by_repository(self) -> Mapping[Path, Sequence[Model]]:
        found: dict[Path, list[Model]] = {path: [] for path in self.deployment.paths}
        for model in self.repository.models:
            found[model.repository].append(model)
        for problem in self.repository.problems:
            found[problem.path.parent].append(_broken_entry(problem))
        return found

    def models_in(self, repository: Path) -> Sequence[Model]:
        """What stands in one of the deployment's repositories for a model, by name.

        Beside the models, entries that keep Triton from reading the repository at all: their
        test_config fails.
        """
        return self._by_repository[repository]


@dataclass(frozen=True)
class Seen:
    """What one server made of a deployment, beside what was predicted of just that server.

    `facts` and `traits` are the server's, the latter its release and build; `run` says whether it
    is a real run or a rehearsal. `notes` are what else is worth a note on an attached one: the
    GPUs that it reports, and what else it serves. `crashed` are models that it wasn't given, since
    it crashes on them, with what was seen.
    """

    facts: ServerFacts
    traits: ServerTraits
    run: str
    observed: Mapping[str, Observed]
    predicted: Mapping[str, Prediction]
    notes: tuple[str, ...] = ()
    crashed: Mapping[str, str] = field(default_factory=dict)

    @property
    def server(self) -> str:
        return self.facts.description


_ReadKey = tuple[tuple[Path, ...], Backends, bool, CommandLine, ChosenRelease, Reading]

Everywhere = Mapping[HardwareRequest, Mapping[str, Prediction]]
"""The predictions of all models, for each hardware of a run."""


class PollRefusal(NamedTuple):
    """Triton's text about a model that it did not even try to load."""

    server: str
    text: str


class TritonSession:
    """The deployments of this run, their servers, and what those were seen to do.

    `worker` is the xdist worker's name, "" without xdist; the pool is then the controller's.
    `keeps_servers`: there are tests that may want the servers of the checks as well.
    """

    def __init__(
        self,
        settings: Settings,
        pool: Pool | None = None,
        worker: str = "",
        say: Say = to_standard_error,
    ) -> None:
        self.settings = settings
        self._say = None if worker else say  # the controller has fetched already
        self._fetched: set[tuple[Store, ...]] = set()
        self.pool: Pool = ServerPool() if pool is None else pool
        self.worker = worker
        self._read: dict[_ReadKey, CheckedDeployment] = {}
        self._audited: dict[CheckedDeployment, Mapping[Path | None, Sequence[Diagnostic]]] = {}
        self._looked: dict[RunningServer, Seen] = {}
        self._hardware: dict[RunningServer, Hardware] = {}
        self._seen: dict[tuple[CheckedDeployment, HardwareRequest], Seen | PytestTritonError] = {}
        self._launched: set[CheckedDeployment] = set()
        self._releases: dict[tuple[Version | None, Host], ChosenRelease] = {}
        self._crashing: dict[CheckedDeployment, frozenset[str]] = {}
        self.keeps_servers = False
        self._predicted: dict[tuple[CheckedDeployment, ServerTraits], Everywhere | None] = {}
        self._runs: dict[tuple[CheckedDeployment, HardwareRequest], str] = {}
        self._reported: set[str] = set()
        # By the models' directories, and the names of their values.
        self.about_models: dict[tuple[Path, str], CheckResult] = {}

    @cached_property
    def deployments(self) -> tuple[CheckedDeployment, ...]:
        """Read from disk at the first use. Raises PytestTritonError for a bad repository."""
        line = command_line(self.settings)
        return tuple(
            self.checked(one, line=line, values=values)
            for one in self.settings.repo
            for values in self.value_sets or (None,)
        )

    @cached_property
    def value_sets(self) -> tuple[ValueSet, ...]:
        """The values for templates: each set makes deployments of its own."""
        return value_sets(self.settings.values)

    def checked(
        self,
        deployment: Deployment,
        settings: Settings | None = None,
        *,
        line: CommandLine | None = None,
        values: ValueSet | None = None,
    ) -> CheckedDeployment:
        """A deployment with its repositories read from disk, at its first use.

        With the command line of the bundled checks, it has the models that this loads only; a
        test may load others. Templates get `values`, by default the first set of the settings.
        Raises PytestTritonError for a bad repository.
        """
        settings = settings or self.settings
        if line is None:
            line = command_line(settings).without(("model-control-mode", "load-model"))
        release, is_ours = self._stated_release(settings), settings.host.is_ours
        values = values or next(iter(value_sets(settings.values)), None)
        given = settings.sources["weights"] != "default"
        reading = Reading(settings.weights, values, weights_given=given)
        key = (deployment.paths, settings.backends, is_ours, line, release, reading)
        if key not in self._read:
            self._read[key] = CheckedDeployment.read(
                deployment,
                line,
                backends=settings.backends,
                is_ours=is_ours,
                own_backends=settings.own_backends,
                stated_release=release,
                ask_release=self._release_of_server,
                reading=reading,
                say=None if deployment.stores in self._fetched else self._say,
            )
            self._fetched.add(deployment.stores)
        return self._read[key]

    def check_values(self) -> None:
        """Raise ValuesUnused for a value that no template uses."""
        for values in self.value_sets:
            repositories = [
                one.repository
                for one in self.deployments
                if one.repository.reading.values == values
            ]
            check_used(repositories, values)

    def _stated_release(self, settings: Settings) -> ChosenRelease:
        """Looked up once for each host: each test with a server asks."""
        key = (settings.release, settings.host)
        if key not in self._releases:
            self._releases[key] = release_of(settings)
        return self._releases[key]

    def _release_of_server(self, checked: CheckedDeployment) -> ChosenRelease | None:
        """What the server says of itself; None if there is none, or it says nothing."""
        try:
            version = self.seen(checked, self.settings.gpus[0]).traits.version
        except PytestTritonError:
            return None
        return ChosenRelease(version, THE_SERVER) if any(version) else None

    def check_patterns(self) -> None:
        """Raise PatternUnused for a pattern that names no model: most likely it is mistyped."""
        names = [m.name for checked in self.deployments for m in checked.repository.models]
        given = [("triton_allow_fallback", pattern) for pattern in self.settings.allow_fallback]
        given += [("triton_expect", expectation.pattern) for expectation in self.settings.expect]
        for option, pattern in given:
            source = self.settings.sources[option.removeprefix("triton_")]
            if self.settings.repo_replaced and source == "ini file":
                continue  # meant for the repositories of the ini file, which aren't checked now
            if not any(fnmatchcase(name, pattern) for name in names):
                raise PatternUnused(
                    f"{option}: no model is called {pattern!r}",
                    tried=[f"the models that there are: {', '.join(names[:20])}"],
                    fix="correct the pattern, or remove it if the model is gone",
                )

    def audited(self, checked: CheckedDeployment) -> Mapping[Path | None, Sequence[Diagnostic]]:
        """What the audit finds that no other check reports, by the directory of the model it is
        about; under None what is about all of them. Audited at the first use.
        """
        if checked not in self._audited:
            self._audited[checked] = _audit(checked, self.settings)
        return self._audited[checked]

    def spec(
        self,
        checked: CheckedDeployment,
        hardware: HardwareRequest,
        settings: Settings | None = None,
    ) -> ServerSpec:
        """The server that checks a deployment on some hardware; other `settings` are a test's.

        Raises NotForAttached for what a running server can't be made into.
        """
        settings = settings or self.settings
        host = settings.host
        if not host.is_ours:
            return _attached_spec(checked, hardware, settings)
        if hardware.is_own:
            raise NotForAttached(
                "gpus='own' are those of a running server, and this one is started by pytest",
                fix="name the running server's URL, or other hardware",
            )
        return ServerSpec(
            repositories=checked.deployment.paths,
            hardware=hardware,
            host=host,
            timeout=settings.timeout,
            stand_ins=checked.stand_ins,
            completed=checked.completed_json,
            left_out=tuple(sorted({*checked.left_out, *self._of_other_shards(checked)})),
            arguments=server_arguments(settings).arguments,
            environment=settings.environment,
            load=command_line(settings).loads if settings.load is None else settings.load,
            shadowed=checked.shadowed,
            added=checked.added,
        )

    def run_of(self, checked: CheckedDeployment, hardware: HardwareRequest) -> str:
        """What a server with this hardware would be: a real run, a rehearsal; "" for none."""
        key = (checked, hardware)
        if key not in self._runs:
            try:
                self._runs[key] = self.spec(checked, hardware).run
            except PytestTritonError:
                self._runs[key] = ""
        return self._runs[key]

    def _of_other_shards(self, checked: CheckedDeployment) -> Iterator[Path]:
        """Models that this run isn't about, so that its servers needn't load them."""
        shard = self.settings.shard
        if shard is None:
            return
        models = checked.repository.models
        steps = {name: one.steps for name, one in checked.declared.items()}
        kept = needed((model.name for model in models if shard.holds(model.name)), steps)
        yield from (model.directory for model in models if model.name not in kept)

    def seen(self, checked: CheckedDeployment, hardware: HardwareRequest) -> Seen:
        """What a server with this hardware made of the deployment's models.

        The first call starts the servers for all hardware of the run, side by side. Raises the
        PytestTritonError that kept the server from answering, at every call.
        """
        key = (checked, hardware)
        if key not in self._seen:
            self._launch(checked, hardware)
            if not checked.stated_release.assumed:
                self.audited(checked)  # needs no server: done while they start
            try:
                self._seen[key] = self._look(checked, self.spec(checked, hardware))
            except PytestTritonError as error:
                self._seen[key] = error
        seen = self._seen[key]
        if isinstance(seen, PytestTritonError):
            raise seen.with_traceback(None)
        return seen

    def _launch(self, checked: CheckedDeployment, first: HardwareRequest) -> None:
        """Start the servers for all hardware of the run, once: those that were seen may have ended.

        The `first` is wanted at once, and there may be more than can run side by side.
        """
        if checked not in self._launched:
            self._launched.add(checked)
            everything = dict.fromkeys((first, *self.settings.gpus))
            self.pool.launch([self.spec(checked, hardware) for hardware in everything])

    def predicted_everywhere(
        self, checked: CheckedDeployment, server: ServerTraits
    ) -> Everywhere | None:
        """What is predicted of each hardware of the run, on servers like this one.

        None if real GPUs are among it and their server, which alone knows them, can't be asked.
        """
        key = (checked, server)
        if key not in self._predicted:
            try:
                self._predicted[key] = {
                    request: self._predicted_on(request, checked, server)
                    for request in self.settings.gpus
                }
            except PytestTritonError:
                self._predicted[key] = None
        return self._predicted[key]

    def _predicted_on(
        self, request: HardwareRequest, checked: CheckedDeployment, server: ServerTraits
    ) -> Mapping[str, Prediction]:
        hardware = request.hardware()
        if hardware is None:
            return self.seen(checked, request).predicted
        return checked.predicted.on(hardware, server)

    def poll_refusal(self, checked: CheckedDeployment, model: str) -> PollRefusal | None:
        """Triton's own word on a model's config; None if it took it, or no server can be had."""
        for hardware in self.settings.gpus[:1]:
            try:
                seen = self.seen(checked, hardware)
            except PytestTritonError:
                return None  # test_placement fails with this error; the config is still looked at
            observed = seen.observed.get(model)
            refusal = observed.refusal if observed is not None else None
            if (
                refusal is not None
                and refusal.stage == "poll"
                and refusal.reason not in ("ensemble", "agent-missing")
                and self.by_run_release(checked, seen, model) is None
            ):
                return PollRefusal(seen.server, refusal.text)
        return None

    def by_run_release(
        self, checked: CheckedDeployment, seen: Seen, model: str
    ) -> Prediction | None:
        """What the run's release makes of a model that this server refuses for another reason.

        None if that is the same: mostly because the server is of that release.
        """
        predicted = seen.predicted.get(model)
        if predicted is None or predicted.refusal is None:
            return None
        if seen.traits.version == checked.release.version:
            return None
        needed = with_models(model, checked.declared)
        traits = replace(seen.traits, version=checked.release.version)
        found = predict_all(needed, predicted.hardware, server=traits)[model]
        same = found.refusal is not None and found.refusal.reason == predicted.refusal.reason
        return None if same else found

    def was_reported(self, what: PytestTritonError | str) -> bool:
        """Whether this error or text was reported before; from now on it was."""
        known = str(what) in self._reported
        self._reported.add(str(what))
        return known

    def close(self) -> None:
        self.pool.close()

    def look_at(self, checked: CheckedDeployment, server: RunningServer) -> Seen:
        """What a running server made of the deployment's models, asked once.

        Raises PytestTritonError if it can't be asked, or lacks GPUs that it was to have.
        """
        if server not in self._looked:
            self._looked[server] = look(checked, server, self.hardware_of(server))
        return self._looked[server]

    def hardware_of(self, server: RunningServer) -> Hardware:
        """The GPUs that a running server has, asked once. Raises PytestTritonError."""
        from pytest_triton.evidence.usable_gpus import hardware_of

        if server not in self._hardware:
            self._hardware[server] = hardware_of(server)
        return self._hardware[server]

    def _look(self, checked: CheckedDeployment, spec: ServerSpec) -> Seen:
        try:
            return self._look_once(checked, spec)
        except ServerExited as error:
            if error.cause != "crash":
                raise
            return self._look_without_culprits(checked, spec, error)

    def _look_without_culprits(
        self, checked: CheckedDeployment, spec: ServerSpec, error: ServerExited
    ) -> Seen:
        """What a server makes of the models but those that it crashes on.

        Raises the error of the first crash if no models can be found to leave out.
        """
        parts = Parts.of(spec, checked.repository.models)
        known = self._crashing.get(checked, frozenset())
        suspects = [name for name in parts.names if name not in known]

        def lives(names: frozenset[str], attempt: int) -> bool:
            part = parts.only(names, attempt + 1)
            try:
                self.pool.get(part)
            except ServerExited as again:
                if again.cause != "crash":
                    raise
                return False
            self.pool.release(part)
            return True

        found = find_culprits(suspects, lives)
        culprits = known | found.names
        self._crashing[checked] = culprits
        rest = frozenset(parts.names) - culprits
        for attempt in range(SAME_AGAIN if rest else 0):
            try:
                seen = self._look_once(checked, parts.only(rest, attempt + 1))
            except ServerExited as again:
                if again.cause != "crash":
                    raise
                continue
            notes = (*seen.notes, crash_note(spec, culprits, found))
            return replace(seen, notes=notes, crashed=crash_texts(found, known, error))
        raise error

    def _look_once(self, checked: CheckedDeployment, spec: ServerSpec) -> Seen:
        seen = self.look_at(checked, self.pool.get(spec))
        if spec.stand_ins and not self.keeps_servers:
            self.pool.release(spec)
        return seen


def _audit(
    checked: CheckedDeployment, settings: Settings
) -> Mapping[Path | None, Sequence[Diagnostic]]:
    from pytest_triton.audit import audit

    repositories = set(checked.repository.paths)
    found: dict[Path | None, list[Diagnostic]] = {}
    for finding in audit(
        checked.repository,
        target=settings.target,
        select=[rule for rules in settings.audit_select for rule in rules],
        ignore=settings.audit_ignore,
        server=ServerTraits(version=checked.release.version),
        own_backends=settings.own_backends,
        line=checked.line,
        skip_reported=True,
        predicted=checked.predicted,
    ):
        directory = finding.path
        while directory not in repositories and directory.parent not in repositories:
            directory = directory.parent
        found.setdefault(None if directory in repositories else directory, []).append(finding)
    return found


def look(checked: CheckedDeployment, server: RunningServer, hardware: Hardware) -> Seen:
    """What a running server made of the deployment's models, by all evidence."""
    from pytest_triton.evidence.observe import observe, traits_of

    traits = traits_of(server)
    return Seen(
        facts=server_facts(server, hardware, traits),
        traits=traits,
        run=server.spec.run,
        observed=observe(server, [model.name for model in checked.repository.models]),
        predicted=checked.predicted.on(hardware, traits),
        notes=() if server.spec.host.is_ours else _notes(checked, server),
    )


def _notes(checked: CheckedDeployment, server: RunningServer) -> tuple[str, ...]:
    """What else is worth reporting of an attached server."""
    from pytest_triton.evidence.observe import served_models
    from pytest_triton.evidence.usable_gpus import reported_by

    known = {model.name for model in checked.repository.models}
    others = [name for name in served_models(server) if name not in known]
    notes = [f"{server.description}: {note}" for note in server.notes]
    notes.append(
        f"{server.description} reports: {reported_by(server)}; its log can't be read, so that one "
        "source shows where a model runs"
    )
    if others:  # not a failure: other projects may deploy to the same server
        shown = ", ".join(others[:_MOST_NAMES]) + (", ..." if len(others) > _MOST_NAMES else "")
        notes.append(
            f"{server.description} also has {len(others)} model{'s' if len(others) > 1 else ''} "
            f"that {checked.deployment.text} hasn't, not checked: {shown}"
        )
    return tuple(notes)


def _attached_spec(
    checked: CheckedDeployment, hardware: HardwareRequest, settings: Settings
) -> ServerSpec:
    need = ""
    if not hardware.holds_attached:
        need = f"gpus={str(hardware)!r}"
    elif checked.backends == "stand-in":
        need = "backends='stand-in'"
    if need:
        raise NotForAttached(
            f"This test wants {need}, and the server at {settings.server} is a running one, which "
            "has what it has.",
            fix="run this test without --triton-server, or give it a server of its own with "
            "server='process' (marker triton, make_triton_server)",
        )
    return ServerSpec(
        repositories=checked.deployment.paths,
        hardware=hardware,
        host=settings.host,
        timeout=settings.timeout,
    )


def _broken_entry(problem: Diagnostic) -> Model:
    return Model(
        name=problem.path.name,
        directory=problem.path,
        repository=problem.path.parent,
        config=model_config_type()(),
        config_file=None,
        versions=(),
        problems=(problem,),
        _anchor=problem.path,
    )


def _check_namespaces(checked: CheckedDeployment) -> None:
    counts = Counter(model.name for model in checked.repository.models)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise NamesInNamespaces(
            f"With --model-namespacing tritonserver serves several models called {twice[0]}, and "
            "pytest-triton knows models by their names.",
            fix="check the repositories one by one, with a --triton-repo each",
        )


def _loaded_only(checked: CheckedDeployment, loads: Sequence[str]) -> CheckedDeployment:
    """A deployment with those of its models only that its command line loads, by themselves or as
    part of an ensemble."""
    models = checked.repository.models
    names = sorted({model.name for model in models})
    missing = [name for name in loads if name not in names]
    if not loads or missing:
        what = "--model-control-mode=explicit without --load-model loads no model at the start"
        if missing:
            what = f"--load-model={missing[0]}: no model is called so"
        raise NotLoaded(
            f"{what}.",
            tried=[f"the models that there are: {', '.join(names[:_MOST_NAMES])}"],
            fix="correct the server's arguments"
            if missing
            else "name the models that production loads (--load-model=NAME, * for all); what is "
            "loaded later, through the API, can't be known here",
        )
    kept = needed(loads, {name: one.steps for name, one in checked.declared.items()})
    return replace(
        checked,
        repository=replace(
            checked.repository, models=tuple(model for model in models if model.name in kept)
        ),
        not_loaded=tuple(name for name in names if name not in kept),
    )


def _lacks_python_file(model: Model) -> bool:
    if model.backend != "python" or model.refusal is not None:
        return False
    file = model.config.default_model_filename or "model.py"
    versions = (model.directory / str(version) for version in model.versions_to_load)
    return any(not (version / file).is_file() for version in versions)
