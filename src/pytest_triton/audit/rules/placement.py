"""TRT1..: what instance groups say, and what Triton makes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from pytest_triton.audit.correct_groups import group_lines, is_correct_as, lines_with, wanted_kind
from pytest_triton.audit.rule import rule
from pytest_triton.audit.spans import delete_field, set_field
from pytest_triton.audit.subject import Subject
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.placement.declared import DeclaredGroup

_WRITTEN_COUNT = re.compile(r"\bcount\s*:\s*[-0]")


def kind_place(number: int) -> tuple[str, str]:
    return f"instance_group[{number}].kind", f"instance_group[{number}]"


@rule(
    "TRT101",
    "undeclared",
    "error",
    reported_by="test_explicit_placement",
    failing='backend: "onnxruntime"\n',
    fixed='backend: "onnxruntime"\ninstance_group [\n  {\n    kind: KIND_GPU\n  }\n]\n',
)
def undeclared(subject: Subject) -> Iterator[Diagnostic]:
    """No instance_group is declared, so Triton looks at the hardware and decides.

    Without a GPU that Triton can use (a lost device, an old driver, a forgotten `--gpus`) the
    model comes up on the CPU: READY, slow, and unnoticed. Triton has no flag against it; its
    developers recommend an explicit `KIND_GPU`
    (https://github.com/triton-inference-server/server/issues/7628).

    Say where the model belongs. With `KIND_GPU` it is refused where there is no GPU.
    """
    declared = subject.declared
    if declared.groups or declared.is_ensemble or subject.backend.only is not None:
        return
    kind = wanted_kind(subject)
    what = "no instance_group is declared" if declared.has_config else "there is no config.pbtxt"
    yield subject.at(
        ("backend", "platform", "default_model_filename", "name"),
        f"{what}: without a GPU the model comes up on the CPU, unnoticed",
        group_lines(subject, [DeclaredGroup(kind=kind)]),
    )


@rule(
    "TRT102",
    "kind-left-open",
    "error",
    reported_by="test_explicit_placement",
    failing='backend: "onnxruntime"\ninstance_group [ { count: 2 } ]\n',
    fixed='backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU count: 2 } ]\n',
)
def kind_left_open(subject: Subject) -> Iterator[Diagnostic]:
    """An instance group leaves its kind out, or says KIND_AUTO.

    The two are the same to Triton: the GPU where there is one it can use, else the CPU, without
    a word. Some want just that
    (https://github.com/triton-inference-server/server/issues/1793); then ignore this rule for
    the model by name, so that the others stay guarded.
    """
    if subject.backend.only is not None:
        return
    for number, group in subject.groups("AUTO"):
        if not group.gpus:
            yield subject.at(
                kind_place(number),
                "the group says no kind (or KIND_AUTO): without a GPU it lands on the CPU, "
                "unnoticed",
                lines_with(subject, number, kind=wanted_kind(subject)),
            )


@rule(
    "TRT103",
    "gpus-without-kind",
    "error",
    reported_by="test_explicit_placement",
    failing='backend: "onnxruntime"\ninstance_group [ { gpus: [ 0 ] } ]\n',
    fixed='backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU gpus: [ 0 ] } ]\n',
    fixable=True,
)
def gpus_without_kind(subject: Subject) -> Iterator[Diagnostic]:
    """A group lists gpus, and says no kind (or KIND_AUTO).

    Where one of the gpus is missing Triton turns the group into `KIND_CPU`, and then refuses it
    since a CPU group must list no gpus: `has kind KIND_CPU but specifies one or more GPUs`, about
    a config that never said `KIND_CPU`.

    Write `KIND_GPU`: it is the same where the gpus are there, and refused for the true reason
    where they aren't. `--fix` does it.
    """
    for number, group in subject.groups("AUTO"):
        if group.gpus:
            yield subject.at(
                (f"instance_group[{number}].gpus", f"instance_group[{number}]"),
                "the group lists gpus and no kind: where one is missing it is refused as KIND_CPU",
                lines_with(subject, number, kind="GPU"),
                set_field(subject, number, "kind", "KIND_GPU")
                if is_correct_as(subject, group, "GPU")
                else (),
            )


@rule(
    "TRT104",
    "cpu-with-gpus",
    "error",
    reported_by="test_config",
    failing='backend: "onnxruntime"\ninstance_group [ { kind: KIND_CPU gpus: [ 0 ] } ]\n',
    fixed='backend: "onnxruntime"\ninstance_group [ { kind: KIND_CPU count: 1 } ]\n',
)
def cpu_with_gpus(subject: Subject) -> Iterator[Diagnostic]:
    """A KIND_CPU group lists gpus.

    Triton refuses the whole model, on any hardware: `has kind KIND_CPU but specifies one or more
    GPUs`. Delete `gpus`, or write `KIND_GPU` if the GPU was meant.
    """
    for number, group in subject.groups("CPU"):
        if group.gpus:
            yield subject.at(
                f"instance_group[{number}].gpus",
                "a KIND_CPU group lists gpus: the whole model is refused",
                lines_with(subject, number, gpus=()),
            )


@rule(
    "TRT105",
    "model-with-gpus",
    "error",
    reported_by="test_config",
    failing='backend: "pytorch"\ninstance_group [ { kind: KIND_MODEL gpus: [ 0 ] } ]\n',
    fixed='backend: "pytorch"\ninstance_group [ { kind: KIND_MODEL } ]\n',
    fixable=True,
)
def model_with_gpus(subject: Subject) -> Iterator[Diagnostic]:
    """A KIND_MODEL group lists gpus.

    With `KIND_MODEL` the model or its backend chooses the devices, and Triton refuses a list of
    them on any hardware. Delete `gpus` (`--fix` does), or write `KIND_GPU`.
    """
    for number, group in subject.groups("MODEL"):
        if group.gpus:
            field = f"instance_group[{number}].gpus"
            yield subject.at(
                field,
                "a KIND_MODEL group lists gpus: the whole model is refused",
                lines_with(subject, number, gpus=()),
                delete_field(subject, field),
            )


@rule(
    "TRT106",
    "unknown-kind",
    "error",
    reported_by="test_config",
    failing='backend: "onnxruntime"\ninstance_group [ { kind: 9 } ]\n',
    fixed='backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU } ]\n',
)
def unknown_kind(subject: Subject) -> Iterator[Diagnostic]:
    """The kind is a number that Triton doesn't know.

    The parser takes any number for an enum; Triton then refuses the model with an internal error
    that speaks of KIND_AUTO. Write the kind by its name.
    """
    for number, group in subject.groups("UNKNOWN"):
        yield subject.at(
            kind_place(number),
            f"kind {group.kind_number} is none that Triton knows",
            lines_with(subject, number, kind="GPU"),
        )


@rule(
    "TRT107",
    "gpu-not-on-target",
    "error",
    target=2,
    failing='backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU gpus: [ 0, 2 ] } ]\n',
    fixed='backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU gpus: [ 0, 1 ] } ]\n',
)
def gpu_not_on_target(subject: Subject) -> Iterator[Diagnostic]:
    """A gpu id is listed that the target hardware doesn't have, or that Triton can't use there.

    The whole model is refused: `specifies invalid or unsupported gpu id`
    (https://github.com/triton-inference-server/server/issues/2584,
    https://github.com/triton-inference-server/server/issues/7818). Ids count from 0, and only the
    GPUs that the server was given (`CUDA_VISIBLE_DEVICES`, `--gpus`); those below the minimum
    compute capability don't count. Triton never maps a list to fewer GPUs.

    Needs a target (`--target 2`).
    """
    usable = subject.audited.usable
    if usable is None:
        return
    for number, group in subject.groups("GPU", "AUTO"):
        for place, gpu in enumerate(group.gpus):
            if gpu >= 0 and gpu not in usable:
                there = ", ".join(map(str, usable)) or "none"
                kept = tuple(one for one in group.gpus if one in usable)
                yield subject.at(
                    (f"instance_group[{number}].gpus[{place}]", f"instance_group[{number}].gpus"),
                    f"GPU {gpu} is not on the target, whose usable GPUs are: {there}",
                    lines_with(subject, number, gpus=kept) if kept else "",
                )


@rule(
    "TRT108",
    "gpu-negative",
    "error",
    reported_by="test_config",
    failing='backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU gpus: [ -1 ] } ]\n',
    fixed='backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU } ]\n',
)
def gpu_negative(subject: Subject) -> Iterator[Diagnostic]:
    """A gpu id is negative.

    -1 means "any" or "the CPU" elsewhere, not in Triton: the whole model is refused on any
    hardware. Without `gpus` a `KIND_GPU` group gets an instance on every GPU.
    """
    for number, group in subject.groups("GPU", "AUTO"):
        for place, gpu in enumerate(group.gpus):
            if gpu < 0:
                yield subject.at(
                    (f"instance_group[{number}].gpus[{place}]", f"instance_group[{number}].gpus"),
                    f"{gpu} is no GPU's id: the whole model is refused",
                    lines_with(subject, number, gpus=tuple(g for g in group.gpus if g >= 0)),
                )


@rule(
    "TRT109",
    "gpu-twice",
    "warning",
    failing='backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU gpus: [ 0, 0 ] } ]\n',
    fixed='backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU count: 2 gpus: [ 0 ] } ]\n',
)
def gpu_twice(subject: Subject) -> Iterator[Diagnostic]:
    """A group lists a gpu twice.

    Triton takes each mention for an instance: `gpus: [ 0, 0 ]` loads the model twice on GPU 0, and
    both instances have the same name in logs and traces. If that is meant, say it with `count`.
    """
    for number, group in subject.groups("GPU", "AUTO"):
        if len(set(group.gpus)) == len(group.gpus):
            continue
        seen: set[int] = set()
        for place, gpu in enumerate(group.gpus):
            if gpu in seen:
                times = group.gpus.count(gpu) * max(group.count, 1)
                yield subject.at(
                    (f"instance_group[{number}].gpus[{place}]", f"instance_group[{number}].gpus"),
                    f"GPU {gpu} is listed twice: Triton makes {times} instances there",
                    lines_with(subject, number, gpus=tuple(dict.fromkeys(group.gpus))),
                )
                break
            seen.add(gpu)


@rule(
    "TRT110",
    "count-below-one",
    "warning",
    failing='backend: "python"\ninstance_group [ { kind: KIND_CPU count: 0 } ]\n',
    fixed='backend: "python"\ninstance_group [ { kind: KIND_CPU count: 1 } ]\n',
    fixable=True,
)
def count_below_one(subject: Subject) -> Iterator[Diagnostic]:
    """The count of a group is 0 or negative.

    It does not switch the group off: Triton takes it for a count that was left out, so that the
    model gets one instance (two on the CPU with the onnxruntime and tensorflow backends). Write
    the number that is meant, or delete the group. `--fix` writes the number that Triton takes.
    """
    if not _WRITTEN_COUNT.search(subject.text):
        return
    for number, group in enumerate(subject.declared.groups):
        field = f"instance_group[{number}].count"
        if group.count < 1 and field in subject.positions:
            taken = subject.backend.cpu_count if group.kind == "CPU" else 1
            yield subject.at(
                field,
                f"count: {group.count} switches nothing off: Triton makes {taken} "
                f"instance{'s' if taken > 1 else ''}",
                lines_with(subject, number, count=taken),
                () if group.kind == "AUTO" else set_field(subject, number, "count", str(taken)),
            )


@rule(
    "TRT111",
    "implicit-count",
    "note",
    failing='backend: "onnxruntime"\ninstance_group [ { kind: KIND_CPU } ]\n',
    fixed='backend: "onnxruntime"\ninstance_group [ { kind: KIND_CPU count: 1 } ]\n',
)
def implicit_count(subject: Subject) -> Iterator[Diagnostic]:
    """A KIND_CPU group without a count becomes two instances, on some backends.

    Everywhere else a count that is left out means one. For CPU groups of the onnxruntime and
    tensorflow backends it means two (https://github.com/triton-inference-server/core/pull/82):
    twice the memory, and two thread pools that compete for the same cores. Write the count.
    """
    if subject.backend.cpu_count < 2:
        return
    for number, group in subject.groups("CPU"):
        if group.count == 0 and not group.gpus:
            yield subject.at(
                kind_place(number),
                f"no count: with {subject.backend.name} that means "
                f"{subject.backend.cpu_count} instances on the CPU",
                lines_with(subject, number, count=1),
            )


@rule(
    "TRT112",
    "mixed-is-no-fallback",
    "note",
    failing='backend: "onnxruntime"\n'
    "instance_group [ { kind: KIND_GPU }, { kind: KIND_CPU count: 1 } ]\n",
    fixed='backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU } ]\n',
)
def mixed_is_no_fallback(subject: Subject) -> Iterator[Diagnostic]:
    """A model has GPU and CPU groups side by side.

    Both are made where there is a GPU, and requests go to either: some are answered by the slow
    instance. Without a GPU the whole model is refused, the CPU group too; the CPU group is not a
    fallback. If both are meant, ignore this rule for the model; if a fallback is, use two configs
    (`configs/` and `--model-config-name`) or two models.
    """
    gpu = [number for number, group in subject.groups("GPU") if not group.passive]
    cpu = [number for number, group in subject.groups("CPU") if not group.passive]
    if gpu and cpu:
        yield subject.at(
            kind_place(cpu[0]),
            "this CPU group is no fallback: without a GPU the whole model is refused; with one, "
            "requests go to GPU and CPU alike",
            group_lines(subject, (group for _, group in subject.groups("GPU"))),
        )


@rule(
    "TRT113",
    "no-gpu-on-target",
    "error",
    target=0,
    failing='backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU } ]\n',
    fixed='backend: "onnxruntime"\ninstance_group [ { kind: KIND_CPU count: 1 } ]\n',
)
def no_gpu_on_target(subject: Subject) -> Iterator[Diagnostic]:
    """A KIND_GPU group, and the target hardware has no GPU that Triton can use.

    The model is refused there: `has kind KIND_GPU but no GPUs are available`
    (https://github.com/triton-inference-server/server/issues/3912). That is what `KIND_GPU` is
    for; on a target without GPUs it is the wrong word.

    Needs a target (`--target 0`).
    """
    if subject.audited.usable != ():
        return
    for number, group in subject.groups("GPU"):
        if not group.gpus:
            yield subject.at(
                kind_place(number),
                "the target has no GPU that Triton can use: the model is refused there. Give it "
                "one, or declare the CPU if that is meant",
                lines_with(subject, number, kind="CPU"),
            )


@rule(
    "TRT114",
    "passive-gpu",
    "warning",
    failing='backend: "onnxruntime"\n'
    "instance_group [ { kind: KIND_CPU count: 1 }, { kind: KIND_GPU passive: true } ]\n",
    fixed='backend: "onnxruntime"\ninstance_group [ { kind: KIND_CPU count: 1 } ]\n',
)
def passive_gpu(subject: Subject) -> Iterator[Diagnostic]:
    """A passive GPU group stands beside groups that need no GPU.

    Passive instances answer no requests of the scheduler, so that the group looks harmless. It is
    made and validated like any other: on a host without a GPU it has the whole model refused.
    """
    others = [group for group in subject.declared.groups if group.kind in ("CPU", "MODEL")]
    if not others:
        return
    for number, group in subject.groups("GPU"):
        if group.passive:
            yield subject.at(
                (f"instance_group[{number}].passive", *kind_place(number)),
                "a passive GPU group has the whole model refused on hosts without a GPU",
                group_lines(
                    subject,
                    (one for index, one in enumerate(subject.declared.groups) if index != number),
                ),
            )


@rule(
    "TRT115",
    "only-passive",
    "error",
    failing='backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU passive: true } ]\n',
    fixed='backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU } ]\n',
)
def only_passive(subject: Subject) -> Iterator[Diagnostic]:
    """All instance groups are passive.

    Passive instances aren't given to the scheduler. With no others the model is READY all the
    same, and its first request ends the whole server, with all other models (signal 11, seen with
    tritonserver 2.51.0).
    """
    groups = subject.declared.groups
    if groups and all(group.passive for group in groups):
        yield subject.at(
            ("instance_group[0].passive", "instance_group[0]"),
            "all groups are passive: the model is READY, and its first request crashes the server",
            group_lines(subject, (replace(group, passive=False) for group in groups)),
        )
