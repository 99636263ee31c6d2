"""Triton's rules: from what a model declares and what hardware there is to where it runs.

Source: core's `NormalizeInstanceGroup`, `ValidateInstanceGroup` and `PrepareInstances`
(`model_config_utils.cc`, `backend_model.cc`), in the order in which they run:

    flaws of the config  ->  backend library  ->  instance groups  ->  inputs and outputs
    ->  instances (where a backend refuses kinds it doesn't take)  ->  scheduler

The first refusal ends it: one bad group fails the whole model.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

from pytest_triton.arguments.checked import check_fields, checked
from pytest_triton.arguments.kinds import (
    COMPUTE_CAPABILITY,
    NAME,
    SWITCH,
    ZERO_OR_MORE,
    ArgumentKind,
    a,
    optional,
    several,
)
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.placement.backend_names import missing_backend_flaw
from pytest_triton.placement.backends import Backend, backend_named
from pytest_triton.placement.data_flow import Signature, check_data_flow
from pytest_triton.placement.declared import Declared, DeclaredGroup, OnDisk, shortened
from pytest_triton.placement.ensembles import circle, circle_message
from pytest_triton.placement.hardware import HARDWARE, Hardware, newest_gpus
from pytest_triton.placement.instances import NOTHING, Kind, Placement, placed
from pytest_triton.placement.libraries import PYTHON_RUNTIME, library_name
from pytest_triton.placement.polling import decoupled_cache_flaw
from pytest_triton.placement.rate_limits import RateLimiter, RateLimits
from pytest_triton.placement.refusal import Reason, Refusal, Stage
from pytest_triton.placement.releases import NEWEST_RELEASE, Version, shown_version

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

# Releases in which a rule changed; before them:
NUMBERED_INSTANCES = (2, 37, 0)  # a group's only instance had the group's name, without "_0"
PREFERENCE_NEEDS_GPU = (2, 36, 0)  # a backend's preference for GPUs held without one as well
PYTHON_BASED_BACKENDS = (2, 39, 0)  # a model.py in a backend's directory counts, too
ALL_INSTANCES_TRIED = (2, 37, 0)  # seen in 2.39 and not in 2.36
BACKEND_LIBRARY_TEXT = (2, 42, 0)  # another text for a missing backend


@dataclass(frozen=True)
class ServerTraits:
    """What of a server matters to placement: its release and its build.

    `backends` are the names of those in its backend directory, None when all are there; `agents`
    those of its repository agents, likewise. `libraries` are the files in the backends'
    directories, as "name/file"; None: each has what a config's `runtime` asks for.
    `rate_limits`: None if it has no rate limiter. On `closed_gpus` nothing may be loaded: their
    memory limit is 0.
    """

    version: Version = NEWEST_RELEASE
    gpu_support: bool = True
    min_compute_capability: tuple[int, int] = (6, 0)
    backends: frozenset[str] | None = None
    agents: frozenset[str] | None = None
    libraries: frozenset[str] | None = None
    rate_limits: RateLimits | None = None
    closed_gpus: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        check_fields(self, _TRAITS_FIELDS)


_NAMES = optional(several(NAME, "a set of names"))
_TRAITS_FIELDS = {
    "version": ArgumentKind(
        "a release such as (2, 51, 0)",
        lambda value: (
            isinstance(value, tuple) and len(value) == 3 and all(map(ZERO_OR_MORE.fits, value))
        ),
    ),
    "gpu_support": SWITCH,
    "min_compute_capability": COMPUTE_CAPABILITY,
    "backends": _NAMES,
    "agents": _NAMES,
    "libraries": _NAMES,
    "rate_limits": optional(a("RateLimits", RateLimits)),
    "closed_gpus": several(ZERO_OR_MORE, "a set of GPU ids"),
}
DEFAULT_TRAITS = ServerTraits()


@dataclass(frozen=True, slots=True)
class ResolvedGroup:
    """An instance group as Triton resolved it: `count` instances, on each of `gpus`."""

    name: str
    kind: Kind
    count: int
    gpus: tuple[int, ...] = ()
    passive: bool = False
    numbered: bool = True

    @property
    def instances(self) -> tuple[str, ...]:
        """The instances' names, in order of creation; those on different GPUs share one."""
        if self.numbered or self.count > 1:
            names = [f"{self.name}_{k}" for k in range(self.count)]
        else:
            names = [self.name]
        repeats = len(self.gpus) if self.kind == "GPU" else 1
        return tuple(name for name in names for _ in range(repeats))

    @property
    def runs(self) -> tuple[tuple[Kind, int | None, int], ...]:
        """How many instances on which device, as `placed` takes them."""
        if self.kind == "GPU":
            return tuple([("GPU", gpu, self.count) for gpu in self.gpus])
        return ((self.kind, None, self.count),)

    @property
    def placement(self) -> Placement:
        """Where the group's instances run."""
        return placed(*self.runs)


