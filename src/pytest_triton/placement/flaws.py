"""Flaws of a config that Triton finds whatever the hardware: its own checks, in its order.

Core's `ValidateModelConfig` runs while the repository is polled, `ValidateModelIOConfig` when
the model loads, after its instance groups. Only what the config's text shows is checked here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_triton.placement.backends import BACKENDS, backend_of_platform
from pytest_triton.placement.refusal import Reason

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

Version = tuple[int, int, int]
_FIRST: Version = (0, 0, 0)
_NEVER: Version = (9999, 0, 0)

ENSEMBLE = "ensemble"
# From this release on, `platform` is free where the backend isn't one of the platforms' own.
FREE_PLATFORM: Version = (2, 36, 0)
AOTI_PLATFORM: Version = (2, 66, 0)
RESPONSE_CACHE_CHECK: Version = (2, 38, 0)
PASSIVE_SEQUENCES: Version = (2, 37, 0)


@dataclass(frozen=True)
class Flaw:
    """What Triton says of a config, in its words, from release `since` on and before `until`."""

    reason: Reason
    text: str
    since: Version = _FIRST
    until: Version = _NEVER


# Older sequence batchers need an instance that isn't passive.
ONLY_PASSIVE_SEQUENCE = Flaw(
    "config",
    "Initialization failed for all sequence-batch scheduler threads",
    until=PASSIVE_SEQUENCES,
)


def poll_flaws(config: ModelConfig, name: str, backend: str, platform: str) -> Iterator[Flaw]:
    """What `ValidateModelConfig` refuses; `backend` and `platform` are the completed ones."""
    scheduling = config.WhichOneof("scheduling_choice")
    yield from _platform_flaws(name, backend, platform)
    if config.max_batch_size < 0:
        yield Flaw("config", f"'max_batch_size' must be non-negative value for {name}")
    if scheduling == "dynamic_batching":
        yield from _dynamic_batching_flaws(config, name)
    elif scheduling == "sequence_batching":
        yield from _sequence_batching_flaws(config, name)
    elif scheduling == "ensemble_scheduling":
        yield from _ensemble_flaws(config, name, platform)
    if scheduling != "ensemble_scheduling" and platform == ENSEMBLE:
        yield Flaw(
            "ensemble",
            f"ensemble scheduling must be set for ensemble {name} whose platform is {ENSEMBLE}",
        )
    if config.model_transaction_policy.decoupled and config.response_cache.enable:
        yield Flaw(
            "config",
            f"Response Cache does not currently support model {name} with 'decoupled' "
            "transaction policy. Please disable the response cache.",
        )


def _platform_flaws(name: str, backend: str, platform: str) -> Iterator[Flaw]:
    if not backend:
        if platform != ENSEMBLE:
            yield Flaw("no-backend", f"unexpected platform type '{platform}' for {name}")
        return
    if platform == ENSEMBLE:
        yield Flaw(
            "ensemble",
            f"Ensemble model '{name}' must have platform type '{platform}' and empty backend type",
        )
    if not platform and backend not in BACKENDS:
        return  # the ordinary case of a backend of one's own
    row = BACKENDS.get(backend)
    own = row.platforms if row is not None else ()
    pair = Flaw("config", f"unexpected 'platform' and 'backend' pair, got:{platform}, {backend}")
    if own:
        if platform not in own:
            yield pair
        elif platform == "torch_aoti":
            yield Flaw(pair.reason, pair.text, until=AOTI_PLATFORM)
    elif backend_of_platform(platform) is not None:
        yield Flaw(pair.reason, pair.text, until=FREE_PLATFORM)


def _dynamic_batching_flaws(config: ModelConfig, name: str) -> Iterator[Flaw]:
    batching = config.dynamic_batching
    for size in batching.preferred_batch_size:
        if size <= 0:
            yield Flaw("config", f"dynamic batching preferred size must be positive for {name}")
        elif size > config.max_batch_size:
            yield Flaw(
                "config",
                f"dynamic batching preferred size must be <= max batch size for {name}",
            )
    levels = batching.priority_levels
    if levels:
        if not 1 <= batching.default_priority_level <= levels:
            yield Flaw(
                "config", f"default priority level must be in range [1, {levels}] for {name}"
            )
        if any(not 1 <= level <= levels for level in batching.priority_queue_policy):
            yield Flaw(
                "config",
                f"priority queue policy must have priority level in range [1, {levels}] for {name}",
            )
    if batching.preserve_ordering:
        if levels > 1:
            yield Flaw(
                "config",
                f"Only one priority level is allowed when 'preserve_ordering' is true for {name}",
            )
        policies = [batching.default_queue_policy, *batching.priority_queue_policy.values()]
        delay = batching.default_queue_policy.DELAY
        if any(p.default_timeout_microseconds and p.timeout_action == delay for p in policies):
            yield Flaw(
                "config",
                "Queue policy can not have DELAY as timeout action when "
                f"'preserve_ordering' is true for {name}",
            )


# ModelSequenceBatching.Control.Kind: the numbers of the proto, in the order of the checks.
_BOOLEAN_CONTROLS = (
    (0, "CONTROL_SEQUENCE_START"),
    (2, "CONTROL_SEQUENCE_END"),
    (1, "CONTROL_SEQUENCE_READY"),
)
_CORRID = 3
_CORRID_TYPES = (4, 5, 8, 9, 13)  # UINT32, UINT64, INT32, INT64, STRING


def _sequence_batching_flaws(config: ModelConfig, name: str) -> Iterator[Flaw]:
    batching = config.sequence_batching
    if config.response_cache.enable:
        yield Flaw(
            "config",
            f"Response Cache does not currently support model {name} with sequence batching "
            "scheduler. Please disable the response cache.",
            since=RESPONSE_CACHE_CHECK,
        )
    for kind, label in _BOOLEAN_CONTROLS:
        yield from _control_flaws(batching, name, kind, label)
    yield from _control_flaws(batching, name, _CORRID, "CONTROL_SEQUENCE_CORRID")
    which = batching.WhichOneof("strategy_choice")
    if which == "oldest":
        for size in batching.oldest.preferred_batch_size:
            if size <= 0:
                yield Flaw(
                    "config",
                    f"sequence batching preferred batch size must be positive for {name}",
                )
            elif size > config.max_batch_size:
                yield Flaw(
                    "config",
                    f"sequence batching preferred batch size must be <= max batch size for {name}",
                )
    elif which == "direct" and not 0.0 <= batching.direct.minimum_slot_utilization <= 1.0:
        yield Flaw(
            "config",
            f"sequence batching minimum slot utilization must be in range (0.0, 1.0] for {name}",
        )


def _control_flaws(batching: Any, name: str, kind: int, label: str) -> Iterator[Flaw]:
    tensors: set[str] = set()
    seen = False
    for tensor in batching.control_input:
        if not tensor.name:
            yield Flaw("config", f"sequence batching control tensor must have a name for {name}")
        if tensor.name in tensors:
            yield Flaw(
                "config",
                f"sequence batching control tensor '{tensor.name}' is specified for multiple "
                f"control kinds for {name}",
            )
        tensors.add(tensor.name)
        for control in tensor.control:
            if control.kind != kind:
                continue
            if seen:
                yield Flaw(
                    "config", f"sequence batching specifies multiple {label} tensors for {name}"
                )
            seen = True
            yield from _control_value_flaws(control, name, kind, label)


def _control_value_flaws(control: Any, name: str, kind: int, label: str) -> Iterator[Flaw]:
    choices = ("int32_false_true", "fp32_false_true", "bool_false_true")
    given = [choice for choice in choices if len(getattr(control, choice))]
    if kind == _CORRID:
        if given:
            yield Flaw(
                "config",
                "sequence batching must not specify either 'int32_false_true', "
                f"'fp32_false_true' or 'bool_false_true' for {label} for {name}",
            )
        if control.data_type not in _CORRID_TYPES:
            yield Flaw(
                "config",
                f"unexpected data type for control {label} for {name}. Allowed data types are "
                "TYPE_UINT64, TYPE_INT64, TYPE_UINT32, TYPE_INT32 and TYPE_STRING",
            )
        return
    if not given:
        yield Flaw(
            "config",
            "sequence batching must specify either 'int32_false_true', 'fp32_false_true' or "
            f"'bool_false_true' for {label} for {name}",
        )
    elif len(given) > 1:
        yield Flaw(
            "config",
            "sequence batching specifies more than one from 'int32_false_true', "
            f"'fp32_false_true' and 'bool_false_true' for {label} for {name}",
        )
    elif len(getattr(control, given[0])) != 2:
        yield Flaw(
            "config",
            f"sequence batching control '{given[0]}' must have exactly 2 entries for {label} "
            f"for {name}",
        )


def _ensemble_flaws(config: ModelConfig, name: str, platform: str) -> Iterator[Flaw]:
    if platform != ENSEMBLE:
        yield Flaw(
            "ensemble",
            f"ensemble scheduling cannot be set for model '{name}' whose platform is not "
            f"{ENSEMBLE}",
        )
    if len(config.instance_group):
        yield Flaw("ensemble", f"instance group should not be specified for ensemble '{name}'")
    if config.HasField("optimization"):
        yield Flaw("ensemble", f"optimization should not be specified for ensemble '{name}'")
    if len(config.model_warmup):
        yield Flaw("ensemble", f"model_warmup can not be specified for ensemble '{name}'")
    steps = config.ensemble_scheduling.step
    if not len(steps):
        yield Flaw("ensemble", f"must specify 'step' for ensemble '{name}'")
    needs: dict[str, list[str]] = {}  # tensor -> the tensors it is made from
    used: set[str] = set()
    for index, step in enumerate(steps):
        for field in ("model_name", "input_map", "output_map"):
            if not getattr(step, field):
                yield Flaw(
                    "ensemble",
                    f"must specify '{field}' in step {index} of ensemble '{name}'",
                )
        inputs = list(step.input_map.values())
        used.update(inputs)
        for tensor in step.output_map.values():
            if tensor in needs:
                yield Flaw(
                    "ensemble",
                    f"ensemble tensor '{tensor}' can appear in an output map only once for "
                    f"ensemble '{name}' step {index}",
                )
            needs[tensor] = inputs
    yield from _ensemble_dataflow_flaws(config, name, needs, used)


def _ensemble_dataflow_flaws(
    config: ModelConfig, name: str, needs: dict[str, list[str]], used: set[str]
) -> Iterator[Flaw]:
    tensors = needs.keys() | used
    ready: set[str] = set()
    for tensor in config.input:
        if tensor.name not in tensors:
            yield Flaw(
                "ensemble", f"ensemble input '{tensor.name}' for ensemble {name}' is not used"
            )
        ready.add(tensor.name)
    grown = True
    while grown:
        made = {t for t, inputs in needs.items() if t not in ready and ready.issuperset(inputs)}
        ready |= made
        grown = bool(made)
    outputs: set[str] = set()
    for tensor in config.output:
        if tensor.name not in tensors:
            yield Flaw(
                "ensemble", f"ensemble output '{tensor.name}' for ensemble {name}' is not used"
            )
        elif tensor.name not in ready:
            yield Flaw("ensemble", f"output '{tensor.name}' for ensemble '{name}' is not written")
        outputs.add(tensor.name)
    for unused in sorted(tensors - outputs):
        if unused not in ready or unused not in used:
            yield Flaw("ensemble", f"ensemble tensor '{unused}' is unused in ensemble '{name}'")


def io_flaws(config: ModelConfig, name: str, platform: str) -> Iterator[Flaw]:
    """What `ValidateModelIOConfig` refuses in inputs and outputs that are both written."""
    for word, tensors in (("input", config.input), ("output", config.output)):
        for tensor in tensors:
            problem = _tensor_problem(tensor, word, config.max_batch_size, platform)
            if problem:
                yield Flaw("config", f"{problem} for {name}")


_FORMATS_OF_THREE_DIMS = (1, 2)  # ModelInput.Format: FORMAT_NHWC, FORMAT_NCHW


def _tensor_problem(tensor: Any, word: str, max_batch_size: int, platform: str) -> str:
    label = f"model {word} "
    if not tensor.name:
        return f"{label}must specify 'name'"
    label += f"'{tensor.name}' "
    if not tensor.data_type:
        return f"{label}must specify 'data_type'"
    dims = tensor.dims
    if not len(dims):
        return f"{label}must specify 'dims'"
    shape = tensor.reshape.shape if tensor.HasField("reshape") else None
    if shape is not None and not len(shape) and max_batch_size == 0:
        return (
            f"{label}cannot have empty reshape for non-batching model as scalar tensors "
            "are not supported"
        )
    range_of = "must be integer >= 1, or -1 to indicate a variable-size dimension"
    for dim in dims:
        if dim < 1 and dim != -1:
            return f"{label}dimension {range_of}"
    if shape is not None:
        for dim in shape:
            if dim < 1 and dim != -1:
                return f"{label}reshape dimensions {range_of}"
        if _element_counts(dims) != _element_counts(shape):
            return f"{label}has different size for dims and reshape"
    if word == "input" and tensor.format in _FORMATS_OF_THREE_DIMS and len(dims) != 3:
        return "model input NHWC/NCHW require 3 dims"
    if platform != "tensorrt_plan" and tensor.is_shape_tensor:
        return "shape tensors are only supported for TensorRT platform"
    if getattr(tensor, "is_non_linear_format_io", False):
        if platform != "tensorrt_plan":
            return "Non-linear IO format is only supported for the TensorRT platform"
        if len(dims) != 3:
            return f"Non-linear IO format {word} requires 3 dims"
    return ""


def _element_counts(dims: Any) -> list[int]:
    """The element counts between variable-size dimensions; an empty shape is one element."""
    counts = [[]]  # type: list[list[int]]
    for dim in dims:
        if dim == -1:
            counts.append([])
        else:
            counts[-1].append(dim)
    return [math.prod(part) for part in counts]
