"""`audit --deployment`: what is wrong with a deployment, at its line of the YAML."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_triton.__main__ import main

PINNED = 'backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU gpus: [ 1 ] } ]\n'
SERVICE = """services:
  triton:
    image: nvcr.io/nvidia/tritonserver:24.10-py3
    command: tritonserver --model-repository=/models
    volumes: [./models:/models]
    healthcheck: { test: curl -f http://localhost:8000/v2/health/ready }
    gpus: [{ count: 1 }]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    model = tmp_path / "models" / "m"
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(PINNED)
    (tmp_path / "compose.yaml").write_text(SERVICE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, object]]:
    """The findings about deployments, by rule."""
    main(["audit", "--deployment", "compose.yaml", "--format=json", *arguments])
    findings = json.loads(capsys.readouterr().out)["findings"]
    return {one["rule"]: one for one in findings if one["rule"].startswith("TRT6")}


def change(folder: Path, old: str, new: str) -> None:
    text = (folder / "compose.yaml").read_text()
    assert old in text
    (folder / "compose.yaml").write_text(text.replace(old, new))


def test_finding_stands_at_its_line_of_the_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "--deployment", "compose.yaml"]) == 1
    shown = capsys.readouterr().out
    assert "compose.yaml:7:5: TRT601 gpu-not-granted (error)" in shown
    assert "triton: `m` is pinned to GPU 1, and Triton sees 1 GPU, so ids up to 0" in shown
    change(folder, "gpus: [{ count: 1 }]", "gpus: [{ count: 2 }]")
    assert list(found(capsys)) == ["TRT603"]


def test_uncounted_grant_asks_for_the_number_that_a_model_needs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder, "gpus: [{ count: 1 }]", "gpus: all")
    assert main(["audit", "--deployment", "compose.yaml"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        "triton: `m` is pinned to GPU 1, and how many GPUs there are isn't known: it is granted "
        "all GPUs of its host (compose.yaml:7:5). Say how many: --target=2 or more"
    ) in shown
    assert "TRT107" not in shown  # nobody knows that it isn't there
    assert "TRT601" not in found(capsys, "--target=2")
    main(["audit", "--deployment", "compose.yaml", "--target=1"])
    assert "TRT107" in capsys.readouterr().out


def test_uncounted_grant_asks_for_the_number_that_an_engine_takes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder, "gpus: [{ count: 1 }]", "gpus: all")
    change(folder, "24.10-py3", "24.10-vllm-python-py3")
    model = folder / "models/m"
    (model / "config.pbtxt").write_text('backend: "vllm" instance_group [ { kind: KIND_MODEL } ]')
    engine = model / "1/model.json"
    engine.write_text('{"model": "x", "tensor_parallel_size": 4}')
    message = str(found(capsys)["TRT601"]["message"])
    assert message.startswith("triton: the engine of `m` needs 4 GPUs, and how many GPUs there are")
    assert message.endswith("Say how many: --target=4 or more")
    engine.write_text('{"model": "x"}')
    assert found(capsys) == {}


def test_uncounted_grant_is_no_finding_where_one_gpu_is_enough(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder, "gpus: [{ count: 1 }]", "gpus: all")
    (folder / "models/m/config.pbtxt").write_text(PINNED.replace("[ 1 ]", "[ 0 ]"))
    assert found(capsys) == {}


