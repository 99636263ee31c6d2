"""Configs that somebody generated, or means ill with: what is said of them stays readable."""

from __future__ import annotations

from pathlib import Path

from support.audit_examples import audit_config, audit_files, ids

ONNX = 'backend: "onnxruntime"\n'


def test_one_rule_says_at_most_twenty_things_of_a_model(tmp_path: Path) -> None:
    text = ONNX + "instance_group { kind: KIND_GPU gpus: [ 5, 5 ] count: 0 }\n" * 3000
    found = audit_config(tmp_path, text, target=4)
    counts = {rule: ids(found).count(rule) for rule in ids(found)}
    assert counts == {"TRT107": 20, "TRT109": 20, "TRT110": 20, "TRT208": 1, "TRT401": 1}
    assert all(len(finding.mend) < 1000 for finding in found)


def test_long_lists_of_gpus(tmp_path: Path) -> None:
    text = ONNX + f"instance_group {{ kind: KIND_GPU gpus: [ {', '.join(['7'] * 50_000)} ] }}"
    found = audit_config(tmp_path, text)
    assert ids(found) == ["TRT208", "TRT109"]
    assert "50000 instances" in found[1].message


def test_many_comments_and_variants(tmp_path: Path) -> None:
    config = "# triton: ignore TRT101\n" * 20_000 + 'backend: "python"\n'
    files = {"m/config.pbtxt": config, "m/1/.gitkeep": ""}
    files |= {f"m/configs/v{number}.pbtxt": "no config" for number in range(100)}
    assert ids(audit_files(tmp_path, files)) == ["TRT523"] * 20
