"""TRT2..: what backends make of the kind (python models are in python_models.py)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pytest_triton.audit.correct_groups import group_lines, lines_with, usable_gpus
from pytest_triton.audit.parameters import parameter, parameter_fields
from pytest_triton.audit.rule import rule
from pytest_triton.audit.rules.placement import kind_place
from pytest_triton.audit.spans import delete_field, set_field
from pytest_triton.audit.subject import Subject
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.placement.releases import Version
from pytest_triton.repository.engines import engines_of

_ACCELERATORS = "optimization.execution_accelerators"
_TENSORRT = """\
optimization {
  execution_accelerators {
    gpu_execution_accelerator [ { name: "tensorrt" } ]
  }
}
"""
_OPENVINO = """\
optimization {
  execution_accelerators {
    cpu_execution_accelerator [ { name: "openvino" } ]
  }
}
"""
_ENGINE = """\
parameters { key: "gpt_model_type" value { string_value: "inflight_fused_batching" } }
parameters { key: "gpt_model_path" value { string_value: "/engines/llama" } }
"""
_TENSORS = """\
max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""


@rule(
    "TRT201",
    "tensorrt-off-gpu",
    "error",
    reported_by="test_config",
    failing='backend: "tensorrt"\ninstance_group [ { kind: KIND_CPU } ]\n',
    fixed='backend: "tensorrt"\ninstance_group [ { kind: KIND_GPU } ]\n',
)
def tensorrt_off_gpu(subject: Subject) -> Iterator[Diagnostic]:
    """A TensorRT model has a group that is not KIND_GPU.

    The backend refuses the whole model for it, on any hardware: `TensorRT backend supports only
    GPU device` (https://github.com/triton-inference-server/server/issues/5863).
    """
    if subject.backend.only != "GPU":
        return
    for number, group in subject.groups("CPU", "MODEL"):
        yield subject.at(
            kind_place(number),
            f"{subject.backend.name} takes KIND_GPU only, and refuses KIND_{group.kind}",
            lines_with(subject, number, kind="GPU"),
        )


@rule(
    "TRT202",
    "openvino-off-cpu",
    "error",
    reported_by="test_config",
    failing='backend: "openvino"\ninstance_group [ { kind: KIND_GPU } ]\n',
    fixed='backend: "openvino"\ninstance_group [ { kind: KIND_CPU } ]\n',
)
def openvino_off_cpu(subject: Subject) -> Iterator[Diagnostic]:
    """An OpenVINO model has a KIND_GPU or KIND_MODEL group.

    The backend takes `KIND_CPU` instances only and refuses the whole model, on any hardware. The
    GPU that OpenVINO means is Intel's, and is chosen by the parameter `TARGET_DEVICE`.
    """
    if subject.backend.only != "CPU":
        return
    for number, group in subject.groups("GPU", "MODEL"):
        yield subject.at(
            kind_place(number),
            f"{subject.backend.name} takes KIND_CPU only, and refuses KIND_{group.kind}",
            lines_with(subject, number, kind="CPU", gpus=()),
        )


@rule(
    "TRT203",
    "openvino-auto",
    "error",
    failing='backend: "openvino"\ninstance_group [ { count: 2 } ]\n',
    fixed='backend: "openvino"\ninstance_group [ { kind: KIND_CPU count: 2 } ]\n',
    fixable=True,
)
def openvino_auto(subject: Subject) -> Iterator[Diagnostic]:
    """An OpenVINO model has a group without a kind: it loads only where there is no GPU.

    Without instance_group the backend asks for the CPU. With a group that says no kind (only a
    count, say) Triton takes the GPU where there is one, and the backend then refuses the model:
    it works on a laptop and in CI, and fails on the GPU server.

    Write `KIND_CPU`: it is the same where there is no GPU. `--fix` does it.
    """
    if subject.backend.only != "CPU":
        return
    for number, group in subject.groups("AUTO"):
        if not group.gpus:
            yield subject.at(
                kind_place(number),
                "the group says no kind: on a host with a GPU it becomes KIND_GPU, which the "
                f"{subject.backend.name} backend refuses",
                lines_with(subject, number, kind="CPU"),
                set_field(subject, number, "kind", "KIND_CPU"),
            )


