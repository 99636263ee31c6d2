"""What a bundled check found: one value, serialized once, onto the test's report.

    check -> CheckResult -> report (as JSON, which also crosses xdist) -> terminal table, JUnit
    properties, ledger, and from that all reports

The report adds whether the test failed; a ledger's entry keeps both (`ledger.entries`). Everything
here is frozen, and fields that say nothing are left out of the JSON. `display` texts are made where
they are shown, from these values. No value can be part of a circle (`gc=False`): thousands of them
are kept to the end of a run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, cast

from msgspec import DecodeError, Meta, Struct, convert, to_builtins
from msgspec.json import Decoder, Encoder

from pytest_triton.placement.compare import READY, Proof
from pytest_triton.placement.declared import DeclaredGroup
from pytest_triton.placement.instances import Instances
from pytest_triton.placement.predict import ResolvedGroup
from pytest_triton.placement.refusal import Reason, Refusal
from pytest_triton.text.shown_text import node_name

REPORT_ATTRIBUTE: Final = "triton_result"
"""The attribute of a report that holds a CheckResult as JSON."""

PLACEMENT_TEST: Final = "test_placement"
DEPLOYMENT_TEST: Final = "test_deployment"
SERVICE: Final = "(server)"
"""Stands for a deployed server itself where others stand for its models."""
REAL_RUN: Final = "real run"

Number = Annotated[int, Meta(ge=0)]
Run = Annotated[
    str, Meta(description="`real run`, `attached server`, or `rehearsal (what is simulated)`.")
]
Unproven = Literal[
    "",
    "not served",
    "no server",
    "no backend",
    "no repository agent",
    "other release",
    "ready nowhere",
    "other config",
    "reported elsewhere",
]
"""Why nothing is proven: no server was given the model, no server could be asked, the server lacks
the model's backend or repository agent, the server is of another release than the run is about and
refuses what that one takes, the model is READY on none of the run's hardware, a running server has
another config of it deployed, or another check of the run fails for the same cause."""

NO_OBSERVATION: dict[Unproven, str] = {
    "not served": "not served (see test_config)",
    "reported elsewhere": "not served (see test_config)",
    "no server": "not proven",
}


class ServerGpu(Struct, frozen=True, omit_defaults=True, gc=False):
    """A GPU as the server sees it: `id` is what `gpus: [..]` in a config means."""

    id: Number
    name: str = ""
    uuid: str = ""


class ServerFacts(Struct, frozen=True, omit_defaults=True, gc=False):
    """The server that was asked. `version` is Triton's, empty if it did not report it; `arguments`
    are those of its command line that a user gave. `gpu_support` and `min_compute_capability`
    ("7.5") are those of its build."""

    description: str
    version: str
    image: str | None = None
    image_digest: str | None = None
    driver: str | None = None
    gpus: tuple[ServerGpu, ...] = ()
    arguments: tuple[str, ...] = ()
    gpu_support: bool = True
    min_compute_capability: str = ""


class HardwareFacts(Struct, frozen=True, omit_defaults=True, gc=False):
    """The hardware of a check: `spec` as --triton-gpus takes it (`none`, `2`, `0,1`, `sim:2`),
    `label` for people, `gpus` the number that the server had (null: no server reported it)."""

    spec: str = ""
    label: str = ""
    gpus: Number | None = None
    simulated: bool = False


NO_HARDWARE: Final = HardwareFacts()
"""Of a check that is about no hardware."""

OWN_HARDWARE: Final = "deployed: "
"""How the label of the hardware begins that a server of a deployment file has."""


def own_hardware(label: str) -> str:
    """`2 GPUs` of `deployed: 2 GPUs`; "" of other hardware."""
    return label.removeprefix(OWN_HARDWARE) if label.startswith(OWN_HARDWARE) else ""


class ConfigFacts(Struct, frozen=True, omit_defaults=True, gc=False):
    """The model's config: `path` as seen from where pytest ran, `line` that of its first
    instance_group (of failed checks only), `hash` of what it says, whatever its layout."""

    path: str
    hash: str
    line: Number | None = None


class Declaration(Struct, frozen=True, omit_defaults=True, gc=False):
    """What the config declares: its instance groups, or which sort of config has none."""

    kind: Literal["groups", "nothing", "ensemble", "unreadable", "service"]
    groups: tuple[DeclaredGroup, ...] = ()

    def __str__(self) -> str:
        """In a table's cell: `GPU + CPU x2`, `nothing`, `ensemble`, `unreadable`."""
        return " + ".join([group.summary for group in self.groups]) or self.kind


