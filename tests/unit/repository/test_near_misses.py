"""What somebody meant whose files aren't where Triton looks for them: cases of public reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.audit import audit
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.repository import read_repository
from pytest_triton.repository.models import read_as
from pytest_triton.repository.reading import Reading, Weights

CONFIG = """\
backend: "python"
max_batch_size: 4
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
CODE = "class TritonPythonModel:\n    def execute(self, requests): ...\n"
GOOD = {"good/config.pbtxt": CONFIG, "good/1/model.py": CODE}


def findings(root: Path, files: dict[str, str]) -> list[Diagnostic]:
    for name, text in {**GOOD, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [one for one in audit(read_repository([root])) if one.model != "good"]


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("config.pbtxt.txt", "Rename it to config.pbtxt"),
        ("Config.pbtxt", "Rename it to config.pbtxt"),
        ("config.pbtx", "Rename it to config.pbtxt"),
        ("config.pbtxt.template", "give it values"),
        ("config.pbtxt.j2", "give it values"),
        ("1/config.pbtxt", "Its place is beside the version directories: mv"),
        ("config/config.pbtxt", "Its place is beside the version directories: mv"),
        ("potato.pbtxt", "configs/"),
    ],
)
def test_config_by_another_name_is_named_and_no_placement_is_advised(
    tmp_path: Path, file: str, says: str
) -> None:
    [found] = findings(tmp_path, {f"m/{file}": CONFIG, "m/1/model.py": CODE})
    assert found.rule == "TRT526"
    assert found.path == tmp_path / "m" / file
    assert says in found.message


def test_directory_of_models_below_a_repository_is_no_misnamed_config(tmp_path: Path) -> None:
    [found] = findings(tmp_path, {f"more/{name}": text for name, text in GOOD.items()})
    assert found.rule == "TRT507"
    assert "It holds models itself" in found.message


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (".ipynb_checkpoints", "Jupyter makes it"),
        ("lost+found", "the file system's own"),
        ("..data", "mount each file with subPath"),
        ("notes", "move it elsewhere"),
    ],
)
def test_directory_that_is_no_model_is_explained_without_placement(
    tmp_path: Path, name: str, says: str
) -> None:
    [found] = findings(tmp_path, {f"{name}/x": ""})
    assert (found.rule, says in found.message) == ("TRT507", True)


def test_empty_directory_asks_whether_it_was_fetched(tmp_path: Path) -> None:
    (tmp_path / "submodule").mkdir()
    [found] = findings(tmp_path, {})
    assert "Was it fetched?" in found.message


@pytest.mark.parametrize(
    ("files", "rule", "says"),
    [
        ({"m/model.py": ""}, "TRT503", "stands beside config.pbtxt: mkdir"),
        ({"m/model.py": "", "m/1/.gitkeep": ""}, "TRT521", "stands beside config.pbtxt. Move it"),
        ({"m/1/1/model.py": ""}, "TRT521", "a level too deep"),
        ({"m/001/model.py": ""}, "TRT503", "leading zero"),
        ({"m/latest/model.py": ""}, "TRT503", "`latest` is not a number: mv "),
    ],
)
def test_model_file_in_a_wrong_place_is_reported_where_to_move(
    tmp_path: Path, files: dict[str, str], rule: str, says: str
) -> None:
    [found] = findings(tmp_path, {"m/config.pbtxt": CONFIG, **files})
    assert (found.rule, says in found.message) == (rule, True)


ONNX = CONFIG.replace("python", "onnxruntime")
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


@pytest.mark.parametrize(
    ("files", "rule", "says", "fix"),
    [
        ({"m/1/model.onnx.dvc": "outs:"}, "TRT522", "dvc pull", ""),
        ({"m/1/README.md": "", "m/1/get.sh": ""}, "TRT521", "nothing that onnxruntime could", ""),
        ({"m/1/net.onnx": "x", "m/1/a.md": ""}, "TRT521", "`net.onnx`", "net.onnx"),
        ({"m/1/model.onnx": "x", "m/1/data/w.bin": POINTER}, "TRT522", "git lfs pull", ""),
        ({"m/1/model.onnx": "/annex/objects/MD5-s1--0\n"}, "TRT522", "git annex get", ""),
    ],
)
def test_file_that_was_not_fetched_is_reported_and_no_other_proposed(
    tmp_path: Path, files: dict[str, str], rule: str, says: str, fix: str
) -> None:
    [found] = findings(tmp_path, {"m/config.pbtxt": ONNX, **files})
    assert (found.rule, says in found.message) == (rule, True)
    assert fix in found.lines
    assert bool(found.lines) == bool(fix)


@pytest.mark.parametrize("file", ["config.yaml", "config.JSON", "configs/config.pbtxt"])
def test_config_in_another_format_or_place_is_reported_as_such(tmp_path: Path, file: str) -> None:
    found = findings(tmp_path, {f"m/{file}": CONFIG, "m/1/notes": "x"})
    assert [one.rule for one in found] == ["TRT526"]
    assert ("protobuf text only" in found[0].message) != file.endswith("pbtxt")


def test_label_file_in_version_directory_is_reported_where_to_move(tmp_path: Path) -> None:
    output = 'output [ { name: "Y" data_type: TYPE_FP32 dims: [ 1 ] label_filename: "l.txt" } ]'
    model = {"m/config.pbtxt": CONFIG + output, "m/1/model.py": CODE, "m/1/l.txt": "a"}
    [found] = (one for one in findings(tmp_path, model) if one.rule == "TRT505")
    assert "It stands in 1/: mv " in found.message


def test_saved_model_without_its_folder_is_no_file_to_be_named(tmp_path: Path) -> None:
    config = CONFIG.replace('backend: "python"', 'platform: "tensorflow_savedmodel"')
    found = findings(tmp_path, {"m/config.pbtxt": config, "m/1/saved_model.pb": "x"})
    [missing] = (one for one in found if one.rule == "TRT521")
    assert "Move saved_model.pb and its variables into model.savedmodel/" in missing.message
    assert not missing.lines


@pytest.mark.parametrize(
    ("config", "kept", "weights", "found"),
    [
        (CONFIG, "", "present", True),
        (CONFIG + 'default_model_filename: "serve.py"\n', "", "present", True),
        (CONFIG, "", "elsewhere", False),
        (CONFIG, ".gitkeep", "present", False),  # git keeps no empty directory: it's meant
        (CONFIG, "model.py.dvc", "present", False),  # which is reported as such
        (ONNX, "", "present", False),  # weights that are fetched later are common
    ],
)
def test_python_model_without_code_in_an_empty_version_is_reported(
    tmp_path: Path, config: str, kept: str, weights: Weights, found: bool
) -> None:
    version = tmp_path / "models" / "m" / "1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(config)
    if kept:
        (version / kept).write_text("outs:")
    repository = read_as([tmp_path / "models"], Reading(weights))
    missing = [one for one in audit(repository) if one.rule == "TRT521"]
    assert [one.path for one in missing] == [version] * found
    file = "serve.py" if "serve" in config else "model.py"
    assert all(f"waits for its `{file}` without end" in one.message for one in missing)
