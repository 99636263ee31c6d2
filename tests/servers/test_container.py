"""What only containers have: how they are locked down, how files get in, how they fail."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from pytest_triton import ContainerOptions, TritonContainer
from pytest_triton.client.http import HttpApi
from pytest_triton.evidence.observe import observe
from pytest_triton.options.hosts import AttachedHost
from pytest_triton.options.values import LogPlace
from pytest_triton.placement.hardware import OWN_GPUS
from pytest_triton.rehearsal.simulation import OFFICIAL_BACKENDS
from pytest_triton.repository import RepositoryNotFound
from pytest_triton.servers.attached.log import LogUnusable
from pytest_triton.servers.attached.server import AttachedServer
from pytest_triton.servers.container import server as container
from pytest_triton.servers.container import shared_files as container_files
from pytest_triton.servers.container.engine import ContainerRefused, NoDocker
from pytest_triton.servers.container.image import ImageUnavailable
from pytest_triton.servers.container.reach import InTheWay, shown
from pytest_triton.servers.server_errors import ServerExited
from pytest_triton.servers.spec import ServerSpec
from support.builders import RepositoryBuilder
from support.docker_daemon import BASE, IMAGE, ours

Make = Callable[..., TritonContainer]

pytestmark = pytest.mark.usefixtures("docker_image")


@pytest.fixture
def make(repository: RepositoryBuilder, folders_left: None) -> Iterator[Make]:
    """Make containers on the test's repository, not started; all are stopped at the end."""
    made = []

    def make(**changes: Any) -> TritonContainer:
        options = ContainerOptions(**changes.pop("options", {}))
        values = {"image": IMAGE, "stand_ins": OFFICIAL_BACKENDS, "options": options, **changes}
        made.append(TritonContainer(repository.path, **values))
        return made[-1]

    yield make
    for triton in made:
        triton.stop()
    assert ours() == []


def states(triton: TritonContainer) -> dict[str, str]:
    with HttpApi(triton.http) as api:
        return {entry["name"]: entry.get("state", "") for entry in api.index()}


def attributes(triton: TritonContainer) -> Any:
    container = triton.get_wrapped_container()
    container.reload()
    return container.attrs


