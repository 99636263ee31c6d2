"""Test where your Triton Inference Server models run.

The public names. They are imported when first used, since this package is imported at every start
of pytest, in projects that don't use Triton as well.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from pytest_triton._version import __version__

if TYPE_CHECKING:
    from pytest_triton.errors import PytestTritonError
    from pytest_triton.placement.compare import Observed, Verdict, compare
    from pytest_triton.placement.declared import Declared
    from pytest_triton.placement.hardware import NO_GPU, Gpu, Hardware, simulated_gpus
    from pytest_triton.placement.predict import Prediction, ServerTraits, predict
    from pytest_triton.placement.refusal import Refusal
    from pytest_triton.placement.values import NOTHING, Placement, cpu, gpu, on_model
    from pytest_triton.repository import Model, Repository, read_repository

_HOMES = {
    "errors": ("PytestTritonError",),
    "placement.compare": ("Observed", "Verdict", "compare"),
    "placement.declared": ("Declared",),
    "placement.hardware": ("NO_GPU", "Gpu", "Hardware", "simulated_gpus"),
    "placement.predict": ("Prediction", "ServerTraits", "predict"),
    "placement.refusal": ("Refusal",),
    "placement.values": ("NOTHING", "Placement", "cpu", "gpu", "on_model"),
    "repository": ("Model", "Repository", "read_repository"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "NOTHING",
    "NO_GPU",
    "Declared",
    "Gpu",
    "Hardware",
    "Model",
    "Observed",
    "Placement",
    "Prediction",
    "PytestTritonError",
    "Refusal",
    "Repository",
    "ServerTraits",
    "Verdict",
    "__version__",
    "compare",
    "cpu",
    "gpu",
    "on_model",
    "predict",
    "read_repository",
    "simulated_gpus",
]


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return __all__
