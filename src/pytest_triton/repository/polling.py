"""The checks that Triton's core makes on a completed configuration while it polls.

Source: core's `ValidateModelConfig` (model_config_utils.cc) and `InitializeModelInfo`
(model_repository_manager.cc), r24.10. The control inputs of sequence batching are left to the
server. Each refusal carries Triton's own words.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytest_triton.repository.ensembles import Refusal, ensemble_refusals

if TYPE_CHECKING:
    from pytest_triton.repository.schema import ModelConfig

__all__ = ["Refusal", "refusals"]

_PLATFORMS = {
    "tensorflow": ("tensorflow_graphdef", "tensorflow_savedmodel"),
    "tensorrt": ("tensorrt_plan",),
    "onnxruntime": ("onnxruntime_onnx",),
    "pytorch": ("pytorch_libtorch", "libtorch", "torch_aoti"),
}


def refusals(config: ModelConfig, directory: str) -> Iterator[Refusal]:
    """What polling refuses about a completed config, in Triton's order: it stops at the first."""
    yield from _backend_and_platform(config)
    if config.max_batch_size < 0:
        yield Refusal(
            "max_batch_size",
            f"max_batch_size is {config.max_batch_size}",
            "Write 0 for a model that doesn't batch.",
            f"'max_batch_size' must be non-negative value for {config.name}",
        )
    if config.WhichOneof("scheduling_choice") == "dynamic_batching":
        yield from _dynamic_batching(config)
    if config.WhichOneof("scheduling_choice") == "sequence_batching":
        yield from _sequence_batching(config)
    yield from ensemble_refusals(config)
    if config.model_transaction_policy.decoupled and config.response_cache.enable:
        yield Refusal(
            "response_cache",
            "a decoupled model can't use the response cache",
            "Delete response_cache, or decoupled from model_transaction_policy.",
            f"Response Cache does not currently support model {config.name} with 'decoupled' "
            "transaction policy. Please disable the response cache.",
        )
    if config.name != directory:
        yield Refusal(
            "name",
            f"the model is called `{config.name}`, its directory `{directory}`",
            f'Write name: "{directory}", leave the name out, or rename the directory.',
            f"unexpected directory name '{directory}' for model '{config.name}', directory name "
            "must equal model name",
        )


def _backend_and_platform(config: ModelConfig) -> Iterator[Refusal]:
    if not config.backend and config.platform != "ensemble":
        yield Refusal(
            "platform" if config.platform else "default_model_filename",
            f"no backend is named, and platform `{config.platform}` doesn't stand for one",
            'Write backend: "..." with the name of the backend that runs this model.',
            f"unexpected platform type '{config.platform}' for {config.name}",
        )
        return
    if config.backend and config.platform == "ensemble":
        yield Refusal(
            "backend",
            f"an ensemble has no backend, and this one names `{config.backend}`",
            "Delete the backend.",
            f"Ensemble model '{config.name}' must have platform type 'ensemble' and empty "
            "backend type",
        )
        return
    fitting = _PLATFORMS.get(config.backend)
    foreign = config.platform in [one for names in _PLATFORMS.values() for one in names]
    if fitting is not None and config.platform not in fitting:
        yield Refusal(
            "platform",
            f"backend `{config.backend}` and platform `{config.platform}` don't belong together",
            "Delete the platform: the backend says enough."
            if foreign
            else f"Platforms of {config.backend}: {', '.join(fitting)}; or delete the platform.",
            f"unexpected 'platform' and 'backend' pair, got:{config.platform}, {config.backend}",
        )


def _dynamic_batching(config: ModelConfig) -> Iterator[Refusal]:
    batching = config.dynamic_batching
    for index, size in enumerate(batching.preferred_batch_size):
        field = f"dynamic_batching.preferred_batch_size[{index}]"
        if size <= 0:
            yield Refusal(
                field,
                f"a preferred batch size of {size}",
                "Write sizes from 1 to max_batch_size.",
                f"dynamic batching preferred size must be positive for {config.name}",
            )
        elif size > config.max_batch_size:
            yield Refusal(
                field,
                f"preferred batch size {size} is above max_batch_size {config.max_batch_size}",
                "Raise max_batch_size or lower the preferred size.",
                f"dynamic batching preferred size must be <= max batch size for {config.name}",
            )
    levels = batching.priority_levels
    if levels and not 1 <= batching.default_priority_level <= levels:
        yield Refusal(
            "dynamic_batching.default_priority_level"
            if batching.default_priority_level
            else "dynamic_batching.priority_levels",
            f"default_priority_level is {batching.default_priority_level}, of {levels} levels",
            f"Write a default_priority_level from 1 to {levels}.",
            f"default priority level must be in range [1, {levels}] for {config.name}",
        )
    if levels and any(not 1 <= level <= levels for level in batching.priority_queue_policy):
        yield Refusal(
            "dynamic_batching.priority_queue_policy",
            f"a priority_queue_policy for a level that isn't there, of {levels}",
            f"Levels count from 1 to {levels}.",
            f"priority queue policy must have priority level in range [1, {levels}] for "
            f"{config.name}",
        )
    if batching.preserve_ordering and levels > 1:
        yield Refusal(
            "dynamic_batching.preserve_ordering",
            "preserve_ordering leaves no room for several priority levels",
            "Delete one of the two.",
            "Only one priority level is allowed when 'preserve_ordering' is true for "
            f"{config.name}",
        )
    policies = [batching.default_queue_policy, *batching.priority_queue_policy.values()]
    if batching.preserve_ordering and any(
        policy.default_timeout_microseconds and policy.timeout_action == 1 for policy in policies
    ):
        yield Refusal(
            "dynamic_batching.preserve_ordering",
            "preserve_ordering leaves no room for timeout_action DELAY",
            "Delete one of the two.",
            "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true "
            f"for {config.name}",
        )


def _sequence_batching(config: ModelConfig) -> Iterator[Refusal]:
    batching = config.sequence_batching
    if config.response_cache.enable:
        yield Refusal(
            "response_cache",
            "sequence batching can't use the response cache",
            "Delete response_cache.",
            f"Response Cache does not currently support model {config.name} with sequence "
            "batching scheduler. Please disable the response cache.",
        )
    for index, size in enumerate(batching.oldest.preferred_batch_size):
        if 0 < size <= config.max_batch_size:
            continue
        yield Refusal(
            f"sequence_batching.oldest.preferred_batch_size[{index}]",
            f"a preferred batch size of {size}, with max_batch_size {config.max_batch_size}",
            "Write sizes from 1 to max_batch_size.",
            f"sequence batching preferred batch size must be positive for {config.name}"
            if size <= 0
            else "sequence batching preferred batch size must be <= max batch size for "
            f"{config.name}",
        )
    if not 0.0 <= batching.direct.minimum_slot_utilization <= 1.0:
        yield Refusal(
            "sequence_batching.direct.minimum_slot_utilization",
            f"minimum_slot_utilization is {batching.direct.minimum_slot_utilization:g}",
            "Write a number from 0.0 to 1.0.",
            "sequence batching minimum slot utilization must be in range (0.0, 1.0] for "
            f"{config.name}",
        )
