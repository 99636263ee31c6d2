"""One inference, from a model's name to numpy arrays, and the server's health after it."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pytest_triton.client.endpoints import Endpoints
from pytest_triton.client.inference import (
    Client,
    InputTensor,
    Protocol,
    Refused,
    Request,
    answered_version,
    output_arrays,
)
from pytest_triton.errors import PytestTritonError, says_all
from pytest_triton.inference.arrays import as_array, describe, randoms, triton_type, zeros
from pytest_triton.inference.data_files import read_test_data
from pytest_triton.inference.errors import InferenceFailed, cause_of_failure
from pytest_triton.inference.signature import ModelSignature

if TYPE_CHECKING:
    from pytest_triton.inference.arrays import Array

__tracebackhide__ = says_all

_SIGNATURE = 60.0  # seconds, at most, to be reported what a model takes
_DYING = 5.0  # seconds that a crashed process may take to be gone (it may write a core file)
_STEP = 0.05


class UnhealthyAfterInference(PytestTritonError):
    """The inference was answered, and then the server or the model was not well."""


@dataclass(frozen=True)
class Inference(Mapping[str, "Array"]):
    """A model's answer: a mapping from output name to numpy array, if it answered once.

    `responses` are all answers of a decoupled model (one of any other), `raw` tritonclient's own
    results. `inputs` is what was sent, `origin` where that came from: `random, seed 0`.
    `rehearsal`: stand-ins answered, which answer zeros.
    """

    model: str
    version: str
    inputs: Mapping[str, Array]
    origin: str
    responses: tuple[Mapping[str, Array], ...]
    raw: tuple[Any, ...] = field(repr=False)
    rehearsal: bool = False

    @property
    def outputs(self) -> Mapping[str, Array]:
        """The outputs of the one response. Raises PytestTritonError if there isn't just one."""
        if len(self.responses) != 1:
            raise PytestTritonError(
                f"{self.model} gave {len(self.responses)} responses, so there is no one answer",
                fix="look at .responses, a tuple with the outputs of each",
            )
        return self.responses[0]

    def __getitem__(self, name: str) -> Array:
        return self.outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.outputs)

    def __len__(self) -> int:
        return len(self.outputs)

    def __repr__(self) -> str:
        answers = " | ".join(describe(response) for response in self.responses) or "no response"
        return f"<{self.model} version {self.version}: {answers} (inputs: {self.origin})>"


def infer(
    server: Endpoints,
    model: str,
    inputs: str | Mapping[str, object] | os.PathLike[str] = "random",
    *,
    protocol: Protocol = "grpc",
    version: str = "",
    seed: int = 0,
    shapes: Mapping[str, Sequence[int]] | None = None,
    batch_size: int = 1,
    optional: bool = True,
    outputs: Sequence[str] = (),
    timeout: float = 60.0,
    sequence_id: int | str | None = None,
    sequence_start: bool | None = None,
    sequence_end: bool | None = None,
    parameters: Mapping[str, object] | None = None,
    check_alive: Callable[[], None] | None = None,
    client: Any = None,
    signature: ModelSignature | None = None,
) -> Inference:
    """Send one request and wait; `TritonServer.infer` says what most of the arguments are.

    `check_alive` is called if the server is gone, and raises what it knows: exit code and log.
    `client` is a tritonclient client to use instead of a new connection, `signature` saves asking
    for it. Raises InferenceFailed, UnhealthyAfterInference, or what `check_alive` raises.
    """
    with Client(server, protocol, timeout=timeout, native=client) as connection:
        asked = Asked(connection, model, version, check_alive)
        if signature is None:
            signature = asked.signature()
        arrays, origin = _inputs(signature, inputs, seed, batch_size, shapes, optional)
        sequence = _sequence(signature, sequence_id, sequence_start, sequence_end)
        request = Request(
            model,
            version,
            _tensors(arrays, signature),
            signature.decoupled,
            tuple(outputs),
            *sequence,
            parameters=parameters or {},
        )
        declared = [tensor.name for tensor in signature.outputs]
        try:
            raw = connection.infer(request)
            responses = tuple(output_arrays(one, declared) for one in raw)
        except Refused as refused:
            asked.fail(str(refused), signature, arrays, origin)
        result = Inference(
            model=model,
            version=answered_version(raw[0]) if raw else version,
            inputs=arrays,
            origin=origin,
            responses=responses,
            raw=raw,
        )
        asked.check_health()
    return result


def read_signature(
    server: Endpoints, model: str, *, protocol: Protocol = "grpc", client: Any = None
) -> ModelSignature:
    """What a READY model takes and gives, as the server reports it. Raises InferenceFailed."""
    with Client(server, protocol, timeout=_SIGNATURE, native=client) as connection:
        return Asked(connection, model, "", None).signature()


def _tensors(arrays: Mapping[str, Array], signature: ModelSignature) -> tuple[InputTensor, ...]:
    made = []
    for name, array in arrays.items():
        declared = signature.input_named(name)
        datatype = triton_type(array, "FP32" if declared is None else declared.datatype)
        made.append(InputTensor(name, datatype, array))
    return tuple(made)


