"""How many GPUs a model's engine needs, which Triton's rules don't know."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.checks.checked_deployment import CheckedDeployment
from pytest_triton.options.values import Deployment
from pytest_triton.repository.engines import engine_gpus

VLLM = 'backend: "vllm" instance_group [ { kind: KIND_MODEL } ]'
TRTLLM = (
    'backend: "tensorrtllm" parameters {{ key: "gpu_device_ids" value {{ string_value: "{}" }} }}'
)


def gpus(folder: Path, config: str, engine: str = "") -> int:
    version = folder / "m" / "1"
    version.mkdir(parents=True)
    (folder / "m" / "config.pbtxt").write_text(config)
    if engine:
        (version / "model.json").write_text(engine)
    checked = CheckedDeployment.read(Deployment(str(folder), (folder,)))
    return engine_gpus(checked.repository.models[0])


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        ("", 1),
        ('{"model": "x"}', 1),
        ('{"model": "x", "tensor_parallel_size": 2}', 2),
        ('{"tensor_parallel_size": 2, "pipeline_parallel_size": "2"}', 4),
        ('{"tensor_parallel_size": 8, "distributed_executor_backend": "ray"}', 1),
        ('{"tensor_parallel_size": "many"}', 1),
        ("{", 1),
        ("[]", 1),
    ],
)
def test_vllm_engine_needs_the_product_of_its_sizes(
    tmp_path: Path, engine: str, expected: int
) -> None:
    assert gpus(tmp_path, VLLM, engine) == expected
    # of another backend the file means nothing
    assert gpus(tmp_path / "other", 'backend: "python"', engine) == 1


@pytest.mark.parametrize(
    ("ids", "expected"),
    [("0", 1), ("0,1", 2), ("0,1;2,3", 4), (" 1 , 0 ", 2), ("", 1), ("${ids}", 1), ("²", 1)],
)
def test_tensorrtllm_engine_needs_the_gpus_that_are_named(
    tmp_path: Path, ids: str, expected: int
) -> None:
    assert gpus(tmp_path, TRTLLM.format(ids)) == expected
