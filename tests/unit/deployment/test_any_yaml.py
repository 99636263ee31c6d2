"""Deployment files that are wrong in any way: an error of ours or servers, never a traceback."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_triton.audit.deployed import DeployedSubject
from pytest_triton.audit.deployment_audit import audit_deployments
from pytest_triton.deployment.environment import rehearsed_environment, simulated_count
from pytest_triton.deployment.noticing import noticed_by
from pytest_triton.deployment.reading import read_deployments
from pytest_triton.deployment.repositories import repository_paths
from pytest_triton.errors import PytestTritonError

COMPOSE = """
services:
  triton:
    image: nvcr.io/nvidia/tritonserver:24.10-py3
    entrypoint: [/opt/nvidia/nvidia_entrypoint.sh]
    command: bash -c "exec tritonserver --model-repository=/models --http-port=$${PORT:-8000}"
    environment: { CUDA_VISIBLE_DEVICES: "0,1", PORT: 8000, PASSWORD: hunter2 }
    env_file: [./env]
    volumes: ["./models:/models:ro", { type: bind, source: ./x, target: /x }]
    shm_size: 1g
    ipc: host
    runtime: nvidia
    restart: always
    ports: ["8000:8000"]
    healthcheck: { test: [CMD, curl, "http://localhost:8000/v2/health/ready"], interval: 10s,
      retries: 3, start_period: 1m30s }
    deploy:
      resources: { reservations: { devices: [ { driver: nvidia, capabilities: [gpu],
        device_ids: ["0", "1"] } ] } }
  other:
    build: { context: ., dockerfile: Dockerfile, args: { A: hunter2 } }
    command: tritonserver --model-repository /models --cache-config=redis,password=hunter2
    gpus: [ { driver: nvidia, count: all } ]
  third:
    extends: { service: other }
    environment: [B=c]
    volumes: [./y:/y]
    healthcheck: { test: [CMD, curl, localhost/v2/health/live] }
  fourth: { extends: third, shm_size: 2g,
    command: [tritonserver, --model-repository=/models, --http-restricted-api, health:k=hunter2] }
  fifth:
    image: nvcr.io/nvidia/tritonserver:24.10-py3
    command: tritonserver --model-repository=s3://key:hunter2@bucket/models
"""
MANIFEST = """
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: { name: settings }
  data: { MODE: none }
