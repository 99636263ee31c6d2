"""Configs that somebody generated, or means ill with: what is said of them stays readable."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.__main__ import main
from pytest_triton.audit.model_code.source import SIZE_LIMIT
from pytest_triton.repository.engines import MODEL_JSON_LIMIT
from support.audit_examples import audit_config, audit_files, ids

ONNX = 'backend: "onnxruntime"\n'


def test_one_rule_says_at_most_twenty_things_of_a_model(tmp_path: Path) -> None:
    text = ONNX + "instance_group { kind: KIND_GPU gpus: [ 5, 5 ] count: 0 }\n" * 3000
    found = audit_config(tmp_path, text, target=4)
    counts = {rule: ids(found).count(rule) for rule in ids(found)}
    assert counts == {"TRT107": 20, "TRT109": 20, "TRT110": 20, "TRT208": 1, "TRT401": 1}
    assert all(len(finding.lines) < 1000 for finding in found)


def test_long_lists_of_gpus(tmp_path: Path) -> None:
    text = ONNX + f"instance_group {{ kind: KIND_GPU gpus: [ {', '.join(['7'] * 50_000)} ] }}"
    found = audit_config(tmp_path, text)
    assert ids(found) == ["TRT208", "TRT109"]
    assert "50000 instances" in found[1].message


def test_many_comments_and_variants(tmp_path: Path) -> None:
    config = "# triton: ignore TRT101\n" * 20_000 + 'backend: "python"\n'
    files = {"m/config.pbtxt": config, "m/1/.gitkeep": ""}
    files |= {f"m/configs/v{number}.pbtxt": "no config" for number in range(100)}
    assert ids(audit_files(tmp_path, files)) == ["TRT528"] + ["TRT523"] * 20


def test_config_over_the_limit_is_an_error(tmp_path: Path) -> None:
    (found,) = audit_config(tmp_path, ONNX + "# x" * 400_000)
    assert (found.rule, found.severity) == ("TRT501", "error")
    assert "has 1,200,023 bytes; up to 1,048,576 are read" in found.message


@pytest.mark.parametrize(
    ("backend", "name", "text", "why"),
    [
        ("python", "model.py", "'cuda'\n" + "#" * SIZE_LIMIT, "up to 524,288 are read"),
        ("python", "model.py", "'cuda'; " + "not " * 20_000 + "1", "too deep or complex"),
        ("python", "model.py", "x = 'cuda' + " + "(" * 5_000, "too deep or complex"),
        ("python", "model.py/x", "", "is not a file"),
        ("vllm", "model.json", "{}" + " " * MODEL_JSON_LIMIT, "up to 1,048,576 are read"),
    ],
)
def test_file_that_the_audit_could_not_read_is_an_error(
    tmp_path: Path, backend: str, name: str, text: str, why: str
) -> None:
    config = f'backend: "{backend}"\ninstance_group [ {{ kind: KIND_MODEL }} ]\n'
    found = audit_files(tmp_path, {"m/config.pbtxt": config, f"m/1/{name}": text})
    (unread,) = [finding for finding in found if finding.rule == "TRT528"]
    assert why in unread.message
    assert unread.severity == "error"


def test_audit_command_fails_for_what_it_could_not_read(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "config.pbtxt").write_text(ONNX + "# x" * 400_000)
    assert main(["audit", str(tmp_path)]) == 1
