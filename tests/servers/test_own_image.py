"""`pytest-triton image`, and rehearsals in what it has built."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import docker
import pytest

from pytest_triton.__main__ import main
from pytest_triton.cli import image as command
from pytest_triton.options.rehearsal_image import rehearsal_image, set_rehearsal_image
from pytest_triton.rehearsal.simulation import NativeLibraryMissing, sources_digest
from pytest_triton.servers.container import libraries
from pytest_triton.servers.container.building import CannotBuild, build_image, dockerfile
from pytest_triton.servers.container.image import Image
from pytest_triton.servers.process import releases
from support.builders import RepositoryBuilder
from support.docker_daemon import BASE, IMAGE

NAME = "pytest-triton/tritonserver:of-a-test"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with this user's releases, and nothing else."""
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "releases").symlink_to(releases.releases_dir())
    monkeypatch.setenv("PYTEST_TRITON_CACHE", str(cache))
    return cache


def image(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["image", "2.51.0", "--base", BASE, "--name", NAME, "--json", *arguments]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


@pytest.mark.server
@pytest.mark.usefixtures("docker_image")
def test_rehearsals_run_in_the_image_without_options_and_with_its_libraries(
    cache: Path,
    tmp_path: Path,
    repository: RepositoryBuilder,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # As on a machine for which there are no libraries.
    monkeypatch.setattr(libraries, "NATIVE_DIRECTORY", tmp_path / "none")
    repository.add("pinned", "{ kind: KIND_GPU count: 2 }")
    try:
        built = image(capsys, "--default")
        assert built == {
            "format": 1,
            "changed": True,
            "image": NAME,
            "release": "2.51.0",
            "default": True,
        }
        result = pytester.runpytest_inprocess(f"--triton-repo={repository.path}")
        result.stdout.fnmatch_lines(
            [
                f"triton: rehearsal on tritonserver (container, {NAME}) · hardware: no GPU, 2 GPUs "
                "(simulated)*",
                "pinned *refused: no GPU *GPU 0 x2 · GPU 1 x2*",
            ]
        )
        assert result.ret == 0
        (taken,) = (cache / "libraries").iterdir()
        assert taken.name == f"{sources_digest()}-x86_64"
        assert image(capsys) == {**built, "changed": False}, "it is there, and stays the default"
    finally:
        gone = image(capsys, "--remove")
    assert gone == {**built, "default": False}
    assert rehearsal_image() is None
    assert image(capsys, "--remove")["changed"] is False


@pytest.mark.usefixtures("docker_image")
def test_image_that_another_pytest_triton_has_built_is_not_used() -> None:
    client = docker.from_env()
    for digest, reported in (("", "tritonserver:1: none"), ("other", "another pytest-triton")):
        found = Image("tritonserver:1", "sha256:1", None, "2.51.0", False, "aarch64", digest)
        with pytest.raises(NativeLibraryMissing, match="in a container for aarch64") as caught:
            libraries.libraries_for(client, found, {"PYTEST_TRITON_CACHE": "/nonexistent"})
        assert reported in caught.value.tried[-1]
        assert "pytest-triton image" in caught.value.fix
    client.close()


@pytest.mark.usefixtures("docker_image")
def test_base_without_what_is_needed_is_named_with_the_last_lines() -> None:
    client = docker.from_env()
    empty = io.BytesIO()
    with tarfile.open(fileobj=empty, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("nothing"))
    client.api.import_image_from_data(empty.getvalue(), repository="pytest-triton/empty", tag="1")
    try:
        with pytest.raises(CannotBuild, match="could not build pytest-triton/not") as caught:
            build_image(
                client,
                releases.find_release("2.51.0"),
                base="pytest-triton/empty:1",
                name="pytest-triton/not:1",
            )
    finally:
        client.images.remove("pytest-triton/empty:1", force=True)
        client.close()
    assert any("command -v cc" in line for line in caught.value.tried)
    assert "--base" in caught.value.fix


@pytest.mark.usefixtures("docker_image")
def test_libraries_are_of_the_sources_that_this_package_has() -> None:
    assert docker.from_env().images.get(IMAGE).labels["pytest-triton.libraries"] == sources_digest()


def test_dockerfile_compiles_all_libraries_on_the_base_that_is_named() -> None:
    text = dockerfile(releases.find_release("2.51.0"), "ubuntu:24.04")
    assert text.count("FROM ubuntu:24.04") == 2
    assert text.count("/opt/pytest-triton/libpytest_triton_") == 2
    assert "{" not in text.replace("{ apt-get", "")


def test_image_is_the_default_where_no_server_runs_as_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PYTEST_TRITON_CACHE", str(tmp_path))
    assert command._runs_here()
    monkeypatch.setattr(releases, "glibc_version", lambda: (2, 28))
    assert not command._runs_here()


def test_image_for_rehearsals_is_remembered_for_this_kind_of_system(tmp_path: Path) -> None:
    environ = {"PYTEST_TRITON_CACHE": str(tmp_path)}
    assert rehearsal_image(environ) is None
    set_rehearsal_image("an/image:1", environ)
    assert rehearsal_image(environ) == "an/image:1"
    (file,) = (tmp_path / "rehearsal-image").iterdir()
    file.write_text("[]")
    assert rehearsal_image(environ) is None
    set_rehearsal_image(None, environ)
    set_rehearsal_image(None, environ)
    assert not file.exists()
