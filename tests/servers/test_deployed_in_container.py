"""`--triton-deployment` with containers: each server is rehearsed in production's own image."""

from __future__ import annotations

import pytest

from support.builders import RepositoryBuilder
from support.docker_daemon import IMAGE

pytestmark = pytest.mark.usefixtures("docker_image")

FILE = f"""services:
  triton:
    image: {IMAGE}
    command: tritonserver --model-repository=/models{{MORE}}
    volumes: [./models:/models]
    environment: {{{{ CUDA_VISIBLE_DEVICES: "1" }}}}
    gpus: [{{{{ count: 2 }}}}]
"""


@pytest.mark.parametrize(
    ("groups", "more", "expected"),
    [
        ("{ kind: KIND_GPU }", "", "1 GPU unaffected stops"),
        ("{ kind: KIND_GPU }", " --exit-on-error=false", "2 GPUs unaffected not ready nobody"),
        ("", "", "2 GPUs unaffected unnoticed nobody"),
    ],
)
def test_server_is_rehearsed_in_the_image_of_production(
    pytester: pytest.Pytester, groups: str, more: str, expected: str
) -> None:
    RepositoryBuilder(pytester.path / "models").add("m", groups, backend="onnxruntime")
    (pytester.path / "compose.yaml").write_text(FILE.format(MORE=more))
    result = pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "--triton-deployment=compose.yaml", "--triton-server=container"
    )
    # The deployment's own check, and five of its model: a fallback fails two of them.
    failed = 2 if "unnoticed" in expected else 0
    result.assert_outcomes(passed=6 - failed, failed=failed)
    result.stdout.fnmatch_lines(["triton: 1 server of *: triton (in its image)"])
    lines = result.outlines
    (row,) = [line for line in lines if line.startswith("triton  ")]
    words = " ".join(lines[lines.index(row) :]).split()
    assert not set(expected.replace("1 GPU", "GPUs").split()) - {*words}
    assert any(IMAGE in word for word in words)
    assert "known" not in words
