"""Links in repositories: which work in containers, and that none leads out of them unasked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from builders import RepositoryBuilder
from docker_daemon import IMAGE, ours, require_image
from pytest_triton import ContainerOptions, TritonContainer
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.rehearsal.simulation import NATIVE_DIRECTORY, OFFICIAL_BACKENDS
from pytest_triton.servers.container_reach import (
    LinksLeadOut,
    shown,
)
from pytest_triton.servers.http import HttpApi
from pytest_triton.servers.spec import ServerSpec

SECRET = "what lies outside"

LEAD_OUT = {
    "socket": "/var/run/docker.sock",
    "run": "/run",
    "file": "{outside}/file",
    "folder": "{outside}",
    "up": "{outside}/deep/../file",
    "chain": "chain2",
    "chain2": "{outside}/file",
    "ssh": "{home}/.ssh",
    "home": "{home}",
    "root": "/",
    "process": "/proc/{pid}/root/run/docker.sock",
}

# Prints {path: contents} of all files below the arguments, links followed, each folder once a way.
LIST = """
import json, os, sys
found = {}
def look(path, above):
    try:
        status = os.stat(path)
        if os.path.isdir(path):
            if os.path.realpath(path) != "/" and (status.st_dev, status.st_ino) not in above:
                for name in os.listdir(path):
                    look(os.path.join(path, name), above + [(status.st_dev, status.st_ino)])
        else:
            found[path] = open(path).read(1000) if os.path.isfile(path) else "special"
    except OSError:
        pass
for start in sys.argv[1:]:
    look(start, [])
print(json.dumps(found))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's home directory, with secrets in it."""
    home = tmp_path / "home"
    for name in (".ssh/id_rsa", ".aws/credentials", ".docker/config.json", ".kube/config"):
        (home / name).parent.mkdir(parents=True)
        (home / name).write_text(SECRET)
    (home / ".netrc").write_text(SECRET)
    (home / ".config/gcloud").mkdir(parents=True)
    (home / ".config/gcloud/token").write_text(SECRET)
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    (outside / "deep/deeper").mkdir(parents=True)
    (outside / "file").write_text(SECRET)
    (outside / "deep/file").write_text(SECRET)
    return outside


def fill_with_links_that_work(repository: Path, around: Path) -> None:
    """Links of every kind that stay within the repository or lead back to it."""
    for model in ("a", "b"):
        RepositoryBuilder(repository).add(model, "{ kind: KIND_CPU }")
    (repository / "a/1/data").mkdir()
    (repository / "a/1/data/weights").write_text("weights of a")
    (repository / "b/1/weights").write_text("weights of b")
    links = {
        "a/1/relative": "data/weights",
        "a/1/absolute": str(repository / "a/1/data/weights"),
        "a/1/of_b": "../../b/1/weights",
        "a/1/folder": "../../b/1",
        "a/1/through_folder": "folder/weights",
        "a/1/chain": "chain2",
        "a/1/chain2": "./chain3",
        "a/1/chain3": "..//1/relative",
        "a/1/up_through": "folder/../../a/1/data/weights",  # normpath would be wrong
        "a/1/up_in_b": "folder/../config.pbtxt",
        "model": "b",
        "a/1/self": ".",
        "a/1/circle": "circle2",
        "a/1/circle2": "circle",
        "a/1/nowhere": "gone",
        "a/1/back": str(around / "hop/1/weights"),
        "a/1/back_far": "../../../hop2",
        "a/1/own": "/etc/hostname",  # the container's
    }
    for name, target in links.items():
        (repository / name).symlink_to(target)
    (around / "hop").symlink_to(repository / "b")
    (around / "hop2").symlink_to("hop3")
    (around / "hop3").symlink_to(f"{repository.name}/a/1/data/weights")


def run_in(triton: TritonContainer, *paths: Path) -> dict[str, str]:
    result = triton.exec(["python3", "-c", LIST, *map(str, paths)])
    assert result.exit_code == 0, result.output
    found: dict[str, str] = json.loads(result.output)
    return found


def found_here(*paths: Path) -> dict[str, str]:
    command = [sys.executable, "-c", LIST, *map(str, paths)]
    found: dict[str, str] = json.loads(subprocess.check_output(command))
    return found


def places_of(triton: TritonContainer) -> set[str]:
    """The places in the container where something of this machine is."""
    container = triton.get_wrapped_container()
    container.reload()
    return {one["Destination"] for one in container.attrs["Mounts"]}


Start = Callable[..., TritonContainer]


