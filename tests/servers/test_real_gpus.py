"""With real GPUs: what the plugin can't be proven to do without one.

    make test-gpu        # or: pytest -m gpu

These have not been run by the authors. They need Linux, an NVIDIA driver and at least one GPU, and
an installed release (pytest-triton install).
"""

from __future__ import annotations

import pytest

from support.builders import RepositoryBuilder

pytestmark = pytest.mark.gpu


@pytest.fixture
def models(pytester: pytest.Pytester) -> RepositoryBuilder:
    repository = RepositoryBuilder(pytester.path / "models")
    repository.add("pinned", "{ kind: KIND_GPU gpus: [ 0 ] }")
    repository.add("mixed", "{ kind: KIND_GPU gpus: [ 0 ] }, { kind: KIND_CPU }")
    repository.add("absent", "{ kind: KIND_GPU gpus: [ 99 ] }")
    return repository


def test_models_are_placed_on_real_gpus_as_predicted(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    result = pytester.runpytest("--triton-repo=models", "--triton-gpus=all", "--triton-gpus=none")
    result.assert_outcomes(passed=15)
    result.stdout.fnmatch_lines(
        [
            "triton: real run on *hardware: all GPUs, no GPU*",
            "absent *GPU 99 *refused: no such GPU *refused: no such GPU",
            "mixed *GPU 0 + CPU *GPU 0 · CPU *refused: no such GPU",
            "pinned *GPU 0 *GPU 0 *refused: no such GPU",
        ]
    )


def test_more_gpus_than_there_are_is_a_failure(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    result = pytester.runpytest("--triton-repo=models", "--triton-gpus=64", "-k", "test_placement")
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["*64 GPUs asked for, but * can use * GPU*"])


@pytest.mark.ngc
def test_container_with_real_gpus_gives_the_same(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    """Needs the NVIDIA Container Toolkit and the official image as well (or fetches it)."""
    result = pytester.runpytest(
        "--triton-repo=models",
        "--triton-server=container",
        "--triton-gpus=all",
        "--triton-gpus=none",
        "-k",
        "test_placement",
    )
    result.assert_outcomes(passed=6)


@pytest.mark.ngc
@pytest.mark.parametrize("driver", ["nvidia", "cdi"])
def test_official_image_in_a_container_gets_one_gpu(models: RepositoryBuilder, driver: str) -> None:
    from pytest_triton import ContainerOptions, TritonContainer

    options = ContainerOptions(gpu_driver=driver)  # type: ignore[arg-type]
    with TritonContainer(models.path, gpus="0,", options=options) as triton:
        assert "CUDA memory pool is created on device 0" in triton.log.since()
        assert triton.view.backends is not None
        assert "onnxruntime" in triton.view.backends
