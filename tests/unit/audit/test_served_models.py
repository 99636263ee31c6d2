"""`audit --deployment` with several servers of one repository: each finding once, right for all."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pytest_triton.__main__ import main

_CONFIG = """name: "{name}"
backend: "onnxruntime"
input [ {{ name: "X" data_type: TYPE_FP32 dims: [ 4 ] }} ]
output [ {{ name: "Y" data_type: TYPE_FP32 dims: [ 4 ] }} ]
"""
_GPU = "instance_group [ { kind: KIND_GPU } ]\n"
_BOTH = """services:
  triton:
    image: nvcr.io/nvidia/tritonserver:24.10-py3
    command: tritonserver --model-repository=/models
    volumes: [./models:/models]
    gpus: [{ count: 2 }]
  cpu:
    image: nvcr.io/nvidia/tritonserver:24.10-py3
    command: tritonserver --model-repository=/models --model-control-mode=explicit --load-model=open
    volumes: [./models:/models]
"""
COMMAND = ["audit", "--deployment", "compose.yaml"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, groups in (("open", ""), ("a", _GPU), ("b", _GPU)):
        model = tmp_path / "models" / name
        (model / "1").mkdir(parents=True)
        (model / "1" / "model.onnx").write_text("weights")
        (model / "config.pbtxt").write_text(_CONFIG.format(name=name) + groups)
    (tmp_path / "compose.yaml").write_text(_BOTH)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def findings(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    main([*COMMAND, "--format=json", *arguments])
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["findings"]
    return found


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("more", [(), ("models",)])
def test_models_of_two_servers_count_once(
    capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    main([*COMMAND, *more])
    shown = capsys.readouterr().out
    assert "\n3 models: 1 error" in shown
    assert shown.count("TRT101") == 1


def test_fix_for_servers_with_and_without_gpus_is_right_for_both(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [finding] = [one for one in findings(capsys) if one["rule"] == "TRT101"]
    assert "KIND_GPU" in finding["fix"]
    assert "The lines are for `triton`. For `cpu`, write a copy of it" in finding["message"]
    model = folder / "models" / "open"
    said = re.search(r"copy of it, (\S+) .*with (--\S+)\), with `(.*)` in it", finding["message"])
    assert said is not None, finding["message"]
    text = (model / "config.pbtxt").read_text()
    (model / "configs").mkdir()
    (model / said[1]).write_text(f"{text}{said[3]}\n")
    (model / "config.pbtxt").write_text(f"{text}{finding['fix']}\n")
    compose = _BOTH.replace("--load-model=open", f"--load-model=open {said[2]}")
    (folder / "compose.yaml").write_text(compose)
    assert [one for one in findings(capsys) if one["severity"] == "error"] == []
    for variant, gpus, placed in (((), "2", "GPU 0"), (("--config-name", "cpu"), "none", "CPU")):
        main(["predict", "models", "--gpus", gpus, *variant])
        row = re.search(r"^open .*$", capsys.readouterr().out, re.MULTILINE)
        assert row is not None
        assert placed in row[0]
        assert "refused" not in row[0]


def test_servers_alike_share_a_finding_without_more_words(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "compose.yaml").write_text(_BOTH + "    gpus: [{ count: 1 }]\n")
    [finding] = [one for one in findings(capsys) if one["rule"] == "TRT101"]
    assert finding["message"].endswith("the model comes up on the CPU, unnoticed")


def test_finding_of_one_server_of_a_config_of_two_names_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "models" / "open" / "config.pbtxt").write_text(
        _CONFIG.format(name="open") + "instance_group [ { kind: KIND_GPU gpus: [ 0, 1 ] } ]\n"
    )
    (folder / "compose.yaml").write_text(_BOTH + "    gpus: [{ count: 1 }]\n")
    [finding] = [one for one in findings(capsys) if one["rule"] == "TRT107"]
    assert (
        "This is so on `cpu`. `triton` must keep this config: make the change in"
        in (finding["message"])
    )
    assert "configs/cpu.pbtxt" in finding["message"]


def test_servers_of_one_name_in_two_files_are_told_apart(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service, cpu = _BOTH.split("  cpu:")
    (folder / "compose.yaml").write_text(service)
    (folder / "other.yaml").write_text(f"services:\n  triton:{cpu}")
    [finding] = [
        one for one in findings(capsys, "--deployment", "other.yaml") if one["rule"] == "TRT101"
    ]
    message = finding["message"]
    assert "The lines are for `compose.yaml::triton`. For `other.yaml::triton`, write" in message
    assert "configs/other.yaml-triton.pbtxt" in message
