"""Test where your Triton Inference Server models run.

The public names. They are imported when first used, since this package is imported at every start
of pytest, in projects that don't use Triton as well.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from pytest_triton._version import __version__

if TYPE_CHECKING:
    from pytest_triton import factories
    from pytest_triton.errors import OptionError, PytestTritonError
    from pytest_triton.inference.golden import compare_with_golden
    from pytest_triton.inference.infer import Inference
    from pytest_triton.options.settings import ContainerOptions
    from pytest_triton.placement.compare import Observed, Verdict, compare
    from pytest_triton.placement.declared import Declared
    from pytest_triton.placement.hardware import NO_GPU, Gpu, Hardware, simulated_gpus
    from pytest_triton.placement.instances import NOTHING, Placement, cpu, gpu, on_model
    from pytest_triton.placement.predict import Prediction, ServerTraits, predict
    from pytest_triton.placement.refusal import REASONS, Refusal
    from pytest_triton.plugin.fixtures import MakeTritonServer
    from pytest_triton.repository import Model, Repository, read_repository
    from pytest_triton.servers.container.server import TritonContainer
    from pytest_triton.testing.assertions import (
        assert_complete,
        assert_no_fallback,
        assert_placed,
        assert_placed_as_declared,
        assert_ran_on,
        assert_ready_models,
        assert_refused,
    )
    from pytest_triton.testing.gpu_faults import GpuLoss
    from pytest_triton.testing.repository_builder import RepositoryBuilder
    from pytest_triton.testing.server import TritonServer
    from pytest_triton.testing.server_errors import ModelNotPlaced, ModelRefused

_HOMES = {
    "testing.assertions": (
        "assert_complete",
        "assert_no_fallback",
        "assert_placed",
        "assert_placed_as_declared",
        "assert_ran_on",
        "assert_ready_models",
        "assert_refused",
    ),
    "plugin.fixtures": ("MakeTritonServer",),
    "testing.gpu_faults": ("GpuLoss",),
    "inference.golden": ("compare_with_golden",),
    "inference.infer": ("Inference",),
    "testing.repository_builder": ("RepositoryBuilder",),
    "testing.server": ("TritonServer",),
    "testing.server_errors": ("ModelNotPlaced", "ModelRefused"),
    "errors": ("OptionError", "PytestTritonError"),
    "placement.compare": ("Observed", "Verdict", "compare"),
    "placement.declared": ("Declared",),
    "placement.hardware": ("NO_GPU", "Gpu", "Hardware", "simulated_gpus"),
    "placement.predict": ("Prediction", "ServerTraits", "predict"),
    "placement.refusal": ("REASONS", "Refusal"),
    "placement.instances": ("NOTHING", "Placement", "cpu", "gpu", "on_model"),
    "repository": ("Model", "Repository", "read_repository"),
    "servers.container.server": ("TritonContainer",),
    "options.settings": ("ContainerOptions",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "NOTHING",
    "NO_GPU",
    "REASONS",
    "ContainerOptions",
    "Declared",
    "Gpu",
    "GpuLoss",
    "Hardware",
    "Inference",
    "MakeTritonServer",
    "Model",
    "ModelNotPlaced",
    "ModelRefused",
    "Observed",
    "OptionError",
    "Placement",
    "Prediction",
    "PytestTritonError",
    "Refusal",
    "Repository",
    "RepositoryBuilder",
    "ServerTraits",
    "TritonContainer",
    "TritonServer",
    "Verdict",
    "__version__",
    "assert_complete",
    "assert_no_fallback",
    "assert_placed",
    "assert_placed_as_declared",
    "assert_ran_on",
    "assert_ready_models",
    "assert_refused",
    "compare",
    "compare_with_golden",
    "cpu",
    "factories",
    "gpu",
    "on_model",
    "predict",
    "read_repository",
    "simulated_gpus",
]


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if name == "factories":
        return importlib.import_module("pytest_triton.factories")
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return __all__
