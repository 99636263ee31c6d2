"""What one run of pytest checks, and the servers that it does it with.

The way of a model: directory -> Model -> Declared -> predicted -> ServerSpec -> pool -> server ->
observed -> verdict. Everything but the pool is a value that is computed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pytest_triton.checks.checked_deployment import CheckedDeployment
from pytest_triton.checks.crash_search import SAME_AGAIN, find_culprits
from pytest_triton.checks.parts import Parts, crash_note, crash_texts
from pytest_triton.checks.placement_result import server_facts
from pytest_triton.checks.release import THE_SERVER, release_of
from pytest_triton.checks.result import CheckResult, ServerFacts
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.errors import PytestTritonError, says_all
from pytest_triton.options.hosts import AttachedHost, Host
from pytest_triton.options.production_arguments import command_line, server_arguments
from pytest_triton.options.reading import several_hint
from pytest_triton.options.settings import Backends, Settings
from pytest_triton.options.value_files import value_sets
from pytest_triton.options.values import Deployment
from pytest_triton.placement.command_line import CommandLine
from pytest_triton.placement.compare import Observed
from pytest_triton.placement.hardware import Hardware, HardwareRequest
from pytest_triton.placement.predict import (
    Prediction,
    ServerTraits,
    predict_all,
)
from pytest_triton.placement.releases import ChosenRelease, Version
from pytest_triton.placement.unserved import with_models
from pytest_triton.plan.sharding import needed
from pytest_triton.repository.reading import Reading
from pytest_triton.repository.stores import Say, Store, fetch_all, to_standard_error
from pytest_triton.repository.template_values import check_used
from pytest_triton.repository.templates import ValueSet
from pytest_triton.servers.pool import Pool, ServerPool
from pytest_triton.servers.running_server import RunningServer
from pytest_triton.servers.server_errors import ServerExited
from pytest_triton.servers.spec import ServerSpec

if TYPE_CHECKING:
    from pytest_triton.evidence.deployed import DeployedConfigs
    from pytest_triton.placement.advice import Advice


__tracebackhide__ = says_all

_MOST_NAMES = 20  # of models, in a note


class PatternUnused(PytestTritonError):
    """A pattern of triton_allow_fallback or triton_expect that no model's name fits."""


class NotForAttached(PytestTritonError):
    """Something was asked of a running server that only one of pytest's own could do."""


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
    `keeps_servers`: there are tests that may want the servers of the checks as well. `kept` are
    the servers that fixtures of broader scopes have now, by the fixture's name.
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
        self._deployed: dict[RunningServer, DeployedConfigs] = {}
        self._seen: dict[tuple[CheckedDeployment, HardwareRequest], Seen | PytestTritonError] = {}
        self._launched: set[CheckedDeployment] = set()
        self._releases: dict[tuple[Version | None, Host], ChosenRelease] = {}
        self._crashing: dict[CheckedDeployment, frozenset[str]] = {}
        self.keeps_servers = False
        self.kept: dict[str, RunningServer] = {}
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
        given = settings.sources.get("weights", "default") != "default"
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
                    fix=several_hint(option.removeprefix("triton_"), source, pattern)
                    or "correct the pattern, or remove it if the model is gone",
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

    def advice_on_fewer(self, fewest: int) -> Advice | None:
        """What to do where a model needs more GPUs than the run has; None: other options."""
        return None

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

    def deployed(self, checked: CheckedDeployment) -> DeployedConfigs:
        """What the attached server has deployed, asked once. Raises PytestTritonError."""
        from pytest_triton.evidence.deployed import deployed_configs

        server = self.pool.get(self.spec(checked, self.settings.gpus[0]))
        if server not in self._deployed:
            self._deployed[server] = deployed_configs(server)
        return self._deployed[server]

    def was_reported(self, what: PytestTritonError | str) -> bool:
        """Whether this error or text was reported before; from now on it was."""
        known = str(what) in self._reported
        self._reported.add(str(what))
        return known

    def fetch(self) -> None:
        """Make the copies of the object stores that deployments map. Raises StoreError."""
        stores = [one for _, one in self.settings.deployment_repo if isinstance(one, Store)]
        if stores and self._say is not None:
            fetch_all(stores, self._say)

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
        observed=observe(
            server,
            [model.name for model in checked.repository.models],
            {name: one.steps for name, one in checked.declared.items() if one.steps},
        ),
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
    notes.append(f"{server.description} reports: {reported_by(server)}; {_log_note(server)}")
    if others:  # not a failure: other projects may deploy to the same server
        shown = ", ".join(others[:_MOST_NAMES]) + (", ..." if len(others) > _MOST_NAMES else "")
        notes.append(
            f"{server.description} also has {len(others)} model{'s' if len(others) > 1 else ''} "
            f"that {checked.deployment.text} hasn't, not checked: {shown}"
        )
    return tuple(notes)


def _log_note(server: RunningServer) -> str:
    if isinstance(server.spec.host, AttachedHost) and server.spec.host.log is not None:
        return f"its log: {server.spec.host.log}"
    return (
        "its log can't be read (--triton-log names it), so that one source shows where a model runs"
    )


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