def test_gpu_that_the_variable_hides_is_a_finding_at_the_variable(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(
        folder,
        "gpus: [{ count: 1 }]",
        'gpus: [{ count: 2 }]\n    environment: { CUDA_VISIBLE_DEVICES: "0" }',
    )
    one = found(capsys)["TRT601"]
    assert one["line"] == 8
    assert one["message"] == (
        "triton: `m` is pinned to GPU 1, and CUDA_VISIBLE_DEVICES=0 shows Triton 1 of 2 GPUs"
    )


def test_comment_in_the_file_suppresses_a_rule(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder, "gpus: [{ count: 1 }]", "gpus: [{ count: 1 }]  # triton: ignore TRT601")
    assert "TRT601" not in found(capsys)
    change(folder, "services:", "# triton: ignore-file TRT6\nservices:")
    change(folder, "24.10-py3", "latest")
    assert found(capsys) == {}


def test_rules_are_selected_and_ignored_as_others(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder, "24.10-py3", "latest")
    assert set(found(capsys)) == {"TRT601", "TRT621"}
    assert set(found(capsys, "--select=TRT621")) == {"TRT621"}
    assert set(found(capsys, "--ignore=TRT601: */compose.yaml")) == {"TRT621"}


def test_repository_that_is_not_mounted_is_error_and_can_be_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder, "./models:/models", "claim:/models")
    assert main(["audit", "--deployment", "compose.yaml"]) == 2
    said = capsys.readouterr()
    assert "compose.yaml:4:5: the repository /models isn't on this machine" in said.err
    assert "deployment-repo=/models=DIR" in said.err
    assert "TRT601" in found(capsys, "--deployment-repo=/models=models")


def test_all_gpus_are_as_many_as_the_target_has(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder, "gpus: [{ count: 1 }]", "gpus: all")
    assert "TRT601" in found(capsys, "--target=1")
    assert "TRT603" in found(capsys, "--target=4")


def test_release_of_the_image_decides_about_flags(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder, "/models\n", "/models --model-config-name=h100\n")
    assert "TRT622" not in found(capsys)
    change(folder, "24.10-py3", "24.04-py3")
    message = str(found(capsys)["TRT622"]["message"])
    assert "is known from release 2.46.0 on, and the image is 24.04-py3" in message
    change(folder, "--model-config-name=h100", "--no-such")
    assert "no tritonserver up to" in str(found(capsys)["TRT622"]["message"])