def test_published_port_is_preferred_though_it_answers_a_moment_later(
    repository: RepositoryBuilder, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pytest in a container of its own sees it; the moment is made up."""
    repository.add("cpu", "{ kind: KIND_CPU }")
    with make() as triton:
        published = triton.http
        networks = attributes(triton)["NetworkSettings"]["Networks"]
        own = f"{next(iter(networks.values()))['IPAddress']}:{container.HTTP}"
        monkeypatch.setattr(
            container, "places", lambda *_: [{container.HTTP: at} for at in (published, own)]
        )
        asked: list[str] = []
        live = HttpApi.live

        def once_too_early(api: HttpApi, name: str) -> bool | None:
            asked.append(api.address)
            return live(api, name) if len(asked) > 1 else None

        monkeypatch.setattr(HttpApi, "live", once_too_early)
        assert triton._is_live()
        assert asked == [published, own, published]
        assert triton.http == published


def test_it_is_a_container_of_testcontainers(repository: RepositoryBuilder, make: Make) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    triton = make(stand_ins=()).with_env("HELLO", "there").with_kwargs(hostname="here")
    triton.with_exposed_ports(9999)
    with triton as started:
        assert started is triton
        assert states(triton) == {"cpu": "READY"}
        assert "http 127.0.0.1:" in repr(triton)
        assert triton.exec(["hostname"]).output == b"here\n"
        assert triton.exec(["sh", "-c", "echo $HELLO"]).output == b"there\n"
        assert "9999/tcp" in attributes(triton)["NetworkSettings"]["Ports"]
        out, error = triton.get_logs()
        assert b"successfully loaded 'cpu'" in out + error
    assert ours() == []


def test_image_and_how_files_got_in_are_reported(repository: RepositoryBuilder, make: Make) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    with make() as triton:
        image, files = triton.view.notes
    assert image.startswith(f"image {IMAGE} (local, sha256:")
    assert files == "repository mounted read-only"


def test_it_may_do_as_little_as_possible(repository: RepositoryBuilder, make: Make) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    options = {"memory": 2 << 30, "pids": 300, "shm_size": 128 << 20, "read_only": True}
    with make(stand_ins=(), options={**options, "user": "12345:12345"}) as triton:
        assert states(triton) == {"cpu": "READY"}, "a real python model runs under all this"
        found = attributes(triton)
        assert triton.exec(["id", "-u"]).output == b"12345\n"
        assert triton.exec(["touch", "/opt/x"]).exit_code != 0
        assert triton.exec(["touch", f"{repository.path}/x"]).exit_code != 0
        status = triton.exec(["grep", "-E", "CapEff|NoNewPrivs", "/proc/1/status"]).output
    host = found["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert not host["Privileged"]
    assert "no-new-privileges" in host["SecurityOpt"]
    assert host["Memory"] == host["MemorySwap"] == 2 << 30
    assert (host["PidsLimit"], host["ShmSize"]) == (300, 128 << 20)
    assert status.split() == [b"CapEff:", b"0000000000000000", b"NoNewPrivs:", b"1"]
    assert all(not mount["RW"] for mount in found["Mounts"])
    bound = [one for ports in found["NetworkSettings"]["Ports"].values() for one in ports]
    assert {one["HostIp"] for one in bound} == {"127.0.0.1"}
    assert len(bound) == 3


def test_models_that_only_another_user_may_read_are_served(
    repository: RepositoryBuilder, make: Make
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    for path in [repository.path, *repository.path.rglob("*")]:
        os.chown(path, 12345, 12345)
        path.chmod(0o700 if path.is_dir() else 0o600)
    with make() as triton:
        assert states(triton) == {"cpu": "READY"}
        assert attributes(triton)["HostConfig"]["CapAdd"] in (
            ["DAC_OVERRIDE"],
            ["CAP_DAC_OVERRIDE"],
        )


def test_real_gpus_are_hidden_for_sure(repository: RepositoryBuilder, make: Make) -> None:
    repository.add("pinned", "{ kind: KIND_GPU }")
    with make() as triton:
        assert states(triton) == {"pinned": "UNAVAILABLE"}
        assert "NVIDIA_VISIBLE_DEVICES=void" in attributes(triton)["Config"]["Env"]
        assert "CUDA_VISIBLE_DEVICES=" in attributes(triton)["Config"]["Env"]


def test_copies_serve_what_mounts_serve(
    repository: RepositoryBuilder, make: Make, tmp_path: Path
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    store = RepositoryBuilder(tmp_path / "store")
    store.add("linked", "{ kind: KIND_GPU }")
    (repository.path / "linked").symlink_to(store.path / "linked")
    (repository.path / "inside").symlink_to("cpu")
    (repository.path / "cpu" / "1" / "secret").write_text("x")
    (repository.path / "cpu" / "1" / "secret").chmod(0o600)
    options = {"transfer": "copy", "read_only": True, "user": "1000", "mount": (store.path,)}
    with make(gpus="sim:1", options=options) as triton:
        assert states(triton) == {"cpu": "READY", "inside": "READY", "linked": "READY"}
        assert "copied" in triton.view.notes[1]
        volumes = [one["Name"] for one in attributes(triton)["Mounts"] if one["Type"] == "volume"]
    assert volumes
    left = subprocess.run(["docker", "volume", "ls", "-q"], capture_output=True, text=True).stdout
    assert not set(volumes) & set(left.split())


def test_files_that_have_not_arrived_are_copied(
    repository: RepositoryBuilder, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    monkeypatch.setattr(container_files, "have_arrived", lambda *_: False)
    with make() as triton:
        assert states(triton) == {"cpu": "READY"}
        assert "copied" in triton.view.notes[1]
    assert ours() == []


def test_what_else_models_need_can_be_shown(
    repository: RepositoryBuilder, make: Make, tmp_path: Path
) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "w").write_text("42")
    repository.add("cpu", "{ kind: KIND_CPU }")
    with make(options={"mount": (weights,)}) as triton:
        assert triton.exec(["cat", str(weights / "w")]).output == b"42"


def test_path_that_containers_need_themselves_is_not_shown() -> None:
    with pytest.raises(InTheWay, match="the container needs its own /usr"):
        shown([Path("/usr")])


# --- failures ------------------------------------------------------------------------------------


def test_dead_container_ends_the_waiting_with_its_last_text(
    repository: RepositoryBuilder, make: Make
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    triton = make()
    triton.start()
    triton.get_wrapped_container().kill()
    with pytest.raises(ServerExited, match="signal SIGKILL") as raised:
        triton.check_alive()
    assert raised.value.cause == "killed"
    assert "Started HTTPService" in str(raised.value)
    triton.get_wrapped_container().remove()
    with pytest.raises(ServerExited, match="somebody removed the container"):
        triton.check_alive()


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"options": {"user": "nosuch"}}, "no such user"),
        ({"options": {"pids": 5}}, "too many processes"),
        ({"image": BASE}, "no tritonserver"),
    ],
)
def test_start_that_fails_names_its_cause_and_leaves_nothing(
    repository: RepositoryBuilder, make: Make, changes: dict[str, Any], cause: str
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    triton = make(**changes)
    with pytest.raises(ServerExited) as raised:
        triton.start()
    assert raised.value.cause == cause
    assert "What to do:" in str(raised.value)
    assert ours() == []
    assert not triton.folder.exists()


def test_port_that_is_taken_is_reported(repository: RepositoryBuilder, make: Make) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    with make() as first:
        taken = int(first.http.rpartition(":")[2])
        second = make().with_bind_ports(8000, taken)
        with pytest.raises(ServerExited) as raised:
            second.start()
    assert raised.value.cause == "port taken"


def test_mount_that_is_refused_is_reported(
    repository: RepositoryBuilder, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    gone = docker.types.Mount(target="/x", source="/nowhere/at/all", type="bind")
    monkeypatch.setattr(container_files, "mounts", lambda what: [gone])
    with pytest.raises(ContainerRefused) as raised:
        make(options={"transfer": "mount"}).start()
    assert raised.value.cause == "mount refused"
    assert "/nowhere/at/all" in str(raised.value)


def test_without_docker_the_error_says_why_and_what_to_do(
    repository: RepositoryBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(NoDocker, match="No container engine answers: Connection refused") as raised:
        TritonContainer(repository.path)
    assert "--triton-" not in str(raised.value), "no options of a run are its own"


def test_image_that_is_not_there_is_reported_without_a_fetch(
    repository: RepositoryBuilder, make: Make
) -> None:
    with pytest.raises(ImageUnavailable, match="is not to be fetched"):
        make(image="127.0.0.1:1/nosuch:1", options={"pull": "never"}).start()
    said: list[str] = []
    with pytest.raises(ImageUnavailable, match="connection refused") as raised:
        make(image="127.0.0.1:1/nosuch:1", say=said.append).start()
    assert said[0].startswith("fetching 127.0.0.1:1/nosuch:1")
    assert "pytest-triton install" in str(raised.value)


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_container_on_what_is_no_repository_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    container = TritonContainer(tmp_path / name, image=IMAGE)
    with pytest.raises(RepositoryNotFound, match=name):
        container.start()
    assert not (tmp_path / "nowhere").exists(), "Docker would have made it"


def test_container_of_somebody_else_is_named_for_its_log(
    repository: RepositoryBuilder, make: Make
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU count: 2 }")
    with make() as triton:
        name = triton.get_wrapped_container().name
        host = AttachedHost.at(f"http://{triton.http}", log=LogPlace(container=name))
        server = AttachedServer(ServerSpec((repository.path,), OWN_GPUS, host))
        try:
            server.wait_until_live()
            seen = observe(server.view, ["cpu"])["cpu"]
            copy = server.view.log_file
        finally:
            server.stop()
        assert (seen.proof, str(seen.placement)) == ("proven", "CPU x2")
        assert [one.source for one in seen.deciding] == ["resolved config", "server log"]
        assert copy is not None
        assert not copy.parent.exists(), "nothing is left"
        assert states(triton) == {"cpu": "READY"}
        missing = AttachedHost.at(f"http://{triton.http}", log=LogPlace(container="no-such-one"))
        other = AttachedServer(ServerSpec((repository.path,), OWN_GPUS, missing))
        with pytest.raises(LogUnusable, match=r"no container of that name"):
            other.wait_until_live()
