"""Resource names of Kubernetes: which of them are NVIDIA GPUs, and how many."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.deployment.gpu_resources import granted_by
from pytest_triton.deployment.reading import read_deployments
from pytest_triton.deployment.yaml_file import BadYaml, parse_yaml


def container(resources: str, path: Path = Path("file.yaml")) -> object:
    (node,) = parse_yaml(f"name: triton\nresources:\n  {resources}\n", path)
    return granted_by(node)[0]


def granted(limits: str) -> int | None:
    (node,) = parse_yaml(f"name: triton\nresources:\n  limits: {{ {limits} }}\n", Path("f.yaml"))
    grant, _ = granted_by(node)
    return None if grant.kind == "unknown" else grant.count


@pytest.mark.parametrize(
    ("limits", "count"),
    [
        ("nvidia.com/gpu: 2", 2),
        ("nvidia.com/gpu: '1.0'", 1),
        ("nvidia.com/gpu: 2000m", 2),
        ("nvidia.com/gpu: 0", 0),
        ("nvidia.com/gpu.shared: 3", 3),
        ("nvidia.com/gpu-10gb: 1", 1),
        ("nvidia.com/mig-1g.5gb: 1", 1),
        ("nvidia.com/mig-1g.10gb.me: 1", 1),
        ("nvidia.com/mig-3g.20gb.shared: 2", 2),
        ("nvidia.com/vgpu: 1", 1),
        ("nvidia.com/pgpu: 1", 1),
        ("nvidia.com/GA102GL_A10: 2", 2),
        ("nvidia.com/GRID_T4-2A: 1", 1),
        ("nvidia.com/A100: 1", 1),
        ("nvidia.com/gpu: 1, nvidia.com/gpumem: 3000, nvidia.com/gpucores: 30", 1),
        ("nvidia.com/gpu: 2, nvidia.com/gpumem-percentage: 50, nvidia.com/priority: 1", 2),
        ("aliyun.com/gpu-count: 2, aliyun.com/gpu-mem: 8", 2),
        ("aliyun.com/gpu-mem: 8", 1),
        ("volcano.sh/gpu-number: 2", 2),
        ("volcano.sh/vgpu-number: 2, volcano.sh/vgpu-memory: 3000, volcano.sh/vgpu-cores: 50", 2),
        ("volcano.sh/gpu-memory: 1024", 1),
        ("tencent.com/vcuda-core: 200, tencent.com/vcuda-memory: 60", 2),
        ("tencent.com/vcuda-core: 20, tencent.com/vcuda-memory: 15", 1),
        ("koordinator.sh/gpu-core: 50, koordinator.sh/gpu-memory-ratio: 50", 1),
        ("koordinator.sh/gpu: 200", 2),
        ("k8s.amazonaws.com/vgpu: 1", 1),
        ("nvidia.com/gpu: 1, nvidia.com/hostdev: 8, rdma/hca_shared: 1", 1),
        ("nvidia.com/rdma_shared_device_a: 1, nvidia.com/mlnxnics: 2, cpu: 4", 0),
        ("", 0),
    ],
)
def test_resources_of_real_device_plugins_are_counted(limits: str, count: int) -> None:
    assert granted(limits) == count


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("nvidia.com/gpus", "nvidia.com/gpu"),
        ("nvidia.com/GPU", "nvidia.com/gpu"),
        ("nvidia.com/Gpus", "nvidia.com/gpu"),
        ("nvidia.com/gpu_shared", "nvidia.com/gpu.shared"),
        ("nvidia.com/gpumemory", "nvidia.com/gpumem"),
        ("nvidai.com/gpu", "nvidia.com/gpu"),
        ("NVIDIA.com/gpu", "nvidia.com/gpu"),
        ("nvidia/gpu", "nvidia.com/gpu"),
        ("nvidia.io/gpus", "nvidia.com/gpu"),
        ("nvidia.com.gpu", "nvidia.com/gpu"),
        ("gpu", "nvidia.com/gpu"),
        ("nvidia.com/mig-1g5gb", "nvidia.com/mig-1g.5gb"),
    ],
)
@pytest.mark.parametrize("kind", ["limits", "requests"])
def test_resource_that_is_misspelt_is_error_with_what_was_meant(
    name: str, meant: str, kind: str
) -> None:
    with pytest.raises(BadYaml) as caught:
        container(f"{kind}: {{ {name}: 1 }}")
    assert caught.value.what.startswith(f"file.yaml:3:{len(kind) + 7}: ")
    assert f"no device plugin has the resource {name}" in caught.value.what
    assert caught.value.fix.startswith(f"did you mean {meant}")


@pytest.mark.parametrize(
    ("name", "whose"),
    [
        ("amd.com/gpu", "AMD's"),
        ("gpu.intel.com/i915", "Intel's"),
        ("habana.ai/gaudi", "Gaudi"),
        ("google.com/tpu", "Google's"),
        ("cloud-tpus.google.com/v2", "Google's"),
        ("aws.amazon.com/neuron", "AWS'"),
        ("aws.amazon.com/neuroncore", "AWS'"),
        ("huawei.com/Ascend910", "Huawei's"),
        ("nvidia.com/gpumem", "share (HAMi's) of the GPUs that nvidia.com/gpu counts"),
        ("nvidia.com/gpucores", "share (HAMi's)"),
    ],
)
def test_other_accelerators_grant_no_gpu_and_are_named(name: str, whose: str) -> None:
    (node,) = parse_yaml(f"resources: {{ limits: {{ {name}: 1 }} }}\n", Path("f.yaml"))
    grant, place = granted_by(node)
    assert (grant.kind, grant.count) == ("none", 0)
    assert name in grant.others
    assert whose in grant.others
    assert place is not None
    (node,) = parse_yaml(f"resources: {{ limits: {{ {name}: 0 }} }}\n", Path("f.yaml"))
    assert granted_by(node)[0].others == ""


def test_resource_of_the_clusters_own_is_not_counted_and_asked_for() -> None:
    (node,) = parse_yaml("resources: { limits: { corp.example/vgpu: 2 } }\n", Path("f.yaml"))
    grant, _ = granted_by(node)
    assert grant.kind == "unknown"
    assert "corp.example/vgpu isn't known to be of NVIDIA GPUs" in grant.unknown
    assert "--target" in grant.others


@pytest.mark.parametrize("amount", ["1.5", "500m", "one", "-1", "''", "1e-1", "1.2.3"])
def test_number_of_gpus_that_is_none_is_error(amount: str) -> None:
    with pytest.raises(BadYaml, match="is no whole number") as caught:
        container(f"limits: {{ nvidia.com/gpu: {amount} }}")
    assert "file.yaml:3:13: nvidia.com/gpu: " in caught.value.what
    assert caught.value.fix == "write a number: nvidia.com/gpu: 1"


@pytest.mark.parametrize(
    ("resources", "what", "fix"),
    [
        (
            "requests: { nvidia.com/gpu: 2 }",
            "is requested and not limited",
            "resources.limits: nvidia.com/gpu: 2",
        ),
        (
            "{ limits: { nvidia.com/gpu: 2 }, requests: { nvidia.com/gpu: 1 } }",
            "1 of nvidia.com/gpu are requested and 2 are the limit",
            "the same number in both",
        ),
        ("requests: { nvidia.com/gpu: 0.5 }", "is no whole number", "write a number"),
    ],
)
def test_requests_that_kubernetes_refuses_are_errors(resources: str, what: str, fix: str) -> None:
    with pytest.raises(BadYaml) as caught:
        container(resources)
    assert what in caught.value.what
    assert fix in caught.value.fix


def test_requests_that_equal_the_limits_are_fine() -> None:
    grant = container(
        "{ limits: { nvidia.com/gpu: 1 }, requests: { nvidia.com/gpu: '1', cpu: 2 } }"
    )
    assert str(grant) == "1 GPU"


@pytest.mark.parametrize(
    ("notes", "count"),
    [
        ("gpu-fraction: '0.5'", 1),
        ("gpu-memory: '4096'", 1),
        ("gpu-fraction: '0.5', gpu-fraction-num-devices: '2'", 2),
        ("other: x", 0),
    ],
)
def test_share_that_an_annotation_asks_for_is_granted(
    tmp_path: Path, notes: str, count: int
) -> None:
    (tmp_path / "file.yaml").write_text(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: d }\nspec:\n  template:\n"
        f"    metadata: {{ annotations: {{ {notes} }} }}\n    spec:\n      containers:\n"
        "      - { name: t, command: [tritonserver] }\n"
    )
    (server,) = read_deployments("file.yaml", tmp_path, {})
    assert server.granted(None) == count


def test_other_containers_resources_are_not_judged(tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: { name: p }\nspec:\n  containers:\n"
        "  - { name: t, command: [tritonserver] }\n"
        "  - { name: x, image: x, resources: { limits: { nvidia.com/gpus: 1.5 } } }\n"
    )
    (server,) = read_deployments("file.yaml", tmp_path, {})
    assert server.granted(None) == 0