def test_models_are_audited_for_what_the_deployment_loads(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = folder / "models" / "other"
    (other / "1").mkdir(parents=True)
    (other / "config.pbtxt").write_text('backend: "onnxruntime"\n')
    main(["audit", "--deployment", "compose.yaml", "--format=json"])
    about = {one["model"] for one in json.loads(capsys.readouterr().out)["findings"]}
    assert about == {"", "m", "other"}
    change(folder, "/models\n", "/models --model-control-mode=explicit --load-model=m\n")
    main(["audit", "--deployment", "compose.yaml", "--format=json"])
    about = {one["model"] for one in json.loads(capsys.readouterr().out)["findings"]}
    assert about == {"", "m"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("services: {web: {image: nginx}}", "No Triton server is started by compose.yaml"),
        ("a:\n\t- b", "compose.yaml:2:1: not YAML"),
        ("kind: {{ .Values.x }}", "compose.yaml:1:7: this is a template"),
    ],
)
def test_file_that_can_not_be_used_is_error_without_traceback(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    (folder / "compose.yaml").write_text(text)
    assert main(["audit", "--deployment", "compose.yaml"]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert "What to do:" in said.err


def test_secrets_of_the_environment_are_not_shown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(
        folder,
        "gpus: [{ count: 1 }]",
        "gpus: [{ count: 1 }]\n    environment: [TOKEN=hunter2, CUDA_VISIBLE_DEVICES=7]",
    )
    for format in ("text", "json", "sarif", "github"):
        main(["audit", "--deployment", "compose.yaml", f"--format={format}"])
        said = capsys.readouterr()
        assert "TRT602" in said.out
        assert "hunter2" not in said.out + said.err


def test_grant_that_is_proposed_has_the_gpus_that_models_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder, "    gpus: [{ count: 1 }]\n", "")
    proposed = str(found(capsys)["TRT604"])
    assert "gpus: [{ count: 2 }]" in proposed  # its model is on GPU 1


def test_probe_that_asks_another_port_is_found_where_it_stands(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder, "--model-repository=/models", "--model-repository=/models --http-port=8080")
    finding = found(capsys, "--select=TRT616")["TRT616"]
    assert finding["line"] == 6
    assert "the healthcheck fails always: it asks port 8000" in str(finding["message"])
    assert "ask port 8080" in str(finding["message"])


def test_grpc_probe_asks_whether_the_server_is_ready(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "compose.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: { name: p }\nspec:\n  containers:\n  - name: t\n"
        f"    image: nvcr.io/nvidia/tritonserver:24.10-py3\n    args: [tritonserver,"
        f" --model-repository={folder}/models]\n    readinessProbe: {{ grpc: {{ port: 8001 }} }}\n"
        "    livenessProbe: { grpc: { port: 8001 } }\n"
    )
    rules = found(capsys, f"--deployment-repo={folder}/models={folder}/models", "--select=TRT61")
    assert set(rules) == {"TRT610", "TRT612"}
    assert "asks gRPC's health service" in str(rules["TRT610"]["message"])


def test_model_to_load_that_is_misspelt_is_error_with_place_and_service(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    explicit = "--model-control-mode=explicit --load-model"
    (folder / "models" / "m").rename(folder / "models" / "det")
    change(folder, "/models\n", f"/models {explicit}=dett\n")
    assert main(["audit", "--deployment", "compose.yaml"]) == 2
    said = capsys.readouterr().err
    assert "compose.yaml:4:5: triton: --load-model=dett: no model is called so" in said
    assert "did you mean det?" in said
    assert main(["plan", "--deployment", "compose.yaml"]) == 2
    assert "compose.yaml:4:5: triton: --load-model=dett" in capsys.readouterr().err
    change(folder, "dett", "unlike")
    assert main(["audit", "--deployment", "compose.yaml"]) == 2
    assert "correct the server's arguments" in capsys.readouterr().err
    line = f"tritonserver --model-repository=/models {explicit}=unlike"
    change(folder, line, f"[{line.replace(' ', ', ')}]")
    assert main(["audit", "--deployment", "compose.yaml"]) == 2
    assert "compose.yaml:4:88: triton: --load-model" in capsys.readouterr().err


def test_repository_that_is_mapped_by_a_misspelt_name_is_found(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder, "--model-repository=/models", "--model-repository=/modles")
    finding = found(capsys, "--deployment-repo=/modles=models", "--select=TRT627")["TRT627"]
    assert finding["line"] == 4
    assert str(finding["message"]).endswith("nothing is mounted at /modles; did you mean /models?")
    change(folder, "--model-repository=/modles", "--model-repository=/elsewhere")
    assert found(capsys, "--deployment-repo=/elsewhere=models", "--select=TRT627") == {}


def test_server_whose_arguments_are_not_known_is_error_beside_its_findings(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "tritonserver --model-repository=/models"
    change(folder, line, "bash -c 'tritonserver --model-repository=$$(find /)'")
    change(folder, "24.10-py3", "latest")
    assert main(["audit", "--deployment", "compose.yaml"]) == 2
    said = capsys.readouterr()
    assert "TRT621" in said.out
    assert "compose.yaml:4:5: triton: the arguments of tritonserver aren't known: " in said.err
    assert "write them in the file as they are" in said.err


POD = """apiVersion: v1
kind: Pod
metadata: { name: p }
spec:
  containers:
  - name: t
    args: [tritonserver, --model-repository=/models, --http-port=8080]
    resources: { limits: { RESOURCE: 1 } }
    livenessProbe: { httpGet: { path: /v2/health/live, port: 8080 } }
"""


def test_lines_that_are_proposed_have_the_servers_port(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "compose.yaml").write_text(POD.replace("RESOURCE", "nvidia.com/gpu"))
    proposed = found(capsys, "--deployment-repo=/models=models")["TRT612"]
    assert "port: 8080 }" in str(proposed)


def test_accelerators_that_are_no_gpus_are_named_where_gpus_are_missing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "compose.yaml").write_text(POD.replace("RESOURCE", "amd.com/gpu"))
    rules = found(capsys, "--deployment-repo=/models=models")
    assert "no GPU is granted (amd.com/gpu is AMD's" in str(rules["TRT604"]["message"])
    assert rules["TRT607"]["line"] == 8
    (folder / "compose.yaml").write_text(POD.replace("RESOURCE", "corp.example/vgpu"))
    rules = found(capsys, "--deployment-repo=/models=models", "--target=2")
    assert "TRT604" not in rules
    assert "--target counts them" in str(rules["TRT607"]["message"])


TRITON_POD = """apiVersion: v1
kind: Pod
metadata: { name: triton }
spec:
  containers:
    - name: triton
      image: nvcr.io/nvidia/tritonserver:24.10-py3
      args: ["tritonserver", "--model-repository=/models"]
      resources: { limits: { nvidia.com/gpu: 1 } }
      readinessProbe: { httpGet: { path: /v2/health/ready, port: 8000 } }
"""
LIVE = "livenessProbe: { httpGet: { path: /v2/health/live, port: 8000 } }"


def pod(folder: Path, *lines: str) -> None:
    (folder / "compose.yaml").write_text(TRITON_POD + "".join(f"      {line}\n" for line in lines))


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("NVIDIA_VISIBLE_DEVICES, value: void", "NVIDIA_VISIBLE_DEVICES=void takes the place"),
        ("NVIDIA_VISIBLE_DEVICES, value: none", "NVIDIA_VISIBLE_DEVICES=none takes the place"),
        ('NVIDIA_VISIBLE_DEVICES, value: ""', "an empty NVIDIA_VISIBLE_DEVICES takes the place"),
        ("NVIDIA_VISIBLE_DEVICES, value: all", ""),
        ("NVIDIA_DRIVER_CAPABILITIES, value: utility", "=utility has no `compute`: libcuda isn't"),
        ('NVIDIA_DRIVER_CAPABILITIES, value: "utility,video"', "has no `compute`"),
        ('NVIDIA_DRIVER_CAPABILITIES, value: "utility, compute"', ""),
        ("NVIDIA_DRIVER_CAPABILITIES, value: all", ""),
        ('NVIDIA_DRIVER_CAPABILITIES, value: ""', ""),
    ],
)
def test_variable_that_hides_a_pods_gpus_is_found(
    folder: Path, capsys: pytest.CaptureFixture[str], variable: str, text: str
) -> None:
    pod(folder, "env:", f"- {{ name: {variable} }}")
    rules = found(capsys, "--deployment-repo=/models=models")
    assert ("TRT608" in rules) == bool(text)
    if text:
        assert text in str(rules["TRT608"]["message"])
        assert rules["TRT608"]["line"] == 11
    pod(folder, "env:", f"- {{ name: {variable} }}")
    change(folder, "nvidia.com/gpu: 1", "cpu: 1")
    assert "TRT608" not in found(capsys, "--deployment-repo=/models=models")


