"""The checks that Triton's core makes on an ensemble's steps while it polls.

Source: core's `ValidateEnsembleSchedulingConfig` and `BuildEnsembleGraph`
(model_config_utils.cc), r24.10. Whether the models of its steps exist shows later, at loading.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pytest_triton.repository.schema import ModelConfig

__all__ = ["Refusal", "ensemble_refusals"]


class Refusal(NamedTuple):
    """Why polling refuses a configuration: the field to look at, our words, the cure, Triton's."""

    field: str
    message: str
    cure: str
    triton: str


@dataclass
class _Tensor:
    """A tensor that the steps read or write; `place` is the field that names it first."""

    name: str
    place: str
    written: bool = False
    ready: bool = False
    sources: list[_Tensor] = field(default_factory=list)
    readers: list[_Tensor] = field(default_factory=list)


class _RefusedError(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def ensemble_refusals(config: ModelConfig) -> Iterator[Refusal]:
    """What polling refuses about an ensemble or its lack: at most one thing, as Triton says it."""
    scheduled = config.WhichOneof("scheduling_choice") == "ensemble_scheduling"
    if not scheduled and config.platform != "ensemble":
        return
    if not scheduled:
        yield Refusal(
            "platform",
            "an ensemble without ensemble_scheduling",
            "Write ensemble_scheduling { step [ ... ] }.",
            f"ensemble scheduling must be set for ensemble {config.name} whose platform is "
            "ensemble",
        )
    elif config.platform != "ensemble":
        yield Refusal(
            "ensemble_scheduling",
            "ensemble_scheduling in a model that is no ensemble",
            'Write platform: "ensemble" and no backend.',
            f"ensemble scheduling cannot be set for model '{config.name}' whose platform is not "
            "ensemble",
        )
    else:
        try:
            _forbidden_fields(config)
            _data_flow(config, _graph(config))
        except _RefusedError as refused:
            yield refused.refusal


def _refuse(place: str, message: str, cure: str, triton: str) -> None:
    raise _RefusedError(Refusal(place, message, cure, triton))


def _forbidden_fields(config: ModelConfig) -> None:
    for name, present, words in (
        ("instance_group", len(config.instance_group), "instance group should not be"),
        ("optimization", config.HasField("optimization"), "optimization should not be"),
        ("model_warmup", len(config.model_warmup), "model_warmup can not be"),
    ):
        if present:
            _refuse(
                name,
                f"an ensemble with {name}",
                "Delete it: it belongs to the models of the ensemble's steps.",
                f"{words} specified for ensemble '{config.name}'",
            )
    if not config.ensemble_scheduling.step:
        _refuse(
            "ensemble_scheduling",
            "an ensemble without a step",
            "Write step [ { model_name: ... input_map { ... } output_map { ... } } ].",
            f"must specify 'step' for ensemble '{config.name}'",
        )


def _graph(config: ModelConfig) -> dict[str, _Tensor]:
    tensors: dict[str, _Tensor] = {}
    for index, step in enumerate(config.ensemble_scheduling.step):
        place = f"ensemble_scheduling.step[{index}]"
        for name, value in (
            ("model_name", step.model_name),
            ("input_map", step.input_map),
            ("output_map", step.output_map),
        ):
            if not value:
                _refuse(
                    place,
                    f"step {index} has no {name}",
                    f"Write {name}.",
                    f"must specify '{name}' in step {index} of ensemble '{config.name}'",
                )
        outputs = []
        for name in step.output_map.values():
            tensor = tensors.setdefault(name, _Tensor(name, f"{place}.output_map"))
            if tensor.written:
                _refuse(
                    f"{place}.output_map",
                    f"tensor `{name}` is written twice",
                    "Give each output_map a name of its own.",
                    f"ensemble tensor '{name}' can appear in an output map only once for "
                    f"ensemble '{config.name}' step {index}",
                )
            tensor.written = True
            outputs.append(tensor)
        for name in step.input_map.values():
            tensor = tensors.setdefault(name, _Tensor(name, f"{place}.input_map"))
            for output in outputs:
                output.sources.append(tensor)
                tensor.readers.append(output)
    return tensors


def _data_flow(config: ModelConfig, tensors: dict[str, _Tensor]) -> None:
    _spread(config, tensors)
    for index, output in enumerate(config.output):
        tensor = tensors.get(output.name)
        if tensor is None:
            _refuse(
                f"output[{index}].name",
                f"no step writes the ensemble's output `{output.name}`",
                f"Name it in a step's output_map. Written: {_names(tensors, written=True)}.",
                f"ensemble output '{output.name}' for ensemble {config.name}' is not used",
            )
        elif not tensor.ready:
            _not_ready(config, f"output[{index}].name", tensor)
    outputs = {output.name for output in config.output}
    for tensor in tensors.values():
        if tensor.name not in outputs and not (tensor.ready and tensor.readers):
            what = "used by nothing" if tensor.ready else "never written"
            _refuse(
                tensor.place,
                f"the tensor `{tensor.name}` is {what}",
                "Check the names in the steps' maps, and those of the ensemble's inputs and "
                "outputs.",
                f"ensemble tensor '{tensor.name}' is unused in ensemble '{config.name}'",
            )


def _spread(config: ModelConfig, tensors: dict[str, _Tensor]) -> None:
    """Mark what can be computed, starting at the ensemble's inputs."""
    queue: deque[_Tensor] = deque()
    for index, given in enumerate(config.input):
        tensor = tensors.get(given.name)
        if tensor is None:
            _refuse(
                f"input[{index}].name",
                f"no step reads the ensemble's input `{given.name}`",
                f"Name it in a step's input_map. Read: {_names(tensors, written=False)}.",
                f"ensemble input '{given.name}' for ensemble {config.name}' is not used",
            )
            return
        tensor.ready = True
        queue.append(tensor)
    while queue:
        for reader in queue.popleft().readers:
            if not reader.ready and all(source.ready for source in reader.sources):
                reader.ready = True
                queue.append(reader)


def _not_ready(config: ModelConfig, place: str, tensor: _Tensor) -> None:
    seen: set[str] = set()
    last, cause = None, tensor
    while cause is not last:
        last = cause
        for source in cause.sources:
            if not source.ready and source.name not in seen:
                seen.add(source.name)
                cause = source
                break
    words = f"output '{tensor.name}' for ensemble '{config.name}' is not written"
    message = f"the ensemble's output `{tensor.name}` is never written"
    if cause is not tensor:
        words += f": at least one of its depending tensors, '{cause.name}', is not connected"
        message += f", for nothing writes `{cause.name}`"
        place = cause.place
    _refuse(place, message, "Check the names in the steps' maps and of the inputs.", words)


def _names(tensors: dict[str, _Tensor], *, written: bool) -> str:
    return ", ".join(name for name, one in tensors.items() if one.written == written) or "nothing"
