"""Links in repositories: which work in containers, and that none leads out of them unasked."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_triton import ContainerOptions, TritonContainer
from pytest_triton.client.http import HttpApi
from pytest_triton.errors import PytestTritonError
from pytest_triton.options.hosts import ContainerHost
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.rehearsal.simulation import NATIVE_DIRECTORY, OFFICIAL_BACKENDS
from pytest_triton.servers.container import never_shown
from pytest_triton.servers.container.reach import (
    InTheWay,
    LinksLeadOut,
    NeverShown,
    check_sent,
    shown,
)
from pytest_triton.servers.container.shared_files import copy_into
from pytest_triton.servers.launch_arguments import served_repositories
from pytest_triton.servers.spec import ServerSpec
from pytest_triton.text.paths import without_dots
from support.builders import RepositoryBuilder
from support.docker_daemon import IMAGE, ours

SECRET = "what lies outside"

LEAD_OUT = {
    "socket": "{outside}/docker.sock",
    "run": "/run",
    "file": "{outside}/file",
    "folder": "{outside}",
    "up": "{outside}/deep/../file",
    "chain": "chain2",
    "chain2": "{outside}/file",
    "ssh": "{home}/.ssh",
    "home": "{home}",
    "root": "/",
    "process": "/proc/{pid}/root{outside}/docker.sock",
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
def start(docker_image: str, folders_left: None) -> Iterator[Start]:
    made = []

    def start(
        *repositories: Path, left_out: tuple[Path, ...] = (), **options: object
    ) -> TritonContainer:
        spec = ServerSpec(
            repositories,
            HardwareRequest.parse("none"),
            ContainerHost(IMAGE, ContainerOptions(**options)),  # type: ignore[arg-type]
            stand_ins=OFFICIAL_BACKENDS,
            left_out=left_out,
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

    triton = start(models, store, left_out=(bad,), mount=(outside / "deep",), transfer=transfer)
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
    start: Start, home: Path, outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    RepositoryBuilder(models).add("a", "{ kind: KIND_CPU }")
    monkeypatch.chdir(outside)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("docker.sock")
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
        "  /models/a/process -> /outside/docker.sock (a socket)",
        "  /models/a/root -> / (the container has its own)",
        "  /models/a/run -> /run (in /run)",
        "  /models/a/socket -> /outside/docker.sock (a socket)",
        "  /models/a/ssh -> /home/.ssh (private: .ssh of a home directory)",
        "  /models/a/up -> /outside/file",
    ]
    assert "name it: --triton-mount=/outside (" in text


@pytest.mark.parametrize("kind", ["socket", "FIFO", pytest.param("device", marks=pytest.mark.root)])
@pytest.mark.parametrize("place", ["", "named/"])
def test_special_files_among_the_files_are_refused(
    tmp_path: Path, kind: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, named = tmp_path / "models", tmp_path / "named"
    RepositoryBuilder(models).add("a", "{ kind: KIND_CPU }")
    named.mkdir()
    special = (named if place else models / "a") / "special"
    if kind == "socket":
        monkeypatch.chdir(special.parent)  # names of sockets are short
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("special")
    elif kind == "FIFO":
        os.mkfifo(special)
    else:
        os.mknod(special, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    with pytest.raises(LinksLeadOut) as raised:
        shown([models, named])
    assert f"\n  {special} (a {kind})\n" in str(raised.value)
    assert "remove" in raised.value.fix
    assert "--triton-mount" not in raised.value.fix


@pytest.mark.parametrize("path", ["/run/docker.sock", "/var/run", "/proc/1", "/sys/fs", "/dev/shm"])
def test_system_folders_are_never_shown_though_named(path: str) -> None:
    with pytest.raises(PytestTritonError, match=r"never shown to a container|needs its own"):
        shown([Path(path)])


@pytest.mark.parametrize("path", [".ssh", ".ssh/id_rsa", ".aws", ".config/gcloud", ".netrc"])
def test_secrets_of_home_are_never_shown_though_named(home: Path, path: str) -> None:
    with pytest.raises(NeverShown, match="never shown to a container: it is private"):
        shown([home / path])
    (home.parent / "link").symlink_to(home / path)
    with pytest.raises(NeverShown, match=f"Tried:\n  - it leads to {home / path}"):
        shown([home.parent / "link"])


def test_secrets_of_other_homes_are_never_shown_though_named() -> None:
    for path in ("/home/nobody-here/.ssh", "/root/.docker/config.json", "/Users/x/.kube"):
        with pytest.raises(NeverShown):
            shown([Path(path)])


def test_secrets_that_lie_elsewhere_by_a_link_are_never_shown(home: Path, tmp_path: Path) -> None:
    (home / ".gnupg").symlink_to(tmp_path / "keys")
    (tmp_path / "keys").mkdir()
    never_shown._linked_secrets.cache_clear()
    with pytest.raises(NeverShown):
        shown([tmp_path / "keys"])


def test_home_named_as_a_whole_is_refused_for_its_secrets(home: Path) -> None:
    text = refused(home)
    for name in (".ssh", ".aws", ".docker", ".kube", ".netrc", ".config"):
        assert f"\n  {home / name} (private: {name} of a home directory)\n" in text


def test_link_out_is_shown_once_its_target_is_named(outside: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    RepositoryBuilder(models).add("a", "{ kind: KIND_CPU }")
    (models / "a/link").symlink_to(outside / "deep/file")
    advice = f"--triton-mount={outside / 'deep/file'} "
    assert advice in refused(models)
    what = shown([models, outside / "deep/file"])
    assert set(what.paths) == {(path, path) for path in (models, outside / "deep/file")}
    (tmp_path / "linked").symlink_to(outside)
    shown([models, tmp_path / "linked"])  # by another name


def test_links_of_models_that_are_left_out_are_not_followed(outside: Path, tmp_path: Path) -> None:
    RepositoryBuilder(tmp_path / "models").add("a", "{ kind: KIND_CPU }")
    (tmp_path / "models/a/link").symlink_to(outside)
    refused(tmp_path / "models")
    what = shown([tmp_path / "models"], left_out=[tmp_path / "models/a"])
    assert what.paths == ((tmp_path / "models", tmp_path / "models"),)


def test_thousand_links_by_another_path_need_one_mount(tmp_path: Path) -> None:
    real = tmp_path / "real"
    RepositoryBuilder(real).add("a", "{ kind: KIND_CPU }")
    for number in range(1000):
        (real / f"link{number}").symlink_to(real / "a")
    (tmp_path / "linked").symlink_to(real)
    what = shown([tmp_path / "linked"])
    assert set(what.paths) == {(real, tmp_path / "linked"), (real, real)}


def test_paths_without_dots_are_those_that_the_kernel_finds(tmp_path: Path) -> None:
    (tmp_path / "disk/deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("disk/deep")
    assert without_dots(tmp_path / "link/../models") == tmp_path / "disk/models"
    assert without_dots(tmp_path / "link/x") == tmp_path / "link/x"
    with pytest.raises(InTheWay):
        shown([tmp_path / "../../../../../../../../tmp"])


def test_options_with_dots_name_what_the_kernel_finds(tmp_path: Path) -> None:
    (tmp_path / "disk/deep").mkdir(parents=True)
    RepositoryBuilder(tmp_path / "disk/models").add("right", "{ kind: KIND_CPU }")
    RepositoryBuilder(tmp_path / "models").add("wrong", "{ kind: KIND_CPU }")
    (tmp_path / "link").symlink_to("disk/deep")
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider"]
    shown = subprocess.run(
        [*command, "--triton-repo=link/../models"], cwd=tmp_path, capture_output=True, text=True
    )
    assert "disk/models/right/config.pbtxt::test_placement" in shown.stdout
    assert "wrong" not in shown.stdout


def test_views_for_servers_show_no_special_files(tmp_path: Path) -> None:
    models = tmp_path / "models"
    for name in ("a", "b"):
        RepositoryBuilder(models).add(name, "{ kind: KIND_CPU }")
    os.mkfifo(models / "pipe")
    (models / "null").symlink_to("/dev/null")
    (models / "gone").symlink_to("nowhere")
    spec = ServerSpec((models,), HardwareRequest.parse("none"), left_out=(models / "b",))
    (view,) = served_repositories(spec, tmp_path / "server")
    assert sorted(os.listdir(view)) == ["a", "gone"]


def test_files_that_are_sent_come_from_the_directory_or_what_was_named(
    outside: Path, tmp_path: Path
) -> None:
    model, store = tmp_path / "model", tmp_path / "store"
    for folder in (model, store):
        folder.mkdir()
    (store / "w").write_text("w")
    (model / "here").symlink_to("there")
    (model / "there").write_text("x")
    (model / "stored").symlink_to(store / "w")
    (model / "nothing").symlink_to("gone")
    (model / "folder").symlink_to(outside)  # nothing of it is read
    check_sent(model, [store])
    (model / "host").symlink_to("/etc/hostname")
    (model / "out").symlink_to(outside / "file")
    with pytest.raises(LinksLeadOut) as raised:
        check_sent(model, [])
    assert [line for line in str(raised.value).splitlines() if line.startswith("  ")] == [
        f"  {model}/host -> /etc/hostname",
        f"  {model}/out -> {outside}/file",
        f"  {model}/stored -> {store}/w",
    ]


def test_very_deep_folder_is_copied_without_recursion(tmp_path: Path) -> None:
    RepositoryBuilder(tmp_path / "models").add("a", "{ kind: KIND_CPU }")
    subprocess.run(
        [sys.executable, "-c", "import os\nfor _ in range(1500): os.mkdir('d'); os.chdir('d')"],
        cwd=tmp_path / "models",
        check=True,
    )
    what = shown([tmp_path / "models"])

    class Container:
        """Takes an archive, as a real one's daemon does; that is tried with shallow ones."""

        names: int = 0

        def put_archive(self, path: str, file: Any) -> None:
            with tarfile.open(fileobj=file) as archive:
                self.names += len(archive.getnames())

    container = Container()
    copy_into(container, what)
    assert container.names > 1500
    subprocess.run(["rm", "-rf", str(tmp_path / "models")], check=True)
