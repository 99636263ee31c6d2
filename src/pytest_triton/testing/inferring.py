"""Inferences on the server of a test: what it takes is asked once, and known notes are added."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pytest_triton.client.native import connect_http
from pytest_triton.errors import PytestTritonError, says_all
from pytest_triton.inference.errors import InferenceFailed
from pytest_triton.inference.infer import Inference, read_signature
from pytest_triton.inference.infer import infer as send
from pytest_triton.inference.signature import ModelSignature
from pytest_triton.testing.state import ServerState

__tracebackhide__ = says_all

Protocol = Literal["grpc", "http"]


def infer(
    state: ServerState,
    name: str,
    inputs: str | Mapping[str, object] | os.PathLike[str],
    protocol: Protocol | None,
    *,
    version: str,
    timeout: float,
    **request: Any,
) -> Inference:
    """As `TritonServer.infer`, for a name that is known."""
    running = state.running
    used: Protocol = protocol or ("grpc" if running.grpc else "http")
    with contextlib.ExitStack() as stack:
        stack.enter_context(_with_notes(state, name))
        if used == "grpc":
            client = state.clients.grpc
        else:  # whose client gets its time limit when it is made
            client = stack.enter_context(connect_http(running.endpoints, timeout=timeout))
        return send(
            running.endpoints,
            name,
            inputs,
            protocol=used,
            version=version,
            timeout=timeout,
            client=client,
            check_alive=lambda: _check_alive(state),
            signature=_signature(state, name, version),
            **request,
        )


@contextlib.contextmanager
def _with_notes(state: ServerState, name: str) -> Iterator[None]:
    """What is known not to work for python models belongs to the failure of one.

    The error says all: the client's own, which led to it, would stand above it in a report.
    """
    try:
        yield
    except PytestTritonError as error:
        of_python = name in state.models and state.models[name].backend == "python"
        if isinstance(error, InferenceFailed) and of_python:
            error.fix = " ".join([*state.running.notes, error.fix])
        raise error from None


def _signature(state: ServerState, name: str, version: str) -> ModelSignature | None:
    """The model's inputs and outputs, asked once; None lets the inference ask, and explain."""
    if version:
        return None
    if name not in state.signatures:
        protocol: Protocol = "grpc" if state.running.grpc else "http"
        try:
            state.signatures[name] = read_signature(
                state.running.endpoints, name, protocol=protocol, client=state.clients.known
            )
        except InferenceFailed:
            return None
    return state.signatures[name]


def _check_alive(state: ServerState) -> None:
    """Raise ServerExited, with exit code and log, if it has ended."""
    state.session.pool.get(state.running.spec)
