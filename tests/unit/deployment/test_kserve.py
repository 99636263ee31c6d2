"""InferenceServices of KServe, with the runtimes that they use."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.deployment.deployed_server import DeployedServer, NoTriton
from pytest_triton.deployment.reading import read_deployments
from pytest_triton.deployment.yaml_file import BadYaml

RUNTIME = """apiVersion: serving.kserve.io/v1alpha1
kind: KIND
metadata: { name: NAME }
spec:
  supportedModelFormats: [{ name: triton, version: "2", autoSelect: true }, { name: onnx }]
  containers:
  - name: kserve-container
    image: nvcr.io/nvidia/tritonserver:23.05-py3
    args: [tritonserver, --model-store=/mnt/models, --http-port=8080]
    env: [{ name: A, value: runtime }, { name: B, value: runtime }]
    resources: { requests: { cpu: 1 }, limits: { cpu: 1, nvidia.com/gpu: 1 } }
    readinessProbe: { httpGet: { path: /v2/health/ready, port: 8080 } }
    volumeMounts: [{ name: shm, mountPath: /dev/shm }]
  volumes: [{ name: shm, emptyDir: { medium: Memory, sizeLimit: 2Gi } }]
---
"""
SERVICE = """apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: { name: s }
spec:
  predictor:
    minReplicas: 1
    model:
      modelFormat: { name: FORMAT }
      protocolVersion: v2
      storageUri: pvc://claim/models
