"""Fixtures to order, for a conftest.py: servers that are configured differently, side by side.

    from pytest_triton import factories

    gpu_server = factories.triton_server(gpus="sim:2")
    cpu_server = factories.triton_server(gpus="none")

The plugin's own `triton_server` is made the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_triton.options.reading import ReadLayer
    from pytest_triton.testing.server import TritonServer


def triton_server(**arguments: Any) -> Any:
    """A fixture that gives a `TritonServer`; the arguments are those of the marker `triton`.

    What is given here goes before what a test's markers say, and these before the options.
    Raises PytestTritonError for arguments that no server can be asked for with.
    """
    _layer(arguments, Path())
    return _fixture(arguments)


def _layer(arguments: Mapping[str, Any], start: Path) -> ReadLayer:
    from pytest_triton.options.arguments import SIGNATURE, argument_layer

    return argument_layer(
        "fixture or factory",
        arguments,
        start,
        what="factories.triton_server",
        signature=f"factories.{SIGNATURE.replace('triton(', 'triton_server(', 1)}",
    )


def _fixture(arguments: Mapping[str, Any]) -> Any:
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
        from pytest_triton.options.arguments import argument_layer
        from pytest_triton.plugin.markers import marker_layers
        from pytest_triton.plugin.session import fail, restore, server_for

        start = request.config.rootpath
        try:
            layers = [
                _layer(arguments, start),
                *marker_layers(request.node),
                argument_layer(
                    "triton_server_args", {"arguments": triton_server_args or None}, start
                ),
                argument_layer(
                    "triton_server_environment",
                    {"environment": triton_server_environment or None},
                    start,
                ),
            ]
        except PytestTritonError as error:
            fail(error)
        server = server_for(request, layers)
        yield server
        restore(server)

    return triton_server


default_triton_server = _fixture({})
"""The plugin's own `triton_server`: as the markers and options say."""
