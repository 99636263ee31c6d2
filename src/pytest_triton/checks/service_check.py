"""Whether a deployed server comes up on its own hardware, and what it does without its GPUs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

from pytest_triton.checks.rehearsed_service import SeenService, ServiceRehearsal
from pytest_triton.checks.run import TritonSession
from pytest_triton.deployment.deployed_server import DeployedServer
from pytest_triton.deployment.image_variants import lacking_backends
from pytest_triton.deployment.noticing import ends_unseen, never_up, noticed_by
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.placement.outcome import SERVICES, ServiceOutcome
from pytest_triton.placement.predict import ServerTraits
from pytest_triton.placement.releases import shown_version
from pytest_triton.placement.unserved import fewest_gpus

_NEVER_UP = "TRT616"
_OTHER_FAULTS = ("TRT608", "TRT628")  # of the file itself, whatever a rehearsal shows
_MOST_LACKING = 10  # models whose backend an image lacks, in a text
_MOST_REFUSED = 10


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

    @cached_property
    def rehearsal(self) -> ServiceRehearsal:
        return ServiceRehearsal(self.deployed, self.session)

    def result(self) -> DeploymentResult:
        """What the real core showed. Raises PytestTritonError where it can't be asked."""
        rehearsal = self.rehearsal
        up = rehearsal.on_its_gpus()
        lost = rehearsal.without_gpus() if rehearsal.visible else None
        who = (
            ()
            if lost is None
            else noticed_by(self.deployed, lost.judged.service, lost.judged.refused)
        )
        return DeploymentResult(
            row=(
                f"{self.deployed.grant}{', 1 assumed' if rehearsal.assumed else ''}",
                _cell(up),
                self._lost_cell(lost),
                "; ".join(who) or "nobody" if lost is not None and who_matters(lost) else "",
                rehearsal.rehearsed_on(up if lost is None else lost),
            ),
            failure="\n\n".join(self._failures(up, lost)),
        )

    def _lost_cell(self, lost: SeenService | None) -> str:
        if lost is None:
            return "none to lose"
        return f"{_cell(lost)}{' (allowed)' if self._is_allowed(lost.judged) else ''}"

    def _is_allowed(self, outcome: ServiceOutcome) -> bool:
        """Whether all that falls back may do so (triton_allow_fallback)."""
        allowed = self.session.settings.allow_fallback
        return outcome.service == "unnoticed" and all(
            any(fnmatchcase(name, pattern) for pattern in allowed) for name in outcome.fallbacks
        )

    def _failures(self, up: SeenService, lost: SeenService | None) -> Iterator[str]:
        lacking = list(lacking_backends(self.deployed, self.rehearsal.checked.declared))
        if lacking:
            yield "\n".join(
                (
                    f"{self.deployed.name} doesn't come up: its image lacks backends, for which "
                    "stand-ins stand in a rehearsal.",
                    *(f"  {one}" for one in lacking[:_MOST_LACKING]),
                    *(
                        [f"  and {len(lacking) - _MOST_LACKING} more"]
                        * (len(lacking) > _MOST_LACKING)
                    ),
                )
            )
        yield from self._faults_of_the_file()
        yield from self._probes_that_fail()
        for one in (up, lost):
            if one is not None and one.seen.service != one.predicted.service:
                yield (
                    f"With {one.hardware} the server {_verb(one.seen.service)}, and Triton's rules "
                    f"predicted that it {_verb(one.predicted.service)}."
                )
        outcome = up.judged
        if outcome.service in ("stops", "not ready", "degraded"):
            yield "\n".join(self._refusals(up))
        if outcome.service == "unnoticed" and self.rehearsal.granted:
            yield "\n".join(
                (
                    f"{self.deployed.name} comes up on the CPU on its own hardware: "
                    f"{self.deployed.grant} granted, and Triton sees {up.hardware}.",
                    f"  on the CPU: {_names(outcome.fallbacks)}",
                    "  What to do: leave CUDA_VISIBLE_DEVICES out, or count from 0 in it.",
                )
            )
        if lost is None or outcome.service != "unaffected":
            return
        wanted = self.session.settings.on_gpu_loss.replace("-", " ")
        without = lost.judged
        if without.service == "unaffected" or self._is_allowed(without):
            return
        if without.service == "stops" and ends_unseen(self.deployed) and wanted != "unnoticed":
            yield (
                f"When its GPUs are lost, {self.deployed.name} stops, and nobody notices: its "
                "container goes on with other programs.\n"
                f"  refused: {_names(without.refused)}\n"
                "  What to do: let `exec tritonserver` be the command's last program, or let a "
                "probe or health check ask /v2/health/ready."
            )
        if SERVICES.index(without.service) > SERVICES.index(wanted):
            yield "\n".join(self._loss(without, wanted))

    def _refusals(self, up: SeenService) -> Iterator[str]:
        """Why it doesn't come up, model by model, and what to do if GPUs are all that it lacks."""
        refused = up.judged.refused
        yield (
            f"{self.deployed.name} doesn't come up on its own hardware ({up.hardware}): "
            f"the server {_verb(up.judged.service)}."
        )
        for name in refused[:_MOST_REFUSED]:
            yield f"  {name}: {_why_refused(up, name)}"
        if len(refused) > _MOST_REFUSED:
            yield f"  and {len(refused) - _MOST_REFUSED} more"
        fewest = self._fewest_gpus(refused)
        if fewest > self.rehearsal.visible:
            advice = self.rehearsal.advice_on_fewer(fewest)
            yield f"  {advice.cause}"
            if advice.lines:
                yield f"    {advice.lines}"

    def _fewest_gpus(self, names: Sequence[str]) -> int:
        """How many GPUs those of these models need that some number of GPUs serves."""
        declared = self.rehearsal.checked.declared
        known = (name for name in names if name in declared)
        traits = self.deployed.line.traits(ServerTraits(version=self.rehearsal.release.version))
        return max(
            (
                max(fewest_gpus(name, declared, traits) or 0, self.rehearsal.engines.get(name, 0))
                for name in known
            ),
            default=0,
        )

    def _probes_that_fail(self) -> Iterator[str]:
        """What probes that fail always make of the server; those that are suppressed as the
        audit's findings are left out."""
        served = self.rehearsal.checked.repository.versions_to_load
        found = list(never_up(self.deployed, served))
        if not found:
            return
        places = {(one.path, one.line, one.column) for one in self._findings(_NEVER_UP)}
        for place, text in found:
            if (place.path, place.line, place.column) in places:
                yield (
                    f"{text}\n  If another program answers there: # triton: ignore {_NEVER_UP} in "
                    "the file."
                )

    def _faults_of_the_file(self) -> Iterator[str]:
        """What the file asks for that a rehearsal doesn't show: GPUs that are hidden, an image
        without a server."""
        for one in self._findings(*_OTHER_FAULTS):
            yield (
                f"{one.message}.\n  {one.path}:{one.line}:{one.column}\n"
                f"  If that is known: # triton: ignore {one.rule} in the file."
            )

    def _findings(self, *rules: str) -> Sequence[Diagnostic]:
        """The audit's findings of some rules, without those that are suppressed."""
        from pytest_triton.audit.deployed import DeployedSubject
        from pytest_triton.audit.deployment_audit import audit_deployments
        from pytest_triton.audit.subject import Audited

        return audit_deployments(
            [DeployedSubject(self.deployed, Audited(self.rehearsal.checked.repository, None))],
            select=list(rules),
            ignore=self.session.settings.audit_ignore,
        )

    def _loss(self, seen: ServiceOutcome, wanted: str) -> Iterator[str]:
        yield (
            f"When its GPUs are lost, {self.deployed.name} {_verb(seen.service)}"
            + (f", and triton_on_gpu_loss is {wanted}." if wanted != "degraded" else ".")
        )
        if seen.fallbacks:
            yield f"  on the CPU: {_names(seen.fallbacks)}"
        if seen.refused:
            yield f"  refused: {_names(seen.refused)}"
        who = noticed_by(self.deployed, seen.service, seen.refused)
        yield f"  noticed by: {'; '.join(who) or 'nobody'}"
        if seen.service == "unnoticed":
            yield (
                "  What to do: declare instance_group [ { kind: KIND_GPU } ] in these models, so "
                "that the server refuses them."
            )
        elif not self.deployed.line.exits_on_error:
            yield "  What to do: leave out --exit-on-error=false: then the server ends."


def _why_refused(up: SeenService, name: str) -> str:
    if name in up.seen.refused:
        return up.placed[name]
    if name in up.engines:
        gpus = f"{up.engines[name]} GPU{'s' if up.engines[name] > 1 else ''}"
        return f"its engine needs {gpus} (assumed: a stand-in needs none)"
    return "refused by its own release"


def who_matters(lost: SeenService) -> bool:
    return lost.judged.service != "unaffected"


def _cell(one: SeenService) -> str:
    """What becomes of the service, and what the core of another release made of it."""
    if one.seen.service == one.judged.service:
        return one.seen.service
    if one.engines:
        return f"{one.judged.service} (assumed of engines that need GPUs)"
    return f"{one.judged.service} (predicted; {shown_version(one.version)}: {one.seen.service})"


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
