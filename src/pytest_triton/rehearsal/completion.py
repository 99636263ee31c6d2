"""What a real backend would complete in a config, guessed as far as placement needs it.

Many backends read inputs and outputs from the model's file, so that configs leave them out. A
rehearsal has no use for that file. The stand-in backend is handed a completed config instead:
tensors that lack a type or a shape get one, and those that only an ensemble speaks of are added,
with the type and shape that they have there. Nothing of this is ever about placement.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

COMPLETIONS_VARIABLE = "PYTEST_TRITON_COMPLETIONS"
_FP32 = 11  # inference.DataType
_UNKNOWN_DIMS = (-1,)


class _Tensor(NamedTuple):
    data_type: int
    dims: tuple[int, ...]


_UNKNOWN = _Tensor(_FP32, _UNKNOWN_DIMS)


def completions(
    models: Mapping[str, ModelConfig], completing: frozenset[str]
) -> dict[str, ModelConfig]:
    """Completed configs of the models that need it, by name.

    `models` are all of a repository, ensembles too; `completing` the names of those whose backend
    completes configs. The given configs are not changed.
    """
    completed: dict[str, ModelConfig] = {}
    for name in sorted(completing):
        config = models[name]
        if any(not t.data_type or not len(t.dims) for t in (*config.input, *config.output)):
            completed[name] = _with_types(config)
    for ensemble in models.values():
        known = _tensors_of(ensemble, models)
        for step in ensemble.ensemble_scheduling.step:
            if step.model_name in completing:
                config = completed.get(step.model_name, models[step.model_name])
                more = _with_tensors(config, step, known, ensemble.max_batch_size)
                if more is not None:
                    completed[step.model_name] = more
    return completed


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


def _with_types(config: ModelConfig) -> ModelConfig:
    completed = _copy(config)
    for tensor in (*completed.input, *completed.output):
        tensor.data_type = tensor.data_type or _FP32
        if not len(tensor.dims):
            tensor.dims.extend(_UNKNOWN_DIMS)
    return completed


def _with_tensors(
    config: ModelConfig, step: Any, known: Mapping[str, _Tensor], max_batch_size: int
) -> ModelConfig | None:
    """The config with what a step of an ensemble uses of it and it doesn't have; None if all is."""
    missing = list(_missing(config.input, step.input_map))
    missing_outputs = list(_missing(config.output, step.output_map))
    if not missing and not missing_outputs:
        return None
    completed = _copy(config)
    if not len(config.input) and not len(config.output) and not config.max_batch_size:
        completed.max_batch_size = max_batch_size
    for tensors, names in ((completed.input, missing), (completed.output, missing_outputs)):
        for name, ensemble_name in names:
            tensor = known.get(ensemble_name, _UNKNOWN)
            tensors.add(name=name, data_type=tensor.data_type, dims=tensor.dims)
    return completed


def _missing(tensors: Any, mapped: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    there = {tensor.name for tensor in tensors}
    return ((name, mapped[name]) for name in sorted(mapped) if name not in there)


def _tensors_of(ensemble: ModelConfig, models: Mapping[str, ModelConfig]) -> dict[str, _Tensor]:
    """What an ensemble and the models of its steps say about its tensors."""
    known: dict[str, _Tensor] = {}
    for tensor in (*ensemble.input, *ensemble.output):
        known[tensor.name] = _Tensor(tensor.data_type, tuple(tensor.dims))
    for step in ensemble.ensemble_scheduling.step:
        model = models.get(step.model_name)
        if model is None:
            continue
        for tensors, mapped in ((model.input, step.input_map), (model.output, step.output_map)):
            for tensor in tensors:
                if tensor.name in mapped and tensor.data_type and len(tensor.dims):
                    known.setdefault(
                        mapped[tensor.name], _Tensor(tensor.data_type, tuple(tensor.dims))
                    )
    return known


def _copy(config: ModelConfig) -> ModelConfig:
    copied = type(config)()
    copied.CopyFrom(config)
    return copied