@dataclass(frozen=True, slots=True)
class Prediction:
    """Where a model's instances will run, or why Triton will refuse it.

    `placement` is that of each version that is served; a refused model has none. `fallback`:
    instances are on the CPU only because the server has no GPU to use. `steps` are the rules
    that led here, as sentences.
    """

    placement: Placement
    groups: tuple[ResolvedGroup, ...] = ()
    refusal: Refusal | None = None
    fallback: bool = False
    declared: Declared = field(default=Declared("", "", ""), compare=False, repr=False)
    hardware: Hardware = field(default=Hardware((), False), compare=False, repr=False)
    server: ServerTraits = field(default=DEFAULT_TRAITS, compare=False, repr=False)

    @property
    def ready(self) -> bool:
        return self.refusal is None

    @property
    def steps(self) -> tuple[str, ...]:
        steps = explain(self.declared, self.hardware, self.server)
        if self.refusal is not None and self.refusal.text not in steps[-1]:
            # Only predict_all knows what an ensemble's models come to.
            return (*steps[:-1], f"The whole model is refused: {self.refusal.text}")
        return steps

    def __str__(self) -> str:
        """A table's cell: "GPU 0 · CPU", "CPU  <- fallback", "refused: no GPU"."""
        if self.refusal is not None:
            return str(self.refusal)
        where = str(self.placement) if self.placement else "ready"  # an ensemble has no instances
        return f"{where}{'  <- fallback' if self.fallback else ''}"


Note = Callable[[str], None]


_CONFIG = ArgumentKind(
    "what a config declares: model.declared of read_repository(...), or a ModelConfig",
    lambda value: isinstance(value, Declared) or hasattr(value, "instance_group"),
)


@checked(
    config=_CONFIG,
    hardware=HARDWARE,
    server=a("ServerTraits(...)", ServerTraits),
    on_disk=optional(a("model.on_disk of read_repository(...)", OnDisk)),
)
def predict(
    config: ModelConfig | Declared,
    hardware: Hardware,
    *,
    server: ServerTraits = DEFAULT_TRAITS,
    on_disk: OnDisk | None = None,
) -> Prediction:
    """What Triton makes of this config on this hardware.

    An ensemble is looked at alone here; `predict_all` knows its models too.
    """
    declared = config if isinstance(config, Declared) else Declared.of(config, on_disk=on_disk)
    return _resolve(declared, hardware, server, None)


def explain(
    config: ModelConfig | Declared,
    hardware: Hardware,
    server: ServerTraits = DEFAULT_TRAITS,
    *,
    on_disk: OnDisk | None = None,
) -> tuple[str, ...]:
    """The rules that `predict` applied, as sentences, in order."""
    declared = config if isinstance(config, Declared) else Declared.of(config, on_disk=on_disk)
    steps: list[str] = []
    _resolve(declared, hardware, server, steps.append)
    return tuple(steps)


