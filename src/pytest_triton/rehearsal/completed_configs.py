"""Completed configs, as a stand-in backend is handed them (placement/completed_tensors.py)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

COMPLETIONS_VARIABLE = "PYTEST_TRITON_COMPLETIONS"


def as_json(completed: Mapping[str, ModelConfig]) -> tuple[tuple[str, str], ...]:
    """Completed configs as a value that a ServerSpec can hold: (model's name, JSON) pairs."""
    from google.protobuf.json_format import MessageToJson

    return tuple(
        (name, MessageToJson(config, preserving_proto_field_name=True))
        for name, config in sorted(completed.items())
    )


def write_completions(folder: Path, completed: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Write completed configs where the stand-in finds them; returns its environment."""
    folder.mkdir()
    for name, text in completed:
        (folder / f"{name}.json").write_text(text)
    return {COMPLETIONS_VARIABLE: str(folder)}
