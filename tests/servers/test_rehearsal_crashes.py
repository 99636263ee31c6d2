"""A rehearsed server that crashes by chance, as core does when it refuses several models.

The server is real, and a signal from here stands for the crash: core's own can't be had for sure.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_triton.checks.crash_search import SAME_AGAIN
from pytest_triton.checks.rehearsed_service import ServiceRehearsal
from pytest_triton.checks.run import TritonSession
from pytest_triton.deployment.reading import read_deployments
from pytest_triton.errors import ServerExited
from pytest_triton.options.settings import Settings
from pytest_triton.servers.pool import ServerPool
from pytest_triton.servers.process.server import ProcessServer, launch
from pytest_triton.servers.spec import ServerSpec
from support.builders import RepositoryBuilder
from support.watching import wait_until

pytestmark = pytest.mark.server

COMPOSE = """\
services:
  triton:
    image: nvcr.io/nvidia/tritonserver:24.10-py3
    command: tritonserver --model-repository=/models{ARGUMENTS}
    volumes: [./models:/models]
    gpus: [{{ count: 1 }}]
"""


@contextmanager
def rehearsal(
    repository: RepositoryBuilder, crashes: int, arguments: str = ""
) -> Iterator[tuple[ServiceRehearsal, list[ServerSpec]]]:
    """One of which the first servers crash, and the specs of those that were started."""
    started: list[ServerSpec] = []

    def launched(spec: ServerSpec) -> ProcessServer:
        server = launch(spec)
        started.append(spec)
        if len(started) <= crashes:
            server.wait_until_live()
            os.kill(server.pid, signal.SIGSEGV)
            wait_until(lambda: not server.running, "the server ends")
        return server

    repository.add("pinned", "{ kind: KIND_GPU }", backend="onnxruntime")
    file = repository.path.parent / "compose.yaml"
    file.write_text(COMPOSE.format(ARGUMENTS=arguments))
    [server] = read_deployments(str(file), Path.cwd())
    session = TritonSession(Settings(), ServerPool(launch=launched))
    try:
        yield ServiceRehearsal(server, session), started
    finally:
        session.close()


def test_rehearsal_whose_server_crashes_once_starts_it_again(
    repository: RepositoryBuilder,
) -> None:
    with rehearsal(repository, crashes=1) as (service, started):
        seen = service.on_its_gpus()
    assert seen.placed == {"pinned": "GPU 0"}
    assert [spec.attempt for spec in started] == [0, 1]


def test_rehearsal_whose_server_crashes_each_time_raises_the_last_error(
    repository: RepositoryBuilder,
) -> None:
    with (
        rehearsal(repository, crashes=SAME_AGAIN) as (service, started),
        pytest.raises(ServerExited, match="signal SIGSEGV") as raised,
    ):
        service.on_its_gpus()
    assert raised.value.cause == "crash"
    assert [spec.attempt for spec in started] == [*range(SAME_AGAIN)]


def test_rehearsal_whose_server_ends_for_its_models_does_not_start_it_again(
    repository: RepositoryBuilder,
) -> None:
    with rehearsal(repository, crashes=0) as (service, started):
        lost = service.without_gpus()
    assert lost.seen.service == "stops"
    assert [spec.attempt for spec in started] == [0, 0], "and once more, where it goes on"
