"""A repository's config against the one that a server has deployed, field by field.

A server reports its configs completed: core and backends fill in what a config leaves out. So the
repository's config is completed as they may have done it, towards what is deployed, and what is
different then is drift. Where a field is left out and a backend could have filled it in from the
model's file, whatever is deployed counts as completed.

Sources: core's `NormalizeModelConfig`, `NormalizeInstanceGroup`, `NormalizeEnsembleModel`
(model_config_utils.cc), seen on 2.33.0 to 2.51.0; the backends' `AutoCompleteConfig`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_triton.placement.backends import backend_named
from pytest_triton.placement.fields import is_repeated

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

_LONGEST = 60  # characters of a value
_NAMED = ("input", "output", "batch_input", "batch_output", "control_input", "state")
_IDLE = 1_000_000  # microseconds; what core fills into max_sequence_idle_microseconds


@dataclass(frozen=True)
class Difference:
    """A field that says something else: `""` stands for one that isn't there."""

    field: str
    repository: str
    deployed: str


def config_drift(config: ModelConfig, deployed: ModelConfig) -> tuple[Difference, ...]:
    """What the deployed config has otherwise than the repository's. Neither is changed.

    `config` is the repository's, with backend, platform and file name as core completes them.
    """
    wanted = type(config)()
    wanted.CopyFrom(config)
    _complete(wanted, deployed)
    return tuple(_differences(wanted, deployed, ""))


# --- what is completed -------------------------------------------------------------------------


def _complete(config: Any, deployed: Any) -> None:
    """Fill into `config` what is deployed, where core or the backend may have done so."""
    backend = backend_named(deployed.backend or config.backend)
    for name in ("name", "backend", "platform", "default_model_filename"):
        if not getattr(config, name):
            setattr(config, name, getattr(deployed, name))
    if not config.HasField("version_policy"):
        config.version_policy.latest.num_versions = 1
    for memory in ("input_pinned_memory", "output_pinned_memory"):
        there = deployed.optimization.HasField(memory)  # not of an ensemble
        if there and not config.optimization.HasField(memory):
            getattr(config.optimization, memory).enable = True
    if backend.completes:
        _complete_tensors(config, deployed)
    _complete_groups(config, deployed, backend.cpu_count)
    _complete_scheduling(config, deployed, by_backend=backend.completes)
    of_steps = config.HasField("ensemble_scheduling")  # core asks an ensemble's models
    if (backend.completes or of_steps) and not config.HasField("model_transaction_policy"):
        config.model_transaction_policy.CopyFrom(deployed.model_transaction_policy)


def _complete_tensors(config: Any, deployed: Any) -> None:
    if not config.max_batch_size:
        config.max_batch_size = deployed.max_batch_size
    for tensors, there in ((config.input, deployed.input), (config.output, deployed.output)):
        by_name = {tensor.name: tensor for tensor in there}
        if not tensors:
            tensors.extend(there)
        for tensor in tensors:
            found = by_name.get(tensor.name)
            if found is None:
                continue
            if not tensor.data_type:
                tensor.data_type = found.data_type
            if not len(tensor.dims):
                tensor.dims.extend(found.dims)


def _complete_groups(config: Any, deployed: Any, cpu_count: int) -> None:
    """Where instances run is test_placement's question: kinds and GPUs that are left open fit."""
    groups, there = config.instance_group, deployed.instance_group
    if not groups and len(there) == 1:
        groups.add()
    auto = groups[0].KIND_AUTO if groups else 0
    for group, found in zip(groups, there, strict=False):
        group.name = group.name or found.name
        if group.kind == auto:
            group.kind = found.kind
        if group.count < 1:
            group.count = cpu_count if found.kind == found.KIND_CPU else 1
        if not group.gpus:
            group.gpus.extend(found.gpus)


