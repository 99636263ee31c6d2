"""What Triton's core fills into a config by itself, before any backend is asked.

Source: core's `AutoCompleteBackendFields` (model_config_utils.cc), r24.10, and r26.06 for Torch
AOTI. Nothing else changed since r23.04 that a repository could notice.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.placement.backends import AOTI_RELEASE, BACKENDS, Backend, guess_backend
from pytest_triton.placement.polling import unexpected_platform
from pytest_triton.placement.releases import shown_release, tag_of

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

_SAVED_MODEL, _GRAPH = BACKENDS["tensorflow"].platforms


class Completion(NamedTuple):
    """A config's fields as core completes them, and why it can't (in old releases, maybe)."""

    name: str
    backend: str
    platform: str
    default_model_filename: str
    flaw: Diagnostic | None = None


def complete(config: ModelConfig, directory: str, files: Collection[str]) -> Completion:
    """Fill in what `config` leaves out; the config itself stays as it is.

    `directory` is the name of the model's. `files` is what stands in its first subdirectory
    (core looks into that one only, whatever it is called), directories with a "/" at the end.
    """
    name, backend, platform = config.name or directory, config.backend, config.platform
    file, flaw = config.default_model_filename, None
    if not backend:
        guess, flaw = _guess(platform, file, files, directory, name)
        if flaw is not None and config.HasField("ensemble_scheduling") and not platform:
            flaw = replace(
                flaw,
                field="ensemble_scheduling",
                message='ensemble_scheduling without platform: "ensemble"',
                fix='Write platform: "ensemble".',
            )
        if flaw is not None and guess is None:
            return Completion(name, "", "", "", flaw)
        if guess is not None:
            backend = guess.name
            if flaw is not None and not platform and not file:
                platform = "torch_aoti"
        elif not platform and not file:  # a model called `model.<backend>` names its own
            backend = directory.partition(".")[2]
            file = f"model.{backend}"
    if backend == "tensorflow" and not platform:
        platform = _tensorflow_platform(file, files)
    if not file or not platform:
        platform, file = _filled(config, backend, platform, file)
    return Completion(name, backend, platform, file, flaw)


def _guess(
    platform: str, file: str, files: Collection[str], directory: str, name: str
) -> tuple[Backend | None, Diagnostic | None]:
    guess = guess_backend(platform, file, files)
    look = not platform and not file
    if guess is not None or (look and "." in directory):
        return guess, None
    if not look or "model.pt/" not in files:
        guess = guess_backend(platform, file, files, aoti=True)
    if not look:
        return guess, _aoti(unexpected_platform(platform, name)) if guess else None
    flaw = Diagnostic(
        "no-backend",
        f"Invalid model name: Could not determine backend for model '{directory}' with no "
        "backend in model configuration. Expected model name of the form 'model.<backend_name>'.",
        message="nothing names a backend, neither config.pbtxt nor a file that Triton knows",
        fix='Write backend: "..." into config.pbtxt.',
    )
    return guess, flaw if guess is None else _aoti(flaw)


def _aoti(found: Diagnostic) -> Diagnostic:
    """What releases say of a Torch AOTI model that don't know such models."""
    tag = tag_of(AOTI_RELEASE)
    return replace(
        found,
        message="a Torch AOTI model (platform torch_aoti, or a lone model.pt2) needs Triton "
        f"{shown_release(AOTI_RELEASE)} or newer, which guess its backend",
        fix=f"Take release {tag} or newer (--triton-release={tag} goes by its "
        "rules), or export the model to TorchScript.",
        until=AOTI_RELEASE,
    )


def _tensorflow_platform(file: str, files: Collection[str]) -> str:
    if file:
        return {"model.savedmodel": _SAVED_MODEL, "model.graphdef": _GRAPH}.get(file, "")
    if "model.graphdef" in files:  # it wins, where both are there
        return _GRAPH
    return _SAVED_MODEL if "model.savedmodel/" in files else ""


def _filled(config: ModelConfig, backend: str, platform: str, file: str) -> tuple[str, str]:
    """Platform and file name that go without saying for a backend."""
    if platform in (_SAVED_MODEL, _GRAPH):
        return platform, file or "model." + platform.removeprefix("tensorflow_")
    row = BACKENDS.get(backend)
    if row is None or backend == "tensorflow":
        return platform, file
    if row.platforms:
        platform = platform or row.platforms[0]
    if platform == "torch_aoti":
        file = file or "model.pt2"
    elif backend == "pytorch" and getattr(config, "runtime", "") == "model.py":
        pass  # a field since tritonclient 2.42
    elif row.model_files:
        file = file or row.model_files[0]
    return platform, file
