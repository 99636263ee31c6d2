"""What a test costs that loads a model, asks it and unloads it, against the same RPCs by hand.

    python benchmarks/load_infer_unload.py [MODELS] [TESTS]

Both use one server with stand-in backends and MODELS models. By hand: tritonclient's own client,
`load_model`, `infer` with arrays made beforehand, `unload_model`, and a look at the index until
the model is gone. In a test: `triton_server.load`, `.infer`, `.unload`. The ratio is of the time
of the calls within the test; what pytest takes for a test that does nothing is shown beside it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = """
import json, time
from pathlib import Path
import numpy as np
import pytest

COUNT = int(Path("count").read_text())
TIMES = {"with fixtures": [], "by hand": [], "nothing": []}
pytestmark = pytest.mark.triton(gpus="sim:1", changes=True, load=[])


@pytest.fixture(autouse=True, scope="module")
def written():
    yield
    best = {name: sorted(times)[len(times) // 2] for name, times in TIMES.items() if times}
    Path("times.json").write_text(json.dumps(best))


@pytest.mark.parametrize("number", range(COUNT))
def test_with_fixtures(triton_server, number):
    triton_server.client
    start = time.perf_counter()
    triton_server.load("model_0")
    answer = triton_server.infer("model_0")
    assert answer["Y"].shape == (1, 4)
    triton_server.unload("model_0")
    TIMES["with fixtures"].append(time.perf_counter() - start)


@pytest.mark.parametrize("number", range(COUNT))
def test_by_hand(triton_server, number):
    from tritonclient.grpc import InferInput, InferRequestedOutput

    client = triton_server.client
    start = time.perf_counter()
    client.load_model("model_0")
    tensor = InferInput("X", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.random.default_rng(0).random((1, 4), dtype=np.float32))
    answer = client.infer("model_0", [tensor])
    assert answer.as_numpy("Y").shape == (1, 4)
    assert client.is_server_live() and client.is_model_ready("model_0")
    client.unload_model("model_0")
    while any(
        model.name == "model_0" and model.state not in ("", "UNAVAILABLE")
        for model in client.get_model_repository_index().models
    ):
        pass
    TIMES["by hand"].append(time.perf_counter() - start)
"""


def main() -> None:
    models = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    tests = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number in range(models):
            version = root / "models" / f"model_{number}" / "1"
            version.mkdir(parents=True)
            (version.parent / "config.pbtxt").write_text(
                'backend: "onnxruntime" max_batch_size: 8\n'
                'input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
                'output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
                "instance_group [ { kind: KIND_GPU } ]\n"
            )
        (root / "pytest.ini").write_text("[pytest]\ntriton_repo = models\n")
        (root / "count").write_text(str(tests))
        (root / "test_times.py").write_text(TESTS)
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "test_times.py"],
            cwd=root,
            capture_output=True,
            text=True,
        )
        if ran.returncode:
            sys.exit(ran.stdout[-3000:])
        times = json.loads((root / "times.json").read_text())
    ratio = times["with fixtures"] / times["by hand"]
    for name, seconds in times.items():
        print(f"{name:14} {1000 * seconds:7.2f} ms (median of {tests})")
    print(f"ratio          {ratio:7.2f}")


if __name__ == "__main__":
    main()