def predict_all(
    models: Mapping[str, Declared],
    hardware: Hardware,
    *,
    server: ServerTraits = DEFAULT_TRAITS,
    unreadable: Collection[str] = (),
) -> dict[str, Prediction]:
    """Predictions for all models of one server, by name: ensembles depend on their models.

    `unreadable` are the names of models whose configs can't be read: nothing is predicted of them.
    """
    predictions = {name: _resolve(d, hardware, server, None) for name, d in models.items()}
    if server.rate_limits is not None:
        predictions.update(_over_limits(predictions, server.rate_limits, server))
    signatures = {name: d.signature for name, d in models.items() if d.signature is not None}
    polled = {name for name, prediction in predictions.items() if _was_polled(prediction)}
    waiting = [name for name, d in models.items() if d.is_ensemble and name in polled]
    settled = {name for name in predictions if name not in waiting}
    while waiting:
        decided = [n for n in waiting if settled.issuperset(_present(models[n], models))]
        # When none can be decided, they wait for each other, or for those that do.
        for name in decided or waiting:
            broken = _missing_step(models[name], polled, predictions, unreadable)
            if broken is None and decided:
                broken = _broken_step(models[name], predictions)
            elif broken is None:
                broken = _circle(name, models)
            if broken is None:
                broken = _data_flow_refusal(models[name], signatures, server)
            if broken is not None:
                predictions[name] = replace(
                    predictions[name], placement=NOTHING, groups=(), refusal=broken, fallback=False
                )
        settled.update(decided or waiting)
        waiting = [name for name in waiting if name not in settled]
    return predictions


def _over_limits(
    predictions: Mapping[str, Prediction], limits: RateLimits, server: ServerTraits
) -> Iterator[tuple[str, Prediction]]:
    """The models whose instances the server's rate limiter refuses."""
    limiter = RateLimiter(limits)
    for name, prediction in sorted(predictions.items()):
        resources = prediction.declared.resources
        if prediction.refusal is not None or not resources:
            continue
        groups = [
            (wanted, group.gpus if group.kind == "GPU" else (0,))
            for wanted, group in zip(resources, prediction.groups, strict=True)
            if not group.passive
        ]
        flaw = limiter.add(name, groups, last=server.version >= ALL_INSTANCES_TRIED)
        if flaw is not None:
            refusal = _of_flaw(flaw)
            yield (
                name,
                replace(prediction, placement=NOTHING, groups=(), refusal=refusal, fallback=False),
            )


def _data_flow_refusal(
    ensemble: Declared, signatures: dict[str, Signature], server: ServerTraits
) -> Refusal | None:
    """What core says of an ensemble whose models are loaded, and of its own config after that."""
    flow = ensemble.data_flow
    if flow is None:
        return None
    checked = check_data_flow(ensemble.name, flow, signatures)
    if checked.flaws:
        return _of_flaw(checked.flaws[0], "poll")
    signature = signatures.get(ensemble.name)
    if signature is not None and signature.decoupled != checked.decoupled:
        signatures[ensemble.name] = replace(signature, decoupled=checked.decoupled)
    if checked.decoupled and flow.response_cache:
        return _of_flaw(decoupled_cache_flaw(ensemble.name))
    return _first(ensemble.io_flaws, server)


def _of_flaw(flaw: Diagnostic, stage: Stage = "load") -> Refusal:
    text = (
        flaw.triton if stage == "poll" or flaw.reason == "crash" else f"{flaw.code}: {flaw.triton}"
    )
    return Refusal(flaw.reason or "other", text, stage, flaw)


def _field_of(refusal: Refusal) -> str:
    """The field of its config that leads to a refusal; "" where that is no one field."""
    return refusal.diagnostic.field if refusal.diagnostic is not None else ""


def _first(
    flaws: Iterable[Diagnostic], server: ServerTraits, stage: Stage = "load"
) -> Refusal | None:
    """The refusal of the first flaw that this release minds."""
    found = next((flaw for flaw in flaws if flaw.holds(server.version)), None)
    return None if found is None else _of_flaw(found, stage)


def _was_polled(prediction: Prediction) -> bool:
    """Whether core took the model's config in; it looks for versions only when it loads it."""
    refusal = prediction.refusal
    return refusal is None or refusal.stage == "load" or refusal.reason == "version"


def _present(ensemble: Declared, models: Mapping[str, Declared]) -> list[str]:
    return [step for step in ensemble.steps if step in models]


