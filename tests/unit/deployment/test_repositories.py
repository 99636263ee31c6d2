"""Repositories of deployed servers that aren't on this machine: what is said about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.deployment.reading import read_deployments
from pytest_triton.deployment.repositories import NotMounted, repository_paths

SERVICE = """services:
  t:
    command: [tritonserver, --model-repository=NAME]
    volumes:
    - VOLUME
    - cache:/cache
"""
ASKED = "say which directory it is: --triton-deployment-repo=NAME=DIR"


def refused(tmp_path: Path, text: str, *mapped: str, **environ: str) -> NotMounted:
    (tmp_path / "file.yaml").write_text(text)
    (tmp_path / "models").mkdir(exist_ok=True)
    (server,) = read_deployments("file.yaml", tmp_path, environ)
    with pytest.raises(NotMounted) as caught:
        repository_paths(server, dict.fromkeys(mapped, tmp_path / "gone"))
    return caught.value


def test_name_that_is_nearly_that_of_a_mount_is_a_spelling_mistake(tmp_path: Path) -> None:
    text = SERVICE.replace("NAME", "/modles").replace("VOLUME", "./models:/models")
    error = refused(tmp_path, text)
    file = f"{tmp_path}/file.yaml"
    assert error.what == (
        f"{file}:3:29: the repository /modles isn't on this machine: nothing is mounted there; "
        f"mounted are /models ({file}:5:7), /cache ({file}:6:7)."
    )
    assert error.fix.startswith(f"did you mean /models (mounted at {file}:5:7)? If the image has")


def test_name_that_is_unlike_all_mounts_names_them(tmp_path: Path) -> None:
    text = SERVICE.replace("NAME", "/repository").replace("VOLUME", "./models:/models")
    error = refused(tmp_path, text)
    assert "mounted are /models (" in error.what
    assert error.fix.startswith("mount it; or, if the image has /repository, say which directory")


@pytest.mark.parametrize(
    "source", ["${MODELS}", "$MODELS", "${MODELS}/sub", "${HOME_OF:-x}/${MODELS}"]
)
def test_volume_from_a_variable_without_a_value_names_it(tmp_path: Path, source: str) -> None:
    text = SERVICE.replace("NAME", "/models/a").replace("VOLUME", f"{source}:/models:ro")
    error = refused(tmp_path, text)
    assert f"at /models ({tmp_path}/file.yaml:5:7) is ${{MODELS}}, which has no value" in error.what
    assert error.fix == (
        "set MODELS in the environment or in .env beside the file, or "
        + ASKED.replace("NAME", "/models/a")
    )
    (tmp_path / "models" / "a").mkdir()
    (server,) = read_deployments("file.yaml", tmp_path, {"MODELS": "./models"})
    if source == "${MODELS}":
        assert repository_paths(server, {}) == (tmp_path / "models" / "a",)


def test_long_form_of_a_volume_names_its_variable(tmp_path: Path) -> None:
    volume = "{ type: bind, source: '${MODELS}', target: /models }"
    error = refused(tmp_path, SERVICE.replace("NAME", "/models").replace("VOLUME", volume))
    assert "is ${MODELS}, which has no value here" in error.what


def test_volume_of_production_is_named_with_its_place(tmp_path: Path) -> None:
    text = SERVICE.replace("NAME", "/cache").replace("VOLUME", "./models:/models")
    error = refused(tmp_path, text)
    assert f"at /cache ({tmp_path}/file.yaml:6:7) is a volume of production." in error.what
    assert error.fix.startswith(ASKED.replace("NAME", "/cache"))


def test_directory_that_is_not_there_names_one_that_is_nearly_called_so(tmp_path: Path) -> None:
    text = SERVICE.replace("NAME", "/models").replace("VOLUME", "./modles:/models")
    error = refused(tmp_path, text)
    assert f"{tmp_path}/modles isn't there ({tmp_path}/file.yaml:5:7)" in error.what
    assert error.fix.startswith(f"did you mean {tmp_path}/models? Else say which directory")
    mapped = refused(tmp_path, text, "/models")
    assert mapped.what.endswith(f"isn't on this machine: {tmp_path}/gone isn't there.")


def test_repository_without_any_mount_is_asked_for(tmp_path: Path) -> None:
    text = "services: { t: { command: tritonserver --model-repository=/models } }\n"
    error = refused(tmp_path, text)
    assert error.what.endswith("no folder beside it is mounted.")
    assert error.fix.startswith(ASKED.replace("NAME", "/models"))


def test_manifests_mounts_are_named_too(tmp_path: Path) -> None:
    error = refused(
        tmp_path,
        "apiVersion: v1\nkind: Pod\nmetadata: { name: p }\nspec:\n  containers:\n  - name: t\n"
        "    args:\n    - tritonserver\n    - --model-repository=/modles\n"
        "    image: x/tritonserver\n"
        "    volumeMounts:\n    - { name: v, mountPath: /models }\n"
        "  volumes: [{ name: v, emptyDir: {} }]\n",
    )
    assert error.what.startswith(f"{tmp_path}/file.yaml:9:7: ")
    assert f"did you mean /models (mounted at {tmp_path}/file.yaml:12:7)?" in error.fix


def test_models_that_kserve_fetches_are_named_with_their_place(tmp_path: Path) -> None:
    error = refused(
        tmp_path,
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: { name: s }\n"
        "spec:\n  predictor:\n    model:\n      modelFormat: { name: triton }\n"
        "      storageUri: s3://bucket?token=secret\n",
    )
    assert f"at /mnt/models ({tmp_path}/file.yaml:8:7) is s3://bucket." in error.what
    assert error.fix.startswith(ASKED.replace("NAME", "s3://bucket"))
    assert "secret" not in str(error)


def test_services_of_kserve_are_mapped_apart_by_what_they_store(tmp_path: Path) -> None:
    service = (
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\n"
        "metadata: {{ name: {0} }}\nspec:\n  predictor:\n    model:\n"
        "      modelFormat: {{ name: triton }}\n      storageUri: s3://k:secret@bucket/{0}/\n"
    )
    (tmp_path / "file.yaml").write_text(service.format("a") + "---\n" + service.format("b"))
    mapped = {}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        mapped[f"s3://bucket/{name}"] = tmp_path / name
    servers = read_deployments("file.yaml", tmp_path)
    assert [repository_paths(one, mapped) for one in servers] == [
        (tmp_path / "a",),
        (tmp_path / "b",),
    ]


def test_claims_of_kubernetes_are_mapped_by_their_name(tmp_path: Path) -> None:
    text = (
        "apiVersion: v1\nkind: Pod\nmetadata: { name: p }\nspec:\n"
        "  volumes: [ { name: v, persistentVolumeClaim: { claimName: store } } ]\n"
        "  containers:\n  - name: t\n    image: x/tritonserver\n"
        "    args: [ tritonserver, --model-repository=/data/triton ]\n"
        "    volumeMounts: [ { name: v, mountPath: /data, subPath: prod } ]\n"
    )
    error = refused(tmp_path, text)
    assert "is pvc://store/prod." in error.what
    (tmp_path / "copy" / "triton").mkdir(parents=True)
    (server,) = read_deployments("file.yaml", tmp_path)
    mapped = {"pvc://store/prod": tmp_path / "copy"}
    assert repository_paths(server, mapped) == (tmp_path / "copy" / "triton",)
    # what is mapped by its path in the container is that very directory
    assert repository_paths(server, {"/data/triton": tmp_path}) == (tmp_path,)
