"""TRT4..: what the models together make of the target hardware."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_triton.audit.correct_groups import lines_with
from pytest_triton.audit.rule import rule
from pytest_triton.audit.subject import Audited, Subject, diagnostic_at
from pytest_triton.diagnostics.diagnostic import Diagnostic

_MANY_COPIES = 16
_DOCKERS_SHARED_MEMORY = 64  # MB; each python instance takes at least one of them
_PYTHON_BASED = ("python", "vllm")


@rule(
    "TRT401",
    "unused-gpu",
    "note",
    scope="repository",
    target=2,
    failing='backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU gpus: [ 0 ] } ]\n',
    fixed='backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU } ]\n',
)
def unused_gpu(audited: Audited) -> Iterator[Diagnostic]:
    """No model has an instance on one of the target's GPUs.

    Somebody pays for it. Nothing is said where a model places itself (KIND_MODEL, vLLM,
    TensorRT-LLM), or where a config can't be read.

    Needs a target (`--target 2`).
    """
    if not audited.usable:
        return
    if len(audited.by_name) < len(audited.subjects):
        return  # what can't be read may use them
    for one in audited.by_name.values():
        if one.backend.places_itself or any(one.groups("MODEL")):
            return
    used = {gpu for p in audited.on_target.values() for gpu in p.placement.devices}
    idle = [gpu for gpu in audited.usable if gpu not in used]
    if idle:
        numbers = ", ".join(map(str, idle))
        yield diagnostic_at(
            audited.repository.paths[0],
            None,
            None,
            f"no model has an instance on GPU {numbers} of the target's {len(audited.usable)}",
        )


@rule(
    "TRT402",
    "many-copies",
    "warning",
    target=4,
    failing='backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU count: 4 } ]\n',
    fixed='backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU count: 1 } ]\n',
)
def many_copies(subject: Subject) -> Iterator[Diagnostic]:
    """The count of a group is multiplied by the GPUs of the target: 16 copies of the model or more.

    `count` is per GPU, and without `gpus` a `KIND_GPU` group is on all of them. Most backends
    load the weights once for each instance; `count: 4` was perhaps meant as four in all
    (https://github.com/triton-inference-server/server/issues/3443).

    Needs a target (`--target 4`).
    """
    usable = subject.audited.usable
    if not usable:
        return
    for number, group in subject.groups("GPU"):
        gpus = set(usable).intersection(group.gpus or usable)
        copies = group.count * len(gpus)
        if group.count > 1 and len(gpus) > 1 and copies >= _MANY_COPIES:
            yield subject.at(
                f"instance_group[{number}].count",
                f"count: {group.count} is per GPU: {copies} instances on the target's "
                f"{len(gpus)} GPUs, each with the model's memory",
                lines_with(subject, number, count=max(1, group.count // len(gpus))),
            )


@rule(
    "TRT403",
    "python-shared-memory",
    "warning",
    scope="repository",
    failing='backend: "python"\ninstance_group [ { kind: KIND_CPU count: 64 } ]\n',
    fixed='backend: "python"\ninstance_group [ { kind: KIND_CPU count: 8 } ]\n',
)
def python_shared_memory(audited: Audited) -> Iterator[Diagnostic]:
    """The python instances need more shared memory than a container has by default.

    Each takes 1 MB of /dev/shm when it starts (64 MB before release 23.09) and more with its
    tensors; Docker gives a container 64 MB. The last ones fail with `Unable to initialize shared
    memory key` (https://github.com/triton-inference-server/server/issues/6195). Start the
    container with a larger `--shm-size`, and ignore this rule.
    """
    models = [one for one in audited.by_name.values() if one.declared.backend in _PYTHON_BASED]
    if not models:
        return
    declared = sum(_least_instances(one) for one in models)
    count = declared
    if audited.target is not None:
        count = sum(audited.on_target[one.model.name].placement.total for one in models)
    if count >= _DOCKERS_SHARED_MEMORY:
        where = "on the target" if audited.target is not None else "at least"
        yield diagnostic_at(
            audited.repository.paths[0],
            None,
            None,
            f"{count} python instances {where}, at 1 MB of shared memory or more each: Docker's "
            f"default is {_DOCKERS_SHARED_MEMORY} MB (--shm-size)",
        )


def _least_instances(subject: Subject) -> int:
    return (
        sum(max(group.count, 1) * max(len(group.gpus), 1) for group in subject.declared.groups) or 1
    )
