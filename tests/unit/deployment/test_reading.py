"""The Triton servers in compose files and manifests, as values."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.deployment.deployed_server import DeployedServer, NoTriton
from pytest_triton.deployment.reading import read_deployments
from pytest_triton.deployment.yaml_file import BadYaml


def servers(tmp_path: Path, text: str, **environ: str) -> tuple[DeployedServer, ...]:
    (tmp_path / "file.yaml").write_text(text)
    return read_deployments("file.yaml", tmp_path, environ)


def service(tmp_path: Path, lines: str, **environ: str) -> DeployedServer:
    """The one service of a compose file, started by `tritonserver`."""
    text = f"services:\n  t:\n    command: tritonserver --model-repository=/m\n{lines}"
    (found,) = servers(tmp_path, text, **environ)
    return found


@pytest.mark.parametrize(
    ("lines", "granted"),
    [
        ("", (0, 0)),
        ("    gpus: all\n", (None, 8)),
        ("    gpus: [{ count: 2 }]\n", (2, 2)),
        ("    gpus: [{driver: nvidia, count: 3}]\n", (3, 3)),
        ("    runtime: nvidia\n", (None, 8)),
        ("    runtime: nvidia\n    environment: [NVIDIA_VISIBLE_DEVICES=0]\n", (1, 1)),
        ("    runtime: nvidia\n    environment: {NVIDIA_VISIBLE_DEVICES: void}\n", (0, 0)),
        ("    environment: {NVIDIA_VISIBLE_DEVICES: all}\n", (0, 0)),
        ("    gpus: [{ count: 2 }]\n    environment: {CUDA_VISIBLE_DEVICES: '1'}\n", (1, 1)),
        ("    gpus: [{ count: 2 }]\n    environment: {CUDA_VISIBLE_DEVICES: '6,7'}\n", (0, 0)),
        ("    gpus: [{ count: 2 }]\n    environment: {CUDA_VISIBLE_DEVICES: ''}\n", (0, 0)),
        ("    gpus: [{ count: 2 }]\n    environment: {CUDA_VISIBLE_DEVICES: '0,0'}\n", (0, 0)),
        ("    gpus: [{ count: 2 }]\n    environment: {CUDA_VISIBLE_DEVICES: '0,5,1'}\n", (1, 1)),
        ("    gpus: all\n    environment: {CUDA_VISIBLE_DEVICES: 'GPU-1,MIG-2'}\n", (2, 2)),
    ],
)
def test_gpus_of_a_service_are_those_that_cuda_shows(
    tmp_path: Path, lines: str, granted: tuple[int | None, int | None]
) -> None:
    found = service(tmp_path, lines)
    assert (found.visible(None), found.visible(8)) == granted


@pytest.mark.parametrize(
    ("device", "granted"),
    [
        ("{driver: nvidia, count: 1, capabilities: [gpu]}", 1),
        ("{driver: nvidia, count: all, capabilities: [gpu]}", 8),
        ("{driver: nvidia, count: All, capabilities: [gpu]}", 8),
        ("{driver: nvidia, count: -1, capabilities: [gpu]}", 8),
        ("{driver: nvidia, count: '2', capabilities: [gpu]}", 2),
        ("{capabilities: [gpu]}", 8),
        ("{capabilities: [[gpu, utility]]}", 8),
        ("{driver: nvidia, device_ids: ['0', '3'], capabilities: [gpu]}", 2),
        ("{driver: nvidia, device_ids: ['${GPU}'], capabilities: [gpu]}", 1),
        ("{capabilities: [tpu]}", 0),
        ("{capabilities: [compute, utility]}", 8),
        ("{capabilities: [nvidia]}", 8),
        ("{driver: nvidia, capabilities: [nvidia-compute]}", 0),
        ("{driver: amd, count: 1, capabilities: [gpu]}", 0),
        ("{driver: cdi, device_ids: [nvidia.com/gpu=all]}", 8),
        ("{driver: cdi, device_ids: [nvidia.com/gpu=0, nvidia.com/gpu=1], capabilities: [gpu]}", 2),
        ("{driver: cdi, device_ids: ['nvidia.com/gpu=${GPU}']}", 1),
        ("{driver: cdi, device_ids: [amd.com/gpu=all]}", 0),
        ("{driver: cdi, device_ids: [nix-direnv.cdi/shell=devshell]}", 0),
    ],
)
def test_reserved_devices_are_granted(tmp_path: Path, device: str, granted: int) -> None:
    lines = f"    deploy: {{resources: {{reservations: {{devices: [{device}]}}}}}}\n"
    assert service(tmp_path, lines, GPU="4").granted(8) == granted


@pytest.mark.parametrize(
    ("device", "what", "fix"),
    [
        ("{driver: nvidai, capabilities: [gpu]}", "no device driver nvidai", "mean nvidia?"),
        ("{driver: Nvidia, capabilities: [gpu]}", "no device driver Nvidia", "mean nvidia?"),
        ("{driver: nvidia, capabilities: [gpus]}", "no capability gpus", "did you mean gpu?"),
        ("{capabilities: [[GPU]]}", "no capability GPU", "did you mean gpu?"),
        ("{driver: nvidia, capabilities: [utilty]}", "no capability utilty", "mean utility?"),
        (
            "{driver: cdi, device_ids: [nvidai.com/gpu=0]}",
            "no CDI device is called nvidai.com/gpu=0",
            "did you mean nvidia.com/gpu=0?",
        ),
        ("{count: two, capabilities: [gpu]}", "`count: two` is no number", "count: all"),
        ("{count: -2, capabilities: [gpu]}", "`count: -2` is no number", "count: all"),
        ("{count: 1.5, capabilities: [gpu]}", "`count: 1.5` is no number", "count: 1"),
        ("{count: '${GPU}x', capabilities: [gpu]}", "`count: 4x` is no number", "count: 1"),
        ("{count: [2], capabilities: [gpu]}", "`count` is no number", "count: 1"),
        ("{count: 1, device_ids: ['0'], capabilities: [gpu]}", "beside `device_ids`", "keep one"),
        ("{driver: nvidia, count: 1}", "no `capabilities`", "capabilities: [gpu]"),
        ("{driver: nvidia, capabilities: gpu}", "isn't a list", "capabilities: [gpu]"),
        ("{device_ids: '0', capabilities: [gpu]}", "isn't a list", "device_ids: [0]"),
    ],
)
def test_reserved_devices_that_compose_refuses_are_errors(
    tmp_path: Path, device: str, what: str, fix: str
) -> None:
    lines = f"    deploy: {{resources: {{reservations: {{devices: [{device}]}}}}}}\n"
    with pytest.raises(BadYaml) as caught:
        service(tmp_path, lines, GPU="4")
    assert "file.yaml:4:" in caught.value.what
    assert what in caught.value.what
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("gpus", "what", "fix"),
    [
        ("two", "`gpus: two` is neither `all` nor a list", "gpus: all"),
        ("2", "`gpus: 2` is neither `all` nor a list", "gpus: [{ count: 2 }]"),
        ("All", "`gpus: All` is neither `all` nor a list", "gpus: all"),
        ("${GPU}", "`gpus: 4` is neither `all` nor a list", "gpus: [{ count: 4 }]"),
        ("-1", "`gpus: -1` is neither `all` nor a list", "gpus: [{ count: 1 }]"),
        ("{count: 1}", "`gpus` isn't a list", "after a `-`"),
        ("[{driver: nvidai}]", "no device driver nvidai", "did you mean nvidia?"),
        ("[{capabilities: [gpuu]}]", "no capability gpuu", "did you mean gpu?"),
        ("[{count: two}]", "`count: two` is no number", "count: all"),
        ("[{count: 1, device_ids: ['0']}]", "beside `device_ids`", "keep one"),
    ],
)
def test_gpus_that_compose_refuses_are_errors(
    tmp_path: Path, gpus: str, what: str, fix: str
) -> None:
    with pytest.raises(BadYaml) as caught:
        service(tmp_path, f"    gpus: {gpus}\n", GPU="4")
    assert "file.yaml:4:" in caught.value.what
    assert what in caught.value.what
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("lines", "what", "fix"),
    [
        ("    gpu: all\n", "file.yaml:4:5: Compose has no `gpu` here", "did you mean gpus?"),
        (
            "    deploy: {resources: {reservations: {device: [{capabilities: [gpu]}]}}}\n",
            "file.yaml:4:41: Compose has no `device` here",
            "did you mean devices?",
        ),
        ("    runtime: nvidai\n", "file.yaml:4:5: runtime: nvidai isn't", "did you mean nvidia?"),
        (
            "    devices: ['nvidia.com/gpus=0']\n",
            "file.yaml:4:15: no CDI device is called nvidia.com/gpus=0",
            "did you mean nvidia.com/gpu=0?",
        ),
    ],
)
def test_misspelt_words_about_gpus_are_errors_with_what_was_meant(
    tmp_path: Path, lines: str, what: str, fix: str
) -> None:
    with pytest.raises(BadYaml) as caught:
        service(tmp_path, lines)
    assert what in caught.value.what
    assert caught.value.fix == fix


@pytest.mark.parametrize(
    ("lines", "granted", "others"),
    [
        ("    devices: ['nvidia.com/gpu=all']\n", 8, ""),
        ("    devices: ['nvidia.com/gpu=${GPU:-0}', /dev/fuse]\n", 1, ""),
        ("    devices: ['/dev/nvidia0:/dev/nvidia0']\n", 0, ""),
        ("    devices: [{source: /dev/x, target: /dev/y}]\n", 0, ""),
        ("    runtime: runc\n", 0, ""),
        ("    gpus: [{driver: amd}]\n", 0, "driver: amd grants no GPU of NVIDIA's"),
        (
            "    deploy: {resources: {reservations: {devices: [{capabilities: [tpu]}]}}}\n",
            0,
            "no driver of Docker for NVIDIA GPUs has the capability tpu",
        ),
        (
            "    gpus: [{driver: nvidia, capabilities: [nvidia-compute]}]\n",
            0,
            "no driver of Docker for NVIDIA GPUs has the capability nvidia-compute",
        ),
        (
            "    deploy: {resources: {reservations: {devices: [{capabilities: [tpu]},"
            " {count: 2, capabilities: [gpu]}]}}}\n",
            2,
            "",
        ),
    ],
)
def test_other_devices_of_a_service_are_no_gpus(
    tmp_path: Path, lines: str, granted: int, others: str
) -> None:
    found = service(tmp_path, lines)
    assert found.granted(8) == granted
    assert found.grant.others == others


def test_variables_of_a_file_that_is_not_here_are_said_to_be_assumed(tmp_path: Path) -> None:
    (tmp_path / "here.env").write_text("A=1\n")
    (place, text) = service(tmp_path, "    env_file: [here.env, gone.env]\n").assumed[0]
    assert (place.line, place.column) == (4, 26)
    assert text == "gone.env isn't here; it may set CUDA_VISIBLE_DEVICES, which is taken as unset"
    for more in ("{path: gone.env, required: false}", "here.env"):
        assert service(tmp_path, f"    env_file: [{more}]\n").assumed == ()
    known = "    environment: [CUDA_VISIBLE_DEVICES=0]\n"
    assert service(tmp_path, f"    env_file: gone.env\n{known}").assumed == ()


def test_service_is_read_with_all_that_matters(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TAG=24.10-py3  # of production\nexport LEVEL='1'\n")
    (found,) = servers(
        tmp_path,
        """