"""


def read(tmp_path: Path, text: str) -> tuple[DeployedServer, ...]:
    (tmp_path / "file.yaml").write_text(text)
    return read_deployments("file.yaml", tmp_path, {})


def runtime(name: str, kind: str = "ServingRuntime") -> str:
    return RUNTIME.replace("NAME", name).replace("KIND", kind)


def service(*lines: str, format: str = "triton") -> str:
    text = SERVICE.replace("FORMAT", format)
    return text + "".join(f"      {line}\n" for line in lines)


def test_runtime_alone_gets_its_gpus_from_services_that_are_elsewhere(tmp_path: Path) -> None:
    text = (
        "apiVersion: serving.kserve.io/v1alpha1\nkind: ServingRuntime\nmetadata: { name: r }\n"
        "spec:\n  containers:\n  - name: kserve-container\n    image: x/tritonserver:24.10-py3\n"
        "    args: [ tritonserver, --model-repository=/mnt/models ]\n"
    )
    (server,) = read(tmp_path, text)
    assert server.grant.kind == "unknown"
    assert "InferenceService" in server.grant.unknown
    limits = "    resources: { limits: { nvidia.com/gpu: 2 } }\n"
    (server,) = read(tmp_path, text + limits)
    assert server.granted(None) == 2


@pytest.mark.parametrize("kind", ["ServingRuntime", "ClusterServingRuntime"])
def test_model_is_merged_over_its_runtimes_container(tmp_path: Path, kind: str) -> None:
    text = runtime("mine", kind) + service(
        "runtime: mine",
        "runtimeVersion: 24.10-py3",
        "args: [--exit-on-error=false]",
        "env: [{ name: B, value: service }, { name: C, value: service }]",
        "resources: { limits: { nvidia.com/gpu: 2 } }",
        format="onnx",
    )
    (server,) = read(tmp_path, text)
    assert server.name == "InferenceService/s"
    assert server.arguments == (
        "--model-store=/mnt/models",
        "--http-port=8080",
        "--exit-on-error=false",
    )
    assert server.image == "nvcr.io/nvidia/tritonserver:24.10-py3"
    assert server.environment == {"A": "runtime", "B": "service", "C": "service"}
    assert server.granted(None) == 2
    assert server.shm_bytes == 2 << 30
    (probe,) = server.probes
    assert (probe.what, probe.port) == ("readiness", "8080")
    assert server.assumed == ()
    assert server.grant_place is not None
    assert server.grant_place.line == text[: text.index("nvidia.com/gpu: 2")].count("\n") + 1


def test_runtime_that_is_chosen_for_the_format_is_used(tmp_path: Path) -> None:
    both = runtime("cluster", "ClusterServingRuntime").replace("http-port=8080", "http-port=1")
    (server, other) = read(tmp_path, both + runtime("mine") + service())
    assert (server.name, other.name) == ("ClusterServingRuntime/cluster", "InferenceService/s")
    assert other.line.number("http-port", 0) == 8080  # the namespace's own comes first
    (server,) = read(tmp_path, both + service())
    assert server.line.number("http-port", 0) == 1
    disabled = both.replace("spec:\n", "spec:\n  disabled: true\n", 1)
    assert [one.name for one in read(tmp_path, disabled + service())] == [
        "ClusterServingRuntime/cluster",
        "InferenceService/s",
    ]


def test_runtime_of_kserves_own_is_assumed_where_it_is_not_in_the_file(tmp_path: Path) -> None:
    for lines, format in (((), "triton"), (("runtime: kserve-tritonserver",), "onnx")):
        (server,) = read(tmp_path, service(*lines, "runtimeVersion: 24.10-py3", format=format))
        assert server.line.repositories == ("/mnt/models",)
        assert server.line.number("http-port", 0) == 8080
        assert server.line.loads is None
        assert server.container_release == "24.10"
        ((place, text),) = server.assumed
        assert place.line == 8
        assert "kserve-tritonserver isn't in the file" in text
    assert read(tmp_path, service())[0].image == ""


def test_service_without_storage_loads_nothing_at_the_start(tmp_path: Path) -> None:
    text = service("runtime: kserve-tritonserver").replace(
        "      storageUri: pvc://claim/models\n", ""
    )
    (server,) = read(tmp_path, text)
    assert server.line.loads == ()
    (server,) = read(tmp_path, text + "      storage: { uri: s3://bucket }\n")
    assert server.line.loads is None


def test_arguments_of_another_runtime_that_is_not_in_the_file_are_not_known(tmp_path: Path) -> None:
    (server,) = read(tmp_path, service("runtime: triton-24", format="onnx"))
    assert "the runtime triton-24, which isn't in the file" in server.unknown
    assert server.unknown_fix == "put the runtime's manifest into the file"
    (server,) = read(tmp_path, service("runtime: own", format="triton"))
    assert "the runtime own" in server.unknown


def test_command_that_is_a_script_of_its_own_is_not_known(tmp_path: Path) -> None:
    command = "command: [sh, -c, /mnt/models/run.sh]"
    (server,) = read(tmp_path, runtime("mine") + service("runtime: mine", command))
    assert "a script of its own" in server.unknown


@pytest.mark.parametrize(
    "lines",
    [
        service(format="sklearn"),
        service(format="onnx"),
        service("runtime: kserve-mlserver", format="onnx"),
        service().replace(
            "{ name: s }",
            "{ name: s, annotations: { serving.kserve.io/deploymentMode: ModelMesh } }",
        ),
        runtime("mine").replace("tritonserver", "other") + service("runtime: mine"),
    ],
)
def test_service_of_another_server_is_none(tmp_path: Path, lines: str) -> None:
    with pytest.raises(NoTriton):
        read(tmp_path, lines)
    pod = "---\napiVersion: v1\nkind: Pod\nmetadata: { name: p }\nspec:\n  containers:\n"
    (found,) = read(tmp_path, f"{lines}{pod}  - {{ name: t, command: [tritonserver] }}\n")
    assert found.name == "Pod/p"


def test_runtime_that_no_service_uses_is_a_server_of_its_own(tmp_path: Path) -> None:
    found = read(tmp_path, runtime("mine") + runtime("other") + service("runtime: mine"))
    assert [one.name for one in found] == ["ServingRuntime/other", "InferenceService/s"]


def test_runtime_without_kserves_container_is_error(tmp_path: Path) -> None:
    text = runtime("mine").replace("kserve-container", "triton") + service("runtime: mine")
    with pytest.raises(
        BadYaml, match="the runtime mine has no container kserve-container"
    ) as caught:
        read(tmp_path, text)
    assert "file.yaml:1:1:" in caught.value.what
    assert "kserve-container" in caught.value.fix


def test_older_form_has_kserves_runtime_too(tmp_path: Path) -> None:
    text = SERVICE.replace("model:", "triton:").replace("      modelFormat: { name: FORMAT }\n", "")
    (server,) = read(tmp_path, text)
    assert server.line.repositories == ("/mnt/models",)
    assert len(server.assumed) == 1
    (server,) = read(tmp_path, runtime("kserve-tritonserver", "ClusterServingRuntime") + text)
    assert server.container_release == "23.05"
    assert server.assumed == ()


def test_sidecar_of_the_runtime_may_answer_other_ports(tmp_path: Path) -> None:
    from pytest_triton.deployment.probes import faults

    wrong = runtime("mine").replace("port: 8080 }", "port: 81 }")
    (server,) = read(tmp_path, wrong + service("runtime: mine"))
    assert len(list(faults(server))) == 1
    beside = wrong.replace("  volumes: [", "  - { name: proxy, image: x }\n  volumes: [")
    (server,) = read(tmp_path, beside + service("runtime: mine"))
    assert list(faults(server)) == []


def test_runtime_of_another_file_of_the_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "a-service.yaml").write_text(service("runtime: mine", format="onnx"))
    (tmp_path / "runtime.yaml").write_text(runtime("mine"))
    (server,) = read_deployments(".", tmp_path, {})
    assert server.title == f"{tmp_path}/a-service.yaml::InferenceService/s"
    assert server.line.number("http-port", 0) == 8080
    with pytest.raises(NoTriton):
        read_deployments("a-service.yaml", tmp_path, {})
    # Of two runtimes of a name nobody knows which one counts.
    (tmp_path / "runtime2.yaml").write_text(runtime("mine").replace("8080", "1"))
    with pytest.raises(NoTriton):
        read_deployments(".::InferenceService/s", tmp_path, {})


@pytest.mark.parametrize(
    ("spec", "format", "what", "fix"),
    [
        (
            "",
            "tritn",
            "file.yaml:23:22: the runtime mine doesn't support the format tritn",
            "triton?",
        ),
        (
            "",
            "sklearn",
            "doesn't support the format sklearn",
            "/file.yaml:5:3)",
        ),
        ("disabled: true", "triton", "the runtime mine is disabled", "/file.yaml:5:3)"),
        (
            "protocolVersions: [v1, grpc-v2]",
            "triton",
            "file.yaml:25:7: the runtime mine has no protocolVersion v2",
            "/file.yaml:5:3)",
        ),
    ],
)
def test_runtime_that_kserve_would_not_use_for_a_model_is_error(
    tmp_path: Path, spec: str, format: str, what: str, fix: str
) -> None:
    text = runtime("mine")
    if spec:
        text = text.replace("spec:\n", f"spec:\n  {spec}\n", 1)
    with pytest.raises(BadYaml) as caught:
        read(tmp_path, text + service("runtime: mine", format=format))
    assert what in caught.value.what
    assert fix in caught.value.fix


def test_runtime_that_supports_format_and_protocol_is_used(tmp_path: Path) -> None:
    text = runtime("mine").replace("spec:\n", "spec:\n  protocolVersions: [v2, grpc-v2]\n", 1)
    (found,) = read(tmp_path, text + service("runtime: mine", format="onnx"))
    assert found.name == "InferenceService/s"
