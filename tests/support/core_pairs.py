"""Pairs of a prediction and what the real core did, for drawn models on several hardware."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from pytest_triton.placement.backends import BACKENDS
from pytest_triton.placement.declared import Declared
from pytest_triton.placement.hardware import simulated_gpus
from pytest_triton.placement.predict import Prediction, ServerTraits, predict_all
from pytest_triton.rehearsal.simulation import SimulatedGpus
from support.core_oracle import ask_core, disagreements, write_repository
from support.strategies import CUSTOM_BACKENDS, bulk_cases, named

STAND_INS = (*BACKENDS, *CUSTOM_BACKENDS)

# GPUs and their compute capability; 6.0 is the least that the installable releases take.
DRAWN_HARDWARE = ((0, (8, 0)), (1, (6, 0)), (2, (8, 0)), (3, (5, 2)), (4, (12, 1)))

SAME_TEXT = (2, 51, 0)  # older texts differ, the classes don't


@dataclass(frozen=True)
class Pairs:
    """How often was predicted what, and where core did otherwise."""

    said: Counter[str]
    wrong: tuple[str, ...]

    @property
    def total(self) -> int:
        return self.said.total()

    @property
    def report(self) -> str:
        shown = "\n\n".join(self.wrong[:5])
        return f"{len(self.wrong)} of {self.total} disagree, the first of them:\n\n{shown}"


def compare_pairs(
    binary: Path, traits: ServerTraits, models_of_each: int, seed: int, scratch: Path
) -> Pairs:
    """Asks a server about that many models on each hardware."""
    said: Counter[str] = Counter()
    wrong: list[str] = []
    drawn = bulk_cases(models_of_each * len(DRAWN_HARDWARE), seed)
    for index, (gpus, capability) in enumerate(DRAWN_HARDWARE):
        models = named(drawn[index :: len(DRAWN_HARDWARE)])
        here = scratch / f"pairs-{gpus}"
        write_repository(here / "repository", models)
        declared = {
            name: Declared.of(case.config or ModelConfig(), on_disk=case.on_disk(name))
            for name, case in models.items()
        }
        predictions = predict_all(declared, simulated_gpus(gpus, capability), server=traits)
        said.update(_outcome(prediction) for prediction in predictions.values())
        gpus_of_it = SimulatedGpus(gpus, capability)
        outcomes = ask_core(here / "repository", models, gpus_of_it, binary, STAND_INS, here)
        with_text = traits.version >= SAME_TEXT
        wrong += [
            f"{gpus} GPUs of {capability}: {text}"
            for text in disagreements(models, predictions, outcomes, with_text=with_text)
        ]
    return Pairs(said, tuple(wrong))


def _outcome(prediction: Prediction) -> str:
    if prediction.refusal is None:
        return "ready ensemble" if prediction.declared.is_ensemble else "ready"
    if "required version" in prediction.refusal.text:
        return "version of a step"
    return prediction.refusal.reason
