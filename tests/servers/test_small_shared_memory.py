"""Real python models where /dev/shm is too small for them: a mount namespace, which needs root."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from support.builders import RepositoryBuilder

MOUNT = 'mount -t tmpfs -o size=1500k tmpfs /dev/shm && exec "$@"'
INFER = """
import sys
from pathlib import Path
from pytest_triton.inference.infer import infer
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.servers.process.server import launch
from pytest_triton.servers.spec import ServerSpec

server = launch(ServerSpec((Path("models").absolute(),), HardwareRequest.parse("none")))
try:
    server.wait_until_live()
    infer(server.view.endpoints, "large", shapes={"INPUT": [2_000_000]})
finally:
    server.stop()
"""
RUN = """
mount -t tmpfs -o size=64k tmpfs /dev/shm && exec "$1" -m pytest -p no:cacheprovider -n0 \
    --triton-repo=models --triton-backends=real --triton-version=2.51.0 -k test_placement
"""


def need_namespace() -> None:
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        if os.environ.get("CI"):
            pytest.fail("a mount namespace needs root and unshare")
        pytest.skip("a mount namespace needs root and unshare")


def test_python_model_with_small_shared_memory_is_refused_with_fix(
    repository: RepositoryBuilder,
) -> None:
    need_namespace()
    repository.add("small", "{ kind: KIND_CPU }")
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", RUN, "sh", sys.executable],
        cwd=repository.path.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "refused: shared memory" in done.stdout
    assert "Unable to initialize shared memory key" in done.stdout
    said = " ".join(done.stdout.split())
    for fix in ("/dev/shm", "--triton-shm-size=1g", "--shm-size=1g", "emptyDir"):
        assert fix in said


def test_inference_with_small_shared_memory_fails_with_fix(repository: RepositoryBuilder) -> None:
    need_namespace()
    repository.add_config(
        "large",
        """backend: "python"
        input { name: "INPUT" data_type: TYPE_FP32 dims: [ -1 ] }
        output { name: "OUTPUT" data_type: TYPE_FP32 dims: [ -1 ] }
        instance_group { kind: KIND_CPU }""",
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", MOUNT, "sh", sys.executable, "-c", INFER],
        cwd=repository.path.parent,
        capture_output=True,
        text=True,
    )
    said = " ".join(done.stderr.split())
    assert "too little shared memory for the tensors of a python model" in said
    assert "--triton-shm-size=1g" in said
