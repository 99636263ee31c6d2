"""What a rehearsal costs beside its floor: both servers bare, plus as many empty tests.

    python benchmarks/rehearsal.py [MODELS]

Ratios of one run count; machines are noisy. Prints seconds, and memory in MB. Python keeps its
bytecode, as it does for an installed package, whatever PYTHONDONTWRITEBYTECODE says.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.rehearsal.simulation import OFFICIAL_BACKENDS
from pytest_triton.servers.process.server import launch
from pytest_triton.servers.spec import ServerSpec

BACKENDS = ("onnxruntime", "tensorrt", "pytorch", "python")
GROUPS = ("{ kind: KIND_GPU }", "{ kind: KIND_CPU }", "{ kind: KIND_GPU }, { kind: KIND_CPU }", "")
TENSORS = """\
max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""
ROUNDS = 5
PLAIN = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:xdist")


def write_repository(path: Path, models: int) -> None:
    for number in range(models):
        backend = BACKENDS[number % 4]
        groups = GROUPS[number // 4 % 4]
        if backend == "tensorrt":
            groups = GROUPS[0]  # it takes nothing else
        platform = 'platform: "pytorch_libtorch"\n' if backend == "pytorch" else ""
        model = path / f"model_{number:05}"
        (model / "1").mkdir(parents=True)
        (model / "config.pbtxt").write_text(
            f'backend: "{backend}"\n{platform}{TENSORS}'
            + (f"instance_group [ {groups} ]\n" if groups else "")
        )


def bare_servers(repository: Path) -> float:
    """Both servers, started side by side, until both are live."""
    start = time.perf_counter()
    specs = [
        ServerSpec((repository,), HardwareRequest.parse(gpus), stand_ins=OFFICIAL_BACKENDS)
        for gpus in ("none", "sim:2")
    ]
    servers = [launch(spec) for spec in specs]
    try:
        for server in servers:
            server.wait_until_live()
        return time.perf_counter() - start
    finally:
        for server in servers:
            server.stop()


def run_pytest(folder: Path, *arguments: str) -> tuple[float, float, str]:
    """Seconds, peak memory of pytest in MB, and its last line."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", *PLAIN, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, _, usage = os.wait4(process.pid, 0)
    return time.perf_counter() - start, usage.ru_maxrss / 1024, output.splitlines()[-1]


def main(models: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
        write_repository(folder / "models", models)
        (folder / "pytest.ini").write_text("[pytest]\ntriton_allow_fallback = *\n")
        checked = ("--triton-repo=models", "models")
        _, _, last = run_pytest(folder, *checked)  # the first run warms all caches up
        count = int(last.split()[0])
        one = folder / "empty" / "test_one.py"
        one.parent.mkdir()
        one.write_text(
            f"import pytest\n@pytest.mark.parametrize('n', range({count}))\ndef test_it(n): pass\n"
        )
        print(f"{models} models, {count} tests")
        ratios = []
        for _ in range(ROUNDS):
            servers = bare_servers(folder / "models")
            empty, _, _ = run_pytest(folder, str(one))
            ours, memory, last = run_pytest(folder, *checked)
            ratios.append(ours / (servers + empty))
            print(
                f"bare servers {servers:.2f}  empty tests {empty:.2f}  rehearsal {ours:.2f}  "
                f"ratio {ratios[-1]:.2f}  pytest {memory:.0f} MB  ({last})"
            )
        print(f"ratio: median {statistics.median(ratios):.2f}, smallest {min(ratios):.2f}")
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"largest process: {children:.0f} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
