"""TRT3..: ensembles, which are only as ready as the models of their steps."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_triton.audit.rule import rule
from pytest_triton.audit.rules.refusals import refusals
from pytest_triton.audit.spans import delete_field
from pytest_triton.audit.subject import Subject
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.placement.ensembles import circle, circle_message
from pytest_triton.placement.predict import model_like
from pytest_triton.text.shown_text import printable

_TENSORS = """\
max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""


def _chain(*models: str, version: str = " model_version: -1", more: str = "") -> str:
    """An ensemble that hands one tensor through these models."""
    names = ["X", *(f"T{number}" for number in range(1, len(models))), "Y"]
    steps = ",\n".join(
        f'    {{ model_name: "{model}"{version}\n'
        f'      input_map {{ key: "X" value: "{names[number]}" }}\n'
        f'      output_map {{ key: "Y" value: "{names[number + 1]}" }} }}'
        for number, model in enumerate(models)
    )
    head = f'platform: "ensemble"\n{_TENSORS}{more}'
    return f"{head}ensemble_scheduling {{\n  step [\n{steps}\n  ]\n}}\n"


def _models(ensemble: str, **groups: str) -> dict[str, str]:
    """A repository of an ensemble and the models of its steps."""
    files = {"chain/config.pbtxt": ensemble, "chain/1/.gitkeep": ""}
    for name, group in groups.items():
        files[f"{name}/config.pbtxt"] = (
            f'backend: "onnxruntime"\n{_TENSORS}instance_group [ {{ {group} }} ]\n'
        )
        files[f"{name}/1/.gitkeep"] = ""
    return files


_ON_GPU, _ON_CPU = "kind: KIND_GPU", "kind: KIND_CPU count: 1"


def _step_place(number: int, field: str = "model_name") -> tuple[str, str, str]:
    step = f"ensemble_scheduling.step[{number}]"
    return f"{step}.{field}", step, "ensemble_scheduling"


@rule(
    "TRT301",
    "ensemble-instance-group",
    "error",
    reported_by="test_config",
    failing=_models(_chain("a", more="instance_group [ { kind: KIND_GPU } ]\n"), a=_ON_GPU),
    fixed=_models(_chain("a"), a=_ON_GPU),
    fixable=True,
)
def ensemble_instance_group(subject: Subject) -> Iterator[Diagnostic]:
    """An ensemble has an instance_group.

    An ensemble has no instances: it runs where its models run, and Triton refuses one that says
    otherwise (https://github.com/triton-inference-server/server/pull/4349). Delete the group
    (`--fix` does), and place the models of the steps.
    """
    if subject.declared.is_ensemble and subject.declared.groups:
        single = subject.text.count("instance_group") == 1
        yield subject.at(
            "instance_group",
            "an ensemble takes no instance_group: place the models of its steps",
            edits=delete_field(subject, "instance_group") if single else (),
        )


@rule(
    "TRT302",
    "step-missing",
    "error",
    reported_by="test_config",
    failing=_models(_chain("a", "b"), a=_ON_GPU),
    fixed=_models(_chain("a", "b"), a=_ON_GPU, b=_ON_GPU),
)
def step_missing(subject: Subject) -> Iterator[Diagnostic]:
    """A step of an ensemble names a model that isn't there.

    Triton refuses the ensemble: `contains models that are not available or ambiguous`. Models of
    another repository count if the same server gets both (`a:b`).
    """
    if not subject.declared.is_ensemble:
        return
    for number, step in enumerate(subject.declared.steps):
        if step and step not in subject.audited.names:
            yield subject.at(
                _step_place(number),
                f"there is no model `{printable(step)}` in the repository"
                + (f". {close}" if (close := model_like(step, subject.audited.names)) else ""),
            )