services:
  web: {image: "nginx:${UNSET}"}
  client: {image: nvcr.io/nvidia/tritonserver:24.10-py3-sdk, command: sleep infinity}
  triton:
    image: nvcr.io/nvidia/tritonserver:${TAG}
    entrypoint: ["/bin/bash", "-c"]
    command: ["tritonserver --model-repository=/models --log-verbose=$LEVEL"]
    shm_size: 512mb
    restart: unless-stopped
    volumes: ["./models:/models:ro", "cache:/cache", "${UNSET}:/other"]
    healthcheck:
      test: curl -f http://localhost:8000/v2/health/ready
      interval: 1m30s
      start_period: 10s
      retries: 2
""",
    )
    assert found.name == "triton"
    assert found.arguments == ("--model-repository=/models", "--log-verbose=1")
    assert (found.container_release, found.variant) == ("24.10", "py3")
    assert found.directory("/models/sub") == tmp_path / "models" / "sub"
    assert found.directory("/cache") is None
    assert found.directory("/other") is None
    assert found.shm_bytes == 512 << 20
    (probe,) = found.probes
    assert (probe.asks_ready, probe.patience, probe.place.line) == (True, 190, 12)
    assert str(found.place("image")) == f"{tmp_path}/file.yaml:6:5"


def test_image_that_is_built_here_has_its_dockerfiles_command(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "ARG TAG=23.10-py3\nFROM nvcr.io/nvidia/tritonserver:${TAG} AS base\nFROM base\n"
        'ENV CUDA_VISIBLE_DEVICES=0\nENTRYPOINT ["tritonserver"]\n'
        'CMD ["--model-repository=/models"]\n'
    )
    (found,) = servers(tmp_path, "services:\n  t:\n    build: .\n    gpus: [{ count: 2 }]\n")
    assert found.arguments == ("--model-repository=/models",)
    assert found.container_release == "23.10"
    assert found.visible(None) == 1
    (given,) = servers(tmp_path, "services: {t: {build: {context: .}, command: --id=x}}\n")
    assert given.arguments == ("--id=x",)


def test_flags_for_an_entrypoint_that_is_not_here_are_tritonservers(tmp_path: Path) -> None:
    text = 'services: {t: {build: ., command: ["--model-repository=/m", "--log-info=1"]}}'
    (found,) = servers(tmp_path, text)
    assert found.arguments == ("--model-repository=/m", "--log-info=1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("services: {t: {command: tritonserver, image: 'x:${TAG}'}}", "${TAG} has no value here"),
    ],
)
def test_what_can_not_be_resolved_is_error_with_place(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(BadYaml) as caught:
        servers(tmp_path, text)
    assert words in str(caught.value)
    assert "file.yaml:" in str(caught.value)


POD = """
      containers:
      - name: triton
        image: nvcr.io/nvidia/tritonserver:24.02-py3
        args: ["tritonserver", "--model-repository=$(REPO)", "--id=$(NOWHERE)"]
        env:
        - {name: REPO, valueFrom: {configMapKeyRef: {name: settings, key: repo}}}
        - {name: TOKEN, valueFrom: {secretKeyRef: {name: secret, key: token}}}
        resources: {limits: {LIMIT}}
        livenessProbe: {httpGet: {path: /v2/health/live, port: 8000}, periodSeconds: 5}
        startupProbe: {exec: {command: [curl, "localhost:8000/v2/health/ready"]}}
        volumeMounts:
        - {name: models, mountPath: /models}
        - {name: shm, mountPath: /dev/shm}
      - {name: sidecar, image: nginx}
      volumes:
      - {name: models, persistentVolumeClaim: {claimName: models}}
      - {name: shm, emptyDir: {medium: Memory, sizeLimit: 1Gi}}