@rule(
    "TRT204",
    "openvino-target-device",
    "warning",
    failing='backend: "openvino"\ninstance_group [ { kind: KIND_CPU } ]\n'
    'parameters { key: "TARGET_DEVICE" value { string_value: "GPU" } }\n',
    fixed='backend: "openvino"\ninstance_group [ { kind: KIND_CPU } ]\n'
    'parameters { key: "TARGET_DEVICE" value { string_value: "CPU" } }\n',
)
def openvino_target_device(subject: Subject) -> Iterator[Diagnostic]:
    """TARGET_DEVICE sends an OpenVINO model elsewhere than its kind says.

    The backend's instances are `KIND_CPU`, always; that is what Triton reports and what placement
    can be checked. The real device is the parameter's
    (https://github.com/triton-inference-server/openvino_backend/pull/87): an Intel GPU, an NPU,
    or whatever `AUTO` and `HETERO` choose. Nothing that Triton says of this model's placement
    counts; if it is meant, ignore this rule for it.
    """
    if subject.declared.backend != "openvino" or "TARGET_DEVICE" not in subject.config.parameters:
        return
    device = subject.config.parameters["TARGET_DEVICE"].string_value
    if device.upper() not in ("", "CPU"):
        yield subject.at(
            parameter_fields(subject, "TARGET_DEVICE"),
            f"runs on OpenVINO's device {device!r}, while Triton reports the CPU",
            'parameters { key: "TARGET_DEVICE" value { string_value: "CPU" } }',
        )


@rule(
    "TRT205",
    "gpu-accelerator-off-gpu",
    "warning",
    failing='backend: "onnxruntime"\n'
    + _TENSORRT
    + "instance_group [ { kind: KIND_CPU count: 1 } ]\n",
    fixed='backend: "onnxruntime"\n' + _TENSORRT + "instance_group [ { kind: KIND_GPU } ]\n",
)
def gpu_accelerator_off_gpu(subject: Subject) -> Iterator[Diagnostic]:
    """A GPU accelerator is configured for instances that aren't on a GPU.

    onnxruntime ignores it without a word, so that the model runs plainly on the CPU and nobody
    learns why it is slow. tensorflow refuses the model for a CPU group, even beside GPU groups
    (https://github.com/triton-inference-server/server/issues/2488).
    """
    backend = subject.declared.backend
    if backend not in ("onnxruntime", "tensorflow"):
        return
    accelerators = subject.config.optimization.execution_accelerators
    off_gpu = list(subject.groups("CPU", "MODEL"))
    if not accelerators.gpu_execution_accelerator or not off_gpu:
        return
    if backend == "onnxruntime" and len(off_gpu) == len(subject.declared.groups):
        says = "onnxruntime ignores this accelerator: no group is KIND_GPU"
    elif backend == "tensorflow":
        says = "tensorflow refuses a GPU accelerator for a model with a group that isn't KIND_GPU"
    else:
        return
    yield subject.at(
        (f"{_ACCELERATORS}.gpu_execution_accelerator", _ACCELERATORS, "optimization"),
        says,
        group_lines(subject, (replace(group, kind="GPU") for group in subject.declared.groups)),
    )


@rule(
    "TRT206",
    "openvino-accelerator-on-gpu",
    "warning",
    failing='backend: "onnxruntime"\n' + _OPENVINO + "instance_group [ { kind: KIND_GPU } ]\n",
    fixed='backend: "onnxruntime"\n'
    + _OPENVINO
    + "instance_group [ { kind: KIND_CPU count: 1 } ]\n",
)
def openvino_accelerator_on_gpu(subject: Subject) -> Iterator[Diagnostic]:
    """The OpenVINO accelerator is configured for instances on a GPU.

    onnxruntime's backend adds CPU accelerators to every instance, those of `KIND_GPU` too, after
    the CUDA provider: nodes that CUDA leaves over run in OpenVINO on the CPU. Delete the
    accelerator, or say `KIND_CPU`.
    """
    if subject.declared.backend != "onnxruntime":
        return
    accelerators = subject.config.optimization.execution_accelerators
    if accelerators.cpu_execution_accelerator and any(subject.groups("GPU")):
        yield subject.at(
            (f"{_ACCELERATORS}.cpu_execution_accelerator", _ACCELERATORS, "optimization"),
            "a CPU accelerator in a KIND_GPU model: what CUDA leaves over runs in it, on the CPU",
        )


