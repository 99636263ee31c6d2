"""Commands with which a container ends at once, whatever its models are."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.deployment.deployed_server import DeployedServer, NoTriton
from pytest_triton.deployment.reading import read_deployments
from pytest_triton.deployment.yaml_file import BadYaml

OFFICIAL = "nvcr.io/nvidia/tritonserver:24.10-py3"
FLAG = "--model-repository=/models"
ONE_TEXT = f"tritonserver {FLAG}"


def compose(tmp_path: Path, lines: str, image: str = OFFICIAL) -> DeployedServer:
    return _one(tmp_path, f"services:\n  t:\n    image: {image}\n    {lines}\n")


def pod(tmp_path: Path, lines: str, image: str = OFFICIAL) -> DeployedServer:
    return _one(
        tmp_path,
        "apiVersion: v1\nkind: Pod\nmetadata: { name: t }\nspec:\n  containers:\n"
        f"    - name: t\n      image: {image}\n      {lines}\n",
    )


def _one(tmp_path: Path, text: str) -> DeployedServer:
    (tmp_path / "file.yaml").write_text(text)
    (found,) = read_deployments("file.yaml", tmp_path, {})
    return found


@pytest.mark.parametrize("image", [OFFICIAL, "nvcr.io/nvidia/tritonserver@sha256:00"])
def test_official_image_without_a_program_is_an_error(tmp_path: Path, image: str) -> None:
    with pytest.raises(BadYaml) as caught:
        compose(tmp_path, f"command: {FLAG}", image)
    assert "file.yaml:4:5: the image executes its command as it stands" in caught.value.what
    assert caught.value.fix == "write tritonserver first"
    with pytest.raises(BadYaml) as caught:
        pod(tmp_path, f'args: ["{FLAG}"]', image)
    assert "file.yaml:8:7: the image executes its command as it stands" in caught.value.what


def test_nvidias_entrypoint_without_a_program_is_an_error(tmp_path: Path) -> None:
    lines = f'command: [/opt/nvidia/nvidia_entrypoint.sh]\n      args: ["{FLAG}"]'
    with pytest.raises(BadYaml, match="executes its command as it stands"):
        pod(tmp_path, lines, "own:1")


@pytest.mark.parametrize("image", ["registry.example/x/tritonserver:24.10-py3", "own/tritonserver"])
def test_other_image_may_have_tritonserver_as_its_entrypoint(tmp_path: Path, image: str) -> None:
    assert compose(tmp_path, f"command: {FLAG}", image).arguments == (FLAG,)
    assert pod(tmp_path, f'args: ["{FLAG}"]', image).arguments == (FLAG,)


def test_image_built_from_the_official_one_has_its_entrypoint(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {OFFICIAL}\n")
    with pytest.raises(BadYaml, match="executes its command as it stands"):
        compose(tmp_path, f"command: {FLAG}\n    build: .", "own:1")
    (tmp_path / "Dockerfile").write_text(f'FROM {OFFICIAL}\nENTRYPOINT ["tritonserver"]\n')
    assert compose(tmp_path, f"command: {FLAG}\n    build: .", "own:1").arguments == (FLAG,)


def test_other_servers_flags_start_no_triton(tmp_path: Path) -> None:
    with pytest.raises(NoTriton):
        compose(tmp_path, "command: --model-id=x", "ghcr.io/huggingface/text-generation-inference")


def test_tritonserver_twice_is_refused(tmp_path: Path) -> None:
    server = pod(tmp_path, f'command: [tritonserver]\n      args: [tritonserver, "{FLAG}"]')
    assert server.bad_arguments is not None
    assert "as its first argument" in server.bad_arguments.what
    assert server.bad_arguments.fix == "write tritonserver once: in `command` or in `args`"
    server = compose(tmp_path, f"entrypoint: tritonserver\n    command: tritonserver {FLAG}")
    assert server.bad_arguments is not None
    assert "`entrypoint`" in server.bad_arguments.fix


def test_command_line_in_one_item_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadYaml) as caught:
        pod(tmp_path, f'command: ["{ONE_TEXT}"]', "own:1")
    assert "file.yaml:8:7: the whole command line of tritonserver is one item" in caught.value.what
    with pytest.raises(BadYaml, match="is one item"):
        pod(tmp_path, f'args: ["{ONE_TEXT}"]')
    with pytest.raises(BadYaml, match="is one item"):
        compose(tmp_path, f'command: ["{ONE_TEXT}"]')


def test_command_line_in_one_item_for_an_unknown_entrypoint_is_unknown(tmp_path: Path) -> None:
    server = pod(tmp_path, f'args: ["{ONE_TEXT}"]', "own:1")
    assert "what the image's entrypoint does with it isn't known" in server.unknown


@pytest.mark.parametrize(
    ("head", "name"),
    [
        ("apiVersion: argoproj.io/v1alpha1\nkind: Rollout", "Rollout/t"),
        ("apiVersion: serving.knative.dev/v1\nkind: Service", "Service/t"),
    ],
)
def test_pod_template_of_any_kind_is_read(tmp_path: Path, head: str, name: str) -> None:
    container = f'{{ name: c, image: x, command: [tritonserver, "{FLAG}"] }}'
    pod_template = f"{{ spec: {{ containers: [{container}] }} }}"
    text = f"{head}\nmetadata: {{ name: t }}\nspec: {{ template: {pod_template} }}"
    server = _one(tmp_path, text)
    assert (server.name, server.arguments) == (name, (FLAG,))


def test_leader_and_worker_of_a_group_are_read(tmp_path: Path) -> None:
    template = "{ spec: { containers: [{ name: c, image: x, command: [tritonserver, --id=x] }] } }"
    (tmp_path / "file.yaml").write_text(
        "apiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nmetadata: { name: t }\n"
        f"spec:\n  leaderWorkerTemplate:\n    leaderTemplate: {template}\n"
        f"    workerTemplate: {template}\n"
    )
    names = [one.name for one in read_deployments("file.yaml", tmp_path, {})]
    assert names == ["LeaderWorkerSet/t", "LeaderWorkerSet/t/worker"]


def test_no_server_lists_the_kinds_that_are_read(tmp_path: Path) -> None:
    with pytest.raises(NoTriton) as caught:
        _one(tmp_path, "apiVersion: v1\nkind: Other\nspec: {}\n")
    assert "any kind with spec.template.spec.containers" in " ".join(caught.value.tried)
