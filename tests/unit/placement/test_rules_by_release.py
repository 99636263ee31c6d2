"""Rules that changed in releases newer than those that can be installed, at their very releases.

The texts were seen on 2.66.0, 2.67.0 and 2.70.0, the others read in core's sources.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import ModelEnsembling

from pytest_triton.placement.hardware import simulated_gpus
from pytest_triton.placement.predict import ServerTraits, predict
from pytest_triton.repository import read_repository

IO = """
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""
LARGE = """backend: "onnxruntime"
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4294967296, 4294967296 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""
RESHAPED = """backend: "onnxruntime" max_batch_size: 4
input [ { name: "X" data_type: TYPE_FP32 dims: [ -1, -1 ] reshape { shape: [ -1 ] } } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""
LABELS = """backend: "onnxruntime"
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] label_filename: "../labels.txt" } ]
"""
BATCHED = (
    'backend: "onnxruntime" max_batch_size: 4 dynamic_batching { } parameters { key: '
    '"TRITON_BATCH_STRATEGY_PATH" value { string_value: "lib/batch.so" } }' + IO
)
METRICS = 'backend: "onnxruntime" model_metrics { metric_control [ { } ] }' + IO
EMPTY_METRICS = 'backend: "onnxruntime" model_metrics { }' + IO
INFLIGHT = """platform: "ensemble"
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
ensemble_scheduling { max_inflight_requests: 4 step [ ] }
"""
READY = ""
UNREADABLE = "failed to read text proto from"

# what · config · the release before, and what it says · the release, and what it says
CHANGES = [
    (
        "torch_aoti",
        'platform: "torch_aoti"' + IO,
        ("2.66.0", "unexpected platform type 'torch_aoti' for m"),
        ("2.67.0", READY),
    ),
    (
        "libtorch",
        'platform: "libtorch"' + IO,
        ("2.67.0", "unexpected platform type 'libtorch' for m"),
        ("2.68.0", "unexpected 'platform' and 'backend' pair, got:libtorch, pytorch"),
    ),
    (
        "overflow",
        LARGE,
        ("2.66.0", READY),
        ("2.67.0", "element count for tensor 'X' exceeds maximum size of 9223372036854775807"),
    ),
    ("metrics", EMPTY_METRICS, ("2.51.0", UNREADABLE), ("2.52.0", READY)),
    (
        "metric control",
        METRICS,
        ("2.51.0", UNREADABLE),
        ("2.52.0", "metric control must specify 'metric_identifier'"),
    ),
    ("inflight", INFLIGHT, ("2.62.0", UNREADABLE), ("2.63.0", "ensemble")),
    (
        "label file",
        LABELS,
        ("2.65.0", READY),
        ("2.66.0", "is outside model directory"),
    ),
    (
        "batch strategy",
        BATCHED,
        ("2.69.0", READY),  # whether it is there, is seen from the server's directory only
        ("2.70.0", "Batching library path escapes model repository."),
    ),
    (
        "variable dimensions",
        RESHAPED,
        ("2.33.0", "has different number of variable-size dimensions for dims and reshape"),
        ("2.73.0", "has different number of variable-size dimensions for dims and reshape"),
    ),
]


@pytest.mark.parametrize(
    ("config", "release", "words"),
    [
        pytest.param(config, *said, id=f"{what} {said[0]}")
        for what, config, before, after in CHANGES
        for said in (before, after)
    ],
)
def test_rule_holds_from_its_release_on(
    tmp_path: Path, config: str, release: str, words: str
) -> None:
    if config == INFLIGHT and not hasattr(ModelEnsembling(), "max_inflight_requests"):
        pytest.skip("the installed tritonclient doesn't know the field")
    directory = tmp_path / "models" / "m"
    (directory / "1").mkdir(parents=True)
    (directory / "config.pbtxt").write_text(config)
    (directory.parent / "labels.txt").write_text("a\n")
    [model] = read_repository([directory.parent]).models
    version = tuple(map(int, release.split(".")))
    traits = ServerTraits(version=version)  # type: ignore[arg-type]
    refusal = predict(model.declared, simulated_gpus(2), server=traits).refusal
    if words:
        assert refusal is not None
        assert words in refusal.text
    else:
        assert refusal is None, refusal
