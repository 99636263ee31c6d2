"""What surrounds a container: proxies, caches, names of repositories, little shared memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_triton import ContainerOptions, TritonContainer
from pytest_triton.client.native import connect_grpc, connect_http
from pytest_triton.evidence.observe import observe
from pytest_triton.rehearsal.simulation import OFFICIAL_BACKENDS
from support.builders import RepositoryBuilder
from support.docker_daemon import IMAGE, ours
from support.proxy import VARIABLES, proxy

Make = Callable[..., TritonContainer]


pytestmark = pytest.mark.usefixtures("docker_image")


@pytest.fixture
def start(folders_left: None) -> Iterator[Make]:
    """Start containers on a repository; all are stopped at the end."""
    made = []

    def start(repository: RepositoryBuilder, **changes: Any) -> TritonContainer:
        values = {"image": IMAGE, "stand_ins": OFFICIAL_BACKENDS, **changes}
        made.append(TritonContainer(repository.path, **values))
        return made[-1].start()

    yield start
    for triton in made:
        triton.stop()
    assert ours() == []


def test_container_with_proxies_set_is_reached_without(
    repository: RepositoryBuilder, start: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy", "NO_GRPC_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with proxy() as made:
        for name in VARIABLES:
            monkeypatch.setenv(name, made.url)
        view = start(repository).view
        with connect_grpc(view.endpoints) as client:
            assert client.is_server_live(client_timeout=10)
        with connect_http(view.endpoints) as http_client:
            assert http_client.is_server_live()
        assert made.requests == []


def test_container_with_local_cache_finds_its_library(
    repository: RepositoryBuilder, start: Make
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    triton = start(repository, arguments=["--cache-config=local,size=1048576"])
    assert "Creating TritonCache with name: 'local'" in triton.log.since()


def test_container_serves_repository_with_colon_in_its_name(
    repository: RepositoryBuilder, start: Make
) -> None:
    with_colon = RepositoryBuilder(repository.path.parent / "models:v2")
    with_colon.add("cpu", "{ kind: KIND_CPU }")
    assert observe(start(with_colon).view, ["cpu"])["cpu"].ready


def test_python_model_in_container_with_little_shared_memory_is_refused(
    repository: RepositoryBuilder, start: Make
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    triton = start(repository, stand_ins=(), options=ContainerOptions(shm_size=65536))
    refusal = observe(triton.view, ["cpu"])["cpu"].refusal
    assert refusal is not None
    assert refusal.reason == "shared-memory"
