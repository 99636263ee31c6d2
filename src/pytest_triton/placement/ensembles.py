"""The checks that Triton's core makes on an ensemble's steps while it polls.

Source: core's `ValidateEnsembleSchedulingConfig` and `BuildEnsembleGraph`
(model_config_utils.cc). Whether the models of its steps exist shows later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_triton.diagnostics.diagnostic import Diagnostic

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

ENSEMBLE = "ensemble"

_CHECK_NAMES = "Check the names in the steps' maps, and those of the ensemble's inputs and outputs."


def ensemble_flaws(config: ModelConfig, name: str, platform: str) -> Iterator[Diagnostic]:
    """What is wrong with an ensemble, in core's order. Later flaws may follow from the first."""
    if not config.HasField("ensemble_scheduling"):
        yield Diagnostic(
            "ensemble",
            f"ensemble scheduling must be set for ensemble {name} whose platform is {ENSEMBLE}",
            "platform",
            "an ensemble without ensemble_scheduling",
            "Write ensemble_scheduling { step [ ... ] }.",
        )
    elif platform != ENSEMBLE:
        yield Diagnostic(
            "ensemble",
            f"ensemble scheduling cannot be set for model '{name}' whose platform is not "
            f"{ENSEMBLE}",
            "ensemble_scheduling",
            "ensemble_scheduling in a model that is no ensemble",
            'Write platform: "ensemble" and no backend.',
        )
    else:
        yield from _field_flaws(config, name)
        yield from _step_flaws(config, name)
        yield from _data_flow_flaws(config, name)


def _field_flaws(config: ModelConfig, name: str) -> Iterator[Diagnostic]:
    for field, present, what in (
        ("instance_group", len(config.instance_group), "instance group should not be"),
        ("optimization", config.HasField("optimization"), "optimization should not be"),
        ("model_warmup", len(config.model_warmup), "model_warmup can not be"),
    ):
        if present:
            yield Diagnostic(
                "ensemble",
                f"{what} specified for ensemble '{name}'",
                field,
                f"an ensemble with {field}",
                "Delete it: it belongs to the models of the ensemble's steps.",
            )


def _step_flaws(config: ModelConfig, name: str) -> Iterator[Diagnostic]:
    if not len(config.ensemble_scheduling.step):
        yield Diagnostic(
            "ensemble",
            f"must specify 'step' for ensemble '{name}'",
            "ensemble_scheduling",
            "an ensemble without a step",
            "Write step [ { model_name: ... input_map { ... } output_map { ... } } ].",
        )
    written: set[str] = set()
    for index, step in enumerate(config.ensemble_scheduling.step):
        place = f"ensemble_scheduling.step[{index}]"
        for field in ("model_name", "input_map", "output_map"):
            if not getattr(step, field):
                yield Diagnostic(
                    "ensemble",
                    f"must specify '{field}' in step {index} of ensemble '{name}'",
                    place,
                    f"step {index} has no {field}",
                    f"Write {field}.",
                )
        for tensor in step.output_map.values():
            if tensor in written:
                yield Diagnostic(
                    "ensemble",
                    f"ensemble tensor '{tensor}' can appear in an output map only once for "
                    f"ensemble '{name}' step {index}",
                    f"{place}.output_map",
                    f"tensor `{tensor}` is written twice",
                    "Give each output_map a name of its own.",
                )
            written.add(tensor)


def _data_flow_flaws(config: ModelConfig, name: str) -> Iterator[Diagnostic]:
    sources: dict[str, list[str]] = {}  # a written tensor -> those it is made from
    places: dict[str, str] = {}  # any tensor -> the field that names it first
    read: set[str] = set()
    for index, step in enumerate(config.ensemble_scheduling.step):
        inputs = list(step.input_map.values())
        read.update(inputs)
        for tensor in step.output_map.values():
            sources[tensor] = inputs
            places.setdefault(tensor, f"ensemble_scheduling.step[{index}].output_map")
        for tensor in inputs:
            places.setdefault(tensor, f"ensemble_scheduling.step[{index}].input_map")
    for index, given in enumerate(config.input):
        if given.name not in places:
            names = ", ".join(tensor for tensor in places if tensor not in sources)
            fix = f"Name it in a step's input_map. Read: {names or 'nothing'}."
            yield Diagnostic(
                "ensemble",
                f"ensemble input '{given.name}' for ensemble {name}' is not used",
                f"input[{index}].name",
                f"no step reads the ensemble's input `{given.name}`",
                _swapped(config, "input_map", given.name) or fix,
            )
    ready = {given.name for given in config.input}
    while made := {t for t, needs in sources.items() if t not in ready and ready.issuperset(needs)}:
        ready |= made
    for index, output in enumerate(config.output):
        if output.name not in places:
            yield Diagnostic(
                "ensemble",
                f"ensemble output '{output.name}' for ensemble {name}' is not used",
                f"output[{index}].name",
                f"no step writes the ensemble's output `{output.name}`",
                _swapped(config, "output_map", output.name)
                or f"Name it in a step's output_map. Written: {', '.join(sources) or 'nothing'}.",
            )
        elif output.name not in ready:
            cause = _unready_source(output.name, sources, ready)
            what = f"output '{output.name}' for ensemble '{name}' is not written"
            message = f"the ensemble's output `{output.name}` is never written"
            if cause != output.name:
                what += f": at least one of its depending tensors, '{cause}', is not connected"
                message += f", for nothing writes `{cause}`"
            field = f"output[{index}].name" if cause == output.name else places[cause]
            yield Diagnostic("ensemble", what, field, message, _CHECK_NAMES)
    outputs = {output.name for output in config.output}
    for tensor, place in places.items():
        if tensor not in outputs and not (tensor in ready and tensor in read):
            what = "used by nothing" if tensor in ready else "never written"
            yield Diagnostic(
                "ensemble",
                f"ensemble tensor '{tensor}' is unused in ensemble '{name}'",
                place,
                f"the tensor `{tensor}` is {what}",
                _CHECK_NAMES,
            )


def _swapped(config: ModelConfig, field: str, tensor: str) -> str:
    """What to write if a step has the ensemble's tensor as a key of its map; "" if none has."""
    for index, step in enumerate(config.ensemble_scheduling.step):
        other = getattr(step, field).get(tensor)
        if other is not None:
            return (
                f"Step {index} has it as a key: a key is a tensor of the step's model, its value "
                f'one of the ensemble. Write {field} {{ key: "{other}" value: "{tensor}" }}'
            )
    return ""


def circle(name: str, steps_of: Callable[[str], Sequence[str]]) -> tuple[str, ...]:
    """The shortest way of an ensemble back to itself: (a, b, a); () if there is none."""
    ways: list[tuple[str, ...]] = [(name,)]
    reached: set[str] = set()
    while ways:
        way = ways.pop(0)
        for step in steps_of(way[-1]):
            if step == name:
                return (*way, step)
            if step not in reached:
                reached.add(step)
                ways.append((*way, step))
    return ()


def circle_message(way: Sequence[str]) -> str:
    """What is wrong with an ensemble that is part of this circle."""
    shown = f": {' -> '.join(way)}" if len(way) > 2 else ""
    return f"the ensemble is a step of itself{shown}"


def _unready_source(
    tensor: str, sources: Mapping[str, Collection[str]], ready: Collection[str]
) -> str:
    """The tensor at the far end of what keeps `tensor` from being computed, as core finds it."""
    seen: set[str] = set()
    following = True
    while following:
        following = False
        for source in sources.get(tensor, ()):
            if source not in ready and source not in seen:
                seen.add(source)
                tensor, following = source, True
                break
    return tensor
