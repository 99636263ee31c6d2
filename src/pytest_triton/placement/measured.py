"""What Triton's Model Analyzer measured a config on, against what the config is placed on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from pytest_triton.placement.declared import Declared
from pytest_triton.placement.hardware import MAX_SIMULATED_GPUS, Hardware, newest_gpus
from pytest_triton.placement.predict import Prediction, ServerTraits, predict

Counts = Mapping[str, int]  # instances by kind, {"GPU": 2}; 0 is a number that wasn't known


def without_flaws(declared: Declared, hardware: Hardware, server: ServerTraits) -> Prediction:
    """Where Model Analyzer's server placed the model: it loaded the config under another name."""
    return predict(declared.sound, hardware, server=server)


def is_as_measured(
    declared: Declared, counts: Counts, hardware: Hardware, server: ServerTraits
) -> bool:
    """Whether the hardware gives a config as many instances of each kind as were measured."""
    # Model Analyzer counts one instance where no count is written; some backends make two.
    groups = tuple([replace(group, count=group.count or 1) for group in declared.groups])
    prediction = without_flaws(replace(declared, groups=groups), hardware, server)
    found: Counter[str] = Counter()
    for instances in prediction.placement:
        found[instances.kind] += instances.count
    if not groups and found["CPU"]:
        found["CPU"] = 1
    return set(+found) == set(counts) and all(
        counts[kind] in (0, number) for kind, number in (+found).items()
    )


def fewest_gpus_as_measured(declared: Declared, counts: Counts, server: ServerTraits) -> int | None:
    """The fewest GPUs that give what was measured; None if no number does."""
    for number in range(MAX_SIMULATED_GPUS + 1):
        if is_as_measured(declared, counts, newest_gpus(range(number)), server):
            return number
    return None