def _missing_step(
    ensemble: Declared,
    polled: set[str],
    predictions: Mapping[str, Prediction],
    unreadable: Collection[str],
) -> Refusal | None:
    for index, step in enumerate(ensemble.steps):
        if step in polled:
            continue
        message = f"ensemble {ensemble.name} contains models that are not available or ambiguous"
        says = f"step {index} names the model `{step}`, which Triton doesn't have"
        fix = model_like(step, predictions) or "Add it, or correct the name."
        refusal = predictions[step].refusal if step in predictions else None
        if refusal is not None or step in unreadable:
            says = f"step {index}'s model `{step}` can't be loaded, and so the ensemble can't be"
            fix = f"Correct `{step}` first."
        flaw = Diagnostic(
            "ensemble",
            f"{message}: {step}",
            f"ensemble_scheduling.step[{index}].model_name",
            says,
            fix,
            also=(Diagnostic(model=step, field=_field_of(refusal) if refusal else ""),),
        )
        return _of_flaw(flaw, "poll")
    return None


def model_like(step: str, models: Collection[str]) -> str:
    """Which model a step may mean that names none of them; "" if that can't be known."""
    close = get_close_matches(step, models, n=1) if step not in models else []
    return f'Did you mean model_name: "{close[0]}"?' if close else ""


def _broken_step(ensemble: Declared, predictions: Mapping[str, Prediction]) -> Refusal | None:
    """What core's `CheckNode` (model_repository_manager.cc) says of a step, or None."""
    asked: dict[str, set[int]] = {}
    for step, version in zip(ensemble.steps, ensemble.step_versions, strict=True):
        asked.setdefault(step, set()).add(version)
    # Which it says first if several are broken depends on a hash table: mostly the last one.
    for step in reversed(asked):
        why = _why_broken(step, asked[step], predictions[step])
        if why:
            message = f"ensemble '{ensemble.name}' depends on '{step}' {why}"
            return _of_flaw(_broken_step_flaw(ensemble, step, message, predictions[step]), "poll")
    return None


def _broken_step_flaw(
    ensemble: Declared, step: str, message: str, prediction: Prediction
) -> Diagnostic:
    index = ensemble.steps.index(step)
    place = f"ensemble_scheduling.step[{index}]"
    if prediction.refusal is not None:
        return Diagnostic(
            "ensemble",
            message,
            f"{place}.model_name",
            f"step {index}'s model `{step}` is {prediction.refusal}, and the ensemble with it",
            f"Correct `{step}` first.",
            also=(Diagnostic(model=step, field=_field_of(prediction.refusal)),),
        )
    loaded = prediction.declared.versions
    asked = [
        (number, version)
        for number, (name, version) in enumerate(
            zip(ensemble.steps, ensemble.step_versions, strict=True)
        )
        if name == step and version != -1 and version not in loaded
    ]
    index, version = asked[0]  # else the ensemble wouldn't be refused
    place = f"ensemble_scheduling.step[{index}]"
    says = f"step {index} asks for version {version} of `{step}`"
    if not version:
        says = f"step {index} has no model_version, which means version 0 of `{step}`"
    return Diagnostic(
        "ensemble",
        message,
        f"{place}.model_version",
        f"{says}; loaded: {', '.join(map(str, loaded)) or 'none'}",
        "Write model_version: -1 for the newest.",
    )


def _why_broken(name: str, asked: set[int], prediction: Prediction) -> str:
    """Why a step can't have these versions of its model; "" if it can."""
    refusal, loaded = prediction.refusal, prediction.declared.versions
    if refusal is None:
        missing = asked.difference(loaded, (-1,)) if loaded else ()
        return f"whose required version {max(missing)} is not loaded." if missing else ""
    if refusal.reason == "ensemble":
        return f"which is not valid. Model '{name}' failed with error: {refusal.text}"
    message = refusal.text
    if refusal.stage == "load":
        message = "".join(
            f"version {n} is at UNAVAILABLE state: {message};" for n in loaded or (1,)
        )
    return f"which has no loaded version. Model '{name}' loading failed with error: {message}"


