"""Nothing of ours is left behind, nothing of others' is touched, and what is kept is used again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import ContainerCollection

from pytest_triton import ContainerOptions, TritonContainer
from pytest_triton.__main__ import main
from pytest_triton.rehearsal.simulation import OFFICIAL_BACKENDS
from pytest_triton.servers import folders as server_folders
from pytest_triton.servers.container import guard_process as container_guard
from pytest_triton.servers.container import ownership as container_owners
from pytest_triton.servers.container.ownership import FOLDER, HOST, OURS, OWNER, REUSE, SESSION
from pytest_triton.servers.owners import this_host
from pytest_triton.servers.process.guard_program import OWNER_FILE
from support.builders import RepositoryBuilder
from support.docker_daemon import IMAGE, ours
from support.watching import wait_until

pytestmark = pytest.mark.usefixtures("docker_image", "folders_left")

_OWNER = """
import subprocess, sys, time
from pytest_triton import TritonContainer
triton = TritonContainer(sys.argv[1], image=sys.argv[2], stand_ins=["python"])
triton.launch()
while triton._guard.poll() is None and triton._guard.guard_pid is None:
    time.sleep(0.01)
print(triton._guard.guard_pid, flush=True)
try:
    time.sleep(600)
finally:
    triton.stop()
"""


@pytest.fixture
def owner(repository: RepositoryBuilder) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that has started a container, and the id of its guard."""
    repository.add("cpu", "{ kind: KIND_CPU }")
    process = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(repository.path), IMAGE],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    guard = int(process.stdout.readline())
    assert len(ours()) == 1
    yield process, guard
    process.kill()
    process.wait()
    process.stdout.close()
    wait_until(lambda: ours() == [] and folders() == [], "the guard's work", 30)


def made_folder() -> Path:
    folder = server_folders.planned()
    server_folders.make(folder)
    return folder


