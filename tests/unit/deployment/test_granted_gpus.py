"""What is said where a deployed server has too few GPUs, or nobody knows how many."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.deployment.deployed_server import DeployedServer
from pytest_triton.deployment.granted_gpus import advise_on_fewer, assumed_note
from pytest_triton.deployment.reading import read_deployments

SERVICE = """services:
  t:
    image: nvcr.io/nvidia/tritonserver:24.10-py3
    command: tritonserver --model-repository=/models
"""
FIRST = '    environment: { CUDA_VISIBLE_DEVICES: "0" }\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def server(folder: Path, *lines: str) -> DeployedServer:
    (folder / "c.yaml").write_text(SERVICE + "".join(lines))
    (one,) = read_deployments("c.yaml", folder)
    return one


@pytest.mark.parametrize(
    ("lines", "host", "cause", "option"),
    [
        (
            ["    gpus: all\n"],
            None,
            "How many GPUs t has isn't known: it is granted all GPUs",
            "=3",
        ),
        (["    gpus: all\n"], 2, "2 GPUs are granted (c.yaml:5:5)", ""),
        (["    gpus: all\n", FIRST], None, "shows Triton 1 of its GPUs (c.yaml:6:5)", ""),
        (["    gpus: [{ count: 4 }]\n", FIRST], None, "shows Triton 1 of 4 GPUs (c.yaml:6:5)", ""),
        (["    gpus: [{ count: 1 }]\n", FIRST], None, "1 GPU is granted (c.yaml:5:5)", ""),
        ([], None, "No GPU is granted (c.yaml:3:5). Grant 3 there.", ""),
        (
            ["    gpus: [{ driver: amd }]\n"],
            None,
            "(c.yaml:5:5): driver: amd grants no GPU of NVIDIA's. Grant 3 there.",
            "",
        ),
    ],
)
def test_too_few_gpus_name_who_grants_or_hides_them(
    folder: Path, lines: list[str], host: int | None, cause: str, option: str
) -> None:
    advice = advise_on_fewer(server(folder, *lines), host, 3, "--target")
    assert cause in advice.cause
    assert advice.lines == (f"--target{option}" if option else "")


def test_number_that_nobody_knows_is_said_to_be_assumed(folder: Path) -> None:
    one = server(folder, "    gpus: all\n")
    assert assumed_note(one, None, "--target") == (
        "1 GPU, --target=N says how many: it is granted all GPUs of its host (c.yaml:5:5)"
    )
    assert assumed_note(one, 2, "--target") == ""
    assert assumed_note(server(folder, "    gpus: [{ count: 1 }]\n"), None, "--target") == ""