def _circle(name: str, models: Mapping[str, Declared]) -> Refusal:
    """Of an ensemble that is part of a circle, or that only uses one."""
    way = circle(name, lambda one: models[one].steps if one in models else ())
    if way:
        flaw = Diagnostic(
            "ensemble",
            f"circular dependency between ensembles: {name} -> ...",
            f"ensemble_scheduling.step[{models[name].steps.index(way[1])}].model_name",
            circle_message(way),
            "Take that step out.",
        )
        return _of_flaw(flaw, "poll")
    # Core follows the circle for ever, until its stack is full (seen on 2.33.0 to 2.51.0).
    flaw = Diagnostic(
        "crash",
        "(no text: the server ends with signal 11)",
        "ensemble_scheduling.step",
        "it uses ensembles that are steps of each other: Triton crashes on it",
        "Break the circle.",
    )
    return _of_flaw(flaw, "poll")


def refused_everywhere(
    config: ModelConfig | Declared, *, server: ServerTraits = DEFAULT_TRAITS
) -> Refusal | None:
    """The refusal on any hardware, or None: the config itself is wrong then."""
    declared = config if isinstance(config, Declared) else Declared.of(config)
    ample = ample_gpus([declared])
    if predict(declared, Hardware((), simulated=False), server=server).ready:
        return None
    return predict(declared, ample, server=server).refusal


def ample_gpus(models: Iterable[Declared], *, at_least: int = 1) -> Hardware:
    """GPUs of the newest kind, with every id that a model names and those below `at_least`."""
    ids = set(range(at_least))
    for declared in models:
        ids.update(gpu for group in declared.groups for gpu in group.gpus if gpu >= 0)
    return newest_gpus(sorted(ids))


def usable_gpus(hardware: Hardware, server: ServerTraits) -> tuple[int, ...]:
    """The ids of the GPUs that Triton counts, ascending: those of a high enough capability."""
    if not server.gpu_support:
        return ()
    minimum = _as_number(server.min_compute_capability) - 0.01
    return tuple([g.index for g in hardware.gpus if _as_number(g.compute_capability) > minimum])


def _as_number(capability: tuple[int, int]) -> float:
    return capability[0] + capability[1] / 10


def _resolve(
    declared: Declared, hardware: Hardware, server: ServerTraits, note: Note | None
) -> Prediction:
    """All rules in order; `note`, if given, is called with each one that applied."""
    usable = usable_gpus(hardware, server)
    if note:
        note(_hardware_step(hardware, usable, server))
    refusal = _early_refusal(declared, hardware, server, note)
    if refusal is not None:
        return _refused(declared, hardware, server, refusal, note)
    if declared.is_ensemble:
        if note:
            note("An ensemble has no instances of its own: it runs where its models run.")
        return Prediction(NOTHING, (), None, False, declared, hardware, server)

    backend = backend_named(declared.backend)
    groups = declared.groups
    if not groups:
        groups = (_undeclared_group(declared, backend, usable, server, note),)
    resolved: list[ResolvedGroup] = []
    there = frozenset(usable)
    unresolved: Refusal | None = None
    fallback = False
    for index, group in enumerate(groups):
        name = group.name or f"{declared.name}_{index}"
        kind = _resolved_kind(group, there)
        gpus = group.gpus or (usable if kind == "GPU" else ())
        count = group.count if group.count >= 1 else backend.cpu_count if kind == "CPU" else 1
        if note:
            note(_group_step(name, group, kind, count, gpus, usable, backend))
        if unresolved is None:
            unresolved = _group_refusal(declared, group, name, kind, gpus, there, server)
            if unresolved is not None and declared.groups:
                flaw = _group_flaw(unresolved, f"instance_group[{index}]")
                unresolved = replace(unresolved, diagnostic=flaw)
        if kind != "UNKNOWN":
            passive = group.passive
            numbered = server.version >= NUMBERED_INSTANCES
            resolved.append(ResolvedGroup(name, kind, count, gpus, passive, numbered))
        fallback = fallback or (group.kind == "AUTO" and kind == "CPU")
    refusal = unresolved or _late_refusal(declared, backend, resolved, server)
    if refusal is not None:
        return _refused(declared, hardware, server, refusal, note)
    placement = _placement(resolved)
    fallback = fallback and backend.only != "CPU"
    if note:
        if fallback:
            note("So it comes up on the CPU without anyone having declared it: a fallback.")
        note(f"The model is ready on {placement}.")
        if backend.note:
            note(f"Of the {backend.name} backend: {backend.note}.")
    return Prediction(placement, tuple(resolved), None, fallback, declared, hardware, server)


