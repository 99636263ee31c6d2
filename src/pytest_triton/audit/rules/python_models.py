"""TRT22.: python models, whose code may follow its kind and device, or not.

The python backend only hands both to model.py. What the code makes of them is read in
`model_code`, as far as it can be followed; where it can't, nothing is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytest_triton.audit.rule import rule
from pytest_triton.audit.subject import Subject, diagnostic_at
from pytest_triton.diagnostics.diagnostic import Diagnostic

if TYPE_CHECKING:
    from pytest_triton.audit.model_code.uses import Kind, Use

_GPU = 'backend: "python"\ninstance_group [ { kind: KIND_GPU } ]\n'
_CPU = 'backend: "python"\ninstance_group [ { kind: KIND_CPU } ]\n'
_MODEL = 'backend: "python"\ninstance_group [ { kind: KIND_MODEL } ]\n'
_BEGIN = """\
import torch


class TritonPythonModel:
    def initialize(self, args):
"""
_END = """\

    def execute(self, requests):
        return [self.answer(request) for request in requests]
"""
_LOAD = '        self.model = torch.jit.load("model.pt")'
_FROM_PRETRAINED = """\
from transformers import AutoModelForCausalLM


class TritonPythonModel:
    def initialize(self, args):
        self.model = AutoModelForCausalLM.from_pretrained("some/llm"{more})
"""


def _example(config: str, code: str) -> dict[str, str]:
    return {"m/config.pbtxt": config, "m/1/model.py": code + _END}


_ASKING = _example(
    _GPU,
    _BEGIN
    + """\
        device = "cuda:" + args["model_instance_device_id"]
        self.model = torch.jit.load("model.pt", map_location=device)
""",
)


def _uses(subject: Subject, kind: Kind) -> Iterator[tuple[Use, str]]:
    """The uses of a kind, the first in each file, and how many others there are."""
    counts: dict[object, int] = {}
    uses = [use for use in subject.code_uses if use.kind == kind]
    for use in uses:
        counts[use.path, use.gpu] = counts.get((use.path, use.gpu), 0) + 1
    seen = set()
    for use in uses:
        if (use.path, use.gpu) not in seen:
            seen.add((use.path, use.gpu))
            more = counts[use.path, use.gpu] - 1
            yield use, f" (and in {more} more place{'s' if more > 1 else ''})" if more else ""


def _found(use: Use, message: str) -> Diagnostic:
    return diagnostic_at(use.path, use.place.line, use.place.column, message)


def _gpus(subject: Subject) -> tuple[int, ...] | None:
    """The GPUs that the model's KIND_GPU groups name, or get on the target; None: all, or none."""
    named: set[int] = set()
    for _, group in subject.groups("GPU"):
        listed = group.gpus or subject.audited.usable
        if listed is None:
            return None
        named.update(listed)
    return tuple(sorted(named))


def _call(use: Use) -> str:
    return f"`{use.call}`" if use.call and "*" not in use.call else "this call"


@rule(
    "TRT220",
    "python-default-gpu",
    "warning",
    failing=_example(_GPU, _BEGIN + _LOAD + ".cuda()\n"),
    fixed=_ASKING,
)
def python_default_gpu(subject: Subject) -> Iterator[Diagnostic]:
    """A KIND_GPU python model takes "the" GPU instead of the one that its instance was given.

    The backend doesn't set a device: it hands kind and device id to `initialize`, and `.cuda()`,
    `"cuda"` without a number, or a library that chooses by itself, is GPU 0 in every instance. All
    GPUs are reported as used while one does the work and runs out of memory
    (https://github.com/triton-inference-server/server/issues/2928,
    https://github.com/triton-inference-server/server/issues/4581). Pass
    `args["model_instance_device_id"]` to the library, or make it the current GPU
    (`torch.cuda.set_device`).

    Nothing is reported where the model gets GPU 0 only, or where the code can't be followed.
    """
    if _gpus(subject) in ((), (0,)):
        return
    for use, more in _uses(subject, "default"):
        yield _found(
            use,
            f"{_call(use)} takes GPU 0 in every instance, not the one of "
            f"model_instance_device_id{more}",
        )


@rule(
    "TRT221",
    "python-fixed-gpu",
    "warning",
    failing=_example(_GPU, _BEGIN + _LOAD + '.to("cuda:0")\n'),
    fixed=_ASKING,
)
def python_fixed_gpu(subject: Subject) -> Iterator[Diagnostic]:
    """A KIND_GPU python model has the number of a GPU in its code.

    Whatever GPUs its groups name, all instances go to that one
    (https://github.com/triton-inference-server/server/issues/6124). Take
    `args["model_instance_device_id"]`, or list just this GPU in `gpus`.
    """
    gpus = _gpus(subject)
    for use, more in _uses(subject, "fixed"):
        if gpus not in ((), (use.gpu,)):
            yield _found(
                use,
                f"always takes GPU {use.gpu}, whatever GPU Triton makes the instance for{more}",
            )


@rule(
    "TRT222",
    "python-stays-on-cpu",
    "warning",
    failing=_example(_GPU, _FROM_PRETRAINED.format(more="")),
    fixed=_example(
        _GPU,
        _FROM_PRETRAINED.format(more="").rstrip()
        + '.to(\n            "cuda:" + args["model_instance_device_id"]\n        )\n',
    ),
)
def python_stays_on_cpu(subject: Subject) -> Iterator[Diagnostic]:
    """A KIND_GPU python model loads a model and never moves it to a GPU.

    `KIND_GPU` doesn't move a python model: Triton reports the GPU, and the library computes on the
    CPU unless the code says otherwise. (`torch.load` and `torch.jit.load` put a model where it was
    saved from, which is the CPU for most files, and never the GPU of the instance.) Nothing is
    reported of code that imports libraries which might choose a GPU by themselves.
    """
    for use, _ in _uses(subject, "stays"):
        where = (
            "stays on the device that it was saved from, mostly the CPU"
            if use.call in ("load", "jit.load")
            else "stays on the CPU"
        )
        yield _found(use, f"KIND_GPU, but what {_call(use)} loads {where}: nothing moves it")