@rule(
    "TRT303",
    "ensemble-circle",
    "error",
    reported_by="test_config",
    failing={"a/config.pbtxt": _chain("a"), "a/1/.gitkeep": ""},
    fixed={
        "a/config.pbtxt": _chain("b"),
        "a/1/.gitkeep": "",
        "b/config.pbtxt": f'backend: "python"\n{_TENSORS}instance_group [ {{ kind: KIND_CPU }} ]\n',
        "b/1/.gitkeep": "",
    },
)
def ensemble_circle(subject: Subject) -> Iterator[Diagnostic]:
    """An ensemble is a step of itself, directly or through other ensembles.

    Triton refuses it: `circular dependency between ensembles`. An ensemble that only uses such a
    circle makes the server follow it until it crashes.
    """
    if not subject.declared.is_ensemble:
        return
    models = subject.audited.by_name
    way = circle(
        subject.model.name, lambda name: models[name].declared.steps if name in models else ()
    )
    if way:
        number = subject.declared.steps.index(way[1])
        yield subject.at(_step_place(number), circle_message(way))


@rule(
    "TRT304",
    "steps-apart",
    "note",
    failing=_models(_chain("a", "b"), a=f"{_ON_GPU} gpus: [ 0 ]", b=f"{_ON_GPU} gpus: [ 1 ]"),
    fixed=_models(_chain("a", "b"), a=f"{_ON_GPU} gpus: [ 0 ]", b=f"{_ON_GPU} gpus: [ 0 ]"),
)
def steps_apart(subject: Subject) -> Iterator[Diagnostic]:
    """Steps of an ensemble are on different devices, so that tensors are copied between them.

    Named are steps that are pinned to GPUs with none in common, and a step on the CPU between two
    on GPUs. Triton chooses an instance for each step on its own, so that copies are likely with
    several GPUs anyway (https://github.com/triton-inference-server/server/issues/3373); here they
    can't be avoided.
    """
    if not subject.declared.is_ensemble:
        return
    devices: list[frozenset[int] | None] = []
    for step in subject.declared.steps:
        one = subject.audited.by_name.get(step)
        devices.append(_devices(one) if one is not None else None)
    before: frozenset[int] = frozenset()
    left_gpu = False
    for number, here in enumerate(devices):
        if here is None:
            continue
        if not here:
            left_gpu = bool(before)
            continue
        if before and here != _ALL and before != _ALL and not before & here:
            yield subject.at(
                _step_place(number),
                f"GPU {', '.join(map(str, sorted(here)))}, after a step on GPU "
                f"{', '.join(map(str, sorted(before)))}: tensors are copied between the two",
            )
        elif left_gpu:
            yield subject.at(
                _step_place(number), "on a GPU again, after a step on the CPU between GPU steps"
            )
        before, left_gpu = here, False


_ALL = frozenset({-1})


def _devices(step: Subject) -> frozenset[int] | None:
    """GPU ids of a step's model, none for the CPU, `_ALL`; None where the config leaves it open."""
    groups = step.declared.groups
    if not groups or any(group.kind not in ("GPU", "CPU") for group in groups):
        return None
    kinds = {group.kind for group in groups}
    if kinds == {"CPU"}:
        return frozenset()
    if len(kinds) > 1:
        return None
    if not all(group.gpus for group in groups):
        return _ALL
    return frozenset(gpu for group in groups for gpu in group.gpus)


@rule(
    "TRT305",
    "step-refused-on-target",
    "error",
    target=0,
    failing=_models(_chain("a", "b"), a=_ON_CPU, b=_ON_GPU),
    fixed=_models(_chain("a", "b"), a=_ON_CPU, b=_ON_CPU),
)
def step_refused_on_target(subject: Subject) -> Iterator[Diagnostic]:
    """A step's model is refused on the target hardware, and the ensemble with it.

    An ensemble loads only when all its models do: `depends on '...' which has no loaded version`.

    Needs a target (`--target 0`).
    """
    if not subject.declared.is_ensemble or subject.audited.target is None:
        return
    predicted = subject.audited.on_target
    for number, step in enumerate(subject.declared.steps):
        refusal = predicted[step].refusal if step in predicted else None
        if refusal is not None:
            yield subject.at(
                _step_place(number),
                f"`{printable(step)}` is {refusal} on the target, so the ensemble is too",
            )


