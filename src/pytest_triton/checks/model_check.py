"""What the bundled checks ask about one model, answered with the text of a failure, or nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from msgspec.structs import replace as replace_fields

from pytest_triton.checks.audit_check import audit_findings, audit_text, is_suppressed
from pytest_triton.checks.drift_check import (
    BY_GRPC,
    DRIFT,
    NO_DRIFT,
    PLACED_BY_DRIFT,
    STEPS_FIRST,
    decides_placement,
    drift,
    drift_lines,
    not_served,
)
from pytest_triton.checks.drift_check import HEADLINE as DRIFT_HEADLINE
from pytest_triton.checks.invalid import first_invalid
from pytest_triton.checks.placement_result import declaration, hardware_facts, placement_fields
from pytest_triton.checks.result import NO_HARDWARE, CheckResult, ConfigFacts, Unproven
from pytest_triton.checks.unserved import HEADLINE, Unserved, unserved
from pytest_triton.errors import PytestTritonError
from pytest_triton.placement.advice import (
    Advice,
    advise,
    advise_on_verdict,
    instance_group_lines,
)
from pytest_triton.placement.compare import Observed, Verdict, compare
from pytest_triton.placement.declared import Declared, DeclaredGroup
from pytest_triton.placement.hardware import NO_GPU, HardwareRequest
from pytest_triton.placement.instances import Kind
from pytest_triton.placement.predict import ServerTraits, ample_gpus, predict
from pytest_triton.placement.refusal import shown_reason
from pytest_triton.placement.unserved import with_models
from pytest_triton.repository.near_misses import CONFIG_MISNAMED
from pytest_triton.repository.refusals import shown_problem
from pytest_triton.text.paths import url_of_copy
from pytest_triton.text.wrapping import wrapped

if TYPE_CHECKING:
    from pytest_triton.checks.checked_deployment import CheckedDeployment
    from pytest_triton.checks.run import Seen, TritonSession
    from pytest_triton.options.settings import Settings
    from pytest_triton.placement.config_drift import Difference
    from pytest_triton.repository import Model


_WIDTH = 92  # characters a line of prose
# What a server lacks, by the reason of a refusal that says nothing of the model.
_LACKING: dict[str, Unproven] = {
    "backend-missing": "no backend",
    "agent-missing": "no repository agent",
}
_OF_GROUPS = ("cpu-with-gpus", "model-with-gpus", "gpu-id", "kind", "profile")
_ONLY_FILES = (
    "All that this repository lacks are files. If they are kept elsewhere (DVC, a store, ...),\n"
    "--triton-weights=elsewhere assumes them: placement needs none of them."
)
_NOT_LOADED = Advice(
    "The repository has this model, and the running server doesn't serve it: it was not deployed, "
    "not loaded, or could not be read (only the server's log says so). Deploy it and load it, or "
    "check the repository that the server really has."
)


_CRASHES = Advice(
    "It was left out, so that the other models could be proven. A server that loads it in "
    "production ends as well, with all its models: look for what is unusual in its config, such as "
    "very large dims, counts or warm-up data, and correct that."
)
_OTHER_RELEASE = Advice(
    "Run it on a server of that release: an image with its tag (--triton-image), or its "
    "tritonserver (--triton-binary). If the server's release is the one in production, name that "
    "one (--triton-release)."
)


@dataclass(frozen=True)
class Reported:
    """Nothing to add: another check of this session fails for the same cause. Never a proof."""

    reason: str


@dataclass(frozen=True)
class NothingToSee:
    """What is asked for can't be seen, and that is no failure. Never a proof."""

    reason: str


@dataclass(frozen=True)
class FailingStep:
    """A model that an ensemble is made of, and why its own check fails."""

    model: Model
    headline: str

    @property
    def name(self) -> str:
        return self.model.name

    def __str__(self) -> str:
        return f"its model {self.name}: {self.headline}"


Answer = str | Reported | NothingToSee
"""The text of a failure, "" when nothing is wrong."""


class Runs(Protocol):
    """Whether the session runs a check, and would be failed by it."""

    def __call__(self, model: Model, test: str, hardware: HardwareRequest | None) -> bool:
        """`test` is its function's name."""