@rule(
    "TRT223",
    "python-gpu-in-secret",
    "warning",
    failing=_example(_CPU, _BEGIN + _LOAD + '.to("cuda:0")\n'),
    fixed=_ASKING,
)
def python_gpu_in_secret(subject: Subject) -> Iterator[Diagnostic]:
    """A KIND_CPU python model takes a GPU.

    Triton makes CPU instances and counts them as such; the code takes a GPU without looking at
    its kind, or leaves the choice to a library. On hosts without one it fails when it loads, or is
    slow. Declare `KIND_GPU`, so that the refusal is Triton's, or pass the library the CPU.
    """
    for use, more in _uses(subject, "takes"):
        yield _found(use, f"{_call(use)} takes a GPU, while the config says KIND_CPU{more}")


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
    fixed=_ASKING,
)
def python_own_fallback(subject: Subject) -> Iterator[Diagnostic]:
    """A KIND_GPU python model goes to the CPU by itself where its library sees no GPU.

    Triton and the library look for GPUs on their own. Where only the library sees none (a CPU
    build in the execution environment, another CUDA version) the model is READY on a GPU for
    Triton, and computes on the CPU: the fallback that `KIND_GPU` was meant to rule out, inside the
    code. Raise an error in `initialize` instead. To libraries that choose by themselves pass a
    device. For onnxruntime compare `session.get_providers()` and raise: with its CPU provider in
    the list it uses that, and without it retries on the CPU with no more than a printed line.
    """
    for use, more in _uses(subject, "falls-back"):
        yield _found(
            use,
            (f"{_call(use)} falls" if use.call else "falls")
            + f" back to the CPU by itself where it sees no GPU, though it is KIND_GPU{more}",
        )


@rule(
    "TRT225",
    "python-takes-all-gpus",
    "warning",
    failing=_example(_GPU, _FROM_PRETRAINED.format(more=', device_map="auto"')),
    fixed=_example(_MODEL, _FROM_PRETRAINED.format(more=', device_map="auto"')),
)
def python_takes_all_gpus(subject: Subject) -> Iterator[Diagnostic]:
    """A KIND_GPU python model spreads itself over all GPUs.

    `device_map="auto"`, `DataParallel`, `tensor_parallel_size` and the like take every GPU that
    the process sees, while `KIND_GPU` makes an instance for each of them: with 4 GPUs 4 copies,
    each on all 4 (https://github.com/triton-inference-server/server/issues/7169). Without a GPU
    `device_map="auto"` means the CPU, without an error. Declare one instance of `KIND_MODEL`, or
    pass the instance's GPU: `device_map={"": int(args["model_instance_device_id"])}`.

    Nothing is reported where the target has one GPU.
    """
    usable = subject.audited.usable
    if usable is not None and len(usable) < 2:
        return
    for use, more in _uses(subject, "spreads"):
        yield _found(
            use,
            f"{_call(use)} takes all GPUs, and KIND_GPU makes an instance for each: declare one "
            f"instance of KIND_MODEL, or pass it model_instance_device_id{more}",
        )


@rule(
    "TRT226",
    "python-sets-visible-gpus",
    "warning",
    failing=_example(
        _GPU,
        'import os\n\nos.environ["CUDA_VISIBLE_DEVICES"] = "0"\n' + _BEGIN + _LOAD + ".cuda()\n",
    ),
    fixed=_example(
        _GPU,
        "import os\n\n"
        + _BEGIN
        + '        os.environ["CUDA_VISIBLE_DEVICES"] = args["model_instance_device_id"]\n'
        + _LOAD
        + ".cuda()\n",
    ),
)
def python_sets_visible_gpus(subject: Subject) -> Iterator[Diagnostic]:
    """A KIND_GPU python model sets CUDA_VISIBLE_DEVICES to GPUs of its own choice.

    Every instance then sees these GPUs only, whichever it was given; an empty value or -1 hides
    all of them, and most libraries go to the CPU without an error. It also comes too late where
    something has used CUDA before. Set it to `args["model_instance_device_id"]`, as the vLLM
    backend does, and take the one GPU that is left as `"cuda"` or `"cuda:0"`; or leave the variable
    to the server's environment.
    """
    gpus = _gpus(subject)
    for use, more in _uses(subject, "lost"):
        if gpus not in ((), (0,)):
            yield _found(
                use,
                f"{_call(use)} takes the GPU by model_instance_device_id, but CUDA_VISIBLE_DEVICES "
                f"was set to it: the one GPU left is number 0{more}",
            )
    for use, _ in _uses(subject, "visible"):
        if use.detail.strip() in ("", "-1"):
            message = "hides all GPUs from a KIND_GPU model"
        elif gpus is not None and gpus == tuple(_numbers(use.detail)):
            continue
        else:
            message = f"shows GPU {use.detail} to every instance, whichever it was given"
        yield _found(use, f"CUDA_VISIBLE_DEVICES={use.detail!r} {message}")


def _numbers(text: str) -> list[int]:
    return sorted(int(part) for part in text.split(",") if part.strip().isdigit())
