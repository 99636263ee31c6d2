"""Repositories as Triton's Model Analyzer writes them, and its results."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from google.protobuf import text_format

from pytest_triton.repository import model_config_type

HEADER = (
    "Model,Batch,Concurrency,Model Config Path,Instance Group,Max Batch Size,"
    "Satisfies Constraints,Throughput (infer/sec),p99 Latency (ms)\n"
)


def write_variants(
    model: Path, repository: Path, groups: dict[str, str], *, own_names: bool = True
) -> None:
    """The variants of a model, as ModelConfig.write_config_to_file writes them.

    The first is a copy of the model, the others link to its entries; each has a config of its own.
    `own_names`: with the variant's name in it, as with --triton-launch-mode=c_api; the other launch
    modes write the model's. `groups`: instance groups, by what follows `_config_`.
    """
    first = None
    repository.mkdir(exist_ok=True)
    for number, text in groups.items():
        variant = repository / f"{model.name}_config_{number}"
        if first is None:
            first = variant
            shutil.copytree(model, variant)
        else:
            variant.mkdir()
            for name in os.listdir(first):
                if name != "config.pbtxt":
                    (variant / name).symlink_to(Path("..", first.name, name))
        config = model_config_type()()
        text_format.Parse((model / "config.pbtxt").read_text(), config)
        config.name = variant.name if own_names else model.name
        if text:
            text_format.Parse(f"instance_group [ {text} ]", config)
        (variant / "config.pbtxt").write_text(text_format.MessageToString(config))
