"""tritonclient's own clients for gRPC and HTTP behind the few calls that an inference needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from pytest_triton.client.endpoints import Endpoints
from pytest_triton.client.native import NoSuchEndpoint, connect_grpc, connect_http
from pytest_triton.errors import PytestTritonError, says_all

if TYPE_CHECKING:
    from numpy.typing import NDArray

__tracebackhide__ = says_all

Protocol = Literal["grpc", "http"]


class Refused(Exception):
    """What a client or server said instead of an answer; explained by those who know more."""


@dataclass(frozen=True)
class InputTensor:
    """An array that is sent, as this data type of Triton's."""

    name: str
    datatype: str
    array: NDArray[Any]


@dataclass(frozen=True)
class Request:
    """One inference request, as Triton's protocol has it; a `decoupled` model streams."""

    model: str
    version: str
    inputs: tuple[InputTensor, ...]
    decoupled: bool = False
    outputs: tuple[str, ...] = ()
    sequence_id: int | str = 0
    sequence_start: bool = False
    sequence_end: bool = False
    parameters: Mapping[str, object] = field(default_factory=dict)


# Core newer than 2.70.0 raises NOT_FOUND over gRPC where it answered False; HTTP answers 404.
_NOT_THERE = re.compile(
    r"StatusCode\.NOT_FOUND|"
    r"[Rr]equest for unknown model: .*(has no available versions|is not found)"
)


def says_not_there(words: str) -> bool:
    """Whether a server says that it hasn't got a model, or not loaded it."""
    return _NOT_THERE.search(words) is not None


class Client:
    """A connection to a server over one protocol. `native` is tritonclient's own client."""

    def __init__(
        self,
        server: Endpoints,
        protocol: Protocol,
        *,
        timeout: float,
        native: Any = None,
    ) -> None:
        self.protocol = protocol
        self.timeout = timeout
        self._server = server
        self._module = client_module(protocol)
        self._own = native is None
        self.native = self._connect() if native is None else native

    @property
    def address(self) -> str:
        """Of the endpoint that is asked."""
        return self._server.http if self.protocol == "http" else self._server.grpc

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._own:
            self.native.close()

    def config(self, model: str, version: str) -> Mapping[str, Any]:
        """The model's configuration as JSON. Raises Refused."""
        if self.protocol == "http":
            found: Mapping[str, Any] = self._ask(self.native.get_model_config, model, version)
            return found
        answer = self._ask(self.native.get_model_config, model, version, as_json=True)
        config: Mapping[str, Any] = answer["config"]
        return config

    def is_live(self) -> bool:
        return bool(self._ask(self.native.is_server_live))

    def is_ready(self, model: str, version: str) -> bool:
        """Whether a model is ready; False also where the server doesn't have it."""
        try:
            return bool(self._ask(self.native.is_model_ready, model, version))
        except Refused as refused:
            if says_not_there(str(refused)):
                return False
            raise

    def index_entry(self, model: str) -> str:
        """What the repository index says of a model: `UNAVAILABLE: unloaded`, "" if nothing."""
        if self.protocol == "http":
            entries = self._ask(self.native.get_model_repository_index)
        else:
            answer = self._ask(self.native.get_model_repository_index, as_json=True)
            entries = answer.get("models", ())
        said = [
            ": ".join(filter(None, (entry.get("state", "no state"), entry.get("reason", ""))))
            for entry in entries
            if entry["name"] == model
        ]
        return "; ".join(said)

    def infer(self, request: Request) -> tuple[Any, ...]:
        """tritonclient's results: one, or as many as a decoupled model gives. Raises Refused."""
        inputs = [self._input(one) for one in request.inputs]
        outputs = [self._module.InferRequestedOutput(name) for name in request.outputs] or None
        sequence: dict[str, Any] = {}
        if request.sequence_id:
            sequence = {
                "sequence_id": request.sequence_id,
                "sequence_start": request.sequence_start,
                "sequence_end": request.sequence_end,
            }
        arguments: dict[str, Any] = {
            "model_name": request.model,
            "model_version": request.version,
            "inputs": inputs,
            "outputs": outputs,
            "parameters": dict(request.parameters) or None,
            **sequence,
        }
        if self.protocol == "http":
            return (self._ask(self.native.infer, **arguments),)
        if request.decoupled:
            return self._stream(arguments)
        return (self._ask(self.native.infer, **arguments),)

    def _stream(self, arguments: Mapping[str, Any]) -> tuple[Any, ...]:
        """Over a stream of its own, which ends when the server has sent the last response."""
        results: list[Any] = []
        errors: list[Exception] = []

        def receive(result: Any, error: Exception | None) -> None:
            if error is not None:
                errors.append(error)
            else:
                results.append(result)

        cancel = True
        self._say(self.native.start_stream, receive, stream_timeout=self.timeout)
        try:
            self._say(self.native.async_stream_infer, **arguments)
            cancel = False
        finally:
            self.native.stop_stream(cancel_requests=cancel)
        if errors:
            after = f" (after {len(results)} responses)" if results else ""
            raise Refused(f"{errors[0]}{after}") from errors[0]
        return tuple(results)

    def _input(self, tensor: InputTensor) -> Any:
        made = self._module.InferInput(tensor.name, list(tensor.array.shape), tensor.datatype)
        return made.set_data_from_numpy(tensor.array)

    def _connect(self) -> Any:
        if self.protocol == "grpc":
            return connect_grpc(self._server)
        return connect_http(self._server, timeout=self.timeout)

    def _ask(self, call: Callable[..., Any], *arguments: object, **named: Any) -> Any:
        """A call, in time: HTTP's client got its time limit when it was made."""
        if self.protocol == "grpc":
            named["client_timeout"] = self.timeout
        return self._say(call, *arguments, **named)

    def _say(self, call: Callable[..., Any], *arguments: object, **named: Any) -> Any:
        from tritonclient.utils import InferenceServerException

        # The HTTP client lets its library's own errors through.
        broken = _http_errors() if self.protocol == "http" else ()
        try:
            return call(*arguments, **named)
        except InferenceServerException as error:
            raise Refused(str(error)) from error
        except broken as error:
            raise Refused(f"{type(error).__name__}: {error}") from error


