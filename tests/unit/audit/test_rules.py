"""What the examples of the rules don't show: exact places, fixes, and what is no finding."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_triton.audit import audit
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.placement.hardware import simulated_gpus
from pytest_triton.repository import read_repository
from support.audit_examples import audit_config, audit_files, ids, write_files

ONNX = 'backend: "onnxruntime"\n'


def one(findings: tuple[Diagnostic, ...], rule: str) -> Diagnostic:
    found = [finding for finding in findings if finding.rule == rule]
    assert len(found) == 1, findings
    return found[0]


@pytest.mark.parametrize(
    ("text", "rule", "place"),
    [
        ("max_batch_size: 8\n" + ONNX, "TRT101", (2, 1)),
        ('# a comment\nplatform: "onnxruntime_onnx"', "TRT101", (2, 1)),
        (ONNX + "instance_group [\n  { kind: KIND_GPU },\n  { count: 2 }\n]", "TRT102", (4, 3)),
        (ONNX + "instance_group { count: 1 kind: KIND_AUTO }", "TRT102", (2, 27)),
        (ONNX + "instance_group {\n  gpus: 0\n}", "TRT103", (3, 3)),
        (ONNX + "instance_group { kind: KIND_CPU gpus: [ 0 ] }", "TRT104", (2, 33)),
        (ONNX + "instance_group { kind: KIND_GPU gpus: [ 0, -1 ] }", "TRT108", (2, 44)),
        (ONNX + "instance_group { kind: KIND_GPU gpus: 1 gpus: 0 gpus: 1 }", "TRT109", (2, 55)),
        (ONNX + "instance_group { count: -2 kind: KIND_CPU }", "TRT110", (2, 18)),
    ],
)
def test_findings_point_at_the_offending_field(
    tmp_path: Path, text: str, rule: str, place: tuple[int, int]
) -> None:
    finding = one(audit_config(tmp_path, text), rule)
    assert finding.path == tmp_path / "models" / "m" / "config.pbtxt"
    assert (finding.line, finding.column) == place
    assert finding.model == "m"


def test_fix_keeps_the_other_groups_and_fields(tmp_path: Path) -> None:
    text = ONNX + (
        'instance_group [ { kind: KIND_CPU count: 2 }, { name: "big" count: 3 gpus: [ 1 ] } ]'
    )
    assert one(audit_config(tmp_path, text), "TRT103").lines == (
        "instance_group [\n  {\n    kind: KIND_CPU\n    count: 2\n  },\n"
        '  {\n    name: "big"\n    kind: KIND_GPU\n    count: 3\n    gpus: [ 1 ]\n  }\n]'
    )


@pytest.mark.parametrize(
    "text",
    [
        'backend: "tensorrt"\n',  # refuses the CPU: nothing can fall back
        'backend: "openvino"\n',  # asks for the CPU by itself
        ONNX + "instance_group { kind: KIND_GPU count: 2 }",
        ONNX + "instance_group { kind: KIND_GPU gpus: [ 7 ] }\n"
        'input { name: "X" data_type: TYPE_FP32 dims: 1 }\n'
        'output { name: "Y" data_type: TYPE_FP32 dims: 1 }',
        'backend: "python"\ninstance_group { kind: KIND_CPU }',  # one instance, without a count
        'backend: "pytorch"\ninstance_group { kind: KIND_MODEL }',
        'backend: "vllm"\ninstance_group { kind: KIND_GPU count: 1 }',
        'platform: "tensorrt_plan"\ninstance_group { kind: KIND_GPU profile: [ "1" ] }',
    ],
)
def test_what_is_no_finding(tmp_path: Path, text: str) -> None:
    assert audit_config(tmp_path, text) == ()


def test_target_knows_compute_capabilities(tmp_path: Path) -> None:
    text = 'backend: "pytorch"\ninstance_group { kind: KIND_GPU gpus: [ 0 ] }'
    repositories = write_files(tmp_path, {"m/config.pbtxt": text, "m/1/.gitkeep": ""})
    repository = read_repository(repositories)
    assert audit(repository, target=simulated_gpus(1, (7, 5))) == ()
    assert ids(audit(repository, target=simulated_gpus(1, (5, 2)))) == ["TRT107"]


def test_select_and_the_order_of_findings(tmp_path: Path) -> None:
    files = {
        "a/config.pbtxt": ONNX + "instance_group [ { kind: KIND_CPU } ]",
        "a/1/.gitkeep": "",
        "b/config.pbtxt": ONNX + "instance_group [ { kind: KIND_GPU gpus: [ 0, 0 ] } ]",
        "b/1/.gitkeep": "",
        "c/config.pbtxt": ONNX,
        "c/1/.gitkeep": "",
    }
    repository = read_repository(write_files(tmp_path, files))
    assert ids(audit(repository)) == ["TRT101", "TRT109", "TRT111"]  # the worst first
    assert ids(audit(repository, select=("TRT11",))) == ["TRT111"]
    assert ids(audit(repository, select=("gpu-twice", "TRT2"))) == ["TRT109"]


def test_ensemble_over_two_repositories_finds_its_models(tmp_path: Path) -> None:
    tensor = "data_type: TYPE_FP32 dims: [ 4 ]"
    ensemble = (
        f'platform: "ensemble"\ninput {{ name: "X" {tensor} }}\noutput {{ name: "Y" {tensor} }}\n'
        'ensemble_scheduling { step { model_name: "far" model_version: -1 '
        'input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" } } }'
    )
    files = {
        "a:chain/config.pbtxt": ensemble,
        "a:chain/1/.gitkeep": "",
        "b:far/config.pbtxt": 'backend: "python"\ninstance_group { kind: KIND_CPU }',
        "b:far/1/.gitkeep": "",
    }
    assert audit_files(tmp_path, files) == ()
    assert ids(audit(read_repository([tmp_path / "a"]))) == ["TRT302"]


def test_step_may_ask_for_a_version_that_the_policy_loads(tmp_path: Path) -> None:
    def findings(version: str, policy: str, folder: str) -> list[str]:
        tensor = "data_type: TYPE_FP32 dims: [ 4 ]"
        files = {
            "chain/config.pbtxt": (
                f'platform: "ensemble"\ninput {{ name: "X" {tensor} }}\n'
                f'output {{ name: "Y" {tensor} }}\n'
                f'ensemble_scheduling {{ step {{ model_name: "a" model_version: {version} '
                'input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" } } }'
            ),
            "chain/1/.gitkeep": "",
            "a/config.pbtxt": f'backend: "python"\ninstance_group {{ kind: KIND_CPU }}\n{policy}',
            "a/1/.gitkeep": "",
            "a/2/.gitkeep": "",
        }
        return ids(audit_files(tmp_path / folder, files))

    assert findings("2", "", "newest") == []
    assert findings("1", "", "older") == ["TRT306"]
    assert findings("1", "version_policy { all { } }", "all") == []


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [root] = write_files(
        tmp_path,
        {
            "m/config.pbtxt": ONNX + "instance_group { kind: KIND_CPU }",
            "m/1/model.onnx": "weights",
        },
    )
    # Not by chmod: tests may run as root, who reads everything.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "model.onnx")
    finding = one(audit(read_repository([root])), "TRT525")
    assert finding.path == root / "m" / "1" / "model.onnx"


def test_entries_that_are_no_files_are_looked_at_and_never_opened(tmp_path: Path) -> None:
    [root] = write_files(
        tmp_path,
        {
            "m/config.pbtxt": 'backend: "python"\ninstance_group { kind: KIND_GPU }',
            "m/1/.gitkeep": "",
            "m/configs/pipe.pbtxt.txt": "",
        },
    )
    os.mkfifo(root / "m" / "1" / "model.py")
    os.mkfifo(root / "m" / "configs" / "pipe.pbtxt")
    (root / "m" / "1" / "loop").symlink_to("loop")
    assert ids(audit(read_repository([root]))) == ["TRT528", "TRT523"]


def test_negative_id_is_reported_once_also_with_a_target(tmp_path: Path) -> None:
    text = ONNX + "instance_group { kind: KIND_GPU gpus: [ 0, -1 ] }"
    assert ids(audit_config(tmp_path, text, target=1)) == ["TRT108", "TRT401"]


@pytest.mark.parametrize("broken", ["instance_group [ { kind: KIND_GPU gpu: 0 } ]", 'name: "a"'])
def test_ensemble_of_a_model_that_cannot_be_loaded_points_at_its_problem(
    tmp_path: Path, broken: str
) -> None:
    tensors = (
        'input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
        'output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
    )
    step = (
        '{ model_name: "m" model_version: -1 input_map { key: "X" value: "X" } '
        'output_map { key: "Y" value: "Y" } }'
    )
    files = {
        "m/config.pbtxt": f"{ONNX}{tensors}{broken}\n",
        "m/1/.gitkeep": "",
        "e/config.pbtxt": f'platform: "ensemble"\n{tensors}ensemble_scheduling {{ step {step} }}\n',
        "e/1/.gitkeep": "",
    }
    finding = one(audit_files(tmp_path, files), "TRT308")
    start = (
        "step 0's model `m` can't be loaded, and so the ensemble can't be. Correct `m` first. See "
    )
    assert finding.message.startswith(start)
    assert "m/config.pbtxt:" in finding.message
    assert [also.path.parent.name for also in finding.also] == ["m"]


def test_gpu_is_not_called_unused_where_a_config_can_not_be_read(tmp_path: Path) -> None:
    files = {
        "m/config.pbtxt": 'backend: "onnxruntime"\ninstance_group [ { kind: KIND_CPU } ]\n',
        "m/1/model.onnx": "x",
    }
    assert "TRT401" in ids(audit_files(tmp_path / "good", files, target=1))
    files["bad/config.pbtxt"] = 'backend: "onnxruntime" instance_group [ { kind: KIND_GPUS } ]\n'
    assert "TRT401" not in ids(audit_files(tmp_path / "bad", files, target=1))