class Outcome(Struct, frozen=True, omit_defaults=True, gc=False):
    """What a model comes to on some hardware, predicted or observed.

    `placement` has the instances of a model that is served, `reason` (a class, as `no-gpu`) and
    `text` (Triton's own text) are those of a refusal. `state` is the repository index's, empty in
    a prediction. `fallback`: on the CPU only because there was no GPU.
    """

    placement: tuple[Instances, ...] = ()
    reason: str = ""
    text: str = ""
    state: str = ""
    fallback: bool = False
    groups: tuple[ResolvedGroup, ...] = ()

    @property
    def where(self) -> str:
        """In a few characters: `GPU 0 · CPU`, `refused: no GPU`, `ready` (an ensemble)."""
        if self.reason:
            return str(Refusal(cast("Reason", self.reason), self.text))
        if self.state not in ("", READY):
            return f"not ready ({self.state})"
        return " · ".join(map(str, self.placement)) or "ready"

    def __str__(self) -> str:
        return f"{self.where}  <- fallback" if self.fallback else self.where

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of its instances, each once: `GPU`, `CPU`, `MODEL`."""
        return tuple(dict.fromkeys(one.kind for one in self.placement))


class Evidence(Struct, frozen=True, omit_defaults=True, gc=False):
    """Something that was asked where the model runs, and what it reported."""

    name: str
    report: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.report}" if self.report else self.name


class CheckResult(Struct, frozen=True, omit_defaults=True, gc=False):
    """One bundled check of one model.

    `hardware` is that of a check that runs on some. `predicted`, `observed`, `headline`, `proof`,
    `evidence` and `server` belong to test_placement, once a server was asked; `unproven` says why
    one was not, or why its answer proves nothing. `reported_elsewhere` names the check that a
    skipped one left its failure to. `findings` are the audit's, `notes` what else is
    worth knowing about the server, each reported once in a run. `assumed` are files and version
    directories of the model that weren't there (`1/`, `labels.txt`) and were taken to be. `values`
    names the set of values that templates got, of several; it is part of the deployment's name.
    `deployed`: it is about a server of a deployment file, after which `deployment` is called.

    `identity` stands for all that decides about the model (`plan.identity`), `run` for what the
    server was, or would have been.
    """

    deployment: str
    model: str
    test: str
    config: ConfigFacts
    declared: Declaration
    identity: str = ""
    run: Run = ""
    hardware: HardwareFacts = NO_HARDWARE
    fallback_allowed: bool = False
    predicted: Outcome | None = None
    observed: Outcome | None = None
    headline: str = ""
    proof: Proof | None = None
    evidence: tuple[Evidence, ...] = ()
    server: ServerFacts | None = None
    unproven: Unproven = ""
    reported_elsewhere: str = ""
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    values: str = ""
    deployed: bool = False

    @property
    def column(self) -> str:
        """The table's column of a placement: its hardware, with the values if there are several."""
        return f"{self.values}: {self.hardware.label}" if self.values else self.hardware.label

    @property
    def repository(self) -> str:
        """The deployment, whatever the values."""
        return self.deployment.removesuffix(f"@{self.values}") if self.values else self.deployment

    @property
    def is_placement(self) -> bool:
        """Whether this is about where the model runs on some hardware."""
        return self.test == PLACEMENT_TEST and bool(self.hardware.spec)

    @property
    def is_fallback(self) -> bool:
        return self.observed is not None and self.observed.fallback

    @property
    def observation(self) -> str:
        """What a server did, in a table's cell; "" for a check that asks for no placement."""
        if self.observed is None:
            return NO_OBSERVATION.get(self.unproven, "")
        allowed = self.observed.fallback and self.fallback_allowed
        if self.unproven == "reported elsewhere":
            return "not served, as one of its models"
        if self.unproven == "ready nowhere":
            return f"{self.observed}  <- READY nowhere"
        return f"{self.observed} (allowed)" if allowed else str(self.observed)


# --- onto a report and back ---------------------------------------------------------------------

_encoder = Encoder()
_decoder = Decoder(CheckResult)


def to_json(value: object) -> str:
    """Any value of these types as a line of JSON. Names that are no UTF-8 survive."""
    try:
        return _encoder.encode(value).decode()
    except UnicodeEncodeError:
        return json.dumps(to_builtins(value))


def result_of(report: object) -> CheckResult | None:
    """What a bundled check found, of its report; None for reports of other tests."""
    text = getattr(report, REPORT_ATTRIBUTE, None)
    if text is None:
        return None
    try:
        return _decoder.decode(text)
    except DecodeError:  # surrogates, which `to_json` has written in its second way
        return convert(json.loads(text), CheckResult)


def properties_of(result: CheckResult) -> Iterator[tuple[str, str]]:
    """What JUnit files and other reporters of pytest get to know, as (name, text)."""
    yield "triton_model", node_name(result.model)
    yield "triton_repository", result.deployment
    yield "triton_declared", str(result.declared)
    if result.hardware.label:
        yield "triton_hardware", result.hardware.label
    for finding in result.findings:
        yield "triton_audit", finding
    if result.predicted is not None:
        yield "triton_predicted", str(result.predicted)
    if result.observation:
        yield "triton_observed", result.observation
    if result.proof is not None:
        yield "triton_proof", result.proof
        yield "triton_evidence", "; ".join(map(str, result.evidence))
    if result.server is not None:
        yield "triton_run", result.run
        yield "triton_server", result.server.description
    if result.values:
        yield "triton_values", result.values
    if result.assumed:
        yield "triton_assumed", ", ".join(result.assumed)
    for note in result.notes:
        yield "triton_server_note", note


def as_builtins(value: Struct) -> Any:
    """One of these values as dictionaries, lists and texts."""
    return to_builtins(value)
