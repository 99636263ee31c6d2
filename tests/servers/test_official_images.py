"""Rehearsals inside NVIDIA's own images, of 25.x and 26.x. Each is a download of some 10 GB."""

from __future__ import annotations

import pytest

from pytest_triton.placement.releases import read_release, shown_release
from support.builders import RepositoryBuilder

pytestmark = [pytest.mark.ngc, pytest.mark.docker]

# Ubuntu 22.04 and CUDA 12; Ubuntu 24.04 and CUDA 12; CUDA 13; the log's levels on two streams.
TAGS = ("24.10", "25.03", "25.08", "26.06")


@pytest.mark.parametrize("tag", TAGS)
def test_rehearsal_in_an_official_image_places_as_predicted(
    pytester: pytest.Pytester, tag: str
) -> None:
    repository = RepositoryBuilder(pytester.path / "models")
    repository.add("pinned", "{ kind: KIND_GPU }", backend="onnxruntime")
    repository.add("mixed", "{ kind: KIND_GPU }, { kind: KIND_CPU }", backend="pytorch")
    repository.add("small", "{ kind: KIND_CPU count: 2 }")
    result = pytester.runpytest(
        "--triton-repo=models",
        f"--triton-image=nvcr.io/nvidia/tritonserver:{tag}-py3",
        "--triton-backends=stand-in",
        "--triton-gpus=none",
        "--triton-gpus=sim:2",
    )
    result.assert_outcomes(passed=15)
    release = shown_release(read_release(tag))
    result.stdout.fnmatch_lines([f"triton release: {release}, of the image, by its tag"])
