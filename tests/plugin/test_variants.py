"""Variants of configs: which a run reads, which it falls back from, which it doesn't check."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.trees import model

pytestmark = pytest.mark.server

CPU = """\
backend: "onnxruntime"
instance_group [ { kind: KIND_CPU count: 1 } ]
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""


@pytest.fixture
def variants(tmp_path: Path) -> Path:
    root = tmp_path / "models"
    model(root, "plain", CPU)
    configs = model(root, "tuned", CPU) / "configs"
    configs.mkdir()
    (configs / "gpu.pbtxt").write_text(CPU.replace("KIND_CPU", "KIND_GPU"))
    (configs / "big.pbtxt").write_text(CPU.replace("KIND_CPU count: 1", "KIND_GPU count: 4"))
    return root


def test_variant_is_checked_and_the_summary_says_what_was_read(
    pytester: pytest.Pytester, variants: Path
) -> None:
    arguments = ("-p", "no:cacheprovider", "-p", "no:randomly", f"--triton-repo={variants}")
    result = pytester.runpytest(*arguments, "--triton-config-name=gpu")
    result.assert_outcomes(passed=10)
    result.stdout.fnmatch_lines(
        [
            "*models/tuned/configs/gpu.pbtxt .....*",
            "plain *CPU *CPU *CPU",
            "tuned *GPU *refused: no GPU *GPU 0 · GPU 1",
            "no configs/gpu.pbtxt, so config.pbtxt was read: plain",
            "variants that this run doesn't check (--triton-config-name):",
            "  big: tuned",
        ]
    )
    without = pytester.runpytest(*arguments)
    without.assert_outcomes(passed=10)
    without.stdout.fnmatch_lines(["  big: tuned", "  gpu: tuned"])


def test_predict_shows_variants_side_by_side(pytester: pytest.Pytester, variants: Path) -> None:
    arguments = (str(variants), "--gpus", "2", "--config-name", "config.pbtxt", "gpu", "big")
    result = pytester.run(sys.executable, "-m", "pytest_triton", "predict", *arguments)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "model *config.pbtxt: 2 GPUs *gpu: 2 GPUs *big: 2 GPUs*",
            "plain *CPU *CPU *CPU",
            "tuned *CPU *GPU 0 · GPU 1 *GPU 0 x4 · GPU 1 x4",
            "config.pbtxt for want of gpu.pbtxt: plain",
        ]
    )
