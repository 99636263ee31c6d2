"""The container engine: what it refuses, and from where its containers can be reached."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

import docker.errors
import requests
from testcontainers.core.config import testcontainers_config

from pytest_triton.errors import PytestTritonError
from pytest_triton.servers.container.docker_deadline import bound, within
from pytest_triton.servers.exit_diagnosis import cause_of_exit

if TYPE_CHECKING:
    from docker.models.containers import Container
    from testcontainers.core.docker_client import DockerClient

ENGINE_ERRORS = (docker.errors.DockerException, requests.RequestException)

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class NoDocker(PytestTritonError):
    """No container engine answers."""


class ContainerRefused(PytestTritonError):
    """The container engine did not do what it was asked for. `cause` is a stable name."""

    def __init__(self, what: str, *, cause: str, fix: str) -> None:
        super().__init__(what, fix=fix)
        self.cause = cause


@dataclass(frozen=True)
class Otherwise:
    """What else can be done in just this place, where no engine answers, or one that is slow."""

    without: str = ""
    slow: str = ""


NOTHING_ELSE = Otherwise()


@contextlib.contextmanager
def engine_errors(otherwise: Otherwise = NOTHING_ELSE) -> Iterator[None]:
    """Turn what Docker's client raises into NoDocker or ContainerRefused."""
    try:
        yield
    except docker.errors.DockerException as error:
        said = explanation(error)
        cause = cause_of_exit(1, said)
        raise ContainerRefused(
            f"The container engine refuses: {said}\nCause: {cause.name}: {cause.meaning}.",
            cause=cause.name,
            fix=cause.fix or "read what it says above",
        ) from None
    except requests.RequestException as error:  # behind the other: some of those are of this kind
        raise no_docker(error, otherwise) from None


@contextlib.contextmanager
def connecting(otherwise: Otherwise = NOTHING_ELSE) -> Iterator[None]:
    """Raises NoDocker for what keeps a client from being made, Docker's own settings too."""
    check_context()
    try:
        yield
    except ENGINE_ERRORS as error:
        raise no_docker(error, otherwise) from None
    except (AttributeError, TypeError, ValueError) as error:
        raise bad_config(error) from None


@contextlib.contextmanager
def connected(seconds: float) -> Iterator[docker.DockerClient]:
    """A client of the engine, each of whose answers has so many seconds. Raises NoDocker."""
    with connecting():
        client = bound(within(seconds, docker.from_env), seconds)
    try:
        yield client
    finally:
        client.close()


def no_docker(error: Exception, otherwise: Otherwise = NOTHING_ELSE) -> NoDocker:
    """For an engine that doesn't answer."""
    timed_out = any(isinstance(one, requests.Timeout) for one in causes_of(error))
    is_slow = timed_out and otherwise.slow
    slow = f"or, if it is that slow, {otherwise.slow}; " if is_slow else ""
    without = f". {otherwise.without}" if otherwise.without else ""
    return NoDocker(
        f"No container engine answers: {_reason(error)}",
        tried=["the address in DOCKER_HOST, else Docker's current context, else its own socket"],
        fix="start Docker (systemctl start docker), or name its daemon in DOCKER_HOST; "
        f"{slow}`pytest-triton doctor` says more{without}",
    )


def check_context(environ: Mapping[str, str] = os.environ) -> None:
    """Raise NoDocker if DOCKER_CONTEXT names none: Docker's client would take the default one."""
    name = environ.get("DOCKER_CONTEXT", "")
    if not name or name == "default" or environ.get("DOCKER_HOST"):
        return
    from docker.context import ContextAPI

    try:
        found = ContextAPI.get_context(name)
    except Exception as error:  # of any kind, for files that aren't as Docker writes them
        raise bad_config(error) from None
    if found is None:
        raise NoDocker(
            f"DOCKER_CONTEXT names {name!r}, and there is no such context of Docker",
            fix="correct or unset DOCKER_CONTEXT (docker context ls)",
        )


def bad_config(error: Exception) -> NoDocker:
    """For files of Docker's client that it can't use."""
    return NoDocker(
        f"Docker's own configuration can't be used: {type(error).__name__}: {error}",
        tried=["config.json and contexts in ~/.docker, or in the folder that DOCKER_CONFIG names"],
        fix="correct it (`docker info` reads the same files)",
    )


def explanation(error: Exception) -> str:
    """The engine's own text."""
    return str(getattr(error, "explanation", None) or error).strip()


def _reason(error: Exception) -> str:
    """What the system said, without the exceptions that it came in; else the whole text."""
    said = (getattr(one, "strerror", None) for one in causes_of(error))  # may hold an exception
    return next((text for text in said if isinstance(text, str)), "") or explanation(error)


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those that led to it, also those that it only holds, as urllib3's do."""
    while error is not None:
        yield error
        held = [*error.args, getattr(error, "reason", None)]
        for one in held:
            if isinstance(one, BaseException):
                yield from causes_of(one)
        error = error.__cause__ or error.__context__


def is_local(client: DockerClient) -> bool:
    """Whether the engine's loopback is this machine's, so that ports need no other address."""
    override = testcontainers_config.tc_host_override
    if override:
        return override in _LOOPBACK
    base = str(client.client.api.base_url)
    host = urlparse(base).hostname or ""
    return base.startswith(("unix:", "http+unix:", "http+docker://local")) or host in _LOOPBACK


def runs_beside_us(client: DockerClient) -> bool:
    """Whether this may be a container itself, beside those that the engine makes."""
    return Path("/.dockerenv").exists() and is_local(client)


def places(
    client: DockerClient, container: Container, ports: Sequence[int]
) -> list[dict[int, str]]:
    """Where these ports of a running container may be reached, best first: port -> `host:port`.

    Published ones, and, if this is a container itself, at the other container's own address.
    """
    network = container.attrs.get("NetworkSettings") or {}
    published = {
        int(port.partition("/")[0]): bindings[0]["HostPort"]
        for port, bindings in (network.get("Ports") or {}).items()
        if bindings
    }
    if not all(port in published for port in ports):
        return []
    host = "127.0.0.1" if is_local(client) else client.host()
    found = [{port: f"{host}:{published[port]}" for port in ports}]
    if runs_beside_us(client):
        for joined in (network.get("Networks") or {}).values():
            if joined.get("IPAddress"):
                found.append({port: f"{joined['IPAddress']}:{port}" for port in ports})
    return found