def _http_errors() -> tuple[type[Exception], ...]:
    from importlib import import_module

    own: type[Exception] = import_module("geventhttpclient.response").HTTPParseError
    return OSError, EOFError, own


def client_module(protocol: Protocol) -> ModuleType:
    """`tritonclient.grpc` or `tritonclient.http`. Raises NoSuchEndpoint if it isn't there."""
    import importlib

    if protocol not in ("grpc", "http"):
        raise PytestTritonError(
            f"{protocol!r} is not a protocol", fix="protocol='grpc' or protocol='http'"
        )
    try:
        return importlib.import_module(f"tritonclient.{protocol}")
    except (ImportError, RuntimeError) as error:
        raise NoSuchEndpoint(
            f"tritonclient's {protocol} client can't be imported: {error}",
            fix=f"pip install 'tritonclient[{protocol}]'",
        ) from error


def output_arrays(result: Any, declared: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The outputs of a tritonclient result, by name, those that are `declared` in that order.

    Raises Refused for an output whose bytes aren't what its type says.
    """
    response = result.get_response()
    outputs = response["outputs"] if isinstance(response, dict) else response.outputs
    names = [output["name"] if isinstance(output, dict) else output.name for output in outputs]
    in_order = [name for name in declared if name in names]
    arrays = {}
    for name in dict.fromkeys([*in_order, *names]):
        try:
            arrays[name] = result.as_numpy(name)
        except Exception as error:  # of struct or numpy, and whatever else tritonclient may use
            raise Refused(f"output {name!r} can't be read: {error}") from error
    return arrays


def answered_version(result: Any) -> str:
    """The version of the model that answered."""
    response = result.get_response()
    if isinstance(response, dict):
        return str(response.get("model_version", ""))
    return str(response.model_version)
