"""What Triton's backends do with the kind of an instance group: one table of data.

Sources: core's `model_config_utils.cc` and `constants.h` (platforms, model files, counts) and
the backends' own `TRITONBACKEND_GetBackendAttribute` and instance constructors (preferred
groups, refused kinds), releases 23.04 to 26.06.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pytest_triton.placement.instances import Kind

RefusedReason = Literal["backend-cpu-only", "backend-gpu-only"]


@dataclass(frozen=True)
class Backend:
    """One backend; the defaults are those of a backend that has no peculiarities.

    `preferred`: the kind it proposes for a model without instance_group ("" leaves it to
    KIND_AUTO). `cpu_count`: instances of a CPU group that gives no count. `only`: the one kind
    its instances may have (None: any), `reason` and `text` what a refused model says, with the
    model's name for {model}. `places_itself`: it takes GPUs by its own settings, whatever the
    kind says. `completes`: the real backend completes a config that lacks inputs and outputs,
    or a missing config. `model_files`: the file (or directory, with a "/") that makes Triton
    guess this backend, and its platform, in a config that names neither. `platforms`: what
    `platform:` may say; the first is filled in when it is empty.
    """

    name: str
    platforms: tuple[str, ...] = ()
    model_files: tuple[str, ...] = ()
    preferred: Kind | Literal[""] = ""
    cpu_count: int = 1
    only: Kind | None = None
    reason: RefusedReason | None = None
    text: str = ""
    places_itself: bool = False
    completes: bool = False
    note: str = ""


_CPU_ONLY = "unable to load model '{model}', Triton openVINO backend supports only CPU device"
_GPU_ONLY = "unable to load model '{model}', TensorRT backend supports only GPU device"

# In the order in which Triton guesses a backend from files.
_TABLE = (
    Backend(
        "tensorflow",
        platforms=("tensorflow_savedmodel", "tensorflow_graphdef"),
        model_files=("model.savedmodel/", "model.graphdef"),
        cpu_count=2,
        completes=True,
        note="single operations of a GPU instance may run on the CPU (soft placement)",
    ),
    Backend(
        "tensorrt",
        platforms=("tensorrt_plan",),
        model_files=("model.plan",),
        only="GPU",
        reason="backend-gpu-only",
        text=_GPU_ONLY,
        completes=True,
    ),
    Backend(
        "onnxruntime",
        platforms=("onnxruntime_onnx",),
        model_files=("model.onnx",),
        cpu_count=2,
        completes=True,
        note="KIND_MODEL runs on the CPU; single nodes of a GPU instance may run on the CPU",
    ),
    Backend(
        "openvino",
        model_files=("model.xml",),
        preferred="CPU",
        only="CPU",
        reason="backend-cpu-only",
        text=_CPU_ONLY,
        completes=True,
        note="its real device is the parameter TARGET_DEVICE",
    ),
    Backend(
        "pytorch",
        platforms=("pytorch_libtorch", "torch_aoti"),
        model_files=("model.pt", "model.pt2"),
        completes=False,
    ),
    Backend(
        "python",
        model_files=("model.py",),
        preferred="GPU",
        completes=True,
        note="kind and device are only handed to model.py; whether it obeys is up to the code",
    ),
    # Written in Python on top of the python backend, so with its preference.
    Backend(
        "vllm",
        preferred="GPU",
        places_itself=True,
        completes=True,
        note="vLLM places itself, whatever the kind says",
    ),
    Backend(
        "tensorrtllm",
        places_itself=True,
        note="TensorRT-LLM places itself, whatever the kind says",
    ),
    Backend("dali", completes=True),
    Backend("fil"),
    Backend("identity", note="GPU instances load, but fail when they run"),
)

BACKENDS: dict[str, Backend] = {backend.name: backend for backend in _TABLE}
_BACKEND_OF_PLATFORM = {platform: backend for backend in _TABLE for platform in backend.platforms}

MODEL_FILES = tuple(file.rstrip("/") for backend in _TABLE for file in backend.model_files)
"""Names by which core knows a model's backend, in the order in which it looks for them."""

# Of Torch AOTI; a release before this one acts as if these names weren't there.
AOTI_NAMES = frozenset({"torch_aoti", "model.pt2"})
AOTI_RELEASE = (2, 67, 0)

_FILE_OR_DIRECTORY = ("onnxruntime", "openvino", "python")  # how the model may be stored


def backend_named(name: str) -> Backend:
    """The table's row for this backend; an ordinary one for a name that isn't in the table."""
    return BACKENDS.get(name) or Backend(name)


def backend_of_platform(platform: str) -> Backend | None:
    """The backend that `platform:` names (the older way to name a backend), or None."""
    return _BACKEND_OF_PLATFORM.get(platform)


def guess_backend(
    platform: str, file_name: str, entries: Iterable[str] = (), *, aoti: bool = False
) -> Backend | None:
    """The backend that Triton guesses for a config that names none, or None.

    From `platform:`, `default_model_filename:` or, where both are empty, from a version
    directory's entries (directories end in "/"); the first row of the table that fits wins.
    `aoti` looks at AOTI_NAMES, and at them only.
    """
    found = frozenset() if platform or file_name else frozenset(entries)
    for backend in _TABLE:
        if platform in backend.platforms and (platform in AOTI_NAMES) == aoti:
            return backend
        for file in backend.model_files:
            if (file in AOTI_NAMES) != aoti:
                continue
            either = backend.name in _FILE_OR_DIRECTORY
            if file in found or (either and file + "/" in found):
                return backend
            # Core looks for TensorFlow's files only where there is no platform.
            if file.rstrip("/") == file_name and not (platform and backend.name == "tensorflow"):
                return backend
    return None