@pytest.fixture
def start(folders_left: None) -> Iterator[Start]:
    require_image()
    made = []

    def start(
        *repositories: Path, left_out: tuple[Path, ...] = (), **options: object
    ) -> TritonContainer:
        spec = ServerSpec(
            repositories,
            HardwareRequest.parse("none"),
            where="container",
            image=IMAGE,
            stand_ins=OFFICIAL_BACKENDS,
            left_out=left_out,
            container=ContainerOptions(**options),  # type: ignore[arg-type]
        )
        made.append(TritonContainer(repositories, _spec=spec))
        return made[-1].start()

    yield start
    for triton in made:
        triton.stop()
    assert ours() == []


@pytest.mark.parametrize("transfer", ["mount", "copy"])
def test_container_on_links_of_every_kind_reaches_only_what_was_named(
    start: Start, home: Path, outside: Path, tmp_path: Path, transfer: str
) -> None:
    around = tmp_path / "around"
    models, store = around / "models", around / "store"
    fill_with_links_that_work(models, around)
    RepositoryBuilder(store).add("c", "{ kind: KIND_CPU }")
    (models / "of_store").symlink_to(store / "c")  # the other repository of the deployment
    (models / "a/1/named").symlink_to(outside / "deep")
    (models / "a/1/named_up").symlink_to("named/deeper/../file")
    expected = found_here(models)
    expected.pop(f"{models}/a/1/own")
    bad = models / "bad"  # left out, so that it keeps no container from starting
    bad.mkdir()
    for name, target in LEAD_OUT.items():
        (bad / name).symlink_to(target.format(outside=outside, home=home, pid=os.getpid()))

    triton = start(models, store, left_out=(bad,), mounts=(outside / "deep",), transfer=transfer)
    reached = run_in(triton, models, outside, home, Path("/run"))
    assert reached.pop(f"{models}/a/1/own") == triton.exec(["hostname"]).output.decode()
    named = {f"{outside}/deep/file": SECRET, f"{bad}/folder/deep/file": SECRET}
    assert reached == {**expected, **named}
    assert {place for place in places_of(triton) if not place.startswith(str(around))} == {
        str(triton.folder),
        str(NATIVE_DIRECTORY),
        str(outside / "deep"),
    }


@pytest.mark.parametrize("transfer", ["mount", "copy"])
def test_repository_reached_through_a_link_has_links_that_work(
    start: Start, tmp_path: Path, transfer: str
) -> None:
    real, around = tmp_path / "disk/deep/models", tmp_path / "around"
    around.mkdir()
    fill_with_links_that_work(real, tmp_path / "disk/deep")
    linked = around / "linked"
    linked.symlink_to(real)
    expected = found_here(linked)
    expected.pop(f"{linked}/a/1/own")
    triton = start(linked, transfer=transfer)
    reached = run_in(triton, linked)
    reached.pop(f"{linked}/a/1/own")
    assert reached == expected


def test_repository_named_with_dots_through_a_link_is_the_one_that_the_kernel_finds(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "disk/deep").mkdir(parents=True)
    RepositoryBuilder(tmp_path / "disk/models").add("a", "{ kind: KIND_CPU }")
    RepositoryBuilder(tmp_path / "models").add("wrong", "{ kind: KIND_CPU }")
    (tmp_path / "link").symlink_to("disk/deep")
    triton = start(tmp_path / "link/../models")
    with HttpApi(triton.http) as api:
        assert [entry["name"] for entry in api.index()] == ["a"]


# --- what is refused -----------------------------------------------------------------------------


def refused(*repositories: Path, **more: Any) -> str:
    with pytest.raises(LinksLeadOut) as raised:
        shown(repositories, **more)
    return str(raised.value)


def test_links_that_lead_out_start_no_container_and_are_all_listed(
    start: Start, home: Path, outside: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    RepositoryBuilder(models).add("a", "{ kind: KIND_CPU }")
    for name, target in LEAD_OUT.items():
        (models / "a" / name).symlink_to(target.format(outside=outside, home=home, pid=os.getpid()))
    with pytest.raises(LinksLeadOut) as raised:
        start(models)
    assert ours() == []
    text = str(raised.value).replace(str(tmp_path), "")
    assert text.splitlines()[1:-1] == [
        "  /models/a/chain -> /outside/file",
        "  /models/a/chain2 -> /outside/file",
        "  /models/a/file -> /outside/file",
        "  /models/a/folder -> /outside",
        "  /models/a/home -> /home (a home directory with private files)",
        "  /models/a/process -> /run/docker.sock (a socket)",
        "  /models/a/root -> / (the container has its own)",
        "  /models/a/run -> /run (in /run)",
        "  /models/a/socket -> /run/docker.sock (a socket)",
        "  /models/a/ssh -> /home/.ssh (private: .ssh of a home directory)",
        "  /models/a/up -> /outside/file",
    ]
    assert "name it: --triton-mount=/outside (" in text