@rule(
    "TRT306",
    "step-version",
    "error",
    reported_by="test_config",
    failing=_models(_chain("a", version=""), a=_ON_GPU),
    fixed=_models(_chain("a"), a=_ON_GPU),
)
def step_version(subject: Subject) -> Iterator[Diagnostic]:
    """A step asks for a version of its model that isn't loaded.

    `model_version` left out doesn't mean "the newest": it is 0, and Triton refuses the ensemble
    since `required version 0 is not loaded`
    (https://github.com/triton-inference-server/server/issues/5474). Write -1 for the newest, or a
    version that is there and that the model's version policy chooses.
    """
    if not subject.declared.is_ensemble:
        return
    for number, step in enumerate(subject.config.ensemble_scheduling.step):
        one = subject.audited.by_name.get(step.model_name)
        if one is None or step.model_version == -1 or one.model.refusal is not None:
            continue
        loaded = one.model.versions_to_load
        if step.model_version not in loaded:
            says = f"version {step.model_version} of `{printable(step.model_name)}` is not loaded"
            if not step.model_version:
                says = f"no model_version means version 0 of `{printable(step.model_name)}`"
            yield subject.at(
                _step_place(number, "model_version"),
                f"{says}, of which {', '.join(map(str, loaded)) or 'none'} is: the ensemble is "
                "refused",
                "model_version: -1",
            )


@rule(
    "TRT307",
    "ensemble-needs-gpu",
    "note",
    failing=_models(_chain("a", "b"), a=_ON_CPU, b=_ON_GPU),
    fixed=_models(_chain("a", "b"), a=_ON_GPU, b=_ON_GPU),
)
def ensemble_needs_gpu(subject: Subject) -> Iterator[Diagnostic]:
    """An ensemble of CPU models needs a GPU, for the sake of one or two steps.

    On a host without a GPU the pinned step is refused, and the whole ensemble with it, although
    at least half of its models would run there. Good if that is what the pin is for; worth
    knowing if somebody expects a slower answer.
    """
    if not subject.declared.is_ensemble:
        return
    steps = [subject.audited.by_name.get(name) for name in subject.declared.steps]
    pinned = [n for n, one in enumerate(steps) if one is not None and one.declared.pins_gpu]
    on_cpu = [
        n
        for n, one in enumerate(steps)
        if one is not None
        and one.declared.groups
        and all(group.kind == "CPU" for group in one.declared.groups)
    ]
    if pinned and len(on_cpu) >= len(pinned):
        name = printable(subject.declared.steps[pinned[0]])
        yield subject.at(
            _step_place(pinned[0]),
            f"without a GPU the ensemble is refused for `{name}`, while {len(on_cpu)} of its "
            f"{len(steps)} steps {'is' if len(on_cpu) == 1 else 'are'} on the CPU",
        )


@rule(
    "TRT308",
    "ensemble-mismatch",
    "error",
    reported_by="test_config",
    failing=_models(_chain("a").replace("TYPE_FP32", "TYPE_INT64", 1), a=_ON_GPU),
    fixed=_models(_chain("a"), a=_ON_GPU),
)
def ensemble_mismatch(subject: Subject) -> Iterator[Diagnostic]:
    """An ensemble contradicts the models of its steps, or one of them is refused itself.

    Once the models are loaded, Triton holds the steps' maps against their inputs and outputs:
    names, data types, shapes (with the batch dimension), max_batch_size, inputs that get nothing,
    branches of decoupled models. An ensemble that doesn't fit is missing from the index, with the
    reason in the server's log only.
    """
    yield from refusals("TRT308")(subject)
