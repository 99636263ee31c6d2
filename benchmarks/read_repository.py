"""How long reading a repository takes, and how much memory, for 1,000 and 10,000 models.

    python benchmarks/read_repository.py [MODELS ...]

Each model has a small config.pbtxt of its own (300 bytes, two inputs' worth) and a version
directory. Printed beside it: the same files parsed by google.protobuf alone, which is the floor.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIG = """name: "model_{index:05d}"
backend: "{backend}"
max_batch_size: {batch}
input [ {{ name: "INPUT_{index}", data_type: TYPE_FP32, dims: [ 3, 224, 224 ] }} ]
output [ {{ name: "OUTPUT_{index}", data_type: TYPE_FP32, dims: [ 1000 ] }} ]
instance_group [ {{ count: {count} kind: KIND_GPU gpus: [ 0, 1 ] }}, {{ kind: KIND_CPU }} ]
"""
BACKENDS = ("onnxruntime", "tensorrt", "pytorch", "python")


def write(root: Path, count: int) -> None:
    for index in range(count):
        directory = root / f"model_{index:05d}"
        (directory / "1").mkdir(parents=True)
        text = CONFIG.format(
            index=index, backend=BACKENDS[index % 4], batch=index % 33, count=1 + index % 4
        )
        (directory / "config.pbtxt").write_text(text)


def measure(root: Path) -> None:
    """One reading in a process of its own; prints seconds and megabytes."""
    from google.protobuf import text_format

    from pytest_triton.repository import model_config_type, read_repository

    config_type = model_config_type()
    start = time.perf_counter()
    repository = read_repository([root])
    took = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    files = [model.directory / "config.pbtxt" for model in repository.models]
    start = time.perf_counter()
    for file in files:
        text_format.Parse(file.read_text(), config_type())
    floor = time.perf_counter() - start
    count = len(repository.models)
    assert not any(model.problems for model in repository.models)
    print(
        f"{count:6d} models: {took:.2f} s ({count / took:,.0f} a second), peak {peak} MB; "
        f"parsing alone {floor:.2f} s, ratio {took / floor:.2f}"
    )


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        measure(Path(sys.argv[2]))
        return
    for count in map(int, sys.argv[1:] or ("1000", "10000")):
        root = Path(tempfile.mkdtemp(prefix="read-repository-"))
        try:
            write(root, count)
            subprocess.run([sys.executable, __file__, "--measure", str(root)], check=True)
        finally:
            shutil.rmtree(root)


if __name__ == "__main__":
    main()