def _complete_scheduling(config: Any, deployed: Any, *, by_backend: bool) -> None:
    chosen = config.WhichOneof("scheduling_choice")
    batches: tuple[list[int], ...] = ([], [deployed.max_batch_size])  # what core fills in
    there = deployed.dynamic_batching
    if chosen is None and by_backend and deployed.HasField("dynamic_batching"):
        bare = type(there)()
        bare.CopyFrom(there)
        if list(bare.preferred_batch_size) in batches:
            bare.ClearField("preferred_batch_size")
        bare.ClearField("default_queue_policy")
        if not any(_differences(type(bare)(), bare, "")):
            config.dynamic_batching.CopyFrom(there)
    if chosen == "dynamic_batching":
        _complete_batches(config.dynamic_batching, there, batches)
    if chosen == "sequence_batching":
        sequences, found = config.sequence_batching, deployed.sequence_batching
        if not sequences.max_sequence_idle_microseconds:
            sequences.max_sequence_idle_microseconds = _IDLE
        if sequences.WhichOneof("strategy_choice") is None and found.HasField("direct"):
            sequences.direct.SetInParent()
        if sequences.HasField("oldest"):
            _complete_batches(sequences.oldest, found.oldest, batches)


def _complete_batches(batching: Any, there: Any, batches: Sequence[Sequence[int]]) -> None:
    if not batching.preferred_batch_size and list(there.preferred_batch_size) in batches:
        batching.preferred_batch_size.extend(there.preferred_batch_size)


# --- what differs ------------------------------------------------------------------------------


def _differences(wanted: Any, found: Any, at: str) -> Iterator[Difference]:
    """Of two messages of one type. A message that is empty and one that isn't there are equal."""
    for field in wanted.DESCRIPTOR.fields:
        name, path = field.name, f"{at}.{field.name}" if at else field.name
        one, other = getattr(wanted, name), getattr(found, name)
        chosen = field.containing_oneof is not None and field.message_type is not None
        if chosen and wanted.HasField(name) != found.HasField(name):
            yield Difference(path, _one_of(wanted, name), _one_of(found, name))
            continue
        if one == other:
            continue
        if _is_map(field):
            yield from _of_maps(one, other, path)
        elif is_repeated(field):
            yield from _of_lists(one, other, path, field)
        elif field.message_type is None:
            yield Difference(path, _scalar(one, field), _scalar(other, field))
        else:
            yield from _differences(one, other, path)


def _of_maps(one: Any, other: Any, path: str) -> Iterator[Difference]:
    for key in sorted({*one, *other}):
        here = _text(one[key]) if key in one else ""
        there = _text(other[key]) if key in other else ""
        if here != there:
            yield Difference(f'{path}["{key}"]', here, there)


def _of_lists(one: Any, other: Any, path: str, field: Any) -> Iterator[Difference]:
    if field.message_type is None:
        yield Difference(path, _listed(one, field), _listed(other, field))
        return
    key = _by_name if field.name in _NAMED else _by_number
    here, there = key(one), key(other)
    for name in dict.fromkeys([*here, *there]):
        place = f"{path}[{name}]"
        if name not in here or name not in there:
            yield Difference(place, _text(here.get(name)), _text(there.get(name)))
        else:
            yield from _differences(here[name], there[name], place)


def _by_number(messages: Sequence[Any]) -> dict[str, Any]:
    return {str(number): message for number, message in enumerate(messages)}


def _by_name(messages: Sequence[Any]) -> dict[str, Any]:
    """By their names; by number where these aren't unique (batch inputs have no single one)."""
    names = [getattr(message, "name", "") for message in messages]
    if not all(names) or len(set(names)) < len(names):
        return _by_number(messages)
    return {f'"{name}"': message for name, message in zip(names, messages, strict=True)}


def _is_map(field: Any) -> bool:
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


def _scalar(value: object, field: Any) -> str:
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return str(value) if known is None else str(known.name)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _short(f'"{value}"') if value else ""
    return str(value)


def _listed(values: Sequence[object], field: Any) -> str:
    texts = [_scalar(value, field) for value in values]
    return _short(f"[ {', '.join(texts)} ]") if texts else ""


def _one_of(message: Any, name: str) -> str:
    return _text(getattr(message, name)) if message.HasField(name) else ""


def _text(message: Any) -> str:
    """A message (or a value of a map) in a line; "" for one that isn't there."""
    if message is None:
        return ""
    if not hasattr(message, "DESCRIPTOR"):
        return _short(f'"{message}"') if isinstance(message, str) else str(message)
    return _short("{ " + _one_line(message) + " }") if message.ByteSize() else "{ }"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _one_line(message: Any) -> str:
    from google.protobuf.text_format import MessageToString

    return str(MessageToString(message, as_one_line=True)).strip()
