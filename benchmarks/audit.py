"""How long an audit takes on top of reading the repository, for 1,000 and 10,000 models.

The last figure is without the code in model.py: following it is most of the time.

python benchmarks/audit.py [MODELS ...]

Half of the models are of onnxruntime, a tenth are ensembles, the others are python models with a
model.py of 60 lines that uses PyTorch; one in ten has something to find.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from pytest_triton.audit import audit
from pytest_triton.repository import read_repository

TENSORS = """\
max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""
ASKING = '"cuda:" + args["model_instance_device_id"]'
CODE = (
    "import torch\nimport triton_python_backend_utils as pb_utils\n\n\nclass TritonPythonModel:\n"
    "    def initialize(self, args):\n"
    f"        self.device = {ASKING}\n"
    + "".join(f"        self.layer_{n} = torch.zeros({n + 1}).to(self.device)\n" for n in range(50))
)


def write(root: Path, number: int) -> None:
    directory = root / f"model_{number:05}"
    (directory / "1").mkdir(parents=True)
    groups = "" if number % 10 == 3 else "instance_group [ { kind: KIND_GPU } ]\n"
    if number % 10 == 9:
        config = (
            f'platform: "ensemble"\n{TENSORS}ensemble_scheduling {{ step [ {{ '
            f'model_name: "model_{number - 1:05}" model_version: -1 '
            'input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" } } ] }\n'
        )
    elif number % 2:
        config = f'backend: "onnxruntime"\n{TENSORS}{groups}'
        (directory / "1" / "model.onnx").write_bytes(b"weights" * 200)
    else:
        config = f'backend: "python"\n{TENSORS}{groups}'
        code = CODE.replace(ASKING, '"cuda"') if number % 10 == 0 else CODE
        (directory / "1" / "model.py").write_text(f"{code}# model {number}\n")
    (directory / "config.pbtxt").write_text(config)


def main() -> None:
    for models in [int(text) for text in sys.argv[1:]] or [1_000, 10_000]:
        with tempfile.TemporaryDirectory() as folder:
            for number in range(models):
                write(Path(folder), number)
            start = time.perf_counter()
            repository = read_repository([folder])
            read = time.perf_counter() - start
            times = []
            for target in (None, 4):
                start = time.perf_counter()
                findings = audit(repository, target=target)
                times.append(time.perf_counter() - start)
            for code in Path(folder).glob("*/1/model.py"):
                code.write_text("")
            repository = read_repository([folder])
            start = time.perf_counter()
            audit(repository)
            times.append(time.perf_counter() - start)
        print(
            f"{models:6,} models: read in {read:.2f} s; audited in {times[0]:.2f} s, with a target "
            f"of 4 GPUs in {times[1]:.2f} s, with empty model.py in {times[2]:.2f} s; "
            f"{len(findings)} findings"
        )


if __name__ == "__main__":
    main()
