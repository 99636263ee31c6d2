"""How many predictions a second, from parsed configs of the usual kind to a placement.

python benchmarks/predict_speed.py
"""

from __future__ import annotations

import statistics
import time

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from pytest_triton.placement.declared import Declared
from pytest_triton.placement.hardware import NO_GPU, simulated_gpus
from pytest_triton.placement.predict import predict

MODELS = 2_000
ROUNDS = 7
TENSORS = """
    input { name: "image" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] }
    output { name: "scores" data_type: TYPE_FP32 dims: [ 1000 ] }
"""
DECLARATIONS = (
    "",
    "instance_group { kind: KIND_GPU count: 2 }",
    "instance_group { kind: KIND_GPU gpus: [ 1 ] } instance_group { kind: KIND_CPU count: 2 }",
    "instance_group { kind: KIND_CPU } dynamic_batching { }",
)
BACKENDS = ("python", "onnxruntime", "tensorrt", "pytorch", "mine")


def main() -> None:
    configs = [
        text_format.Parse(
            f'name: "m{index}" backend: "{BACKENDS[index % len(BACKENDS)]}" max_batch_size: 8'
            f"{TENSORS}{DECLARATIONS[index % len(DECLARATIONS)]}",
            ModelConfig(),
        )
        for index in range(MODELS)
    ]
    for hardware in (NO_GPU, simulated_gpus(2)):
        whole: list[float] = []
        again: list[float] = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            for config in configs:
                predict(config, hardware)
            whole.append(MODELS / (time.perf_counter() - start))
            read = [Declared.of(config) for config in configs]
            start = time.perf_counter()
            for declared in read:
                predict(declared, hardware)
            again.append(MODELS / (time.perf_counter() - start))
        print(
            f"{hardware.label:>20}: {statistics.median(whole):9,.0f} predictions/s from a parsed "
            f"config, {statistics.median(again):9,.0f}/s once it is read (medians of {ROUNDS})"
        )


if __name__ == "__main__":
    main()
