"""`predict` held against Triton's real core: thousands of drawn models a server start.

Stand-in backends and simulated GPUs; every release that can be installed. A disagreement found
here becomes a named case in tests/unit/placement/test_regressions.py.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from pytest_triton.placement.backends import BACKENDS
from pytest_triton.placement.declared import Declared
from pytest_triton.placement.hardware import simulated_gpus
from pytest_triton.placement.predict import Prediction, ServerTraits, predict_all
from pytest_triton.rehearsal.simulation import SimulatedGpus
from support.components import RELEASES, do_without
from support.core_oracle import (
    SERVERS_VARIABLE,
    ask_core,
    disagreements,
    server_of_release,
    write_repository,
)
from support.strategies import CUSTOM_BACKENDS, bulk_cases, named

STAND_INS = (*BACKENDS, *CUSTOM_BACKENDS)
SEED = 20240


# GPUs and their compute capability; 6.0 is the least that these releases take.
HARDWARE = ((0, (8, 0)), (1, (6, 0)), (2, (8, 0)), (3, (5, 2)), (4, (12, 1)))


def tritonserver_of(version: str) -> Path:
    binary = server_of_release(version)
    if binary is None:
        do_without(RELEASES, f"{RELEASES.reason}: {version}, or one named in {SERVERS_VARIABLE}")
    return binary


def check(version: str, models_of_each: int, seed: int, scratch: Path) -> Counter[str]:
    """Asks core about that many models on each hardware; returns how often it said what."""
    binary = tritonserver_of(version)
    traits = ServerTraits(
        version=tuple(int(part) for part in version.split(".")),  # type: ignore[arg-type]
        backends=frozenset(STAND_INS),
    )
    said: Counter[str] = Counter()
    wrong: list[str] = []
    drawn = bulk_cases(models_of_each * len(HARDWARE), seed)
    for index, (gpus, capability) in enumerate(HARDWARE):
        models = named(drawn[index :: len(HARDWARE)])
        here = scratch / f"{version}-{gpus}"
        write_repository(here / "repository", models)
        declared = {
            name: Declared.of(case.config or ModelConfig(), on_disk=case.on_disk(name))
            for name, case in models.items()
        }
        predictions = predict_all(declared, simulated_gpus(gpus, capability), server=traits)
        said.update(_outcome(prediction) for prediction in predictions.values())
        outcomes = ask_core(
            here / "repository",
            models,
            SimulatedGpus(gpus, capability),
            binary,
            STAND_INS,
            here,
        )
        newest = version == "2.51.0"  # older texts differ, the classes don't
        wrong += [
            f"{gpus} GPUs of {capability}: {text}"
            for text in disagreements(models, predictions, outcomes, with_text=newest)
        ]
    shown = "\n\n".join(wrong[:5])
    assert not wrong, f"{len(wrong)} of {said.total()} disagree, the first of them:\n\n{shown}"
    return said


def _outcome(prediction: Prediction) -> str:
    if prediction.refusal is None:
        return "ready ensemble" if prediction.declared.is_ensemble else "ready"
    if "required version" in prediction.refusal.text:
        return "version of a step"
    return prediction.refusal.reason


OUTCOMES_SEEN = {
    "ready",
    "no-gpu",
    "gpu-id",
    "cpu-with-gpus",
    "model-with-gpus",
    "kind",
    "profile",
    "backend-cpu-only",
    "backend-gpu-only",
    "backend-missing",
    "no-backend",
    "no-config",
    "config",
    "name",
    "version",
    "ensemble",
    "version of a step",
    "ready ensemble",
}


def test_newest_installable_release(tmp_path: Path) -> None:
    said = check("2.51.0", 4_100, SEED, tmp_path)
    assert said.total() >= 20_000
    assert said.keys() == OUTCOMES_SEEN, "the drawn models no longer reach every rule"
    assert said["ready"] > said.total() / 5, "too few of the drawn models load"


@pytest.mark.parametrize("version", ["2.42.0", "2.39.0", "2.36.0", "2.33.0"])
def test_older_release(version: str, tmp_path: Path) -> None:
    said = check(version, 220, SEED + 100, tmp_path)
    assert said.total() >= 1_000
    assert said["version of a step"]
