"""TRT24.: vLLM's model.json against the config and the target."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_triton.audit.correct_groups import lines_with
from pytest_triton.audit.rule import rule
from pytest_triton.audit.rules.placement import kind_place
from pytest_triton.audit.subject import Subject, diagnostic_at
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.repository.bounded_read import entries
from pytest_triton.repository.engines import MODEL_JSON, Engine, engines_of

_MODEL = 'backend: "vllm"\ninstance_group [ { kind: KIND_MODEL count: 1 } ]\n'


@rule(
    "TRT244",
    "vllm-model-json",
    "error",
    failing={"m/config.pbtxt": _MODEL, "m/1/model.json": '{ "model": "some/llm", }\n'},
    fixed={"m/config.pbtxt": _MODEL, "m/1/model.json": '{ "model": "some/llm" }\n'},
)
def vllm_model_json(subject: Subject) -> Iterator[Diagnostic]:
    """A vLLM model's model.json is missing, or can't be read.

    It holds the engine's arguments as a JSON object; comments and trailing commas aren't JSON. The
    model is refused when it loads. Nothing is reported of a version directory without files.
    """
    for engine in engines_of(subject.model):
        if engine.problem:
            yield diagnostic_at(engine.path, engine.line, engine.column, engine.problem)
    if subject.declared.backend == "vllm":
        for version in subject.version_directories:
            there = [one.name for one in entries(version) or () if not one.name.startswith(".")]
            if there and MODEL_JSON not in there:
                yield diagnostic_at(
                    version, None, None, "has no model.json with vLLM's engine arguments"
                )


@rule(
    "TRT245",
    "vllm-copies-on-one-gpu",
    "warning",
    failing={
        "m/config.pbtxt": 'backend: "vllm"\ninstance_group [ { kind: KIND_MODEL count: 4 } ]\n',
        "m/1/model.json": '{ "model": "some/llm" }\n',
    },
    fixed={
        "m/config.pbtxt": 'backend: "vllm"\n'
        "instance_group [ { kind: KIND_GPU count: 1 gpus: [ 0, 1, 2, 3 ] } ]\n",
        "m/1/model.json": '{ "model": "some/llm" }\n',
    },
)
def vllm_copies_on_one_gpu(subject: Subject) -> Iterator[Diagnostic]:
    """Several engines of a vLLM model land on one GPU, and their memory doesn't fit.

    With `KIND_MODEL` no instance is given a GPU: every engine takes the first ones that the server
    sees (https://github.com/triton-inference-server/server/issues/6855). With `KIND_GPU` the count
    is per GPU. Each engine takes `gpu_memory_utilization` of its GPU's memory, 0.9 unless
    model.json says otherwise, so that the second one fails. For a copy on each GPU write
    `KIND_GPU` with a count of 1.
    """
    if subject.declared.backend != "vllm":
        return
    missing = Engine(subject.model.directory, {})  # vLLM's defaults
    for engine in (*engines_of(subject.model), missing):
        for number, group in subject.groups("GPU", "MODEL", "CPU"):
            if engine.problem or group.count < 2 or group.count * engine.utilization <= 1:
                continue
            where = "each GPU" if group.kind == "GPU" else "GPU 0"
            if group.kind != "GPU" and engine.gpus > 1:
                where = f"the first {engine.gpus} GPUs"
            yield subject.at(
                (f"instance_group[{number}].count", *kind_place(number)),
                f"all {group.count} engines land on {where}, and each takes "
                f"{engine.utilization:g} of its memory",
                lines_with(subject, number, count=1)
                if group.kind == "GPU" or engine.gpus > 1
                else lines_with(subject, number, kind="GPU", count=1),
            )
        return


@rule(
    "TRT246",
    "vllm-beyond-target",
    "error",
    target=2,
    failing={
        "m/config.pbtxt": _MODEL,
        "m/1/model.json": '{ "model": "some/llm", "tensor_parallel_size": 4 }\n',
    },
    fixed={
        "m/config.pbtxt": _MODEL,
        "m/1/model.json": '{ "model": "some/llm", "tensor_parallel_size": 2 }\n',
    },
)
def vllm_beyond_target(subject: Subject) -> Iterator[Diagnostic]:
    """A vLLM model's engine needs more GPUs than the target has.

    `tensor_parallel_size` times `pipeline_parallel_size` (times `data_parallel_size`) GPUs. Triton
    places nothing here, so that only the engine fails, when the model loads. Nothing is reported
    of engines that Ray spreads over several machines.

    Needs a target (`--target 2`).
    """
    usable = subject.audited.usable
    if usable is None:
        return
    for engine in engines_of(subject.model):
        if engine.is_spread:
            continue
        if not engine.problem and engine.gpus > len(usable):
            yield diagnostic_at(
                engine.path,
                None,
                None,
                f"the engine needs {engine.gpus} GPU{'s' if engine.gpus > 1 else ''}, and the "
                f"target has {len(usable) or 'none'}",
            )
