"""TRT22.: python models, whose code may obey its kind and device, or not.

The python backend only hands both to model.py. What the code makes of them is read here, as far
as it can be read; where it can't, nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pytest_triton.audit.python_code import Place
from pytest_triton.audit.rule import rule
from pytest_triton.audit.subject import Found, Subject

_GPU = 'backend: "python"\ninstance_group [ { kind: KIND_GPU } ]\n'
_CPU = 'backend: "python"\ninstance_group [ { kind: KIND_CPU } ]\n'
_BEGIN = """\
import torch


class TritonPythonModel:
    def initialize(self, args):
"""
_ASKING = (
    _BEGIN
    + """\
        device = "cuda:" + args["model_instance_device_id"]
        self.model = torch.jit.load("model.pt").to(device)
"""
)
_LOAD = '        self.model = torch.jit.load("model.pt")'


def _example(config: str, code: str) -> dict[str, str]:
    return {"m/config.pbtxt": config, "m/1/model.py": code}


def _in_code(path: Path, place: Place, message: str) -> Found:
    return Found(path, place.line, place.column, message)


def _gpus(subject: Subject) -> tuple[int, ...] | None:
    """The GPUs that the model's KIND_GPU groups name, or get on the target; None: all, or none."""
    named: set[int] = set()
    for _, group in subject.groups("GPU"):
        listed = group.gpus or subject.audited.usable
        if listed is None:
            return None
        named.update(listed)
    return tuple(sorted(named))


@rule(
    "TRT220",
    "python-default-gpu",
    "warning",
    failing=_example(_GPU, _BEGIN + _LOAD + ".cuda()\n"),
    mended=_example(_GPU, _ASKING),
)
def python_default_gpu(subject: Subject) -> Iterator[Found]:
    """A KIND_GPU python model takes "the" GPU, and never asks which one it was given.

    The backend doesn't set a device: it hands kind and device id to `initialize`, and `.cuda()`
    or `"cuda"` without a number is GPU 0 in every instance. All GPUs are reported as used while
    one does the work and runs out of memory
    (https://github.com/triton-inference-server/server/issues/2928,
    https://github.com/triton-inference-server/server/issues/4581). Take
    `args["model_instance_device_id"]`.

    Nothing is said where the model gets GPU 0 only, or where the code hands `args` on.
    """
    if not any(subject.groups("GPU")) or _gpus(subject) in ((), (0,)):
        return
    for path, use in subject.device_uses:
        if use.default is not None and use.fixed is None and not use.asks:
            yield _in_code(
                path,
                use.default,
                "takes GPU 0 in every instance: it never reads model_instance_device_id",
            )


@rule(
    "TRT221",
    "python-fixed-gpu",
    "warning",
    failing=_example(_GPU, _BEGIN + _LOAD + '.to("cuda:0")\n'),
    mended=_example(_GPU, _ASKING),
)
def python_fixed_gpu(subject: Subject) -> Iterator[Found]:
    """A KIND_GPU python model has the number of a GPU in its code.

    Whatever GPUs its groups name, all instances go to that one
    (https://github.com/triton-inference-server/server/issues/6124). Take
    `args["model_instance_device_id"]`, or list just this GPU in `gpus`.
    """
    if not any(subject.groups("GPU")):
        return
    gpus = _gpus(subject)
    for path, use in subject.device_uses:
        if use.fixed is not None and not use.asks and gpus not in ((), (use.fixed[1],)):
            place, number = use.fixed
            yield _in_code(
                path,
                place,
                f"always takes GPU {number}, whatever GPU Triton makes the instance for",
            )


@rule(
    "TRT222",
    "python-stays-on-cpu",
    "warning",
    failing=_example(_GPU, _BEGIN + _LOAD + "\n"),
    mended=_example(_GPU, _ASKING),
)
def python_stays_on_cpu(subject: Subject) -> Iterator[Found]:
    """A KIND_GPU python model uses PyTorch and never moves anything to a GPU.

    `KIND_GPU` doesn't move a python model: Triton reports the GPU, and PyTorch computes on the
    CPU unless the code says otherwise. Nothing is said of code that imports libraries which might
    do it by themselves.
    """
    if not any(subject.groups("GPU")):
        return
    for path, use in subject.device_uses:
        if use.stays_on_cpu is not None:
            yield _in_code(
                path,
                use.stays_on_cpu,
                "KIND_GPU, and the code moves nothing to a GPU: PyTorch computes on the CPU",
            )


@rule(
    "TRT223",
    "python-gpu-in-secret",
    "warning",
    failing=_example(_CPU, _BEGIN + _LOAD + '.to("cuda:0")\n'),
    mended=_example(_GPU, _ASKING),
)
def python_gpu_in_secret(subject: Subject) -> Iterator[Found]:
    """A KIND_CPU python model takes a GPU.

    Triton makes CPU instances and counts them as such; the code takes a GPU without looking at
    its kind. On hosts without one it fails when it loads, or only when it is asked. Declare
    `KIND_GPU`, so that the refusal is Triton's.
    """
    groups = subject.declared.groups
    if not groups or any(group.kind != "CPU" for group in groups):
        return
    for path, use in subject.device_uses:
        place = use.fixed[0] if use.fixed is not None else use.default
        if place is not None and use.falls_back is None and not use.asks:
            yield _in_code(path, place, "takes a GPU, while the config says KIND_CPU")


@rule(
    "TRT224",
    "python-own-fallback",
    "warning",
    failing=_example(
        _GPU,
        _BEGIN
        + '        device = "cuda" if torch.cuda.is_available() else "cpu"\n'
        + _LOAD
        + ".to(device)\n",
    ),
    mended=_example(_GPU, _ASKING),
)
def python_own_fallback(subject: Subject) -> Iterator[Found]:
    """A KIND_GPU python model goes to the CPU by itself where PyTorch sees no GPU.

    Triton and PyTorch look for GPUs on their own. Where only PyTorch sees none (a CPU build in the
    execution environment, another CUDA version) the model is READY on a GPU for Triton, and
    computes on the CPU: the fallback that `KIND_GPU` was meant to rule out, inside the code.
    Raise an error in `initialize` instead.
    """
    if not any(subject.groups("GPU")):
        return
    for path, use in subject.device_uses:
        if use.falls_back is not None:
            yield _in_code(
                path,
                use.falls_back,
                "falls back to the CPU by itself where it sees no GPU, though it is KIND_GPU",
            )
