"""Fixtures to order, for a conftest.py: servers that are configured differently, side by side.

    from pytest_triton import factories

    gpu_server = factories.triton_server(gpus="sim:2")
    cpu_server = factories.triton_server(gpus="none")

The plugin's own `triton_server` is made the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_triton.testing.server import TritonServer


def triton_server(
    *,
    repo: str | Path | None = None,
    gpus: str | int | None = None,
    backends: str | None = None,
    server: str | None = None,
    image: str | None = None,
    binary: str | Path | None = None,
    version: str | None = None,
    python: str | Path | None = None,
    arguments: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
    changes: bool | None = None,
    load: Sequence[str] | None = None,
) -> Any:
    """A fixture that gives a `TritonServer`; the arguments are those of the marker `triton`.

    What is given here goes before what a test's markers say, and these before the options.
    Raises PytestTritonError for arguments that no server can be asked for with.
    """
    from pytest_triton.options.server_request import wanted

    wishes = wanted(
        repo=repo,
        gpus=gpus,
        backends=backends,
        server=server,
        image=image,
        binary=binary,
        version=version,
        python=python,
        arguments=arguments,
        environment=environment,
        timeout=timeout,
        changes=changes,
        load=load,
    )
    return _fixture(lambda: wishes)


def _fixture(wishes: Any) -> Any:
    @pytest.fixture
    def triton_server(
        request: pytest.FixtureRequest,
        triton_server_args: Sequence[str],
        triton_server_environment: Mapping[str, str],
    ) -> Iterator[TritonServer]:
        """A running Triton server on the test's repository and hardware (see marker triton).

        Tests that want equal servers share one. Nothing may be loaded or unloaded on it unless the
        test is marked `triton(changes=True)`.
        """
        from pytest_triton.errors import PytestTritonError
        from pytest_triton.options.server_request import wanted
        from pytest_triton.plugin.markers import wanted_by
        from pytest_triton.plugin.session import fail, restore, server_for

        try:
            overridden = wanted(
                arguments=triton_server_args or None,
                environment=triton_server_environment or None,
            )
            asked = wishes().over(wanted_by(request.node)).over(overridden)
        except PytestTritonError as error:
            fail(error)
        server = server_for(request, asked)
        yield server
        restore(server)

    return triton_server


def _no_wishes() -> Any:
    from pytest_triton.options.server_request import Wanted

    return Wanted()


default_triton_server = _fixture(_no_wishes)
"""The plugin's own `triton_server`: as the markers and options say."""