- apiVersion: apps/v1
  kind: Deployment
  metadata: { name: triton }
  spec:
    replicas: 2
    template:
      spec:
        restartPolicy: Always
        initContainers: [ { name: fetch, image: aws } ]
        containers:
        - name: triton
          image: nvcr.io/nvidia/tritonserver:24.10-py3
          command: [sh, -c]
          args: ["tritonserver --model-repository=$(REPO) --model-control-mode=$MODE
            --grpc-restricted-protocol=health:k=hunter2"]
          env:
          - { name: REPO, value: /models }
          - { name: PASSWORD, value: hunter2 }
          - { name: TOKEN, valueFrom: { secretKeyRef: { name: s, key: k } } }
          - { name: MODE, valueFrom: { configMapKeyRef: { name: settings, key: MODE } } }
          envFrom: [ { configMapRef: { name: settings } } ]
          resources: { limits: { nvidia.com/gpu: 2, memory: 8Gi } }
          livenessProbe: { httpGet: { path: /v2/health/live, port: 8000 }, periodSeconds: 5 }
          readinessProbe: { exec: { command: [curl, localhost/v2/health/ready] } }
          startupProbe: { httpGet: { path: /v2/health/ready }, failureThreshold: 30 }
          volumeMounts: [ { name: m, mountPath: /models }, { name: shm, mountPath: /dev/shm } ]
        volumes:
        - { name: m, hostPath: { path: ./models } }
        - { name: shm, emptyDir: { medium: Memory, sizeLimit: 1Gi } }
- apiVersion: serving.kserve.io/v1beta1
  kind: InferenceService
  metadata: { name: k }
  spec: { predictor: { triton: { storageUri: "s3://k:hunter2@x", args: [--log-verbose=1],
    resources: { limits: { nvidia.com/gpu: 1 } } } } }
"""
ODD: tuple[Any, ...] = (
    None, "", " ", 0, -1, 7, 2**70, 1.5, float("nan"), float("inf"), True, [], {}, [[]], [None],
    {"a": None}, {1: 2}, {"": ""}, "${X}", "${X:?no}", "$", "${", "$(Y)", "{{ .Values.x }}", "all",
    "-1", "1e3", "1gb", "5s", "h", "\u00e9\u0663", "\x7f", "a\nb", "'", '"', "\\", "tritonserver",
    "tritonserver --", "tritonserver --x", ["tritonserver", None, 3, []], "bash -c '", "-c",
    "/", "..", "~", "~nobody/x", ":", "::", "a:b:c:d", "\x1b[31m", "x" * 5000, [0] * 50,
    "9" * 5000, "9" * 20, "²", "1e999",
    "nvcr.io/nvidia/tritonserver:99.99-py3", "@sha256:0", ":", "GPU-1,GPU-2", ",", "0,0", "٣",
)  # fmt: skip
ODD_BYTES = (
    b"\t", b"\0", b"\xff", b"{{", b"&a", b"*a", b"!!x ", b"- ", b": ", b"|", b">", b"'", b'"', b"%",
    b"---\n", b"...", b"<<: *a\n", b"[", b"}", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"? ", b"#",
    b"@", b"`",
)  # fmt: skip


def places(node: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All places in a document, as keys that lead there."""
    found = [at] if at else []
    if isinstance(node, (dict, list)):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            found += places(value, (*at, key))
    return found


def spoil(document: Any, chance: random.Random) -> Any:
    document = copy.deepcopy(document)
    for _ in range(chance.randint(1, 3)):
        every = places(document)
        if not every:
            break
        *way, key = chance.choice(every)
        node = document
        for step in way:
            node = node[step]
        how = chance.randrange(5)
        if how == 0:
            del node[key]
        elif how == 1 and isinstance(node, dict):
            node[chance.choice([one for one in ODD if one.__hash__ is not None])] = node.pop(key)
        else:
            node[key] = copy.deepcopy(chance.choice(ODD))
    return document


def look_at(path: Path) -> tuple[int, str]:
    """Ask all that is asked of a file's servers: how many there are, 0 where it isn't usable, and
    all that is said of them."""
    said: list[str] = []
    try:
        servers = read_deployments(path.name, path.parent, {"HOME": "/root"})
    except PytestTritonError as error:
        return 0, str(error)
    for server in servers:
        for host in (None, 0, 4):
            server.hardware(host)
            simulated = simulated_count(server, host)
            rehearsed_environment(server, simulated)
        for service in ("stops", "not ready", "degraded", "unnoticed"):
            said += noticed_by(server, service)
        try:
            repository_paths(server, {"/models": path.parent})
        except PytestTritonError as error:
            said.append(str(error))
        said += [server.unknown, str(server.bad_arguments), *server.line.shown]
    subjects = [DeployedSubject(one, None, host) for one in servers for host in (None, 2)]
    said += map(str, audit_deployments(subjects))
    return len(servers), "\n".join(said)


@pytest.mark.parametrize("text", [COMPOSE, MANIFEST])
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_document_with_odd_values_is_read_or_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, text: str, seed: int
) -> None:
    chance = random.Random(seed)
    path = _folder(tmp_path_factory) / "file.yaml"
    spoilt = yaml.safe_dump(spoil(yaml.safe_load(text), chance), allow_unicode=True)
    path.write_text(spoilt)
    _, said = look_at(path)
    assert "hunter2" not in said


@pytest.mark.parametrize("text", [COMPOSE, MANIFEST])
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_text_with_odd_bytes_is_read_or_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, text: str, seed: int
) -> None:
    chance = random.Random(seed)
    data = bytearray(text.encode())
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data))
        odd = chance.choice(ODD_BYTES)
        how = chance.randrange(3)
        data[at : at + (how > 0) * chance.randint(0, 30)] = odd if how < 2 else b""
    path = _folder(tmp_path_factory) / "file.yaml"
    path.write_bytes(bytes(data))
    look_at(path)


def test_unspoilt_files_have_their_servers(tmp_path: Path) -> None:
    for text, count in ((COMPOSE, 5), (MANIFEST, 2)):
        (tmp_path / "file.yaml").write_text(text)
        assert look_at(tmp_path / "file.yaml")[0] == count


_FOLDERS: list[Path] = []


def _folder(factory: pytest.TempPathFactory) -> Path:
    if not _FOLDERS:
        _FOLDERS.append(factory.mktemp("files"))
        (_FOLDERS[0] / "Dockerfile").write_text("FROM nvcr.io/nvidia/tritonserver:24.10-py3\n")
        (_FOLDERS[0] / "env").write_text("A=b\n")
    return _FOLDERS[0]
