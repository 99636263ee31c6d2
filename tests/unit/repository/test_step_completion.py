"""A step's model gets only what its backend would complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.repository import read_repository
from pytest_triton.repository.refusals import (
    completed_configs,
    declared_models,
    refused_everywhere,
)

ENSEMBLE = """\
platform: "ensemble"
input [ { name: "IN" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ 4 ] } ]
ensemble_scheduling { step [ { model_name: "pre" model_version: -1
  input_map { key: "X" value: "IN" } output_map { key: "Y" value: "OUT" } } ] }
"""
X = 'input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
CODE = "class TritonPythonModel:\n    def execute(self, requests): ...\n"
COMPLETES = CODE + "    @staticmethod\n    def auto_complete_config(config): return config\n"


@pytest.mark.parametrize(
    ("given", "batch_size"),
    [("", 8), (X, 0), ("max_batch_size: 4", 4), (X + "max_batch_size: 4", 4)],
)
def test_batch_size_is_completed_where_nothing_is_declared(
    tmp_path: Path, given: str, batch_size: int
) -> None:
    for name in ("e", "pre"):
        (tmp_path / name / "1").mkdir(parents=True)
    (tmp_path / "e" / "config.pbtxt").write_text(ENSEMBLE + "max_batch_size: 8\n")
    (tmp_path / "pre" / "config.pbtxt").write_text(f'backend: "onnxruntime"\n{given}\n')
    (tmp_path / "pre" / "1" / "model.onnx").write_text("")
    completed = completed_configs(read_repository([tmp_path]).models)["pre"]
    assert completed.max_batch_size == batch_size
    assert [one.name for one in completed.output] == ["Y"]


@pytest.mark.parametrize(
    ("config", "file", "code", "refused"),
    [
        ('backend: "python"\n', "model.py", CODE, True),
        ('backend: "python"\n', "model.py", COMPLETES, False),
        ('backend: "python"\n' + X, "model.py", COMPLETES, False),
        ('backend: "python"\n', "", "", False),  # code that may arrive later
        ('backend: "onnxruntime"\n', "model.onnx", "", False),
        ('backend: "onnxruntime"\n' + X, "model.onnx", "", False),
        ('backend: "onnxruntime"\n' + X.replace('"X"', '"Z"'), "model.onnx", "", True),
        ('backend: "pytorch"\n', "model.pt", "", True),
        (None, "model.py", CODE, True),
    ],
)
def test_step_that_maps_what_no_backend_adds_is_refused(
    tmp_path: Path, config: str | None, file: str, code: str, refused: bool
) -> None:
    for name in ("e", "pre"):
        (tmp_path / name / "1").mkdir(parents=True)
    (tmp_path / "e" / "config.pbtxt").write_text(ENSEMBLE)
    if config is not None:
        (tmp_path / "pre" / "config.pbtxt").write_text(config)
    if file:
        (tmp_path / "pre" / "1" / file).write_text(code)
    models = read_repository([tmp_path]).models
    found = refused_everywhere(models, declared_models(models, completed_configs(models)))
    assert ("e" in found) == refused
