"""How long a container takes, by hand and through the plugin.

    scripts/with-docker .venv/bin/python benchmarks/container_start.py

Prints seconds (the best of three) and ratios: `docker run` to live against TritonContainer,
`docker rm` against `stop`, and three tests on one container: with the plugin's fixture, and
written by hand with testcontainers' own wait, in turns. Each serves one real python model. Python
keeps its bytecode, as it does for an installed package, whatever PYTHONDONTWRITEBYTECODE says.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from pytest_triton import TritonContainer

ROUNDS = 5
IMAGE = "pytest-triton/tritonserver:2.51.0"
MODEL = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"
CONFIG = 'backend: "python"\ninstance_group [ { kind: KIND_CPU } ]\n'

WITH_THE_PLUGIN = """
import pytest

@pytest.mark.parametrize("number", range(3))
def test_it_is_served(triton_server, number):
    assert triton_server.is_ready("one")
"""

BY_HAND = """
import os, urllib.request
import pytest
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import HttpWaitStrategy

@pytest.fixture(scope="session")
def server():
    container = (
        DockerContainer(os.environ["IMAGE"])
        .with_bind_ports(8000, None)
        .with_volume_mapping(os.environ["MODELS"], "/models")
        .with_command("tritonserver --model-repository=/models")
        .waiting_for(HttpWaitStrategy(8000, "/v2/health/ready"))
    )
    with container:
        yield f"http://127.0.0.1:{container.get_exposed_port(8000)}"

@pytest.mark.parametrize("number", range(3))
def test_it_is_served(server, number):
    assert urllib.request.urlopen(server + "/v2/models/one/ready").status == 200
"""


def best(measure: Callable[[], tuple[float, ...]], times: int = 3) -> tuple[float, ...]:
    """The smallest of each of the measured numbers."""
    return tuple(min(column) for column in zip(*(measure() for _ in range(times)), strict=True))


def by_hand(repository: Path) -> tuple[float, float]:
    begun = time.perf_counter()
    run = f"docker run --detach --publish 127.0.0.1::8000 --volume {repository}:{repository}:ro"
    server = f"tritonserver --model-repository={repository}"
    name = _output(f"{run} {IMAGE} {server}")
    address = _output(f"docker port {name} 8000")
    while True:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://{address}/v2/health/live")
            break
        time.sleep(0.01)
    live = time.perf_counter()
    _output(f"docker rm --force --volumes {name}")
    return live - begun, time.perf_counter() - live


def with_the_class(repository: Path) -> tuple[float, float]:
    begun = time.perf_counter()
    triton = TritonContainer(repository, image=IMAGE).start()
    live = time.perf_counter()
    triton.stop()
    return live - begun, time.perf_counter() - live


def suite(text: str, repository: Path, *arguments: str) -> tuple[float]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_it.py").write_text(text)
        environment = {
            **os.environ,
            "IMAGE": IMAGE,
            "MODELS": str(repository),
            "TESTCONTAINERS_RYUK_DISABLED": "true",
            "TESTCONTAINERS_HOST_OVERRIDE": "127.0.0.1",
        }
        begun = time.perf_counter()
        command = [sys.executable, "-m", "pytest", "-q", "test_it.py", *arguments]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        took = time.perf_counter() - begun
        assert "3 passed" in done.stdout or "passed" in done.stdout, done.stdout + done.stderr
        assert done.returncode == 0, done.stdout + done.stderr
        return (took,)


def _output(command: str) -> str:
    return subprocess.run(
        command.split(), check=True, capture_output=True, text=True
    ).stdout.strip()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "models", "one")
        (model / "1").mkdir(parents=True)
        (model / "1" / "model.py").write_text(MODEL)
        (model / "config.pbtxt").write_text(CONFIG)
        repository = model.parent
        hand, hand_removal = best(lambda: by_hand(repository))
        ours, removal = best(lambda: with_the_class(repository))
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(Path(folder, "bytecode"))
        options = (f"--triton-repo={repository}", f"--triton-image={IMAGE}", "-k", "is_served")
        both = [
            (*suite(BY_HAND, repository), *suite(WITH_THE_PLUGIN, repository, *options))
            for _ in range(ROUNDS + 1)
        ][1:]  # the first round warms all caches up
        written, plugin = (min(column) for column in zip(*both, strict=True))
        ratio = statistics.median(ours / hand for hand, ours in both)
    print(f"docker run to live      {hand:5.2f} s   TritonContainer  {ours:5.2f} s", end="")
    print(f"   x{ours / hand:.2f}")
    print(f"docker rm               {hand_removal:5.2f} s   stop             {removal:5.2f} s")
    print(f"three tests by hand     {written:5.2f} s   with the plugin  {plugin:5.2f} s", end="")
    print(f"   x{ratio:.2f} (median of {ROUNDS} rounds)")


if __name__ == "__main__":
    main()