def _placement(groups: Iterable[ResolvedGroup]) -> Placement:
    """The instances of all groups; those of equal groups are counted only once for each GPU."""
    counts: Counter[tuple[Kind, tuple[int, ...]]] = Counter()
    for group in groups:
        counts[group.kind, group.gpus if group.kind == "GPU" else ()] += group.count
    return placed(
        *[
            (kind, gpu, count)
            for (kind, gpus), count in counts.items()
            for gpu in (gpus if kind == "GPU" else (None,))
        ]
    )


def _refused(
    declared: Declared,
    hardware: Hardware,
    server: ServerTraits,
    refusal: Refusal,
    note: Note | None,
) -> Prediction:
    if note:
        note(f"The whole model is refused: {refusal.text}")
    return Prediction(NOTHING, (), refusal, False, declared, hardware, server)


def _early_refusal(
    declared: Declared, hardware: Hardware, server: ServerTraits, note: Note | None
) -> Refusal | None:
    refusal = _poll_refusal(declared, server)
    if refusal is not None:
        if note:
            note("Triton checks the config while it polls the repository, before any hardware.")
        return refusal
    if declared.is_ensemble:
        return None
    refusal = _missing_backend(declared, server)
    if refusal is not None:
        if note:
            note(
                f"The server has no {declared.backend} backend: it says so before it looks at "
                "groups."
            )
        return refusal
    if hardware.cuda_error and server.gpu_support:
        message = f"unable to get number of CUDA devices: {hardware.cuda_error}"
        return Refusal("cuda", f"Internal: {message}")
    return None


def _poll_refusal(declared: Declared, server: ServerTraits) -> Refusal | None:
    first = next((flaw for flaw in declared.flaws if flaw.holds(server.version)), None)
    unread = first is not None and first.code == "Internal"  # then no agent was asked for
    if server.agents is not None and not unread:
        for agent, flaw in declared.agents:
            if agent not in server.agents:
                return _of_flaw(flaw, "poll")
    return None if first is None else _of_flaw(first, "poll")


def _missing_backend(declared: Declared, server: ServerTraits) -> Refusal | None:
    """The refusal of a model whose backend's library is nowhere; `runtime` may name it."""
    backend, runtime = declared.backend, declared.runtime
    if runtime.is_own or server.backends is None:
        return None
    if backend in server.backends and (
        not runtime.name
        or server.libraries is None
        or f"{backend}/{runtime.name}" in server.libraries
    ):
        return None
    if server.version < PYTHON_BASED_BACKENDS:
        message = f"unable to find '{library_name(backend)}' for model '{declared.name}'"
    elif server.version < BACKEND_LIBRARY_TEXT:
        message = f"unable to find '{backend}/{PYTHON_RUNTIME}' for model '{declared.name}'"
    elif runtime.name == PYTHON_RUNTIME:
        message = (
            f"unable to find Python backend based backend library '{PYTHON_RUNTIME}' for model "
            f"'{declared.name}', searched: '{backend}/{PYTHON_RUNTIME}'"
        )
    elif runtime.name:
        message = f"unable to find backend library '{runtime.name}' for model '{declared.name}'"
    else:
        message = (
            f"unable to find backend library for backend '{backend}', try specifying runtime on "
            "the model configuration."
        )
    return _of_flaw(missing_backend_flaw(backend, message, declared.name, server.backends))


