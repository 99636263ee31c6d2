"""Fixtures to order, for a conftest.py: servers that are configured differently, side by side.

    from pytest_triton import factories

    gpu_server = factories.triton_server(gpus="sim:2")
    cpu_server = factories.triton_server(gpus="none")

The plugin's own `triton_server` is made the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import pytest

if TYPE_CHECKING:
    from pytest_triton.options.reading import ReadLayer
    from pytest_triton.testing.server import TritonServer

Scope = Literal["function", "class", "module", "package", "session"]


def triton_server(*, scope: Scope = "function", **arguments: Any) -> Any:
    """A fixture that gives a `TritonServer`; the other arguments are those of the marker `triton`.

    What is given here goes before what a test's markers say, and these before the options. With
    a broader `scope` ("class", "module", "package", "session") the markers are those of that class
    or module, and with changes=True the server is the fixture's own: what one test loads, the next
    one finds. Raises PytestTritonError for arguments that no server can be asked for with.
    """
    from pytest_triton.arguments.checked import check
    from pytest_triton.arguments.kinds import one_of

    check("factories.triton_server", "scope", scope, one_of(get_args(Scope)))
    _layer(arguments, Path())
    return _fixture(arguments, scope)


def _layer(arguments: Mapping[str, Any], start: Path) -> ReadLayer:
    from pytest_triton.options.arguments import SIGNATURE, argument_layer

    return argument_layer(
        "fixture or factory",
        arguments,
        start,
        what="factories.triton_server",
        signature=f"factories.{SIGNATURE.replace('triton(', 'triton_server(', 1)}",
    )


def _fixture(arguments: Mapping[str, Any], scope: Scope = "function") -> Any:
    @pytest.fixture(scope=scope)
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
        from pytest_triton.plugin.session import fail, kept, restore, server_for

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
        if scope == "function":
            server = server_for(request, layers)
            yield server
            restore(server)
        else:
            with kept(request, layers) as server:
                yield server

    return triton_server


default_triton_server = _fixture({})
"""The plugin's own `triton_server`: as the markers and options say."""
