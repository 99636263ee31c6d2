"""The checks that Triton's core makes on an ensemble once the models of its steps are loaded.

Source: core's `ValidateEnsembleConfig` (ensemble_utils.cc), the same in r23.04 to r26.06. What is
compared is what the models declare, completed by their backends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.placement.data_types import type_name
from pytest_triton.placement.fields import entry_of

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

_ENSEMBLE_STEP = "ensemble_scheduling.step"


class Tensor(NamedTuple):
    """An input or output of a model; `field` is where it stands in the model's config."""

    name: str
    data_type: int
    dims: tuple[int, ...]
    optional: bool
    field: str


class Step(NamedTuple):
    """A step of an ensemble: the model's tensor -> the ensemble's."""

    model: str
    input_map: tuple[tuple[str, str], ...]
    output_map: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives, as far as ensembles have to know.

    `open_inputs`, `open_outputs`: its backend may add some that the config doesn't declare.
    """

    max_batch_size: int = 0
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    decoupled: bool = False
    open_inputs: bool = False
    open_outputs: bool = False

    @classmethod
    def of(
        cls, config: ModelConfig, *, open_inputs: bool = False, open_outputs: bool = False
    ) -> Signature:
        return cls(
            config.max_batch_size,
            tuple([_tensor(one, f"input[{n}]") for n, one in enumerate(config.input)]),
            tuple([_tensor(one, f"output[{n}]") for n, one in enumerate(config.output)]),
            config.model_transaction_policy.decoupled,
            open_inputs,
            open_outputs,
        )


def _tensor(one: Any, place: str) -> Tensor:
    optional = getattr(one, "optional", False)
    return Tensor(one.name, one.data_type, tuple(one.dims), optional, place)


@dataclass(frozen=True, slots=True)
class DataFlow:
    """An ensemble's steps, and its own tensors as its steps see them (reshaped)."""

    max_batch_size: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    steps: tuple[Step, ...]
    response_cache: bool = False

    @classmethod
    def of(cls, config: ModelConfig) -> DataFlow:
        return cls(
            config.max_batch_size,
            tuple([_seen_inside(one, f"input[{n}]") for n, one in enumerate(config.input)]),
            tuple([_seen_inside(one, f"output[{n}]") for n, one in enumerate(config.output)]),
            tuple(
                [
                    Step(
                        step.model_name,
                        tuple(sorted(step.input_map.items())),
                        tuple(sorted(step.output_map.items())),
                    )
                    for step in config.ensemble_scheduling.step
                ]
            ),
            config.response_cache.enable,
        )


def _seen_inside(one: Any, place: str) -> Tensor:
    dims = one.reshape.shape if one.HasField("reshape") else one.dims
    return Tensor(one.name, one.data_type, tuple(dims), False, place)


@dataclass(eq=False)
class _Node:
    """A tensor of the ensemble: what is known of it, and from which model's which field."""

    model: str
    tensor: Tensor | None
    batching: bool
    place: str
    decoupled: bool = False
    label: int = 0
    visited: bool = False
    before: list[_Node] = field(default_factory=list)
    after: list[_Node] = field(default_factory=list)
    sibling: _Node | None = None

    @property
    def full_dims(self) -> tuple[int, ...]:
        assert self.tensor is not None
        return ((-1,) if self.batching else ()) + self.tensor.dims


class Checked(NamedTuple):
    """What core finds: flaws of which it names one (mostly the first), and whether the ensemble
    is decoupled, for a step of it is."""

    flaws: tuple[Diagnostic, ...]
    decoupled: bool = False


def check_data_flow(name: str, flow: DataFlow, models: Mapping[str, Signature]) -> Checked:
    """Hold an ensemble against the models of its steps; those that aren't known are skipped."""
    batching = flow.max_batch_size > 0
    nodes: dict[str, _Node] = {}
    for one in flow.inputs:
        nodes.setdefault(one.name, _Node(name, one, batching, one.field))
    sink = _Node(name, None, False, "")
    for one in flow.outputs:
        node = nodes.setdefault(one.name, _Node(name, one, batching, one.field))
        sink.before.append(node)
        node.after.append(sink)
    whole = True
    for index, step in enumerate(flow.steps):
        signature = models.get(step.model)
        if signature is None:
            whole = False
            continue
        for check in (_batch_size_flaws, _input_flaws, _output_flaws):
            flaws = tuple(check(name, flow, index, signature, nodes))
            if flaws:
                return Checked(flaws)
        _link(step, signature, nodes)
    if not whole:
        return Checked(())
    return _check_decoupled(name, flow, nodes)


def _batch_size_flaws(
    name: str, flow: DataFlow, index: int, signature: Signature, nodes: Mapping[str, _Node]
) -> Iterator[Diagnostic]:
    most, model = signature.max_batch_size, flow.steps[index].model
    if most and most < flow.max_batch_size:
        yield Diagnostic(
            "ensemble",
            f"ensemble {name} allows maximum batch size {flow.max_batch_size}, but it contains "
            f"model {model} which only allows maximum batch size to be {most}",
            "max_batch_size",
            f"max_batch_size is {flow.max_batch_size}, and that of step {index}'s model `{model}` "
            f"is {most}",
            f"Write max_batch_size: {most}, or raise that of `{model}`.",
            also=(Diagnostic(model=model, field="max_batch_size"),),
        )