class ModelCheck:
    """One model under check: each question gets an `Answer`.

    `result` says what was found, once a question was answered. `runs` says which other checks
    there are, so that one cause is one failure.
    """

    def __init__(
        self,
        model: Model,
        checked: CheckedDeployment,
        session: TritonSession,
        start: Path,
        runs: Runs,
    ) -> None:
        self.model = model
        self._runs = runs
        self._checked = checked
        self._session = session
        self._start = start
        self._seen: Seen | None = None
        self._verdict: Verdict | None = None
        self._unproven: Unproven = ""
        self._reported_elsewhere = ""
        self._findings: tuple[str, ...] = ()
        self._notes: tuple[str, ...] = ()

    # --- the three questions -----------------------------------------------------------------

    def config_failure(self) -> Answer:
        """Why Triton would not take the config on any hardware."""
        answer = self._config_failure()
        if isinstance(answer, str) and answer and self._checked.lacks_only_files:
            return f"{answer}\n\n{_ONLY_FILES}"
        return answer

    def _config_failure(self) -> Answer:
        problems = [p for p in self.model.problems if p.refuses]
        said = self._triton_on_config()
        if problems:
            return "\n\n".join([*map(str, problems), *said])
        declared = self._checked.declared.get(self.model.name)
        if declared is None:
            return "\n\n".join([f"the config can't be read: {self._place}", *said])
        refused = self._checked.refused_everywhere(self.model.name)
        if refused is not None:
            cause = first_invalid(self.model, self._checked)
            if cause is not self.model and self._runs(cause, "test_config", None):
                return self._reported(
                    f"its model {cause.name} is invalid, see test_config of {cause.name}"
                )
            return "\n".join(
                [
                    "Triton refuses this model on any hardware",
                    "",
                    shown_problem(refused),
                    "",
                    f"  predicted  {shown_reason(refused.reason or 'other')}",
                    f"  Triton     {refused.triton}",
                    *said,
                ]
            )
        if self.model.name in self._checked.excluded:
            return _text(
                "can't be served beside other models, so no server was given it",
                [self._config_fact, ("why", self._checked.excluded[self.model.name])],
                "",
                None,
            )
        return "\n\n".join(said)

    def explicit_placement_failure(self) -> Answer:
        """How the model could land where nobody declared it, or what it should have declared."""
        declared = self._checked.declared.get(self.model.name)
        if declared is None or not (declared.backend or declared.is_ensemble):
            return self._nothing_to("check")
        refused = self._checked.refused_everywhere(self.model.name)
        misnamed = any(one.name == CONFIG_MISNAMED for one in self.model.problems)
        if misnamed or (refused is not None and refused.reason not in _OF_GROUPS):
            explicit = misnamed or declared.is_explicit
            return "" if explicit else self._nothing_to("check")  # no advice on what never loads
        unexpected = self._unexpected_kinds(declared)
        if unexpected:
            return unexpected
        if declared.is_explicit or self._allowed:
            return ""
        sound = declared.sound  # flaws are test_config's
        server = ServerTraits(version=self._checked.release.version)
        on_cpu = predict(sound, NO_GPU, server=server)
        on_gpus = predict(sound, ample_gpus([sound], at_least=2), server=server)
        fallback = on_cpu.fallback
        misleading = any(group.kind == "AUTO" and group.gpus for group in declared.groups)
        if not fallback and not misleading:
            return ""  # tensorrt, for one, refuses a CPU instance: nothing can land there
        return _text(
            "may fall back to the CPU unnoticed"
            if fallback
            else "leaves the kind to Triton (KIND_AUTO)",
            [
                self._config_fact,
                ("declared", _declaration(declared)),
                ("no GPU", f"{on_cpu}"),
                ("2 GPUs", f"{on_gpus}"),
            ],
            on_cpu.refusal.text if on_cpu.refusal else "",
            advise(declared, on_cpu),
            [
                f"Or, if this model may run on the CPU: triton_allow_fallback = {self.model.name}",
                "(in pytest's ini file; patterns such as tokenizer_* are allowed)"
                + (
                    ", or a comment in\nthe config: # triton: ignore-file TRT101, TRT102"
                    if self.model.config_file is not None
                    else ""
                ),
            ]
            if fallback
            else [],
        )

    def audit_failure(self) -> Answer:
        """What the audit finds that no other check reports; what is less than an error is noted."""
        declared = self._checked.declared.get(self.model.name)
        if declared is None or not (declared.backend or declared.is_ensemble):
            return self._nothing_to("audit")
        found = audit_findings(
            self._session, self._checked, self.model, fallback_allowed=self._allowed
        )
        self._findings = tuple(map(str, found))
        errors = [finding for finding in found if finding.severity == "error"]
        return "\n\n".join(
            audit_text(finding, self._start, self.model.config_file) for finding in errors
        )

    def placement_failure(self, hardware: HardwareRequest) -> Answer:
        """How what a server did differs from what Triton's rules say."""
        declared = self._checked.declared.get(self.model.name)
        excluded = self._checked.excluded
        if declared is None or self.model.refusal is not None or self.model.name in excluded:
            self._unproven = "not served"
            return self._nothing_to("place")
        seen = self._session.seen(self._checked, hardware)
        if seen.crashed:
            answer = self._crashed(seen, hardware)
            if answer is not None:
                return answer
        predicted = seen.predicted[self.model.name]
        observed = seen.observed[self.model.name]
        verdict = compare(declared, predicted, observed)
        cause = None
        if declared.is_ensemble and not observed.ready and (not verdict.ok or hardware.is_own):
            cause = self._failing_step(seen, hardware)
        self._seen, self._verdict = seen, verdict
        self._notes = tuple([note for note in seen.notes if not self._session.was_reported(note)])
        lacking = self._lacking(observed)
        nowhere = None
        by_release = self._session.by_run_release(self._checked, seen, self.model.name)
        if verdict.ok and by_release is not None:
            self._unproven = "other release"
            return _text(
                "not proven: the server is of another release, which refuses the model itself",
                [
                    self._config_fact,
                    ("hardware", hardware.label),
                    ("predicted", f"{by_release}  (release {self._checked.release})"),
                    ("observed", f"{observed}  ({observed.proof_text})"),
                    ("server", f"{seen.server}, {seen.run}"),
                ],
                observed.refusal.text if observed.refusal else "",
                _OTHER_RELEASE,
            )
        if verdict.ok and not lacking:
            nowhere = unserved(
                self.model.name,
                predicted,
                hardware,
                self._checked,
                self._session,
                config_is_checked=self._runs(self.model, "test_config", None),
            )
        self._unproven = lacking
        advice = None
        unwanted = hardware.is_own and observed.refusal is not None  # even if as predicted
        if not self._checked.is_ours and (unwanted or not verdict.ok):
            left = self._left_on_attached(cause, observed, hardware)
            if left is not None:
                return left
            advice = self._advice_on_deployed(observed)
        if not self._checked.is_ours and not observed.ready and observed.refusal is None:
            headline, advice = f"not loaded on this server ({observed.state})", _NOT_LOADED
            verdict = self._verdict = replace(verdict, ok=False, headline=headline)
        elif unwanted and verdict.ok:
            headline = f"deployed, and not served: {observed.refusal}"
            advice = advice or not_served(observed)
            verdict = self._verdict = replace(verdict, ok=False, headline=headline)
        elif (
            not verdict.ok
            and self._refused_at_poll(observed)
            and self._runs(self.model, "test_config", None)
        ):
            return self._reported("Triton refuses the config, see test_config")
        if cause is not None and self._runs(cause.model, "test_placement", hardware):
            return self._reported(
                f"its model {cause.name} isn't served, see test_placement[{hardware.id}] of "
                f"{cause.name}"
            )
        if verdict.ok and not lacking:
            return self._unserved(nowhere, hardware) if nowhere is not None else ""
        label = hardware.label
        if hardware.is_own:
            label += f": {predicted.hardware.label}"
        return _text(
            f"not proven: the server has {lacking} for it" if lacking else verdict.headline,
            [
                self._config_fact,
                ("hardware", label),
                ("declared", _declaration(declared)),
                ("predicted", str(predicted)),
                ("observed", f"{observed}  ({observed.proof_text})"),
                *(("evidence", str(one)) for one in observed.observations),
                *([("cause", str(cause))] if cause is not None else []),
                ("server", f"{seen.server}, {seen.run}"),
            ],
            observed.refusal.text if observed.refusal else "",
            advice or advise_on_verdict(verdict) or advise(declared, predicted),
        )

    def deployed_config_failure(self) -> Answer:
        """How the config that a running server has deployed differs from the repository's."""
        declared = self._checked.declared.get(self.model.name)
        if declared is None:
            return self._nothing_to("compare")
        hardware = self._session.settings.gpus[0]
        try:
            seen = self._session.seen(self._checked, hardware)
            deployed = self._session.deployed(self._checked)
        except PytestTritonError as error:
            if not self._runs(self.model, "test_placement", hardware):
                return self.no_answer(error)
            return self._reported(f"no server to ask, see test_placement[{hardware.id}]")
        observed = seen.observed[self.model.name]
        if not observed.ready:
            if observed.refusal is None:
                if self._runs(self.model, "test_placement", hardware):
                    return self._reported(
                        f"not loaded on this server, see test_placement[{hardware.id}]"
                    )
                return f"not loaded on this server ({observed.state})\n\n{_NOT_LOADED.cause}"
            return NothingToSee("refused by the server, which reports no config of such a model")
        if self.model.name not in deployed.configs:
            return NothingToSee("its name can't be asked for over HTTP: attach by grpc://")
        found = drift(self.model, deployed)
        if not found:
            return ""
        facts = [("config", self._place_of(found)), ("server", seen.server)]
        more = [*drift_lines(found), "", *wrapped(DRIFT.cause, _WIDTH)]
        return _text(DRIFT_HEADLINE, facts, "", None, more)

    def no_answer(self, error: PytestTritonError) -> str:
        """Why no server could be asked: in full the first time, then in a line."""
        self._unproven = "no server"
        if self._session.was_reported(error):
            return f"no server to ask: {error.what.splitlines()[0]} (reported in full above)"
        return f"no server to ask\n\n{error}"

    def result(self, test: str, hardware: HardwareRequest | None, *, failed: bool) -> CheckResult:
        """What the check `test` of this model has found, for reports.

        Finding the config's line takes longer than all else here, so that only failures have it.
        """
        asked = hardware or self._session.settings.gpus[0]
        about = self._about
        config = replace_fields(about.config, line=self._line) if failed else about.config
        placement: dict[str, Any] = {}
        if self._seen is not None and self._verdict is not None:
            placement = placement_fields(self._seen, self._verdict)
        return replace_fields(
            about,
            test=test,
            config=config,
            hardware=NO_HARDWARE if hardware is None else hardware_facts(hardware, self._verdict),
            unproven=self._unproven,
            reported_elsewhere=self._reported_elsewhere,
            findings=self._findings,
            notes=self._notes,
            **{"run": self._session.run_of(self._checked, asked), **placement},
        )

    # --- parts -------------------------------------------------------------------------------

    @property
    def _about(self) -> CheckResult:
        """What is the same in the results of all checks of this model."""
        known = self._session.about_models
        key = (self.model.directory, self._checked.values)
        if key not in known:
            known[key] = about_model(self.model, self._checked, self._session.settings, self._start)
        return known[key]

    @property
    def _place(self) -> str:
        return self._about.config.path

    @property
    def _line(self) -> int | None:
        """The line of the config's first instance_group, if it has one."""
        config_file = self.model.config_file
        position = config_file.position_of("instance_group") if config_file else None
        return position[0] if position is not None else None

    @property
    def _config_fact(self) -> tuple[str, str]:
        """Where to look: the config, at the line of its first instance_group if it has one."""
        line = self._line
        if self.model.config_file is None:
            return ("config", f"none: there is no config.pbtxt ({self._place})")
        return ("config", self._place if line is None else f"{self._place}:{line}")

    @property
    def _allowed(self) -> bool:
        return self._about.fallback_allowed

    def _unserved(self, nowhere: Unserved, hardware: HardwareRequest) -> Answer:
        """The model is READY on none of the run's hardware, so that nothing is proven."""
        self._unproven = "ready nowhere"
        for name in nowhere.models:
            model = next(one for one in self._checked.repository.models if one.name == name)
            if self._runs(model, "test_placement", hardware):
                return self._reported(
                    f"its model {name} is READY on none of this run's hardware, see "
                    f"test_placement[{hardware.id}] of {name}"
                )
        declared = _declaration(self._checked.declared[self.model.name])
        facts = [self._config_fact, ("declared", declared), *nowhere.facts]
        return _text(HEADLINE, facts, "", nowhere.advice, nowhere.more)

    @property
    def log_explains(self) -> bool:
        """Whether a server's log may show why the check fails: the server did something else."""
        return self._verdict is not None and (
            not self._verdict.ok or self._unproven in ("no backend", "no repository agent")
        )

    def _failing_step(self, seen: Seen, hardware: HardwareRequest) -> FailingStep | None:
        """Of an ensemble the model that isn't served, and whose own check fails for that."""
        models = {model.name: model for model in self._checked.repository.models}
        for name, declared in with_models(self.model.name, self._checked.declared).items():
            observed = seen.observed.get(name)
            if declared.is_ensemble or name not in models or observed is None or observed.ready:
                continue
            verdict = compare(declared, seen.predicted[name], observed)
            if not verdict.ok or self._lacking(observed) or hardware.is_own:
                return FailingStep(models[name], verdict.headline)
        return None

    def _crashed(self, seen: Seen, hardware: HardwareRequest) -> Answer | None:
        """A server crashes on the model, or a model that it is made of; None if of neither."""
        name = self.model.name
        if name in seen.crashed:
            self._unproven = "not served"
            self._notes = tuple(
                [note for note in seen.notes if not self._session.was_reported(note)]
            )
            return _text(
                "the server crashes on it",
                [
                    self._config_fact,
                    ("hardware", hardware.label),
                    ("declared", _declaration(self._checked.declared[name])),
                    ("server", f"{seen.server}, {seen.run}"),
                    ("why", seen.crashed[name]),
                ],
                "",
                _CRASHES,
            )
        for step in with_models(name, self._checked.declared):
            model = next(one for one in self._checked.repository.models if one.name == step)
            if step in seen.crashed and self._runs(model, "test_placement", hardware):
                return self._reported(
                    f"the server crashes on its model {step}, see test_placement[{hardware.id}] of "
                    f"{step}"
                )
        return None

    def _left_on_attached(
        self, cause: FailingStep | None, observed: Observed, hardware: HardwareRequest
    ) -> Reported | None:
        """The check of a running server that fails for the same cause, and runs as well."""
        refused = observed.refusal is not None and observed.refusal.reason == "ensemble"
        if refused and cause is not None and self._runs(cause.model, "test_placement", hardware):
            return self._reported(
                f"its model {cause.name} isn't loaded, see test_placement[{hardware.id}] of "
                f"{cause.name}"
            )
        if not observed.ready or not self._runs(self.model, "test_deployed_config", None):
            return None
        if not decides_placement(drift(self.model, self._session.deployed(self._checked))):
            return None
        self._unproven = "other config"
        return self._reported("another config is deployed, see test_deployed_config")

    def _advice_on_deployed(self, observed: Observed) -> Advice | None:
        """What is known of a running server that doesn't do what the repository says."""
        if observed.refusal is not None and observed.refusal.reason == "ensemble":
            return STEPS_FIRST
        deployed = self._session.deployed(self._checked)
        if self.model.name not in deployed.configs:
            return BY_GRPC if observed.ready else None
        found = drift(self.model, deployed)
        return PLACED_BY_DRIFT if decides_placement(found) else NO_DRIFT

    def _place_of(self, found: Sequence[Difference]) -> str:
        """The config, at the line of the first field that it has."""
        file = self.model.config_file
        places = (file.locate(one.field) for one in found) if file is not None else ()
        position = next((one for one in places if one is not None), None)
        return self._place if position is None else f"{self._place}:{position[0]}"

    def _reported(self, reason: str) -> Reported:
        """Leave a failure to another check of this session, and note that."""
        if self._unproven not in ("ready nowhere", "other config"):
            self._unproven = "reported elsewhere"
        self._reported_elsewhere = reason
        return Reported(reason)

    def _lacking(self, observed: Observed) -> Unproven:
        """What the server lacks for the model, "" if nothing: then a refusal proves nothing."""
        if observed.refusal is None or self._checked.refused_everywhere(self.model.name):
            return ""
        return _LACKING.get(observed.refusal.reason, "")

    def _refused_at_poll(self, observed: Observed) -> bool:
        """Whether test_config fails for what a server said of the config, as this check would."""
        refusal = observed.refusal
        if refusal is None or refusal.stage != "poll":
            return False
        return self._session.poll_refusal(self._checked, self.model.name) is not None

    def _nothing_to(self, verb: str) -> Answer:
        if self._runs(self.model, "test_config", None):
            what = "the model can't be served"
            if self.model.has_invalid_config:
                what = "config is invalid"
            return self._reported(f"{what}, see test_config")
        problems = [str(one) for one in self.model.problems if one.refuses]
        if self.model.name in self._checked.excluded and not problems:
            problems = [self._checked.excluded[self.model.name]]
        first = f"nothing to {verb}, since Triton can't take the model as it is"
        return "\n\n".join([first, f"  config  {self._place}", *problems])

    def _triton_on_config(self) -> Iterator[str]:
        """Triton's own verdict on a config that it refused while polling, if a server is had."""
        refusal = self._session.poll_refusal(self._checked, self.model.name)
        if refusal is not None:
            yield f"Triton ({refusal.server}) says:\n  {refusal.text}"

    def _unexpected_kinds(self, declared: Declared) -> str:
        kinds = {group.kind for group in declared.groups}
        for expectation in self._session.settings.expect:
            if not fnmatchcase(self.model.name, expectation.pattern) or kinds == expectation.kinds:
                continue
            wanted = " + ".join(sorted(expectation.kinds, reverse=True))
            return _text(
                f"is expected to declare {wanted}",
                [
                    self._config_fact,
                    ("declared", _declaration(declared)),
                    ("expected", f"{wanted} (triton_expect: {expectation.pattern})"),
                ],
                "",
                Advice(
                    "The project's own expectation isn't met: the config was changed, or the "
                    "expectation is out of date.",
                    instance_group_lines(_with_kinds(declared, expectation.kinds)),
                ),
            )
        return ""


