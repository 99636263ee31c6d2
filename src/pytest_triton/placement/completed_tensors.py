"""What a real backend would complete in a config, guessed as far as placement needs it.

Many backends read inputs and outputs from the model's file, so that configs leave them out. A
rehearsal has no use for that file. The stand-in backend is handed a completed config instead:
tensors that lack a type or a shape get one, and where a config declares no inputs (or no outputs)
those are added that ensembles speak of, with the type and shape that they have there. A config
that declares some gets none added: its backend wouldn't either. Nothing of this is ever about
placement.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

_FP32 = 11  # inference.DataType
_UNKNOWN_DIMS = (-1,)


class _Tensor(NamedTuple):
    data_type: int
    dims: tuple[int, ...]


class _Place(NamedTuple):
    """A tensor of a model: of its `input` or `output`, or one `inside` of an ensemble."""

    model: str
    way: str
    tensor: str


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
    ensembles = [one for one in models.values() if len(one.ensemble_scheduling.step)]
    known = _known_tensors(models) if ensembles else {}
    for ensemble in ensembles:
        for step in ensemble.ensemble_scheduling.step:
            if step.model_name in completing:
                given = models[step.model_name]
                config = completed.get(step.model_name, given)
                more = _with_tensors(given, config, step, known, ensemble.max_batch_size)
                if more is not None:
                    completed[step.model_name] = more
    return completed


def _with_types(config: ModelConfig) -> ModelConfig:
    completed = _copy(config)
    for tensor in (*completed.input, *completed.output):
        tensor.data_type = tensor.data_type or _FP32
        if not len(tensor.dims):
            tensor.dims.extend(_UNKNOWN_DIMS)
    return completed


def _with_tensors(
    given: ModelConfig,
    config: ModelConfig,
    step: Any,
    known: Mapping[_Place, _Tensor],
    max_batch_size: int,
) -> ModelConfig | None:
    """The config with what a step of an ensemble uses of it and it doesn't have; None if all is.

    `given` is the config as it was written.

    Inputs that are added are optional: another ensemble may leave them out.
    """
    inputs = [] if given.input else sorted(set(step.input_map) - _names(config.input))
    outputs = [] if given.output else sorted(set(step.output_map) - _names(config.output))
    if not inputs and not outputs:
        return None
    completed = _copy(config)
    if not len(config.input) and not len(config.output) and not config.max_batch_size:
        completed.max_batch_size = max_batch_size
    for name in inputs:
        tensor = known.get(_Place(step.model_name, "input", name), _UNKNOWN)
        completed.input.add(name=name, data_type=tensor.data_type, dims=tensor.dims, optional=True)
    for name in outputs:
        tensor = known.get(_Place(step.model_name, "output", name), _UNKNOWN)
        completed.output.add(name=name, data_type=tensor.data_type, dims=tensor.dims)
    return completed


def _names(tensors: Any) -> set[str]:
    return {tensor.name for tensor in tensors}


def _known_tensors(models: Mapping[str, ModelConfig]) -> dict[_Place, _Tensor]:
    """What is known of all tensors: declared, or handed on by ensembles, as far as they reach."""
    known: dict[_Place, _Tensor] = {}
    joined: dict[_Place, list[_Place]] = {}
    for name, config in models.items():
        for way, tensors in (("input", config.input), ("output", config.output)):
            for tensor in tensors:
                if tensor.data_type and len(tensor.dims):
                    of_it = _Tensor(tensor.data_type, tuple(tensor.dims))
                    known.setdefault(_Place(name, way, tensor.name), of_it)
        for one, other in _connections(name, config):
            joined.setdefault(one, []).append(other)
            joined.setdefault(other, []).append(one)
    ahead = [place for place in known if place in joined]
    while ahead:
        place = ahead.pop()
        for other in joined.get(place, ()):
            if other not in known:
                known[other] = known[place]
                ahead.append(other)
    return known


def _connections(name: str, ensemble: ModelConfig) -> Iterator[tuple[_Place, _Place]]:
    """The places that hold the same tensor, because an ensemble says so."""
    for way, ends in (("input", ensemble.input), ("output", ensemble.output)):
        for tensor in ends:
            yield _Place(name, way, tensor.name), _Place(name, "inside", tensor.name)
    for step in ensemble.ensemble_scheduling.step:
        for way, mapped in (("input", step.input_map), ("output", step.output_map)):
            for tensor_name, inside in mapped.items():
                yield _Place(step.model_name, way, tensor_name), _Place(name, "inside", inside)


def _copy(config: ModelConfig) -> ModelConfig:
    copied = type(config)()
    copied.CopyFrom(config)
    return copied