def _input_flaws(
    name: str, flow: DataFlow, index: int, signature: Signature, nodes: dict[str, _Node]
) -> Iterator[Diagnostic]:
    step = flow.steps[index]
    mapped = dict(step.input_map)
    names = [one.name for one in signature.inputs]
    free = [one for one in names if one not in mapped]
    for key, tensor in step.input_map if not signature.open_inputs else ():
        if key not in names:
            yield _unknown(
                step,
                index,
                "input",
                f"in ensemble {name}, ensemble tensor {tensor} is mapping to non-existing input "
                f"{key} in model {step.model}",
                key,
                names,
                free,
            )
    if any(key not in names for key in mapped) and not signature.open_inputs:
        return
    batching = signature.max_batch_size > 0
    for one in signature.inputs:
        if one.name in mapped:
            place = entry_of(f"{_ENSEMBLE_STEP}[{index}].input_map", one.name)
            node = _Node(step.model, one, batching, place)
            known = nodes.setdefault(mapped[one.name], node)
            if known is not node:
                flaw = _inconsistent(name, mapped[one.name], known, node)
                if flaw is not None:
                    yield flaw
                    return
        elif not one.optional:
            yield Diagnostic(
                "ensemble",
                f"in ensemble {name}, input {one.name} in model {step.model} is not mapped to any "
                "ensemble tensors",
                f"{_ENSEMBLE_STEP}[{index}].input_map",
                f"step {index} gives nothing to the input `{one.name}` of its model `{step.model}`",
                f'Add input_map {{ key: "{one.name}" value: "..." }}, or write optional: true '
                f"into that input of `{step.model}`.",
                also=(Diagnostic(model=step.model, field=one.field),),
            )
            return


def _output_flaws(
    name: str, flow: DataFlow, index: int, signature: Signature, nodes: dict[str, _Node]
) -> Iterator[Diagnostic]:
    step = flow.steps[index]
    outputs = {one.name: one for one in signature.outputs}
    mapped = dict(step.output_map)
    unknown = [] if signature.open_outputs else [key for key in mapped if key not in outputs]
    for key in unknown:
        yield _unknown(
            step,
            index,
            "output",
            f"in ensemble {name}, ensemble tensor {mapped[key]} is mapped from non-existing output "
            f"{key} in model {step.model}",
            key,
            list(outputs),
            [one for one in outputs if one not in mapped],
        )
    if unknown:
        return
    batching = signature.max_batch_size > 0
    for key, tensor in step.output_map:
        if key in outputs:
            place = entry_of(f"{_ENSEMBLE_STEP}[{index}].output_map", key)
            node = _Node(step.model, outputs[key], batching, place)
            known = nodes.setdefault(tensor, node)
            if known is not node:
                flaw = _inconsistent(name, tensor, known, node)
                if flaw is not None:
                    yield flaw
            if [one.name for one in signature.outputs].count(key) > 1:
                yield Diagnostic(
                    "ensemble",
                    f"in ensemble {name}, multiple outputs in model {step.model} are mapped to the "
                    f"same ensemble tensor {tensor}",
                    place,
                    f"`{step.model}` has two outputs called `{key}`",
                    "Give each a name of its own.",
                    also=(Diagnostic(model=step.model, field=outputs[key].field),),
                )


def _unknown(
    step: Step,
    index: int,
    word: str,
    text: str,
    key: str,
    names: Sequence[str],
    free: Sequence[str],
) -> Diagnostic:
    close = get_close_matches(key, free, n=1, cutoff=0.5) or (free if len(free) == 1 else [])
    same = [one for one in names if one.lower() == key.lower()]
    close = same or close
    fix = f"The model's {word}s: {', '.join(names) or 'none that its config declares'}."
    if close:
        fix = f'Write key: "{close[0]}". {fix}'
    elif not names:
        fix = f"Declare its {word}s in `{step.model}`/config.pbtxt."
    return Diagnostic(
        "ensemble",
        text,
        entry_of(f"{_ENSEMBLE_STEP}[{index}].{word}_map", key),
        f"step {index} names the {word} `{key}`, which its model `{step.model}` doesn't have",
        fix,
        also=(Diagnostic(model=step.model, field=word),),
    )


def _fields(tensors: Iterable[tuple[str, str]], name: str) -> tuple[Diagnostic, ...]:
    """A field of each of these tensors, which are (model, field)."""
    return tuple(Diagnostic(model=model, field=f"{field}.{name}") for model, field in tensors)