@rule(
    "TRT207",
    "tensorrt-accelerator-device",
    "warning",
    failing='backend: "onnxruntime"\n'
    + _TENSORRT
    + "instance_group [ { kind: KIND_GPU gpus: [ 1 ] } ]\n",
    fixed='backend: "onnxruntime"\n'
    + _TENSORRT
    + "instance_group [ { kind: KIND_GPU gpus: [ 0 ] } ]\n",
    options=("--release",),
)
def tensorrt_accelerator_device(subject: Subject) -> Iterator[Diagnostic]:
    """The TensorRT accelerator of onnxruntime, on a GPU other than 0, in releases before 25.04.

    Up to release 25.03 the backend never gave the accelerator its instance's GPU: the
    engines of all instances ran on GPU 0, whatever `gpus` said
    (https://github.com/triton-inference-server/onnxruntime_backend/pull/299). Take release 25.04
    or newer (and ignore this rule), or GPU 0.
    """
    if subject.declared.backend != "onnxruntime":
        return
    accelerators = subject.config.optimization.execution_accelerators.gpu_execution_accelerator
    names = [number for number, one in enumerate(accelerators) if one.name == "tensorrt"]
    if not names:
        return
    for _, group in subject.groups("GPU"):
        others = [gpu for gpu in group.gpus or subject.audited.usable or () if gpu > 0]
        if others:
            yield subject.at(
                (
                    f"{_ACCELERATORS}.gpu_execution_accelerator[{names[0]}].name",
                    f"{_ACCELERATORS}.gpu_execution_accelerator[{names[0]}]",
                    "optimization",
                ),
                f"before release 25.04 the TensorRT accelerator runs on GPU 0, not on {others[0]}",
            )
            return


@rule(
    "TRT208",
    "onnx-probes-gpu-0",
    "warning",
    failing='backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU gpus: [ 1 ] } ]\n',
    fixed='backend: "onnxruntime"\n'
    + _TENSORS
    + "instance_group [ { kind: KIND_GPU gpus: [ 1 ] } ]\n",
)
def onnx_probes_gpu_0(subject: Subject) -> Iterator[Diagnostic]:
    """An onnxruntime model without inputs or outputs in its config, kept away from GPU 0.

    To complete the config the backend first loads the model once, on GPU 0, whatever `gpus` says:
    it takes memory there, and fails where that GPU is full. Write the inputs and outputs down.
    """
    if subject.declared.backend != "onnxruntime":
        return
    config = subject.config
    if len(config.input) and len(config.output):
        return
    on_gpus = [(number, group) for number, group in subject.groups("GPU") if group.gpus]
    if on_gpus and not any(0 in group.gpus for _, group in on_gpus):
        missing = " and no ".join(
            name for name in ("input", "output") if not len(getattr(config, name))
        )
        yield subject.at(
            f"instance_group[{on_gpus[0][0]}].gpus",
            f"the config has no {missing}: to find out, the backend loads the model on GPU 0 first",
        )


@rule(
    "TRT209",
    "onnx-kind-model",
    "warning",
    failing='backend: "onnxruntime"\ninstance_group [ { kind: KIND_MODEL } ]\n',
    fixed='backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU } ]\n',
)
def onnx_kind_model(subject: Subject) -> Iterator[Diagnostic]:
    """KIND_MODEL on onnxruntime runs on the CPU.

    The backend gives the CUDA provider to `KIND_GPU` instances only. `KIND_MODEL` reads like "let
    the model decide", and means the CPU here. Write `KIND_GPU` or `KIND_CPU`.
    """
    if subject.declared.backend != "onnxruntime":
        return
    for number, _ in subject.groups("MODEL"):
        yield subject.at(
            kind_place(number),
            "KIND_MODEL means the CPU with the onnxruntime backend",
            lines_with(subject, number, kind="GPU"),
        )