def _with_kinds(declared: Declared, kinds: frozenset[Kind]) -> list[DeclaredGroup]:
    """The declared groups, changed so that just these kinds are there."""
    groups = [group for group in declared.groups if group.kind in kinds]
    others = [group for group in declared.groups if group.kind not in kinds]
    for kind in sorted(kinds - {group.kind for group in groups}, reverse=True):
        group = others.pop(0) if others else DeclaredGroup()
        groups.append(replace(group, kind=kind, gpus=group.gpus if kind == "GPU" else ()))
    return groups


def _declaration(declared: Declared) -> str:
    return "nothing (no instance_group)" if declared.summary == "nothing" else declared.summary


def _text(
    headline: str,
    facts: Sequence[tuple[str, str]],
    triton: str,
    advice: Advice | None,
    more: Sequence[str] = (),
) -> str:
    width = max(len(name) for name, _ in facts)
    lines = [headline, "", *(f"  {name:{width}}  {text}" for name, text in facts)]
    if triton:
        lines += [f"  {'Triton':{width}}  {triton}"]
    if advice is not None:
        lines += ["", *wrapped(advice.cause, _WIDTH)]
        if advice.lines:
            lines += ["", *("    " + line for line in advice.lines.splitlines())]
    if more:
        lines += ["", *more]
    return "\n".join(lines)


def about_model(
    model: Model, checked: CheckedDeployment, settings: Settings, start: Path
) -> CheckResult:
    """A result that says what is known of a model before any check."""
    here, anchor = f"{start}{os.sep}", str(model.anchor)
    inside = anchor.startswith(here)  # then this is what short_path() would find, far quicker
    near = inside and not url_of_copy(anchor)
    place = anchor[len(here) :] if near else short_path(model.anchor, start)
    return CheckResult(
        deployment=checked.name,
        model=model.name,
        test="",
        config=ConfigFacts(place, checked.config_hashes.get(model.directory, "")),
        declared=declaration(checked.declared.get(model.name)),
        identity=checked.identities.get(model.name, ""),
        fallback_allowed=any(fnmatchcase(model.name, one) for one in settings.allow_fallback)
        or is_suppressed(settings, checked, model),
        assumed=model.assumed_names,
        values=checked.values,
    )


def short_path(path: Path, start: Path) -> str:
    """The path as seen from `start`, if that is not longer."""
    relative = os.path.relpath(path, start)
    near = relative if len(relative) < len(str(path)) else str(path)
    return url_of_copy(str(path)) or near
