"""What Triton's core fills into a configuration by itself, before any backend is asked.

Source: core's `AutoCompleteBackendFields` (model_config_utils.cc), r24.10, and r26.06 for the
names it adds (`model.pt2`, platforms `libtorch` and `torch_aoti`). A server older than those
names refuses such models; nothing else changed since r23.04 that a repository could notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_triton.repository.schema import ModelConfig

__all__ = ["MODEL_FILES", "complete"]

MODEL_FILES = (
    "model.savedmodel",
    "model.graphdef",
    "model.plan",
    "model.onnx",
    "model.xml",
    "model.pt",
    "model.pt2",
    "model.py",
)
"""Names by which core knows a model's backend, in the order it looks for them."""


def complete(config: ModelConfig, model_name: str, content: Mapping[str, bool] | None) -> str:
    """Fill name, backend, platform and default_model_filename into `config` as core does.

    `content` is what stands in the model's first subdirectory by name (core looks into that one
    only, whatever it is called): entry -> is it a directory; None if there is no subdirectory.
    Returns "" or the words with which Triton refuses the model.
    """
    if not config.name:
        config.name = model_name
    # Model files count only where the config leaves all three open.
    files = content or {}
    if not config.platform and config.backend in ("", "tensorflow"):
        _tensorflow_platform(config, files)
    if config.platform in ("tensorflow_savedmodel", "tensorflow_graphdef"):
        suffix = config.platform.removeprefix("tensorflow_")
        _fill(config, backend="tensorflow", default_model_filename=f"model.{suffix}")
        return ""
    if not config.backend:
        config.backend = _backend(config, files)
    if config.backend == "tensorrt":
        _fill(config, platform="tensorrt_plan", default_model_filename="model.plan")
    elif config.backend == "onnxruntime":
        _fill(config, platform="onnxruntime_onnx", default_model_filename="model.onnx")
    elif config.backend == "openvino":
        _fill(config, default_model_filename="model.xml")
    elif config.backend == "pytorch":
        _pytorch(config)
    elif config.backend == "python":
        _fill(config, default_model_filename="model.py")
    elif not (config.backend or config.platform or config.default_model_filename):
        return _custom(config, model_name)
    return ""


def _fill(config: ModelConfig, **values: str) -> None:
    for name, value in values.items():
        if not getattr(config, name):
            setattr(config, name, value)


def _tensorflow_platform(config: ModelConfig, files: Mapping[str, bool]) -> None:
    file = config.default_model_filename
    if file == "model.savedmodel" or (not file and files.get("model.savedmodel") is True):
        config.platform = "tensorflow_savedmodel"
    # The graphdef comes second and wins, where both are there.
    if file == "model.graphdef" or (not file and files.get("model.graphdef") is False):
        config.platform = "tensorflow_graphdef"


def _backend(config: ModelConfig, files: Mapping[str, bool]) -> str:
    """The backend that the platform, the model file's name or the files there stand for."""
    platform, file = config.platform, config.default_model_filename
    look = not platform and not file
    if platform == "tensorrt_plan" or file == "model.plan":
        return "tensorrt"
    if look and files.get("model.plan") is False:
        return "tensorrt"
    if platform == "onnxruntime_onnx" or file == "model.onnx":
        return "onnxruntime"
    if look and "model.onnx" in files:  # a large model may be a directory
        return "onnxruntime"
    if file == "model.xml" or (look and "model.xml" in files):
        return "openvino"
    if platform in ("pytorch_libtorch", "libtorch", "torch_aoti"):
        return "pytorch"
    if file in ("model.pt", "model.pt2"):
        return "pytorch"
    if look and files.get("model.pt") is False:
        return "pytorch"
    if look and "model.pt" not in files and files.get("model.pt2") is False:
        config.platform = "torch_aoti"
        return "pytorch"
    if file == "model.py" or (look and "model.py" in files):
        return "python"
    return ""


def _pytorch(config: ModelConfig) -> None:
    _fill(config, platform="pytorch_libtorch")
    if config.platform == "torch_aoti":
        _fill(config, default_model_filename="model.pt2")
    elif getattr(config, "runtime", "") != "model.py":  # a field since tritonclient 2.42
        _fill(config, default_model_filename="model.pt")


def _custom(config: ModelConfig, model_name: str) -> str:
    """A model called `model.<backend>` names its own backend."""
    _, dot, backend = model_name.partition(".")
    if not dot:
        return (
            f"Invalid model name: Could not determine backend for model '{model_name}' with no "
            "backend in model configuration. Expected model name of the form "
            "'model.<backend_name>'."
        )
    config.backend = backend
    config.default_model_filename = f"model.{backend}"
    return ""