@rule(
    "TRT210",
    "profile-off-tensorrt",
    "error",
    reported_by="test_config",
    failing='backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU profile: [ "1" ] } ]\n',
    fixed='backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU } ]\n',
    fixable=True,
)
def profile_off_tensorrt(subject: Subject) -> Iterator[Diagnostic]:
    """`profile` in a model that isn't a TensorRT plan.

    Optimization profiles are TensorRT's; any other model is refused for them. Delete the field
    (`--fix` does).
    """
    if subject.declared.platform == "tensorrt_plan":
        return
    for number, group in enumerate(subject.declared.groups):
        if group.profile:
            field = f"instance_group[{number}].profile"
            yield subject.at(
                field,
                "profile is for TensorRT plans only: the model is refused",
                lines_with(subject, number, profile=()),
                delete_field(subject, field),
            )


@rule(
    "TRT211",
    "vllm-kind",
    "warning",
    failing='backend: "vllm"\ninstance_group [ { kind: KIND_CPU } ]\n',
    fixed='backend: "vllm"\ninstance_group [ { kind: KIND_MODEL } ]\n',
)
def vllm_kind(subject: Subject) -> Iterator[Diagnostic]:
    """A vLLM model says KIND_CPU, and takes GPUs all the same.

    vLLM places itself; the kind only decides whether it is given a GPU to stay on (`KIND_GPU`).
    With `KIND_CPU` Triton reports the CPU while the engine fills a GPU. Write `KIND_MODEL`, or
    `KIND_GPU` for an engine that fits one GPU.
    """
    if subject.declared.backend != "vllm":
        return
    for number, _ in subject.groups("CPU"):
        yield subject.at(
            kind_place(number),
            "vLLM takes GPUs whatever the kind says: KIND_CPU hides that",
            lines_with(subject, number, kind="MODEL"),
        )


@rule(
    "TRT212",
    "vllm-parallel-on-one-gpu",
    "error",
    failing={
        "m/config.pbtxt": 'backend: "vllm"\ninstance_group [ { kind: KIND_GPU } ]\n',
        "m/1/model.json": '{ "model": "some/llm", "tensor_parallel_size": 2 }\n',
    },
    fixed={
        "m/config.pbtxt": 'backend: "vllm"\ninstance_group [ { kind: KIND_MODEL } ]\n',
        "m/1/model.json": '{ "model": "some/llm", "tensor_parallel_size": 2 }\n',
    },
)
def vllm_parallel_on_one_gpu(subject: Subject) -> Iterator[Diagnostic]:
    """A vLLM model that needs several GPUs is KIND_GPU.

    `KIND_GPU` gives each instance one GPU. Where model.json asks for more (`tensor_parallel_size`
    times `pipeline_parallel_size`) the backend refuses the model: `KIND_GPU is currently for
    single-GPU models` (see also
    https://github.com/triton-inference-server/server/issues/6855). Write `KIND_MODEL`.
    """
    if subject.declared.backend != "vllm":
        return
    groups = list(subject.groups("GPU"))
    if not groups:
        return
    for engine in engines_of(subject.model):
        size = engine.gpus
        if size > 1 and not engine.problem:
            number = groups[0][0]
            yield subject.at(
                kind_place(number),
                f"the engine needs {size} GPUs (model.json), and KIND_GPU gives it one: refused",
                lines_with(subject, number, kind="MODEL", gpus=()),
            )
            return


def _gpu_device_ids(gpus: Sequence[int]) -> str:
    """The parameter of one instance, as a line; "" for no GPUs."""
    ids = ",".join(map(str, gpus))
    return f'parameters {{ key: "gpu_device_ids" value {{ string_value: "{ids}" }} }}\n' * bool(ids)


@rule(
    "TRT213",
    "tensorrtllm-gpus",
    "warning",
    failing='backend: "tensorrtllm"\ninstance_group [ { kind: KIND_GPU gpus: [ 1 ] } ]\n' + _ENGINE,
    fixed='backend: "tensorrtllm"\ninstance_group [ { kind: KIND_CPU count: 1 } ]\n'
    'parameters { key: "gpu_device_ids" value { string_value: "1" } }\n' + _ENGINE,
)
def tensorrtllm_gpus(subject: Subject) -> Iterator[Diagnostic]:
    """A TensorRT-LLM model is given GPUs by its instance group, which the backend doesn't follow.

    Engines go to the GPUs of the parameter `gpu_device_ids`, else to the first ones
    (https://github.com/triton-inference-server/tensorrtllm_backend/issues/481). A `KIND_GPU` group
    also makes an instance for every GPU, which all load the same engine to the same place
    (https://github.com/triton-inference-server/tensorrtllm_backend/issues/127). NVIDIA's own
    configs say `KIND_CPU` with a count of 1, although the work is done on GPUs.
    """
    if subject.declared.backend != "tensorrtllm":
        return
    count = sum(max(group.count, 1) for group in subject.declared.groups)
    for number, group in subject.groups("GPU"):
        place = (f"instance_group[{number}].gpus", *kind_place(number))
        yield subject.at(
            place if group.gpus else place[1:],
            "TensorRT-LLM doesn't follow the instance group's GPUs, but the parameter "
            "gpu_device_ids",
            (_gpu_device_ids(usable_gpus(subject, group.gpus)) if count < 2 else "")
            + group_lines(subject, subject.declared.groups),
        )


