"""`TritonServer`: a running server as tests see it, with the models that it was given.

It looks at a server that the session's pool owns. Whether a test may also change what the server
has loaded is decided when it is asked for; what a test changed is put back at its end.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pytest_triton.arguments.checked import checked
from pytest_triton.arguments.kinds import (
    ANYTHING,
    COUNT,
    NAME,
    PATH,
    SECONDS,
    SWITCH,
    ZERO_OR_MORE,
    ArgumentKind,
    mapping,
    one_of,
    several,
)
from pytest_triton.arguments.kinds import optional as optional_kind
from pytest_triton.errors import says_all
from pytest_triton.repository import Model
from pytest_triton.testing.arguments import MODEL
from pytest_triton.testing.gpu_faults import GpuFaults, restore_gpus
from pytest_triton.testing.model_changes import ModelChanges
from pytest_triton.testing.model_loading import ModelLoading
from pytest_triton.testing.model_views import ModelViews
from pytest_triton.testing.state import ServerState

if TYPE_CHECKING:
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.grpc.aio import InferenceServerClient as AsyncInferenceServerClient
    from tritonclient.http import InferenceServerClient as HttpInferenceServerClient

    from pytest_triton.checks.checked_deployment import CheckedDeployment
    from pytest_triton.checks.run import TritonSession
    from pytest_triton.inference.infer import Inference
    from pytest_triton.servers.running_server import RunningServer

__tracebackhide__ = says_all

_ARRAYS = mapping(NAME, ANYTHING, "arrays by input name")
_INPUTS = ArgumentKind(
    '"random", "zeros", arrays by input name, or the path of test data',
    lambda value: PATH.fits(value) or _ARRAYS.fits(value),
)
_SHAPES = mapping(
    NAME, several(ZERO_OR_MORE, "a list of numbers"), "dimensions by input name, such as {'X': [4]}"
)
_VERSION = ArgumentKind(
    "a version of the model, such as '3', or '' for the latest",
    lambda value: isinstance(value, str) and len(value) < 20 and (not value or value.isdecimal()),
)
_OUTPUTS = several(NAME, "a list of names of outputs")
_SEQUENCE = ArgumentKind(
    "the id of a sequence: a number from 1 to 2^64 - 1, or a text",
    lambda value: NAME.fits(value) or (ZERO_OR_MORE.fits(value) and 0 < value < 1 << 64),
)
_PARAMETER = ArgumentKind(
    "a text, a bool, or a whole number of 64 bits",
    lambda value: (
        isinstance(value, (str, bool)) or (isinstance(value, int) and -(1 << 63) <= value < 1 << 63)
    ),
)
_PARAMETERS = mapping(
    NAME, _PARAMETER, "texts, bools and whole numbers of 64 bits, by the names of parameters"
)


class TritonServer(ModelViews, ModelChanges, GpuFaults):
    """A running Triton server, as tests see it.

    `http`, `grpc` and `metrics` are its addresses (`host:port`). What it did with a model:
    `placement`, `observed`; what it should have done: `declared`, `predicted`. A test that is
    marked `triton(changes=True)` has a server that it may change: `load`, `unload`, `reload`.
    """

    def __init__(
        self, session: TritonSession, checked: CheckedDeployment, running: RunningServer
    ) -> None:
        self._state = ServerState(session, checked, running)
        self._loading = ModelLoading(self._state)

    def __repr__(self) -> str:
        hardware = self._state.running.spec.hardware.label
        return f"<TritonServer {self.description}, {hardware}, grpc {self.grpc}>"

    @property
    def http(self) -> str:
        """Address of the HTTP/REST endpoint, `127.0.0.1:8000`."""
        return self._state.running.http

    @property
    def grpc(self) -> str:
        """Address of the gRPC endpoint, `127.0.0.1:8001`."""
        return self._state.running.grpc

    @property
    def metrics(self) -> str:
        """Address of the metrics endpoint, `127.0.0.1:8002`; "" where there is none."""
        return self._state.running.metrics

    @property
    def description(self) -> str:
        """Which server this is: `tritonserver 2.51.0 (process, installed release)`."""
        return self._state.running.description

    @property
    def run(self) -> str:
        """`real run`, `rehearsal (simulated GPUs, stand-in backends)`, or `attached server`."""
        return self._state.running.spec.run

    @property
    def log(self) -> str:
        """All that the server has written so far; "" where its log can't be read."""
        return self._state.running.log.since()

    def metrics_text(self) -> str:
        """The server's metrics now, in Prometheus' text format. Raises NoMetrics."""
        from pytest_triton.client.metrics import read_metrics

        return read_metrics(self._state.running.endpoints)

    @property
    def client(self) -> InferenceServerClient:
        """tritonclient's own gRPC client, connected; closed at the end of the test."""
        return self._state.clients.grpc

    @property
    def http_client(self) -> HttpInferenceServerClient:
        """tritonclient's own HTTP client; closed at the end of the test.

        Needs `pip install tritonclient[http]`.
        """
        return self._state.clients.http

    def async_client(self) -> AsyncInferenceServerClient:
        """A new asyncio gRPC client: `async with triton_server.async_client() as client:`."""
        from pytest_triton.client.native import connect_grpc_async

        return connect_grpc_async(self._state.running.endpoints)

    @checked(
        model=MODEL,
        inputs=_INPUTS,
        protocol=optional_kind(one_of(["grpc", "http"])),
        version=_VERSION,
        seed=ZERO_OR_MORE,
        shapes=optional_kind(_SHAPES),
        batch_size=COUNT,
        optional=SWITCH,
        outputs=_OUTPUTS,
        sequence_id=optional_kind(_SEQUENCE),
        sequence_start=optional_kind(SWITCH),
        sequence_end=optional_kind(SWITCH),
        parameters=optional_kind(_PARAMETERS),
        timeout=SECONDS,
    )
    def infer(
        self,
        model: str | Model,
        inputs: str | Mapping[str, object] | os.PathLike[str] = "random",
        *,
        protocol: Literal["grpc", "http"] | None = None,
        version: str = "",
        seed: int = 0,
        shapes: Mapping[str, Sequence[int]] | None = None,
        batch_size: int = 1,
        optional: bool = True,
        outputs: Sequence[str] = (),
        sequence_id: int | str | None = None,
        sequence_start: bool | None = None,
        sequence_end: bool | None = None,
        parameters: Mapping[str, object] | None = None,
        timeout: float = 60.0,
    ) -> Inference:
        """Send one request and wait; answers as numpy arrays by output name.

        Over gRPC, if `protocol` is None, or HTTP where only that is known (an attached server).
        `inputs`: "random" (by `seed`), "zeros", a mapping of arrays or lists in the shapes of a
        request, or a path of test data. Variable dimensions are 1 unless `shapes` says more;
        without `optional`, optional inputs are left out. `outputs` are those to ask for (all, if
        empty), `parameters` go with the request; `timeout` is in seconds.

        A sequence model gets a sequence of this one request, unless `sequence_id` begins
        (`sequence_start`), goes on with or ends a longer one. A decoupled model streams: see
        `Inference.responses`.

        Afterwards the server must be live and the model ready. Raises InferenceFailed with
        Triton's text, UnhealthyAfterInference; for a server that exited, its exit code and log.
        """
        from pytest_triton.testing.inferring import infer

        answer = infer(
            self._state,
            self._state.known(model),
            inputs,
            protocol,
            version=version,
            seed=seed,
            shapes=shapes,
            batch_size=batch_size,
            optional=optional,
            outputs=outputs,
            sequence_id=sequence_id,
            sequence_start=sequence_start,
            sequence_end=sequence_end,
            parameters=parameters,
            timeout=timeout,
        )
        return replace(answer, rehearsal=bool(self._state.running.spec.stand_ins))

    def _restore(self) -> None:
        """Put back what this test changed: the GPUs, and what was loaded."""
        restore_gpus(self._state)
        self._loading.restore()
        self._state.gpus_before = None

    def _close(self) -> None:
        """Close the clients."""
        self._state.clients.close()