"""


def manifest(kind: str, above: str, limit: str = '"nvidia.com/gpu": 2') -> str:
    depth = above.count(".") * 2 + 2
    lines = [f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: server}}"]
    for level, key in enumerate(above.split(".")):
        lines.append("  " * level + f"{key}:")
    pod = POD.replace("LIMIT", limit)
    for line in pod.split("\n"):
        lines.append(" " * (depth - 6) + line if depth > 6 else line[6 - depth :])
    return (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {repo: /models}\n---\n"
        + "\n".join(lines)
    )


@pytest.mark.parametrize(
    ("kind", "above"),
    [
        ("Pod", "spec"),
        ("Deployment", "spec.template.spec"),
        ("StatefulSet", "spec.template.spec"),
        ("DaemonSet", "spec.template.spec"),
        ("Job", "spec.template.spec"),
        ("CronJob", "spec.jobTemplate.spec.template.spec"),
        ("ServingRuntime", "spec"),
        ("InferenceService", "spec.predictor"),
    ],
)
def test_manifest_of_each_kind_is_read(tmp_path: Path, kind: str, above: str) -> None:
    (found,) = servers(tmp_path, manifest(kind, above))
    assert found.name == f"{kind}/server"
    assert found.arguments == ("--model-repository=/models", "--id=$(NOWHERE)")
    assert found.granted(None) == 2
    assert found.shm_bytes == 1 << 30
    assert found.mounts == {"/models": None}
    assert [(one.what, one.path, one.patience) for one in found.probes] == [
        ("startup", "/v2/health/ready", 30),
        ("liveness", "/v2/health/live", 15),
    ]
    assert "TOKEN" not in found.environment


@pytest.mark.parametrize(
    ("limit", "granted"),
    [
        ("", 0),
        ('"nvidia.com/gpu.shared": 1', 1),
        ('"nvidia.com/mig-1g.10gb": 3', 3),
        ('"aliyun.com/gpu-count": 1', 1),
        ('"nvidia.com/gpu": "2", memory: 8Gi', 2),
        ('"aliyun.com/gpu-mem": 8', 1),
        ("cpu: 4", 0),
    ],
)
def test_limits_of_each_vendor_are_counted(tmp_path: Path, limit: str, granted: int) -> None:
    (found,) = servers(tmp_path, manifest("Pod", "spec", limit))
    assert found.granted(None) == granted


def test_lists_and_several_containers_are_read(tmp_path: Path) -> None:
    found = servers(
        tmp_path,
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n"
        "  metadata: {name: p}\n  spec:\n    containers:\n"
        "    - {name: a, command: [tritonserver]}\n"
        "    - {name: b, image: 'x/tritonserver:1', args: ['--id=b']}\n",
    )
    assert [(one.name, one.arguments) for one in found] == [
        ("Pod/p/a", ()),
        ("Pod/p/b", ("--id=b",)),
    ]


def test_predictor_of_kserve_has_its_runtimes_command(tmp_path: Path) -> None:
    (found,) = servers(
        tmp_path,
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: s}\n"
        "spec:\n  predictor:\n    triton:\n      storageUri: gs://bucket/models\n"
        "      runtimeVersion: 24.05-py3\n      args: [--strict-readiness=false]\n",
    )
    assert found.line.repositories == ("/mnt/models",)
    assert found.container_release == "24.05"
    assert not found.line.strict_readiness


def test_directory_is_searched_and_one_server_chosen(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "other.yaml").write_text("a:\n\t- tabs of another tool\n")
    (tmp_path / "sub" / "c.yml").write_text(
        "services:\n  one: {command: tritonserver}\n  two: {command: tritonserver}\n"
    )
    assert [one.name for one in read_deployments(".", tmp_path, {})] == ["one", "two"]
    (found,) = read_deployments("sub/c.yml::two", tmp_path, {})
    assert found.title == f"{tmp_path}/sub/c.yml::two"
    with pytest.raises(NoTriton, match="did you mean two"):
        read_deployments("sub/c.yml::tow", tmp_path, {})


@pytest.mark.parametrize("text", ["", "services: {web: {image: nginx}}", "- 1\n- 2\n", "x"])
def test_file_without_triton_is_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(NoTriton, match="No Triton server is started by") as caught:
        servers(tmp_path, text)
    assert caught.value.tried[0].endswith("or whose image is Triton's (tritonserver in its name)")


NAMESPACED = """apiVersion: v1
kind: ConfigMap
metadata: { name: settings, namespace: NAMESPACE }
data: { repo: /NAMESPACE }
---
apiVersion: v1
kind: Pod
metadata: { name: triton, namespace: NAMESPACE }
spec:
  containers:
  - name: triton
    command: [tritonserver, --model-repository=$(REPO)]
    env: [{ name: REPO, valueFrom: { configMapKeyRef: { name: settings, key: repo } } }]