class Asked:
    """Which model is asked over which connection: the context of every error."""

    def __init__(
        self,
        connection: Client,
        model: str,
        version: str,
        check_alive: Callable[[], None] | None,
    ) -> None:
        self._connection = connection
        self._model = model
        self._version = version
        self._check_alive = check_alive

    @property
    def _name(self) -> str:
        return self._model + (f" version {self._version}" if self._version else "")

    def signature(self) -> ModelSignature:
        try:
            return ModelSignature.from_config(self._connection.config(self._model, self._version))
        except Refused as refused:
            self.fail(str(refused), None, None, "")

    def fail(
        self,
        text: str,
        signature: ModelSignature | None,
        arrays: Mapping[str, Array] | None,
        origin: str,
    ) -> NoReturn:
        cause = cause_of_failure(text)
        if cause.reason == "missing-input" and signature and not _missing(signature, arrays or {}):
            cause = cause_of_failure("unknown input")  # Triton only counts them
        index = self._index_entry() if cause.reason in ("not-ready", "unknown-model") else ""
        if cause.reason == "unknown-model" and index.startswith(("no state", "UNAVAILABLE")):
            cause = cause_of_failure("not loaded")  # it is there, and refused, or nobody loaded it
        if cause.reason == "gone":
            self._wait_for_exit()
        connection = self._connection
        lines = [f"No answer from {self._name}: {cause.summary}.", f"  it said  {text}"]
        if cause.reason == "timeout":
            lines[0] = f"No answer from {self._name} within {connection.timeout:g} s."
        if signature is not None:
            lines.append(f"  takes    {signature.describe_inputs()}")
        if signature is not None and signature.max_batch_size:
            lines[-1] += f" (batches of up to {signature.max_batch_size})"
        if signature is not None and arrays is not None:
            lines.append(f"  got      {describe(arrays, signature)} ({origin})")
            lines += _names_apart(signature, arrays)
        if index:
            lines.append(f"  index    {index}")
        raise InferenceFailed(
            "\n".join(lines),
            reason=cause.reason,
            text=text,
            tried=(f"{connection.protocol} to {connection.address}",),
            fix=cause.fix,
        ) from None

    def check_health(self) -> None:
        connection = self._connection
        try:
            if connection.is_ready(self._model, self._version):
                return  # and who says so lives
            live, said = connection.is_live(), self._index_entry()
        except Refused as refused:
            live, said = False, str(refused)
        if live and said.startswith("READY"):
            said += " (a python model's own process has exited, or doesn't answer)"
        if not live:
            self._wait_for_exit()
        state = f"{self._name} is not ready" if live else "the server is not live"
        raise UnhealthyAfterInference(
            f"After the inference {state}: {said}",
            tried=(f"{connection.protocol} to {connection.address}",),
            fix="the server's log says what the inference did to it",
        )

    def _index_entry(self) -> str:
        try:
            return self._connection.index_entry(self._model) or "no such model"
        except Refused as refused:
            return f"not known: {refused}"

    def _wait_for_exit(self) -> None:
        """Let `check_alive` say why the server is gone, once the process has ended."""
        deadline = time.monotonic() + _DYING
        while self._check_alive is not None and time.monotonic() < deadline:
            self._check_alive()
            time.sleep(_STEP)


def _inputs(
    signature: ModelSignature,
    inputs: str | Mapping[str, object] | os.PathLike[str],
    seed: int,
    batch_size: int,
    shapes: Mapping[str, Sequence[int]] | None,
    optional: bool,
) -> tuple[dict[str, Array], str]:
    if batch_size != 1 and not signature.max_batch_size:
        raise PytestTritonError(
            f"batch_size={batch_size}, and {signature.name} takes no batches (max_batch_size: 0)",
            fix="leave batch_size out; shapes={...} says how large variable dimensions are",
        )
    if isinstance(inputs, Mapping):
        given = inputs.items()
        return {name: as_array(one, signature.input_named(name)) for name, one in given}, "given"
    if inputs in ("random", "zeros"):
        sizes = signature.request_shapes(batch_size, shapes)
        made = zeros(signature, sizes) if inputs == "zeros" else randoms(signature, sizes, seed)
        left_out = {one.name for one in signature.inputs if one.optional and not optional}
        arrays = {name: array for name, array in made.items() if name not in left_out}
        return arrays, "zeros" if inputs == "zeros" else f"random, seed {seed}"
    if not isinstance(inputs, (str, os.PathLike)) or not os.path.exists(inputs):
        raise PytestTritonError(
            f"inputs={inputs!r}: neither 'random', 'zeros' or arrays, nor a file or folder",
            fix="give 'random', 'zeros', arrays by input name, or the path of test data",
        )
    entries = read_test_data(Path(inputs), signature)
    if len(entries) != 1:
        raise PytestTritonError(
            f"{inputs} holds {len(entries)} entries, and this is one inference",
            fix="give a path that holds one, and infer once for each",
        )
    return dict(entries[0].inputs), f"test data {entries[0].name}"


def _names_apart(signature: ModelSignature, arrays: Mapping[str, Array]) -> list[str]:
    """Lines on the inputs that are missing, and on those that the model doesn't have."""
    missing = _missing(signature, arrays)
    unknown = [name for name in arrays if signature.input_named(name) is None]
    lines = [f"  missing  {', '.join(missing)}"] if missing else []
    return lines + ([f"  unknown  {', '.join(unknown)}"] if unknown else [])


def _missing(signature: ModelSignature, arrays: Mapping[str, Array]) -> list[str]:
    return [one.name for one in signature.inputs if not one.optional and one.name not in arrays]


def _sequence(
    signature: ModelSignature,
    sequence_id: int | str | None,
    start: bool | None,
    end: bool | None,
) -> tuple[int | str, bool, bool]:
    """The sequence parameters. Alone in its sequence, a request is its start and its end."""
    if sequence_id is None:
        if not signature.sequence:
            return 0, bool(start), bool(end)
        unique = uuid.uuid4().int >> 65 or 1  # a server is shared: ids must not meet
        made: int | str = f"pytest-triton-{unique}" if signature.text_ids else unique
        return made, start is not False, end is not False
    return sequence_id, bool(start), bool(end)