def _inconsistent(ensemble: str, tensor: str, known: _Node, other: _Node) -> Diagnostic | None:
    assert known.tensor is not None
    assert other.tensor is not None
    text = f"in ensemble {ensemble}, ensemble tensor {tensor}: inconsistent "
    also = tuple(
        (node.model, node.tensor.field)
        for node in (other, known)
        if node.tensor is not None and node.model != ensemble
    )
    if known.tensor.data_type != other.tensor.data_type:
        mine, its = type_name(known.tensor.data_type), type_name(other.tensor.data_type)
        return Diagnostic(
            "ensemble",
            f"{text}data type: {mine} is inferred from model {known.model} while {its} is inferred "
            f"from model {other.model}",
            other.place,
            f"`{tensor}` is {its or 'no data type'} for `{other.model}` "
            f"({other.tensor.name}), and {mine or 'no data type'} for "
            + _whose(ensemble, tensor, known),
            f"Give both the same data_type, or put a model between them that converts "
            f"{mine} and {its}.",
            also=_fields(also, "data_type"),
        )
    if not _alike(known.tensor.dims, other.tensor.dims) and not _alike(
        known.full_dims, other.full_dims
    ):
        mine_dims, its_dims = _shape(known.full_dims), _shape(other.full_dims)
        return Diagnostic(
            "ensemble",
            f"{text}shape: {mine_dims} is inferred from model {known.model} while {its_dims} is "
            f"inferred from model {other.model}",
            other.place,
            f"`{tensor}` is {its_dims} for `{other.model}` ({other.tensor.name}), and {mine_dims} "
            f"for {_whose(ensemble, tensor, known)}",
            _shape_fix(ensemble, known, other),
            also=_fields(also, "dims"),
        )
    return None


def _whose(ensemble: str, tensor: str, node: _Node) -> str:
    if node.model == ensemble:
        return "the ensemble itself"
    assert node.tensor is not None
    return f"`{node.model}` ({node.tensor.name})"


def _shape_fix(ensemble: str, known: _Node, other: _Node) -> str:
    assert known.tensor is not None
    assert other.tensor is not None
    if known.batching != other.batching:
        batching = known if known.batching else other
        return (
            f"`{batching.model}` has a max_batch_size, so that a batch dimension stands before its "
            "dims, and the other hasn't: write max_batch_size in both, or the whole shape, with a "
            "-1 first, in the dims of the other."
        )
    if known.model == ensemble and not known.tensor.dims:
        return (
            "The reshape of the ensemble's own tensor counts inside of it, that of the model "
            f"doesn't: delete the reshape in `{ensemble}`."
        )
    return "Write the same dims in both, with -1 for what varies."


def _alike(some: Sequence[int], others: Sequence[int]) -> bool:
    return len(some) == len(others) and all(
        one == other or -1 in (one, other) for one, other in zip(some, others, strict=True)
    )


def _shape(dims: Sequence[int]) -> str:
    return f"[{','.join(map(str, dims))}]"


def _link(step: Step, signature: Signature, nodes: dict[str, _Node]) -> None:
    sibling = _Node(step.model, None, False, "")
    for _, tensor in step.output_map:
        node = nodes.get(tensor)
        if node is None:
            continue
        node.sibling = sibling
        node.decoupled = signature.decoupled
        for _, source in step.input_map:
            before = nodes.get(source)
            if before is not None:
                node.before.append(before)
                before.after.append(node)


def _check_decoupled(name: str, flow: DataFlow, nodes: Mapping[str, _Node]) -> Checked:
    label = 0
    ahead: deque[_Node] = deque()
    for one in flow.inputs:
        nodes[one.name].visited = True
        ahead.append(nodes[one.name])
    while ahead:
        for following in ahead.popleft().after:
            if following.visited or not all(node.visited for node in following.before):
                continue
            labels = {node.label for node in following.before}
            if len(labels) > 1:
                return Checked((_mixed_flaw(name, flow, following, nodes),))
            before = following.before[0].label
            sibling = following.sibling
            if sibling is not None and sibling.visited:
                following.label = sibling.label
            else:
                label += following.decoupled
                following.label = label if following.decoupled else before
                if sibling is not None:
                    sibling.label, sibling.visited = following.label, True
            following.visited = True
            ahead.append(following)
    return Checked((), label != 0)


def _mixed_flaw(name: str, flow: DataFlow, node: _Node, nodes: Mapping[str, _Node]) -> Diagnostic:
    by_node: Callable[[str], bool] = lambda tensor: nodes.get(tensor) is node  # noqa: E731
    index = next(
        (n for n, step in enumerate(flow.steps) if any(by_node(t) for _, t in step.output_map)),
        None,
    )
    if index is None:
        place, who = "output" if flow.outputs else "", "the ensemble's outputs come"
    else:
        place = f"{_ENSEMBLE_STEP}[{index}].input_map"
        who = f"the inputs of step {index} (`{flow.steps[index].model}`) come"
    return Diagnostic(
        "ensemble",
        f"in ensemble {name}, step of model '{node.model}' receives inputs originated from "
        "different decoupled models",
        place,
        f"{who} from different decoupled models, or from one and past it",
        "Responses of a decoupled model can't be matched with other tensors: hand what is needed "
        "through that model, or make it non-decoupled.",
    )