def _undeclared_group(
    declared: Declared,
    backend: Backend,
    usable: tuple[int, ...],
    server: ServerTraits,
    note: Note | None,
) -> DeclaredGroup:
    kind = backend.preferred or "AUTO"
    if kind == "GPU" and not usable and server.version >= PREFERENCE_NEEDS_GPU:
        kind = "AUTO"
    if kind == "GPU" and not server.gpu_support:
        kind = "CPU"  # such a server's python backend prefers the CPU
    if note:
        why = f"as the {backend.name} backend prefers" if kind != "AUTO" else "so that is AUTO"
        note(f"No instance_group is declared: Triton adds one, of kind {kind}, {why}.")
    return DeclaredGroup(name=declared.name, kind=kind)


def _resolved_kind(
    group: DeclaredGroup, usable: Set[int]
) -> Literal["GPU", "CPU", "MODEL", "UNKNOWN"]:
    if group.kind != "AUTO":
        return group.kind
    return "GPU" if usable and all(gpu in usable for gpu in group.gpus) else "CPU"


def _group_refusal(
    declared: Declared,
    group: DeclaredGroup,
    name: str,
    kind: str,
    gpus: tuple[int, ...],
    usable: Set[int],
    server: ServerTraits,
) -> Refusal | None:
    """What core's `ValidateInstanceGroup` says of one group; kind first, then the profile."""
    label = f"instance group {name} of model {declared.name}"
    if kind == "GPU":
        if not server.gpu_support:
            return _load_refusal(
                "no-gpu-support", f"{label} has kind KIND_GPU but server does not support GPUs"
            )
        if not gpus:
            return _load_refusal("no-gpu", f"{label} has kind KIND_GPU but no GPUs are available")
        for gpu in group.gpus:  # the others are all that there are
            if gpu not in usable:
                minimum = _as_number(server.min_compute_capability)
                return _load_refusal(
                    "gpu-id",
                    f"{label} specifies invalid or unsupported gpu id {gpu}. GPUs with at least "
                    f"the minimum required CUDA compute compatibility of {minimum:.6f} are: "
                    + ", ".join(map(str, sorted(usable))),
                )
    elif kind == "UNKNOWN":
        return Refusal("kind", f"Internal: {label} has unexpected kind KIND_AUTO")
    elif gpus:
        reason: Reason = "cpu-with-gpus" if kind == "CPU" else "model-with-gpus"
        return _load_refusal(reason, f"{label} has kind KIND_{kind} but specifies one or more GPUs")
    if group.profile:
        return _profile_refusal(label, declared.platform, group.profile)
    return None


_FIELD_OF_GROUP: dict[Reason, str] = {
    "gpu-id": "gpus",
    "cpu-with-gpus": "gpus",
    "model-with-gpus": "gpus",
    "profile": "profile",
    "crash": "profile",
}


def _group_flaw(refusal: Refusal, group: str) -> Diagnostic:
    """Where a group is wrong; the message and what to do are advice.py's."""
    field = _FIELD_OF_GROUP.get(refusal.reason, "kind")
    return Diagnostic(refusal.reason, refusal.text, f"{group}.{field}")


def _profile_refusal(label: str, platform: str, profiles: tuple[str, ...]) -> Refusal | None:
    if platform != "tensorrt_plan":
        return _load_refusal(
            "profile",
            f"{label} and platform {platform}specifies profile field which is only supported "
            "for TensorRT models",
        )
    for profile in profiles:
        if not profile:
            return _load_refusal("profile", "profile name must not be empty")
        number = re.match(r"[ \t\n\v\f\r]*([+-]?\d+)", profile, re.ASCII)
        if number is None:
            return _load_refusal("profile", f"unable to parse '{profile}': stoi")
        if not -(2**31) <= int(number[1]) < 2**31:
            # Nothing in core catches this: the whole server ends (seen on 2.33.0 to 2.51.0).
            message = "terminate called after throwing an instance of 'std::out_of_range': stoi"
            return Refusal("crash", message)
        if int(number[1]) < 0:
            return _load_refusal(
                "profile",
                f"{label} and platform {platform} specifies invalid profile {profile}. The field "
                "should contain the string representation of a non-negative integer.",
            )
    return None