@rule(
    "TRT214",
    "tensorrtllm-reports-cpu",
    "note",
    failing='backend: "tensorrtllm"\ninstance_group [ { kind: KIND_CPU count: 1 } ]\n' + _ENGINE,
    fixed='backend: "tensorrtllm"\ninstance_group [ { kind: KIND_MODEL count: 1 } ]\n' + _ENGINE,
)
def tensorrtllm_reports_cpu(subject: Subject) -> Iterator[Diagnostic]:
    """A TensorRT-LLM model says KIND_CPU, as NVIDIA's examples do, and runs on GPUs.

    Triton reports the CPU for it, so that a check of its placement proves nothing about the GPUs
    that the engine takes. `KIND_MODEL` says the same to the backend, and doesn't mislead readers.
    """
    if subject.declared.backend != "tensorrtllm":
        return
    for number, _ in subject.groups("CPU"):
        yield subject.at(
            kind_place(number),
            "Triton reports the CPU for this model, whose engine runs on GPUs",
            lines_with(subject, number, kind="MODEL"),
        )


_WITHOUT_TENSORFLOW: Version = (2, 56, 0)


@rule(
    "TRT216",
    "backend-not-in-image",
    "warning",
    failing='platform: "tensorflow_savedmodel"\ninstance_group [ { kind: KIND_GPU } ]\n',
    fixed='backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU } ]\n',
    options=("--own-backend", "--release"),
)
def backend_not_in_image(subject: Subject) -> Iterator[Diagnostic]:
    """NVIDIA's images of this release have no such backend any more.

    The tensorflow backend is in the images up to 25.02
    (https://github.com/triton-inference-server/server/pull/8068); newer ones refuse the model:
    `unable to find backend library for backend 'tensorflow'`. Export the model to ONNX, stay with
    25.02 (`--release 25.02`), or build the backend yourself and name it with `--own-backend`.
    """
    backend = subject.declared.backend
    if backend != "tensorflow" or backend in subject.audited.own_backends:
        return
    newer = subject.audited.server.version >= _WITHOUT_TENSORFLOW
    if newer and not subject.model.on_disk.libraries:
        yield subject.at(
            ("backend", "platform"),
            "NVIDIA's images from 25.03 on have no tensorflow backend: export the model to ONNX, "
            "stay with 25.02, or name a backend of your own (--triton-own-backends)",
        )


_PROXY = """\
backend: "python"
instance_group [ { kind: KIND_CPU } ]
"""


@rule(
    "TRT217",
    "pytriton-proxy",
    "note",
    failing=_PROXY
    + """\
parameters { key: "workspace-path" value { string_value: "/root/.cache/pytriton/workspace_1" } }
""",
    fixed=_PROXY,
)
def pytriton_proxy(subject: Subject) -> Iterator[Diagnostic]:
    """A model is PyTriton's proxy: another process computes, on a device of its own choice.

    PyTriton, and NeMo's deployment with it, writes such models: Triton gets a python model of
    `KIND_CPU` that passes requests on to the process that bound the function
    (https://github.com/triton-inference-server/pytriton). Its placement says nothing about GPUs,
    and without that process nothing answers. Check the device in that process, as in
    `assert torch.cuda.is_available()` before `triton.bind(...)`.
    """
    if subject.declared.backend == "python" and parameter(subject, "workspace-path"):
        yield subject.at(
            parameter_fields(subject, "workspace-path"),
            "a proxy of PyTriton: it computes in the process that binds it, so its placement says "
            "nothing about GPUs",
        )
