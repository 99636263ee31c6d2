"""The plugin's fixtures. Each first line is what `pytest --fixtures` shows.

Imported at every start of pytest, so nothing heavy stands at the top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pytest_triton.plugin.factories import default_triton_server

if TYPE_CHECKING:
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.http import InferenceServerClient as HttpInferenceServerClient

    from pytest_triton.placement.hardware import HardwareRequest
    from pytest_triton.repository import Model
    from pytest_triton.testing.gpu_faults import GpuLoss
    from pytest_triton.testing.repository_builder import RepositoryBuilder
    from pytest_triton.testing.server import TritonServer

triton_server = default_triton_server


class MakeTritonServer(Protocol):
    """The type of the fixture `make_triton_server`."""

    def __call__(
        self, repo: RepositoryBuilder | Path | str | None = None, **arguments: Any
    ) -> TritonServer:
        """Start a server of this test's own; keyword arguments as for the marker `triton`."""


def _connected(connect: Callable[[], Any]) -> Any:
    from pytest_triton.errors import PytestTritonError

    try:
        return connect()
    except PytestTritonError as error:
        from pytest_triton.plugin.session import fail

        fail(error)


@pytest.fixture
def triton_client(triton_server: TritonServer) -> InferenceServerClient:
    """tritonclient's gRPC client, connected to `triton_server`."""
    return _connected(lambda: triton_server.client)


@pytest.fixture
def triton_http_client(triton_server: TritonServer) -> HttpInferenceServerClient:
    """tritonclient's HTTP client, connected to `triton_server` (pip install tritonclient[http])."""
    return _connected(lambda: triton_server.http_client)


@pytest.fixture
def triton_model(request: pytest.FixtureRequest) -> Model:
    """Each model of the repository, one test each (choose with the marker triton_models)."""
    from pytest_triton.arguments.checked import check
    from pytest_triton.arguments.kinds import a
    from pytest_triton.errors import OptionError
    from pytest_triton.plugin.markers import NoModelMatches
    from pytest_triton.plugin.session import fail
    from pytest_triton.repository import Model

    if isinstance(request.param, NoModelMatches):
        fail(request.param)
    try:
        check("triton_model", "param", request.param, a("a Model, as read_repository gives", Model))
    except OptionError as error:
        fail(error)
    model: Model = request.param
    return model


@pytest.fixture
def triton_hardware(request: pytest.FixtureRequest) -> HardwareRequest:
    """Each hardware of the run (--triton-gpus), or that the marker triton names: a test each."""
    from pytest_triton.arguments.checked import check
    from pytest_triton.arguments.kinds import a
    from pytest_triton.errors import OptionError
    from pytest_triton.placement.hardware import HardwareRequest
    from pytest_triton.plugin.session import fail

    kind = a('hardware as of the marker triton(gpus=["none", "sim:2"])', HardwareRequest)
    try:
        check("triton_hardware", "param", request.param, kind)
    except OptionError as error:
        fail(error)
    hardware: HardwareRequest = request.param
    return hardware


@pytest.fixture
def make_triton_server(
    request: pytest.FixtureRequest,
) -> Iterator[Callable[..., TritonServer]]:
    """Start servers of your own: `make_triton_server(repo, gpus="sim:2")`, ended with the test."""
    from pytest_triton.arguments.checked import shown_value
    from pytest_triton.errors import OptionError, PytestTritonError
    from pytest_triton.options.arguments import SIGNATURE, argument_layer
    from pytest_triton.plugin.markers import marker_layers
    from pytest_triton.plugin.session import end, fail, server_for, session_of
    from pytest_triton.testing.repository_builder import RepositoryBuilder

    made: list[TritonServer] = []

    def make(
        repo: RepositoryBuilder | Path | str | None = None, *more: object, **arguments: Any
    ) -> TritonServer:
        path = repo.path if isinstance(repo, RepositoryBuilder) else repo
        if more:
            fail(
                OptionError(
                    "make_triton_server takes one argument without a name, the repository, and got "
                    f"{shown_value(more[0])} as another",
                    fix=f"name it: make_triton_server{SIGNATURE.removeprefix('triton')}",
                )
            )
        try:
            own = argument_layer(
                "fixture or factory",
                {"repo": path, **arguments, "changes": True},
                request.config.rootpath,
                what="make_triton_server",
                signature=f"make_triton_server{SIGNATURE.removeprefix('triton')}",
            )
            layers = [own, *marker_layers(request.node)]
        except PytestTritonError as error:
            fail(error)
        made.append(server_for(request, layers, own=True))
        return made[-1]

    yield make
    for server in made:
        end(session_of(request.config), server)


@pytest.fixture
def triton_repository(tmp_path: Path) -> RepositoryBuilder:
    """An empty model repository to put models into: `triton_repository.add("detector", ...)`."""
    from pytest_triton.testing.repository_builder import RepositoryBuilder

    return RepositoryBuilder(tmp_path / "models")


@pytest.fixture
def triton_gpu_loss(
    make_triton_server: MakeTritonServer, request: pytest.FixtureRequest
) -> GpuLoss:
    """What your models do when the GPUs are lost: each one before and after (simulated GPUs)."""
    from pytest_triton.errors import PytestTritonError
    from pytest_triton.plugin.markers import marked_hardware
    from pytest_triton.plugin.session import fail

    marked = marked_hardware(request.node)
    server = make_triton_server() if marked else make_triton_server(gpus="sim:2")
    try:
        return server.lose_gpus()
    except PytestTritonError as error:
        fail(error)


@pytest.fixture(scope="session")
def triton_server_args() -> Sequence[str]:
    """Override me: arguments for tritonserver, where a test's marker names none."""
    return ()


@pytest.fixture(scope="session")
def triton_server_environment() -> Mapping[str, str]:
    """Override me: environment variables for tritonserver, where a test's marker names none."""
    return {}