def _late_refusal(
    declared: Declared, backend: Backend, groups: list[ResolvedGroup], server: ServerTraits
) -> Refusal | None:
    """What comes after the groups: the config's inputs and outputs, then the backend's word."""
    if not declared.has_config and not backend.completes:
        return _of_flaw(
            Diagnostic(
                "no-config",
                f"model configuration is not provided for model '{declared.name}'",
                "",
                f"there is no config.pbtxt, and the {backend.name} backend completes none",
                "Write one, with backend, input and output.",
                code="Not found",
            )
        )
    refusal = _first(declared.io_flaws, server)
    if refusal is not None:
        return refusal
    refusal = _memory_refusal(declared, groups, server)
    if refusal is not None:
        return refusal
    odd = next((n for n, group in enumerate(groups) if group.kind != backend.only), None)
    if backend.reason is not None and odd is not None:
        refusal = _load_refusal(backend.reason, backend.text.format(model=declared.name))
        return replace(refusal, diagnostic=_group_flaw(refusal, f"instance_group[{odd}]"))
    if not all(group.passive for group in groups):
        refusal = _first(declared.instance_flaws, server)
    return refusal or _first(declared.scheduler_flaws, server)


def _memory_refusal(
    declared: Declared, groups: list[ResolvedGroup], server: ServerTraits
) -> Refusal | None:
    """Of a model with an instance on a GPU whose memory limit leaves nothing to models."""
    for index, group in enumerate(groups):
        closed = [gpu for gpu in group.gpus if gpu in server.closed_gpus]
        if group.kind != "GPU" or not closed:
            continue
        flaw = Diagnostic(
            "gpu-memory",
            f"can not create model '{group.instances[0]}': memory limit set for GPU {closed[0]} "
            "has exceeded, model loading is rejected.",
            f"instance_group[{index}]" if declared.groups else "",
            f"an instance is for GPU {closed[0]}, and --model-load-gpu-limit leaves nothing of "
            "its memory to models",
            "Correct --model-load-gpu-limit.",
            code="Unavailable",
        )
        return _of_flaw(flaw)
    return None


def _load_refusal(reason: Reason, message: str) -> Refusal:
    return Refusal(reason, f"Invalid argument: {message}")


def _hardware_step(hardware: Hardware, usable: tuple[int, ...], server: ServerTraits) -> str:
    release = shown_version(server.version)
    if not server.gpu_support:
        return f"Triton {release} is built without GPU support: it uses no GPU."
    if not hardware.gpus:
        return f"The server (Triton {release}) has no GPU."
    ids = ", ".join(map(str, usable)) or "none"
    text = f"The server (Triton {release}) has {hardware.label}; it can use: {ids}."
    ignored = hardware.count - len(usable)
    if ignored:
        minimum = "{}.{}".format(*server.min_compute_capability)
        text += f" It ignores {ignored} below compute capability {minimum}."
    return text


def _group_step(
    name: str,
    group: DeclaredGroup,
    kind: str,
    count: int,
    gpus: tuple[int, ...],
    usable: tuple[int, ...],
    backend: Backend,
) -> str:
    text = f"Group {name}: "
    if group.kind != "AUTO":
        text += f"KIND_{kind}" if kind != "UNKNOWN" else f"kind {group.kind_number}"
    elif kind == "GPU":
        text += "KIND_AUTO becomes KIND_GPU, as there is a GPU"
    elif not usable:
        text += "KIND_AUTO becomes KIND_CPU, as there is no GPU to use"
    else:
        there = frozenset(usable)
        missing = shortened([gpu for gpu in group.gpus if gpu not in there], ", ")
        text += f"KIND_AUTO becomes KIND_CPU, as GPU {missing} is not there"
    if kind == "GPU" and not group.gpus and gpus:
        text += "; no gpus are listed, so it takes all: " + shortened(gpus, ", ")
    elif gpus:
        text += "; gpus " + shortened(gpus, ", ")
    if group.count < 1 and count > 1:
        text += f"; no count, and on the CPU {backend.name} gets {count} instances"
    else:
        text += f"; {count} instance{'s' if count > 1 else ''}"
        text += " on each GPU" if kind == "GPU" and len(gpus) > 1 else ""
    return text + "."
