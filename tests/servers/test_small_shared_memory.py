"""Real python models where /dev/shm is too small for them: a mount namespace, which needs root."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from support.builders import RepositoryBuilder

RUN = """
mount -t tmpfs -o size=64k tmpfs /dev/shm && exec "$1" -m pytest -p no:cacheprovider -n0 \
    --triton-repo=models --triton-backends=real --triton-version=2.51.0 -k test_placement
"""


def test_python_model_with_small_shared_memory_is_refused_with_fix(
    repository: RepositoryBuilder,
) -> None:
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        if os.environ.get("CI"):
            pytest.fail("a mount namespace needs root and unshare")
        pytest.skip("a mount namespace needs root and unshare")
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