@pytest.mark.parametrize(
    "selects",
    [
        "nodeSelector: { cloud.google.com/gke-accelerator: nvidia-l4 }",
        "affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: "
        "{ nodeSelectorTerms: [{ matchExpressions: [{ key: cloud.google.com/gke-accelerator, "
        "operator: Exists }] }] } } }",
    ],
)
def test_variables_of_the_toolkit_hide_nothing_on_gke(
    folder: Path, capsys: pytest.CaptureFixture[str], selects: str
) -> None:
    pod(folder, "env: [{ name: NVIDIA_VISIBLE_DEVICES, value: void }]")
    assert "TRT608" in found(capsys, "--deployment-repo=/models=models")
    change(folder, "spec:\n", f"spec:\n  {selects}\n")
    assert "TRT608" not in found(capsys, "--deployment-repo=/models=models")


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ("gpus: [{ count: 1, capabilities: [gpu, utility] }]", "[gpu, utility] has no `compute`"),
        ("gpus: [{ count: 1, capabilities: [utility] }]", "[utility] has no `compute`"),
        ("gpus: [{ count: 1, capabilities: [gpu] }]", ""),
        ("gpus: [{ count: 1, capabilities: [gpu, utility, compute] }]", ""),
        ("gpus: [{ driver: cdi, device_ids: [nvidia.com/gpu=0], capabilities: [gpu] }]", ""),
        ("gpus: all\n    environment: { NVIDIA_DRIVER_CAPABILITIES: utility }", "=utility has no"),
        ("gpus: all\n    environment: { NVIDIA_VISIBLE_DEVICES: void }", ""),
        (
            "runtime: nvidia\n    environment: { NVIDIA_DRIVER_CAPABILITIES: video }",
            "=video has no",
        ),
        (
            "gpus: [{ count: 1, capabilities: [gpu, compute] }]\n"
            "    environment: { NVIDIA_DRIVER_CAPABILITIES: utility }",
            "",
        ),
        (
            "devices: [nvidia.com/gpu=all]\n"
            "    environment: { NVIDIA_DRIVER_CAPABILITIES: utility }",
            "",
        ),
    ],
)
def test_capabilities_without_compute_are_found_in_a_service(
    folder: Path, capsys: pytest.CaptureFixture[str], lines: str, text: str
) -> None:
    change(folder, "gpus: [{ count: 1 }]", lines)
    rules = found(capsys)
    assert ("TRT608" in rules) == bool(text)
    if text:
        assert text in str(rules["TRT608"]["message"])


