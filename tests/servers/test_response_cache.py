"""A response cache: its library lies beside the server, where Triton doesn't look by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.options.hosts import ProcessHost
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.rehearsal.simulation import OFFICIAL_BACKENDS
from pytest_triton.servers.launch_arguments import library_directories
from pytest_triton.servers.process.server import launch
from pytest_triton.servers.server_errors import ServerNotLive
from pytest_triton.servers.spec import ServerSpec
from support.builders import RepositoryBuilder
from support.components import need_release

pytestmark = pytest.mark.usefixtures("folders_left")


def log_of_start(repository: RepositoryBuilder, version: str, *arguments: str) -> str:
    hardware = HardwareRequest.parse("none")
    spec = ServerSpec(
        (repository.path,),
        hardware,
        ProcessHost(version=version),
        stand_ins=OFFICIAL_BACKENDS,
        arguments=arguments,
        timeout=60,
    )
    server = launch(spec)
    try:
        server.wait_until_live()
        return server.log.since()
    finally:
        server.stop()


@pytest.mark.parametrize("version", ["2.33.0", "2.51.0"])
@pytest.mark.parametrize(
    "argument", ["--cache-config=local,size=1048576", "--response-cache-byte-size=1048576"]
)
def test_local_cache_of_installed_release_is_found(
    repository: RepositoryBuilder, version: str, argument: str
) -> None:
    repository.add("cached", "{ kind: KIND_CPU }", more="response_cache { enable: true }")
    need_release(version)
    log = log_of_start(repository, version, argument)
    assert "Creating TritonCache with name: 'local'" in log


def test_cache_that_is_not_there_is_named_with_directory(repository: RepositoryBuilder) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    with pytest.raises(ServerNotLive) as caught:
        log_of_start(repository, "2.51.0", "--cache-config=redis,host=127.0.0.1")
    text = str(caught.value)
    assert "Cause: no cache" in text
    assert "'libtritoncache_redis.so'" in text
    assert "--cache-directory=DIR" in text


def test_cache_with_bad_size_is_named(repository: RepositoryBuilder) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    with pytest.raises(ServerNotLive, match="Cause: bad cache: Triton could not make"):
        log_of_start(repository, "2.51.0", "--cache-config=local,size=much")


def test_cache_directory_that_is_given_goes_before(
    repository: RepositoryBuilder, tmp_path: Path
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    with pytest.raises(ServerNotLive, match=f"Searched: {tmp_path}/mine"):
        log_of_start(
            repository, "2.51.0", "--cache-config=local,size=1", f"--cache-dir={tmp_path}/mine"
        )


def test_library_directories_of_installation_are_those_that_are_there(tmp_path: Path) -> None:
    assert library_directories(tmp_path, []) == []
    (tmp_path / "caches").mkdir()
    (tmp_path / "repoagents").mkdir()
    assert library_directories(tmp_path, ["--cache-directory", "/mine"]) == [
        f"--repoagent-directory={tmp_path}/repoagents"
    ]
    assert library_directories(tmp_path, []) == [
        f"--cache-directory={tmp_path}/caches",
        f"--repoagent-directory={tmp_path}/repoagents",
    ]
