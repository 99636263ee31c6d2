"""A spec in, a starting server out, wherever it is to run."""

from __future__ import annotations

from collections.abc import Callable

from pytest_triton.options.hosts import AttachedHost, ContainerHost
from pytest_triton.servers.folders import folder_errors
from pytest_triton.servers.running_server import Server
from pytest_triton.servers.spec import ServerSpec


def launch(spec: ServerSpec, say: Callable[[str], None] = lambda line: None) -> Server:
    """Start a server and return at once. `PytestTritonError` says why when it can't be done.

    Only an image that has to be fetched first is waited for; `say` is called with how far that is.

    Each way to have a server is imported when it is used: Docker's packages take a while.
    """
    if isinstance(spec.host, ContainerHost):
        from pytest_triton.servers.container.server import ContainerServer

        return ContainerServer(spec, say)
    if isinstance(spec.host, AttachedHost):
        from pytest_triton.servers.attached.server import AttachedServer

        return AttachedServer(spec)
    from pytest_triton.servers.process.server import launch as launch_process

    with folder_errors():
        return launch_process(spec)
