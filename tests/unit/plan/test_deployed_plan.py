"""`plan --deployment`: jobs on just as many GPUs as production grants, with its image and flags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_triton.__main__ import main
from pytest_triton.plan.plan_file import needs_of

FILE = """services:
  triton:
    image: nvcr.io/nvidia/tritonserver:24.10-py3
    command: tritonserver --model-repository=/models --http-port=80 --strict-readiness=false
    volumes: [./models:/models]
    gpus: [{ count: 2 }]
"""
GROUPS = {"gpu": "kind: KIND_GPU", "cpu": "kind: KIND_CPU", "third": "kind: KIND_GPU gpus: [ 2 ]"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, group in GROUPS.items():
        model = tmp_path / "models" / name
        (model / "1").mkdir(parents=True)
        config = f'backend: "onnxruntime"\ninstance_group [ {{ {group} }} ]\n'
        (model / "config.pbtxt").write_text(config)
    (tmp_path / "compose.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["plan", "--format=json", "--deployment", "compose.yaml", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def change(folder: Path, old: str, new: str) -> None:
    text = (folder / "compose.yaml").read_text()
    assert old in text
    (folder / "compose.yaml").write_text(text.replace(old, new))


def gpus_of(found: dict[str, Any]) -> dict[str, list[int]]:
    counts: dict[str, list[int]] = {}
    for need in found["needs"]:
        counts.setdefault(need["model"], []).append(need["gpus"])
    return counts


def test_models_are_proven_on_as_many_gpus_as_production_has(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = plan(capsys)
    assert gpus_of(found) == {"cpu": [0], "gpu": [0, 2], "third": [0, 2]}
    assert [(job["name"], job["gpus"]) for job in found["jobs"]] == [
        ("triton-rehearsal", 0),
        ("triton-2-gpus", 2),
    ]
    (refused,) = [one for one in found["needs"] if (one["model"], one["gpus"]) == ("third", 2)]
    assert refused["why"] == "is refused on production's GPUs"
    assert len(needs_of(found).needs) == 5
    change(folder, "gpus: [{ count: 2 }]", "gpus: [{ count: 4 }]")
    assert gpus_of(plan(capsys)) == {"cpu": [0], "gpu": [0, 4], "third": [0, 4]}
    change(folder, "    gpus: [{ count: 4 }]\n", "")
    found = plan(capsys)
    assert gpus_of(found) == {"cpu": [0], "gpu": [0], "third": [0]}
    assert found["gpu_jobs"] == 0


def test_gpus_that_cuda_hides_are_not_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(
        folder,
        "gpus: [{ count: 2 }]",
        'gpus: [{ count: 2 }]\n    environment: { CUDA_VISIBLE_DEVICES: "1" }',
    )
    assert gpus_of(plan(capsys)) == {"cpu": [0], "gpu": [0, 1], "third": [0, 1]}


def test_jobs_have_the_image_and_the_arguments_of_production(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rehearsal, job = plan(capsys)["jobs"]
    shared = ["--triton-server-args=--strict-readiness=false", "--triton-release=24.10"]
    assert [one for one in job["arguments"] if one in shared] == shared
    assert [one for one in rehearsal["arguments"] if one in shared] == shared
    image = "nvcr.io/nvidia/tritonserver:24.10-py3"
    assert job["image"] == image
    assert f"--triton-image={image}" in job["arguments"]
    assert "--triton-deployment=compose.yaml::triton" in rehearsal["arguments"]
    assert "--triton-gpus=sim:2" in rehearsal["arguments"]


def test_number_that_the_file_does_not_say_is_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for grant in ("all", "${GPUS:-all}"):
        change(folder, "gpus: [{ count: 2 }]", f"gpus: {grant}")
        assert main(["plan", "--deployment", "compose.yaml"]) == 1
        said = capsys.readouterr().err
        assert "how many GPUs triton has in production isn't known here: it is granted" in said
        assert "(compose.yaml:6:5)" in said
        assert "--target=N" in said
        found = plan(capsys, "--target=3")
        assert gpus_of(found) == {"cpu": [0], "gpu": [0, 3], "third": [0, 3]}
        assert "--triton-target=3" in found["jobs"][0]["arguments"]
        change(folder, f"gpus: {grant}", "gpus: [{ count: 2 }]")


def test_each_server_has_jobs_of_its_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = (
        FILE.partition("\n")[2]
        .replace("triton:\n", "other:\n", 1)
        .replace("gpus: [{ count: 2 }]", "gpus: [{ count: 1 }]")
    )
    (folder / "compose.yaml").write_text(FILE + more)
    names = [job["name"] for job in plan(capsys)["jobs"]]
    assert names == ["triton-rehearsal", "triton-2-gpus", "other-rehearsal", "other-1-gpu"]
    assert main(["plan", "--deployment", "compose.yaml"]) == 0
    shown = capsys.readouterr().out
    assert "compose.yaml::other: 1 GPU, by Triton's rules for release 2.51.0 (24.10)" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name model repositories, or deployment files"),
        (["models", "--deployment=compose.yaml"], "not both"),
        (["models", "--target=2"], "--target is for --deployment"),
        (["--deployment=compose.yaml", "--server-args=--exit-on-error=1"], "--server-args"),
        (["--deployment=compose.yaml", "--target=-1"], "give a number of GPUs"),
        (["--deployment=nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_options_that_do_not_go_together_are_errors(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    if "--target=-1" in arguments:
        with pytest.raises(SystemExit, match="2"):
            main(["plan", *arguments])
    else:
        assert main(["plan", *arguments]) in (1, 2)
    assert words in capsys.readouterr().err