@pytest.mark.parametrize(
    ("image", "text"),
    [
        ("24.10-py3-sdk", "has clients and their tools, and no tritonserver: take `24.10-py3`"),
        ("24.10-py3-igpu-sdk", "no tritonserver"),
        ("24.10-py3-min", "and no tritonserver: take `24.10-py3`"),
        ("24.10", "NVIDIA has no image `24.10` without a variant: take `24.10-py3`"),
        ("24.13-py3", "NVIDIA has no image `24.13-py3`"),
        ("24.10-py3", ""),
        ("24.10-vllm-python-py3", ""),
        ("27.01-py3", ""),
        ("latest", ""),
        ("24.10-py3-sdk@sha256:0", ""),
    ],
)
def test_official_image_without_a_server_is_found(
    folder: Path, capsys: pytest.CaptureFixture[str], image: str, text: str
) -> None:
    change(folder, "24.10-py3", image)
    rules = found(capsys)
    assert ("TRT628" in rules) == bool(text)
    if text:
        assert text in str(rules["TRT628"]["message"])
        assert rules["TRT628"]["line"] == 3
    change(folder, "nvcr.io/nvidia/", "mirror.example/nvidia/")
    assert "TRT628" not in found(capsys)


def test_base_of_an_image_that_is_built_may_lack_the_server(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "Dockerfile").write_text("FROM nvcr.io/nvidia/tritonserver:24.10-py3-min\n")
    change(folder, "image: nvcr.io/nvidia/tritonserver:24.10-py3", "build: .")
    assert "TRT628" not in found(capsys)


def test_startup_probe_that_gives_up_early_is_named_with_its_own_patience(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = "httpGet: { path: /v2/health/live, port: 8000 }"
    startup = f"startupProbe: {{ failureThreshold: 1, periodSeconds: 1, {asked} }}"
    pod(folder, LIVE, startup)
    rule = found(capsys, "--deployment-repo=/models=models")["TRT612"]
    assert "restarted 1 s after its start" in str(rule["message"])
    assert rule["line"] == 12
    assert "failureThreshold: 600  # 10 minutes" in str(rule)
    pod(folder, LIVE, startup.replace("failureThreshold: 1,", "failureThreshold: 600,"))
    assert "TRT612" not in found(capsys, "--deployment-repo=/models=models")