def folders() -> list[Path]:
    return list(Path(os.environ["TMPDIR"]).glob("pytest-triton-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_its_owner_is_ended(
    owner: tuple[subprocess.Popen[str], int], number: signal.Signals
) -> None:
    process, _ = owner
    process.send_signal(number)
    process.wait()
    wait_until(lambda: ours() == [] and folders() == [], "the container's removal", 30)


def test_next_start_removes_what_even_the_guard_could_not(
    owner: tuple[subprocess.Popen[str], int], repository: RepositoryBuilder
) -> None:
    process, guard = owner
    left = ours()
    os.kill(guard, signal.SIGKILL)
    process.kill()
    process.wait()
    assert ours() == left
    with TritonContainer(repository.path, image=IMAGE, stand_ins=["python"]):
        assert not set(left) & set(ours())
    assert ours() == []


def test_container_that_was_never_started_leaves_nothing(repository: RepositoryBuilder) -> None:
    triton = TritonContainer(repository.path, image=IMAGE)
    assert folders() == []
    triton.stop()


def test_container_that_is_made_when_ctrl_c_comes_is_removed(
    repository: RepositoryBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon goes on making what it was asked for, and nobody takes its answer."""
    create = ContainerCollection.create

    def interrupted(self: ContainerCollection, *arguments: object, **more: object) -> None:
        create(self, *arguments, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(ContainerCollection, "create", interrupted)
    with pytest.raises(KeyboardInterrupt):
        TritonContainer(repository.path, image=IMAGE, stand_ins=["python"]).start()
    assert len(ours()) == 1
    wait_until(lambda: ours() == [] and folders() == [], "the guard's work", 30)


_OWNER_KILLED_IN_CREATION = """
import contextlib, os, signal, sys, time
from docker.errors import NotFound
from docker.models.containers import ContainerCollection
from pytest_triton import TritonContainer
create = ContainerCollection.create

def create_after_the_end(*arguments, **more):
    if os.fork():
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(1)
    with contextlib.suppress(NotFound):  # made, and removed before it was looked at
        create(*arguments, **more)
    print("made", flush=True)
    os._exit(0)

ContainerCollection.create = create_after_the_end
TritonContainer(sys.argv[1], image=sys.argv[2], stand_ins=["python"]).start()
"""


def test_container_that_appears_after_its_owner_has_ended_is_removed(
    repository: RepositoryBuilder,
) -> None:
    """A fork stands for a slow daemon, which makes the container a second later."""
    command = [sys.executable, "-c", _OWNER_KILLED_IN_CREATION, str(repository.path), IMAGE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.wait() == -signal.SIGKILL
        assert owner.stdout is not None
        assert owner.stdout.read() == "made\n"
    wait_until(lambda: ours() == [] and folders() == [], "the guard's work", 30)


def test_containers_of_others_are_not_touched(
    repository: RepositoryBuilder,
    owner: tuple[subprocess.Popen[str], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    living = ours()
    client = docker.from_env()
    dead = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True).stdout.strip()
    here, ended = this_host(), f"{dead} 1 boot"
    labels = {
        "others": {},
        "elsewhere": {OURS: "elsewhere", HOST: "another machine", OWNER: ended},
        "kept": {OURS: "kept", HOST: here, REUSE: "key", OWNER: ended},
        "orphan": {OURS: "orphan", HOST: here, OWNER: ended},
        "renamed": {OURS: "orphan", HOST: here, OWNER: ended},
    }
    made = [
        client.containers.create(IMAGE, "true", name=name, labels=each)
        for name, each in labels.items()
    ]
    try:
        assert container_owners.remove_orphans(client) == ["orphan"]
        assert main(["clean"]) == 0
        left = {one.id for one in client.containers.list(all=True)}
        assert [one.id in left for one in made] == [True, True, False, False, True]
        assert set(living) <= set(ours())
        capsys.readouterr()
        assert main(["clean", "--others", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["removed"] == ["elsewhere"]
        left = {one.id for one in client.containers.list(all=True)}
        assert [one.id in left for one in made] == [True, False, False, False, True]
    finally:
        for one in made:
            container_owners.remove(one)
        client.close()


def test_container_of_an_image_made_of_ours_is_not_touched(
    repository: RepositoryBuilder, tmp_path: Path
) -> None:
    """It inherits all labels of ours, of which the owner is dead by then."""
    here, image = this_host(), "pytest-triton/committed:1"
    client = docker.from_env()
    labels = {OURS: "first", HOST: here, OWNER: "1 1 boot", FOLDER: str(tmp_path)}
    first = client.containers.create(IMAGE, "true", name="first", labels=labels)
    kept = client.containers.create(IMAGE, "true", name="kept", labels={**labels, REUSE: "key"})
    made = []
    try:
        first.commit("pytest-triton/committed", "1")
        kept.commit("pytest-triton/committed", "kept")
        first.remove()
        kept.remove()
        made = [
            client.containers.create(image, "true"),
            client.containers.create(image, "true", name="first"),
            client.containers.create("pytest-triton/committed:kept", "true"),
        ]
        assert container_owners.remove_orphans(client) == []
        assert container_owners.clean(client, others=True) == []
        assert container_owners.kept(client, "key") == []
        assert all(client.containers.get(one.id) for one in made)
    finally:
        for one in made:
            one.remove(force=True)
        for tag in ("1", "kept"):
            client.images.remove(f"pytest-triton/committed:{tag}")
        client.close()


def test_folder_is_deleted_only_if_this_plugin_made_it(tmp_path: Path) -> None:
    client = docker.from_env()
    living, temporary = made_folder(), Path(os.environ["TMPDIR"])
    dead = f"{this_host()}\n1 1 boot\n"
    foreign = [temporary / "pytest-triton-x", tmp_path / "pytest-triton-y"]
    for folder in foreign:
        folder.mkdir()
        (folder / "precious").touch()
    foreign[1].joinpath(OWNER_FILE).write_text(dead)
    link = temporary / "pytest-triton-link"
    link.symlink_to(foreign[1])
    outer = made_folder()
    inner = outer / "pytest-triton-z"
    inner.mkdir()
    (inner / OWNER_FILE).write_text(dead)
    ours_left = made_folder()
    (ours_left / OWNER_FILE).write_text(dead)
    folders = [*foreign, link, inner, living, ours_left]
    for number, folder in enumerate(folders):
        name = f"orphan{number}"
        labels = {OURS: name, HOST: this_host(), OWNER: "1 1 boot"}
        labels[FOLDER] = str(folder)
        client.containers.create(IMAGE, "true", name=name, labels=labels)
    try:
        assert main(["clean"]) == 0
        assert [folder.exists() for folder in folders] == [True] * 5 + [False]
    finally:
        client.close()
        link.unlink()
        shutil.rmtree(foreign[0])
        assert server_folders.remove_owned(outer)
        assert server_folders.remove_owned(living)


def test_guard_removes_no_container_that_has_only_the_name() -> None:
    client = docker.from_env()
    made = client.containers.create(IMAGE, "true", name="taken", labels={SESSION: "another"})
    try:
        assert container_guard.remove("taken", "mine")
        made.reload()
        assert container_guard.remove("taken", "another")
        assert not container_guard.remove("taken", "another")
    finally:
        with contextlib.suppress(docker.errors.NotFound):
            made.remove()
        client.close()


def test_id_that_another_process_has_now_is_not_the_owner() -> None:
    mine = container_owners.labels("x", Path("/x"))
    assert not container_owners.is_orphan(mine)
    pid, start, boot = mine[OWNER].split()
    assert container_owners.is_orphan({**mine, OWNER: f"{pid} {int(start) - 1} {boot}"})
    assert container_owners.is_orphan({**mine, OWNER: f"{pid} {start} earlier-boot"})
    assert not container_owners.is_orphan({**mine, HOST: "another", OWNER: "1 1 x"})


# --- reuse ---------------------------------------------------------------------------------------


@pytest.fixture
def reused(
    repository: RepositoryBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., str]]:
    """Start a container that may be reused, end it, and return the id of what ran."""
    monkeypatch.setenv("PYTEST_TRITON_CACHE", str(tmp_path / "cache"))
    repository.add("pinned", "{ kind: KIND_GPU }")

    def reused(gpus: str = "sim:1", **changes: object) -> str:
        with TritonContainer(
            repository.path,
            image=IMAGE,
            gpus=gpus,
            stand_ins=OFFICIAL_BACKENDS,
            options=ContainerOptions(reuse=True),
            **changes,  # type: ignore[arg-type]
        ) as triton:
            assert "successfully loaded 'pinned'" in triton.log.since()
            triton.check_alive()
            return triton.get_container_id()

    yield reused
    assert main(["clean"]) == 0
    assert ours() == []
    assert list((tmp_path / "cache" / "containers").glob("pytest-triton-*")) == []


def test_kept_container_is_used_again_until_something_differs(
    reused: Callable[..., str], repository: RepositoryBuilder
) -> None:
    first = reused()
    assert len(ours()) == 1, "it goes on running"
    assert reused() == first
    assert reused(gpus="sim:2") != first
    assert len(ours()) == 2
    repository.add("more", "{ kind: KIND_CPU }")
    assert reused() != first
    assert len(ours()) == 2, "what is out of date is removed"


def test_kept_container_that_has_exited_is_made_anew(reused: Callable[..., str]) -> None:
    first = reused()
    subprocess.run(["docker", "kill", first], check=True, capture_output=True)
    assert reused() != first
    assert len(ours()) == 1


def test_start_that_fails_is_not_kept(
    reused: Callable[..., str], repository: RepositoryBuilder
) -> None:
    from pytest_triton.servers.server_errors import ServerExited

    with pytest.raises(ServerExited):
        reused(arguments=["--host-policy=x,y=z"])
    assert ours() == []
