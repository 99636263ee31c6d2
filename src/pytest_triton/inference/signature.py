"""What a model takes and gives, read from the configuration that its server reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_triton.errors import PytestTritonError


class UnknownInput(PytestTritonError):
    """A shape was given for an input that the model hasn't got, or that can't be its shape."""


@dataclass(frozen=True)
class TensorSpec:
    """An input or output: its `dims` as config.pbtxt has them, without the batch dimension.

    A dimension of -1 is variable. `datatype` is the protocol's name: FP32, BYTES. `batched` says
    that a request's shape begins with the batch size.
    """

    name: str
    datatype: str
    dims: tuple[int, ...]
    batched: bool = False
    optional: bool = False
    is_shape: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a request, -1 where it is variable."""
        return (-1, *self.dims) if self.batched else self.dims

    def __str__(self) -> str:
        more = ", optional" * self.optional + ", shape tensor" * self.is_shape
        return f"{self.name} {self.datatype} {list(self.shape)}{more}"


@dataclass(frozen=True)
class ModelSignature:
    """The inputs and outputs of a model, and how it must be asked.

    `max_batch_size` 0: no batch dimension. A `decoupled` model answers any number of times, over
    streaming gRPC only. A `sequence` model wants a sequence id; `text_ids`: as a text.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int = 0
    decoupled: bool = False
    sequence: bool = False
    text_ids: bool = False

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ModelSignature:
        """Of a ModelConfig as JSON (numbers may be texts, as protobuf writes int64).

        Control inputs of a sequence batcher are not among the inputs: Triton makes them.
        """
        batching = int(config.get("max_batch_size", 0)) > 0
        sequence = config.get("sequence_batching")
        controls = [
            control
            for tensor in (sequence or {}).get("control_input", ())
            for control in tensor.get("control", ())
        ]
        return cls(
            name=str(config.get("name", "")),
            inputs=tuple(_tensor(tensor, batching) for tensor in config.get("input", ())),
            outputs=tuple(_tensor(tensor, batching) for tensor in config.get("output", ())),
            max_batch_size=int(config.get("max_batch_size", 0)),
            decoupled=bool(config.get("model_transaction_policy", {}).get("decoupled", False)),
            sequence=sequence is not None,
            text_ids=any(
                control.get("kind") == "CONTROL_SEQUENCE_CORRID"
                and control.get("data_type") == "TYPE_STRING"
                for control in controls
            ),
        )

    def input_named(self, name: str) -> TensorSpec | None:
        return next((tensor for tensor in self.inputs if tensor.name == name), None)

    def request_shapes(
        self, batch_size: int = 1, shapes: Mapping[str, Sequence[int]] | None = None
    ) -> dict[str, tuple[int, ...]]:
        """A shape without -1 for each input: variable dimensions are 1 unless `shapes` says more.

        A shape may be given with or without the batch dimension. Fixed dimensions may be given
        otherwise than declared: what Triton says to that is worth a test too. Raises UnknownInput
        for a name that isn't an input's, or a shape of another rank or with a -1.
        """
        given = dict(shapes or {})
        chosen = {
            tensor.name: _request_shape(tensor, batch_size, given.pop(tensor.name, None))
            for tensor in self.inputs
        }
        if given:
            raise UnknownInput(
                f"{self.name} has no input {', '.join(map(repr, given))}",
                tried=[f"the inputs that it has: {self.describe_inputs()}"],
                fix="correct the names in shapes=",
            )
        return chosen

    def describe_inputs(self) -> str:
        """`X FP32 [-1, 4], MASK BOOL [-1, 4], optional`"""
        return "; ".join(map(str, self.inputs)) or "none"


def _tensor(config: Mapping[str, Any], batching: bool) -> TensorSpec:
    datatype = str(config.get("data_type", "TYPE_INVALID")).removeprefix("TYPE_")
    is_shape = bool(config.get("is_shape_tensor", False))
    return TensorSpec(
        name=str(config["name"]),
        datatype="BYTES" if datatype == "STRING" else datatype,
        dims=tuple(int(dim) for dim in config.get("dims", ())),
        batched=batching and not is_shape,  # Triton batches shape tensors itself
        optional=bool(config.get("optional", False)),
        is_shape=is_shape,
    )


def _request_shape(
    tensor: TensorSpec, batch_size: int, given: Sequence[int] | None
) -> tuple[int, ...]:
    batch = (batch_size,) if tensor.batched else ()
    if given is None:
        return (*batch, *(1 if dim < 0 else dim for dim in tensor.dims))
    shape = tuple(int(dim) for dim in given)
    if len(shape) == len(tensor.dims):
        shape = (*batch, *shape)
    if len(shape) != len(tensor.shape) or min(shape, default=0) < 0:
        raise UnknownInput(
            f"{list(given)} can't be the shape of {tensor}",
            fix="give one size for each dimension (the batch dimension may be left out)",
        )
    return shape
