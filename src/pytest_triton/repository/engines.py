"""What the engines of vLLM and TensorRT-LLM need of a machine's GPUs: no rule of Triton."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_triton.repository.bounded_read import read_bytes
from pytest_triton.repository.models import Model

MODEL_JSON = "model.json"
MODEL_JSON_LIMIT = 1024 * 1024  # bytes

_SIZES = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
_DEVICE_IDS = "gpu_device_ids"
_MOST_GPUS = 10_000
_DEFAULT_UTILIZATION = 0.9


@dataclass(frozen=True)
class Engine:
    """A version's model.json: vLLM's engine arguments, or why they can't be read."""

    path: Path
    arguments: Mapping[str, object]
    problem: str = ""
    line: int | None = None
    column: int | None = None

    @property
    def gpus(self) -> int:
        """How many GPUs an engine takes."""
        product = 1
        for name in _SIZES:
            product *= _size(self.arguments.get(name, 1)) or 1
        return product

    @property
    def is_spread(self) -> bool:
        """Whether Ray may spread it over several machines."""
        return self.arguments.get("distributed_executor_backend") == "ray"

    @property
    def utilization(self) -> float:
        """The part of a GPU's memory that it takes."""
        given = self.arguments.get("gpu_memory_utilization", _DEFAULT_UTILIZATION)
        known = isinstance(given, (int, float)) and not isinstance(given, bool)
        return float(given) if known and 0 < given <= 1 else _DEFAULT_UTILIZATION  # type: ignore[arg-type, operator]


def engines_of(model: Model) -> Iterator[Engine]:
    """The engines of the versions that would be loaded, as far as there is a model.json."""
    if model.declared.backend != "vllm":
        return
    for version in model.versions_to_load:
        path = model.directory / str(version) / MODEL_JSON
        if os.path.lexists(path):
            yield _read_engine(path)


def engine_gpus(model: Model) -> int:
    """How many GPUs there must be on one machine for the model's engines."""
    if model.declared.backend == "tensorrtllm":
        return _highest_id(model) + 1
    return max((one.gpus for one in engines_of(model) if not one.is_spread), default=1)


def _highest_id(model: Model) -> int:
    """The highest GPU that gpu_device_ids of TensorRT-LLM names, such as "0,1;2,3"; else 0."""
    parameters = model.config.parameters
    text = parameters[_DEVICE_IDS].string_value if _DEVICE_IDS in parameters else ""
    ids = (one.strip() for one in re.split("[,;]", text))
    return max((int(one) for one in ids if re.fullmatch(r"\d{1,4}", one, re.ASCII)), default=0)


def _read_engine(path: Path) -> Engine:
    """The engine of a model.json; one that is too large has no arguments that are known."""
    data = read_bytes(path, MODEL_JSON_LIMIT + 1)
    if data is None:
        return Engine(path, {}, "can't be read")
    if len(data) > MODEL_JSON_LIMIT:
        return Engine(path, {})
    try:
        found = json.loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        return Engine(path, {}, "isn't UTF-8")
    except json.JSONDecodeError as error:
        return Engine(path, {}, f"is no JSON: {error.msg}", error.lineno, error.colno)
    except (ValueError, RecursionError):
        return Engine(path, {}, "is no JSON that can be read")
    if not isinstance(found, dict):
        return Engine(path, {}, "holds no JSON object with vLLM's engine arguments")
    for name in _SIZES:
        if name in found and _size(found[name]) is None:
            return Engine(path, found, f"`{name}` is {found[name]!r:.40}: write a number from 1 on")
    return Engine(path, found)


def _size(value: object) -> int | None:
    """A parallel size as the backend reads it, with `int()`; None if it isn't one."""
    try:
        number = int(value) if isinstance(value, (int, float, str)) else 0
    except (ValueError, OverflowError):
        return None
    return number if 0 < number < _MOST_GPUS else None