---
"""


def test_servers_of_one_name_have_their_namespaces_in_front(tmp_path: Path) -> None:
    text = NAMESPACED.replace("NAMESPACE", "prod") + NAMESPACED.replace("NAMESPACE", "staging")
    found = {one.name: one.arguments for one in servers(tmp_path, text)}
    assert found == {
        "prod/Pod/triton": ("--model-repository=/prod",),
        "staging/Pod/triton": ("--model-repository=/staging",),
    }
    (alone,) = servers(tmp_path, NAMESPACED)
    assert alone.name == "Pod/triton"


def test_server_that_is_in_a_file_twice_is_error(tmp_path: Path) -> None:
    with pytest.raises(BadYaml, match="default/Pod/triton is there for the second time") as caught:
        servers(tmp_path, 2 * NAMESPACED.replace(", namespace: NAMESPACE", ""))
    assert "file.yaml:25:" in caught.value.what
    assert "file.yaml:11:" in caught.value.what


CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: gpus }\ndata: { visible: '0' }\n---\n"
VARIABLE = """apiVersion: v1
kind: Pod
metadata: { name: p }
spec:
  containers:
  - name: t
    command: [tritonserver]
    resources: { limits: { nvidia.com/gpu: 2 } }
    """


@pytest.mark.parametrize(
    ("config", "lines", "text"),
    [
        (False, "env: [{ name: CUDA_VISIBLE_DEVICES, valueFrom: REF }]", "in the ConfigMap gpus"),
        (False, "env: [{ name: NVIDIA_VISIBLE_DEVICES, valueFrom: REF }]", "in the ConfigMap gpus"),
        (
            False,
            "env: [{ name: CUDA_VISIBLE_DEVICES, valueFrom: { secretKeyRef: { name: x } } }]",
            "CUDA_VISIBLE_DEVICES is elsewhere",
        ),
        (False, "env: [{ name: LEVEL, valueFrom: REF }]", ""),
        (True, "env: [{ name: CUDA_VISIBLE_DEVICES, valueFrom: REF }]", ""),
        (False, "envFrom: [{ configMapRef: { name: gpus } }]", "the ConfigMap gpus isn't in"),
        (False, "envFrom: [{ configMapRef: { name: gpus, optional: true } }]", ""),
        (True, "envFrom: [{ configMapRef: { name: gpus } }]", ""),
        (
            False,
            "envFrom: [{ configMapRef: { name: gpus } }]\n"
            "    env: [{ name: CUDA_VISIBLE_DEVICES, value: '0' }]",
            "",
        ),
    ],
)
def test_variable_that_another_file_sets_is_said_to_be_assumed(
    tmp_path: Path, config: bool, lines: str, text: str
) -> None:
    reference = "{ configMapKeyRef: { name: gpus, key: visible } }"
    whole = (CONFIG if config else "") + VARIABLE + lines.replace("REF", reference) + "\n"
    (server,) = servers(tmp_path, whole)
    shown = " ".join(f"{place}: {what}" for place, what in server.assumed)
    assert bool(shown) == bool(text)
    assert text in shown
    if text:
        assert "file.yaml:9:" in shown


def test_optional_variable_is_taken_as_unset_without_a_word(tmp_path: Path) -> None:
    reference = "{ configMapKeyRef: { name: gpus, key: visible, optional: true } }"
    line = f"env: [{{ name: CUDA_VISIBLE_DEVICES, valueFrom: {reference} }}]\n"
    (server,) = servers(tmp_path, VARIABLE + line)
    assert server.assumed == ()
    (server,) = servers(tmp_path, CONFIG.replace("visible", "other") + VARIABLE + line)
    assert (server.assumed, server.visible(None)) == ((), 2)


def test_key_that_a_config_map_does_not_have_is_error(tmp_path: Path) -> None:
    reference = "{ configMapKeyRef: { name: gpus, key: visble } }"
    line = f"env: [{{ name: LEVEL, valueFrom: {reference} }}]\n"
    with pytest.raises(
        BadYaml, match="'visble' of the ConfigMap gpus, which has no such"
    ) as caught:
        servers(tmp_path, CONFIG + VARIABLE + line)
    assert "file.yaml:14:11:" in caught.value.what
    assert caught.value.fix == "did you mean visible?"


def test_prefix_of_variables_of_a_config_map_is_read(tmp_path: Path) -> None:
    line = "envFrom: [{ prefix: CUDA_, configMapRef: { name: gpus } }]\n"
    config = CONFIG.replace("visible", "VISIBLE_DEVICES")
    (server,) = servers(tmp_path, config + VARIABLE + line)
    assert server.environment == {"CUDA_VISIBLE_DEVICES": "0"}


def test_config_map_of_another_file_of_the_folder_is_read(tmp_path: Path) -> None:
    reference = "{ configMapKeyRef: { name: gpus, key: visible } }"
    line = f"env: [{{ name: CUDA_VISIBLE_DEVICES, valueFrom: {reference} }}]\n"
    (tmp_path / "pod.yaml").write_text(VARIABLE + line)
    (tmp_path / "config.yaml").write_text(CONFIG)
    (server,) = read_deployments(".", tmp_path, {})
    assert (server.environment, server.assumed) == ({"CUDA_VISIBLE_DEVICES": "0"}, ())
    (alone,) = read_deployments("pod.yaml", tmp_path, {})
    assert len(alone.assumed) == 1
    (tmp_path / "sub").mkdir()
    (tmp_path / "config.yaml").rename(tmp_path / "sub" / "config.yaml")
    (server,) = read_deployments(".", tmp_path, {})
    assert len(server.assumed) == 1  # of another folder, and maybe of another cluster
