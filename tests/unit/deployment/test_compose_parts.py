"""Compose files that are put together: `extends` and `include`."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.deployment.deployed_server import DeployedServer
from pytest_triton.deployment.reading import read_deployments
from pytest_triton.deployment.yaml_file import BadYaml

BASE = """services:
  base:
    image: nvcr.io/nvidia/tritonserver:24.10-py3
    command: tritonserver --model-repository=/models --exit-on-error=false
    environment: [CUDA_VISIBLE_DEVICES=0, LEVEL=1, KEPT]
    volumes: [./models:/models, ./cache:/cache]
    deploy:
      resources:
        reservations:
          devices: [{ driver: nvidia, count: 1, capabilities: [gpu] }]
    healthcheck:
      test: [CMD, curl, localhost:8000/v2/health/live]
      interval: 5s
"""
OVER = """services:
  triton:
    extends: { file: ../common/base.yaml, service: base }
    command: [tritonserver, --model-repository=/models]
    environment: { LEVEL: "2" }
    volumes: [./other:/cache]
    healthcheck:
      test: [CMD, curl, localhost:8000/v2/health/ready]
"""


def read(folder: Path, text: str, **environ: str) -> tuple[DeployedServer, ...]:
    (folder / "compose.yaml").write_text(text)
    return read_deployments("compose.yaml", folder, environ)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("common", "deploy"):
        (tmp_path / name).mkdir()
    (tmp_path / "common" / "base.yaml").write_text(BASE)
    return tmp_path / "deploy"


def test_service_that_extends_another_files_has_both_merged(folder: Path) -> None:
    (server,) = read(folder, OVER, KEPT="yes")
    common = folder.parent / "common"
    assert server.title == f"{folder}/compose.yaml::triton"
    assert server.arguments == ("--model-repository=/models",)
    assert server.environment == {"CUDA_VISIBLE_DEVICES": "0", "LEVEL": "2", "KEPT": "yes"}
    assert server.mounts == {"/models": common / "models", "/cache": folder / "other"}
    assert server.granted(8) == 1
    (probe,) = server.probes
    assert (probe.path, probe.period) == ("/v2/health/ready", 5)
    assert str(server.places["image"]) == f"{common}/base.yaml:3:5"
    assert str(server.places["command"]) == f"{folder}/compose.yaml:4:5"
    assert str(server.grant_place) == f"{common}/base.yaml:10:11"


def test_service_that_extends_one_of_its_own_file_has_both_merged(folder: Path) -> None:
    more = "  triton:\n    extends: base\n    environment: [LEVEL=3]\n"
    base, server = read(folder, BASE + more + "  second: { extends: { service: triton } }\n")[:2]
    assert (base.name, server.name) == ("base", "triton")
    assert server.arguments == base.arguments
    assert server.environment == {"CUDA_VISIBLE_DEVICES": "0", "LEVEL": "3"}
    second = read(folder, (folder / "compose.yaml").read_text())[2]
    assert second.environment == server.environment
    assert second.mounts == {"/models": folder / "models", "/cache": folder / "cache"}


@pytest.mark.parametrize(
    ("extends", "what", "fix"),
    [
        ("{ service: bose }", "no service 'bose' to extend in", "did you mean base?"),
        ("nothing-alike", "no service 'nothing-alike'", "did you mean base?"),
        ("{ file: ../common/base.yaml }", "no service '' to extend", "did you mean base?"),
        (
            "{ file: none.yaml, service: base }",
            "the service triton extends one of another file, and needs FOLDER/none.yaml, which",
            "name a file",
        ),
        ("{ file: empt.yaml, service: base }", "empt.yaml, which isn't", "FOLDER/empty.yaml?"),
        ("{ file: empty.yaml, service: base }", "no service 'base'", "name a file with services"),
        ("{ file: 'oci://x/y', service: base }", "isn't fetched here", "docker compose config"),
        ("{ file: '${NO}.yaml', service: base }", "${NO} has no value", "set NO"),
        (
            "base\n    gpus: [{ count: 1 }, { count: 2 }]",
            "GPUs are asked for 2 times",
            "one device",
        ),
        ("triton", "triton -> triton extend each other", "end the circle"),
        ("last", "triton -> last -> triton extend each other", "end the circle"),
    ],
)
def test_service_that_extends_what_is_not_there_is_error(
    folder: Path, extends: str, what: str, fix: str
) -> None:
    (folder / "empty.yaml").write_text("services: {}\n")
    text = f"{BASE}  triton:\n    extends: {extends}\n  last:\n    extends: triton\n"
    with pytest.raises(BadYaml) as caught:
        read(folder, text)
    assert what.replace("FOLDER", str(folder)) in caught.value.what
    assert fix.replace("FOLDER", str(folder)) in caught.value.fix
    assert "compose.yaml:" in caught.value.what


def test_files_that_are_included_are_read_beside_their_own_paths(folder: Path) -> None:
    common = folder.parent / "common"
    (common / ".env").write_text("TAG=24.10-py3\nFIRST=common\n")
    (common / "base.yaml").write_text(
        BASE.replace("24.10-py3", "${TAG}").replace("LEVEL=1", '"LEVEL=${FIRST}"')
    )
    (common / "more.yaml").write_text("include: [base.yaml]\n")
    (folder / ".env").write_text("FIRST=deploy\n")
    (server,) = read(folder, "include:\n- ../common/more.yaml\n- path: ../common/base.yaml\n")
    assert server.title == f"{common}/base.yaml::base"
    assert server.image == "nvcr.io/nvidia/tritonserver:24.10-py3"
    assert server.environment["LEVEL"] == "deploy"  # the including file's value counts
    assert server.mounts["/models"] == common / "models"


def test_variables_of_an_included_file_come_from_its_env_file(folder: Path) -> None:
    common = folder.parent / "common"
    (common / "base.yaml").write_text(BASE.replace("24.10-py3", "${TAG}"))
    (folder / "tags.env").write_text("TAG=24.01-py3\n")
    named = "include: [{ path: ../common/base.yaml, env_file: tags.env }]\n"
    (server,) = read(folder, named)
    assert server.image.endswith(":24.01-py3")
    (server,) = read(folder, named, TAG="24.05-py3")
    assert server.image.endswith(":24.05-py3")


@pytest.mark.parametrize(
    ("include", "what", "fix"),
    [
        ("[oci://registry/file]", "isn't fetched here", "docker compose config"),
        ("[{ path: [a.yaml, b.yaml] }]", "only one file's path is", "docker compose config"),
        ("[{ path: a.yaml, project_directory: .. }]", "only one file's", "docker compose config"),
        ("[none.yaml]", "compose.yaml:1:11: the file needs", "name a file"),
        ("['${NO}.yaml']", "${NO} has no value", "set NO"),
    ],
)
def test_include_that_is_not_read_here_is_error(
    folder: Path, include: str, what: str, fix: str
) -> None:
    with pytest.raises(BadYaml) as caught:
        read(folder, f"include: {include}\nservices: {{}}\n")
    assert what in caught.value.what
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("first", "other", "circle"),
    [
        ("other.yaml", "compose.yaml", "compose.yaml -> other.yaml -> compose.yaml"),
        ("compose.yaml", "x", "compose.yaml -> compose.yaml"),
    ],
)
def test_files_that_include_each_other_are_error(
    folder: Path, first: str, other: str, circle: str
) -> None:
    (folder / "other.yaml").write_text(f"include: [{other}]\n{BASE}")
    with pytest.raises(BadYaml, match=f"{circle} include each other") as caught:
        read(folder, f"include: [{first}]\n{BASE.replace('base', 'own')}")
    assert caught.value.what.startswith(f"{folder}/{circle.split(' -> ')[-2]}:1:")
    assert caught.value.fix == "end the circle"


def test_file_that_is_included_twice_is_read_once(folder: Path) -> None:
    (folder / "base.yaml").write_text(BASE)
    for name in ("one", "two"):
        (folder / f"{name}.yaml").write_text("include: [base.yaml]\n")
    (server,) = read(folder, "include: [one.yaml, two.yaml]\n")
    assert server.name == "base"


def test_service_that_several_files_have_is_error_unless_it_is_the_same(folder: Path) -> None:
    (folder / "one.yaml").write_text(BASE)
    (folder / "two.yaml").write_text(f"# the same\n{BASE}")
    (server,) = read(folder, "include: [one.yaml, two.yaml]\n")
    assert server.title == f"{folder}/one.yaml::base"
    (folder / "two.yaml").write_text(BASE.replace("LEVEL=1", "LEVEL=2"))
    with pytest.raises(BadYaml, match="the service base is there for the second time") as caught:
        read(folder, "include: [one.yaml, two.yaml]\n")
    assert f"{folder}/two.yaml:3:5" in caught.value.what
    assert f"{folder}/one.yaml:3:5" in caught.value.what
    assert "docker compose config" in caught.value.fix
    other = BASE.replace("tritonserver", "other")
    (folder / "two.yaml").write_text(other)  # nobody's Triton
    assert len(read(folder, "include: [one.yaml, two.yaml]\n")) == 1


def test_directory_with_a_file_that_another_includes_has_its_server_once(folder: Path) -> None:
    (folder / "a.yaml").write_text("include: [b.yaml]\n")
    (folder / "b.yaml").write_text(BASE)
    (server,) = read_deployments(".", folder, {})
    assert server.title == f"{folder}/b.yaml::base"


def test_other_tools_file_with_an_include_is_left_alone(folder: Path) -> None:
    (folder / "ci.yml").write_text("include: [none.yaml]\nservices: [docker:dind]\nstages: [a]\n")
    (folder / "compose.yaml").write_text(BASE)
    (server,) = read_deployments(".", folder, {})
    assert server.title == f"{folder}/compose.yaml::base"
