"""Backends by name: those that Triton has, and what people write instead."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.placement.placeholders import PLACEHOLDER, placeholder_fix

# The backends of Triton's own repositories that serve models (batching or cache plugins don't).
OFFICIAL_BACKENDS = (
    "armnn_tflite",
    "dali",
    "fil",
    "identity",
    "onnxruntime",
    "openvino",
    "python",
    "pytorch",
    "repeat",
    "square",
    "tensorflow",
    "tensorrt",
    "tensorrtllm",
    "vllm",
)
# Published backends that NVIDIA's images don't have: a server has them if somebody added them.
PUBLISHED_BACKENDS = (
    "fastertransformer",
    "hps",
    "hugectr",
    "paddle",
    "stateful",
)
# What people write for a backend: platforms, formats, packages, former names.
_MEANT = {
    "aoti": "pytorch",
    "custom": "",
    "ensemble": "",
    "fastertransformer_backend": "fastertransformer",
    "graphdef": "tensorflow",
    "libtorch": "pytorch",
    "lightgbm": "fil",
    "onnx": "onnxruntime",
    "onnxruntime_onnx": "onnxruntime",
    "onnx_runtime": "onnxruntime",
    "ort": "onnxruntime",
    "py": "python",
    "pytorch_libtorch": "pytorch",
    "savedmodel": "tensorflow",
    "sklearn": "fil",
    "tensorflow_graphdef": "tensorflow",
    "tensorflow_savedmodel": "tensorflow",
    "tensorrt_llm": "tensorrtllm",
    "tensorrt_plan": "tensorrt",
    "tf": "tensorflow",
    "torch": "pytorch",
    "torch_aoti": "pytorch",
    "torchscript": "pytorch",
    "treelite": "fil",
    "trt": "tensorrt",
    "trt_llm": "tensorrtllm",
    "trtllm": "tensorrtllm",
    "xgboost": "fil",
}


def meant_backend(name: str) -> str:
    """The official backend that somebody meant who wrote `name`; "" if none comes to mind."""
    plain = name.strip().lower().replace("-", "_")
    for guess in (plain, plain.removesuffix("_backend"), plain.replace("_", "")):
        if guess in OFFICIAL_BACKENDS:
            return guess
        if guess in _MEANT:
            return _MEANT[guess]
    close = get_close_matches(plain, OFFICIAL_BACKENDS, n=1, cutoff=0.7)
    return close[0] if close else ""


def missing_backend_flaw(
    backend: str, text: str, model: str, there: Collection[str] | None
) -> Diagnostic:
    """The refusal of a model whose backend the server doesn't have, in Triton's text `text`."""
    meant = meant_backend(backend)
    if backend and backend == model.partition(".")[2] and backend not in OFFICIAL_BACKENDS:
        message = (
            f"neither the config nor a file that Triton knows names a backend, so it takes "
            f"`{backend}` from the directory's name"
        )
        fix = 'Write backend: "..." into config.pbtxt, or add the model\'s file.'
    elif mark := PLACEHOLDER.search(backend):
        message = f"backend `{backend}` is a placeholder: this file is a template"
        fix = placeholder_fix(mark[0])
    elif backend == "ensemble":
        message = "`ensemble` is a platform, not a backend"
        fix = 'Write platform: "ensemble" instead of the backend.'
    elif meant and backend not in OFFICIAL_BACKENDS:
        message = f"Triton has no backend `{backend}`"
        fix = f'Write backend: "{meant}".'
    elif backend in OFFICIAL_BACKENDS or backend in PUBLISHED_BACKENDS:
        names = ", ".join(sorted(there or ())) or "none"
        message = f"this server has no backend `{backend}`; it has: {names}"
        fix = "Take an image or a backend directory that has it, or rehearse with stand-ins."
    else:
        message = f"Triton has no backend `{backend}`, and the repository brings no library for it"
        fix = (
            f"If it is one of your own, name it: triton_own_backends = {backend} in pytest's ini "
            f"file, or --triton-own-backends={backend}."
        )
    field = "backend" if backend else "platform"
    return Diagnostic("backend-missing", text, field, message, fix)
