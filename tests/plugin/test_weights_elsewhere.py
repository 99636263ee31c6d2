"""A checkout without its weights: what is missing is assumed, shown to the server, and reported."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from pytest_triton.ledger import read_ledger
from support.trees import model

pytestmark = pytest.mark.server

GPU = "instance_group [ { kind: KIND_GPU } ]\n"
TENSORS = """\
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] label_filename: "labels.txt" } ]
"""
WARM_UP = """\
model_warmup [ { name: "w" batch_size: 1 inputs { key: "X" value {
  data_type: TYPE_FP32 dims: [ 4 ] input_data_file: "x" } } } ]
version_policy { specific { versions: [ 3, 5 ] } }
"""
STATE = """\
sequence_batching { state [ { input_name: "SI" output_name: "SO" data_type: TYPE_INT64 dims: [ 3 ]
  initial_state { name: "zero" data_type: TYPE_INT64 dims: [ 3 ] data_file: "zero" } } ] }
"""
STRINGS = """\
max_batch_size: 4
input [ { name: "X" data_type: TYPE_STRING dims: [ 2 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
model_warmup [ { name: "w" batch_size: 3 inputs { key: "X" value {
  data_type: TYPE_STRING dims: [ 2 ] input_data_file: "x" } } } ]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository as git keeps it: no model of it loads."""
    root = tmp_path / "models"
    onnx = f'backend: "onnxruntime"\n{GPU}'
    plain = onnx + TENSORS.replace(' label_filename: "labels.txt"', "")
    model(root, "bare", plain, folders=())
    model(root, "warm", onnx + TENSORS + WARM_UP, folders=("3",))
    model(root, "state", plain.replace("onnxruntime", "python") + STATE, folders=())
    model(root, "strings", onnx + STRINGS, folders=())
    model(root, "dvc", plain, folders=(), files=("1.dvc",))
    model(root, "linked", plain, folders=())
    os.symlink("/gone/weights/1", root / "linked/1")
    model(root, "unnamed", GPU + TENSORS, folders=("1",), files=("1/model.onnx.dvc",))
    return root


def contents(root: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in root.rglob("*")}


def run(pytester: pytest.Pytester, repository: Path, *arguments: str) -> pytest.RunResult:
    plain = ("-p", "no:cacheprovider", "-p", "no:randomly")
    return pytester.runpytest(*plain, f"--triton-repo={repository}", *arguments)


def test_checkout_without_weights_passes_with_all_files_assumed_and_reported(
    pytester: pytest.Pytester, checkout: Path
) -> None:
    before = contents(checkout)
    result = run(pytester, checkout, "--triton-weights=elsewhere", "--triton-ledger=l.json")
    result.assert_outcomes(passed=7 * 5)
    result.stdout.fnmatch_lines(
        [
            "triton: rehearsal on * 7 models: files assumed",
            "warm *GPU *refused: no GPU *GPU 0 · GPU 1",
            "7 models: files assumed, since weights are elsewhere:",
            "  bare, dvc, linked: 1/",
            "  state: 1/, initial_state/zero",
            "  strings: 1/, warmup/x",
            "  unnamed: 1/model.onnx, labels.txt",
            "  warm: 5/, labels.txt, warmup/x",
        ]
    )
    assert contents(checkout) == before, "nothing is written to the repository"
    entries = read_ledger(pytester.path / "l.json").entries
    assert {one.result.assumed for one in entries if one.model == "warm"} == {
        ("5/", "labels.txt", "warmup/x")
    }


def test_missing_files_alone_give_the_hint_and_other_faults_do_not(
    pytester: pytest.Pytester, checkout: Path
) -> None:
    hint = "--triton-weights=elsewhere assumes them: placement needs none of them."
    result = run(pytester, checkout, "-k", "test_config")
    result.assert_outcomes(failed=7)
    # Of the failures alone: with CI set, pytest's summary has their whole texts once more.
    failures = result.stdout.str().partition("= short test summary info =")[0]
    assert failures.count(hint) == 7
    model(checkout, "wrong", 'backend: "onnxruntime"\nmax_batch: 4\n')
    result = run(pytester, checkout, "-k", "test_config")
    result.assert_outcomes(failed=8)
    result.stdout.no_fnmatch_line(f"*{hint}")


@pytest.mark.parametrize("there", ["v1", "01", "model.onnx", "x"])
def test_what_lies_in_the_wrong_place_is_not_assumed_away(
    pytester: pytest.Pytester, tmp_path: Path, there: str
) -> None:
    """`x`, a file of the warm-up, lies beside config.pbtxt and not in warmup/."""
    warm_up = WARM_UP.partition("version_policy")[0]
    text = f'backend: "onnxruntime"\n{GPU}{TENSORS}{warm_up}'
    is_file = there in ("model.onnx", "x")
    folders = () if there == "model.onnx" else ("1",) if there == "x" else (there,)
    files = (there,) if is_file else ()
    model(tmp_path / "models", "m", text, folders=folders, files=files)
    arguments = ("--triton-weights=elsewhere", "-k", "test_config")
    run(pytester, tmp_path / "models", *arguments).assert_outcomes(failed=1)


def test_real_backends_and_assumed_files_are_refused_with_the_reason(
    pytester: pytest.Pytester, checkout: Path
) -> None:
    result = run(pytester, checkout, "--triton-weights=elsewhere", "--triton-backends=real")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*a real backend reads the files of its models*"])


def test_commands_take_the_same_option(pytester: pytest.Pytester, checkout: Path) -> None:
    def command(*arguments: str) -> pytest.RunResult:
        return pytester.run(sys.executable, "-m", "pytest_triton", *arguments)

    without = command("predict", str(checkout), "--gpus", "2")
    assert without.ret == 1
    without.stderr.fnmatch_lines(["*--weights elsewhere assumes them"])
    assumed = command("predict", str(checkout), "--gpus", "2", "--weights", "elsewhere")
    assert assumed.ret == 0
    assumed.stdout.fnmatch_lines(["7 models: files assumed*", "  bare, dvc, linked: 1/"])
    audited = command("audit", str(checkout), "--weights", "elsewhere", "--format", "json")
    found = json.loads(audited.stdout.str())
    assert audited.ret == 0
    assert len(found["assumed"]) == 7
    assert not {"TRT503", "TRT505", "TRT520", "TRT521", "TRT522", "TRT525"} & {
        one["rule"] for one in found["findings"]
    }
    plan = command("plan", str(checkout), "--weights", "elsewhere", "--format", "json")
    needs = json.loads(plan.stdout.str())["needs"]
    assert {one["model"] for one in needs if one["gpus"]} == {
        "bare", "dvc", "linked", "state", "strings", "unnamed", "warm",
    }  # fmt: skip


def test_tritons_text_names_the_repository_not_what_the_server_was_shown(
    pytester: pytest.Pytester, checkout: Path
) -> None:
    (checkout / "warm/config.pbtxt").write_text('backend: "onnxruntime"\nmax_batch_size 4\n')
    result = run(pytester, checkout, "--triton-weights=elsewhere", "-k", "warm")
    result.stdout.fnmatch_lines([f"*text proto from {checkout}/warm/config.pbtxt: *"])
    assert "/repositories/0-models" not in result.stdout.str()
