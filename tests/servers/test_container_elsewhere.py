"""A daemon that isn't like ours: other files, TCP, GPUs to hand out, and it restarts."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_triton import ContainerOptions, TritonContainer
from pytest_triton.client.http import HttpApi
from pytest_triton.rehearsal.simulation import OFFICIAL_BACKENDS
from pytest_triton.servers.container.engine import NoDocker
from pytest_triton.servers.gpus_in_log import GpusMissing
from pytest_triton.servers.process.releases import cache_dir
from pytest_triton.servers.server_errors import ServerExited
from support.builders import RepositoryBuilder
from support.docker_daemon import IMAGE, OtherDaemon
from support.foreign_gpus import FOREIGN_VARIABLE, foreign_gpus
from support.watching import wait_until

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("folders_left")]


@pytest.fixture(scope="module")
def daemon(docker_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OtherDaemon]:
    hidden = tmp_path_factory.getbasetemp()
    other = OtherDaemon(cache_dir() / "dockerd-elsewhere", hidden)
    try:
        other.start()
        other.load_image()
        yield other
    finally:
        other.close()


@pytest.fixture(autouse=True)
def _use_it(daemon: OtherDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", daemon.host)


@pytest.fixture
def gpus(daemon: OtherDaemon, repository: RepositoryBuilder, tmp_path: Path) -> dict[str, str]:
    """Variables for 2 simulated GPUs in a container that asks for real ones, and may do so."""
    daemon.start(nvidia=True)
    repository.add("pinned", "{ kind: KIND_GPU }")
    repository.add("mixed", "{ kind: KIND_GPU gpus: [ 1 ] }, { kind: KIND_CPU }")
    folder = tmp_path / "gpus"
    folder.mkdir()
    return foreign_gpus(folder)


def states(triton: TritonContainer) -> dict[str, str]:
    with HttpApi(triton.http) as api:
        return {entry["name"]: entry.get("state", "") for entry in api.index()}


def asking(
    repository: RepositoryBuilder, variables: dict[str, str], gpus: str, driver: str = "nvidia"
) -> TritonContainer:
    control = Path(variables.get(FOREIGN_VARIABLE, str(repository.path))).parent
    return TritonContainer(
        repository.path,
        image=IMAGE,
        gpus=gpus,
        stand_ins=OFFICIAL_BACKENDS,
        environment=variables,
        options=ContainerOptions(mount=(control,), gpu_driver=driver),  # type: ignore[arg-type]
    )


def test_repository_that_the_daemon_does_not_see_is_copied(
    repository: RepositoryBuilder,
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    repository.add("pinned", "{ kind: KIND_GPU }")
    with TritonContainer(
        repository.path, image=IMAGE, gpus="sim:2", stand_ins=OFFICIAL_BACKENDS
    ) as triton:
        assert states(triton) == {"cpu": "READY", "pinned": "READY"}
        assert "copied" in triton.view.notes[1]


def test_without_a_toolkit_the_lack_is_reported(
    repository: RepositoryBuilder, daemon: OtherDaemon
) -> None:
    daemon.start(nvidia=False)
    repository.add("pinned", "{ kind: KIND_GPU }")
    for driver in ("nvidia", "cdi"):
        with pytest.raises(ServerExited, match="could not select device driver") as raised:
            asking(repository, {}, "2", driver).start()
        assert raised.value.cause == "no NVIDIA toolkit"


def test_restart_of_the_daemon_is_an_exit_that_is_reported(
    repository: RepositoryBuilder, daemon: OtherDaemon
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    triton = TritonContainer(repository.path, image=IMAGE, stand_ins=OFFICIAL_BACKENDS)
    try:
        triton.start()
        daemon.stop()
        with pytest.raises(NoDocker):
            triton.check_alive()
        daemon.start()
        with pytest.raises(ServerExited, match=r"ended with|is gone"):
            triton.check_alive()
    finally:
        triton.stop()
    assert _all_containers() == ""


def test_daemon_gone_for_good_leaves_the_rest_to_the_guard(
    repository: RepositoryBuilder, daemon: OtherDaemon
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    triton = TritonContainer(repository.path, image=IMAGE, stand_ins=OFFICIAL_BACKENDS).start()
    daemon.stop()
    triton.stop()
    assert triton.folder.exists(), "the guard is at work"
    daemon.start()
    wait_until(lambda: not triton.folder.exists(), "the guard's work", 60)
    assert _all_containers() == ""


def test_gpus_go_the_whole_way(repository: RepositoryBuilder, gpus: dict[str, str]) -> None:
    with asking(repository, gpus, "2") as triton:
        assert states(triton) == {"pinned": "READY", "mixed": "READY"}
        variables = triton.exec(["cat", "/proc/1/environ"]).output.split(b"\0")
        assert b"NVIDIA_VISIBLE_DEVICES=0,1" in variables, "the engine's answer to the request"
        with HttpApi(triton.http) as api:
            groups = api.model_config("pinned")["instance_group"]
    assert [group["gpus"] for group in groups] == [[0, 1]]
    with asking(repository, gpus, "all") as triton:
        assert states(triton) == {"pinned": "READY", "mixed": "READY"}


def test_fewer_gpus_than_asked_for_are_not_believed(
    repository: RepositoryBuilder, gpus: dict[str, str]
) -> None:
    with pytest.raises(GpusMissing, match="can use 2 GPUs") as raised:
        asking(repository, gpus, "3").start()
    assert "attached none" in str(raised.value)
    with pytest.raises(GpusMissing, match="can use no GPUs"):
        asking(repository, {}, "1").start()
    assert _all_containers() == ""


def _all_containers() -> str:
    listed = subprocess.run(["docker", "ps", "-aq"], capture_output=True, text=True, check=True)
    return listed.stdout
