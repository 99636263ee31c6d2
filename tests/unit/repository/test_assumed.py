"""Files that a config needs and that aren't there, where weights are elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.repository import read_repository
from pytest_triton.repository.models import Model, read_as
from pytest_triton.repository.reading import Reading
from support.trees import model

ELSEWHERE = Reading(weights="elsewhere")


def read(root: Path) -> Model:
    return read_as([root], ELSEWHERE).models[0]


@pytest.mark.parametrize(
    ("policy", "there", "assumed"),
    [
        ("", (), (1,)),
        ("", ("4",), ()),
        ("version_policy { all { } }", (), (1,)),
        ("version_policy { latest { num_versions: 2 } }", ("4",), ()),
        ("version_policy { specific { versions: [ 7 ] } }", (), (7,)),
        ("version_policy { specific { versions: [ 7, 4, 2 ] } }", ("4",), (2, 7)),
    ],
)
def test_versions_are_assumed_by_the_version_policy(
    tmp_path: Path, policy: str, there: tuple[str, ...], assumed: tuple[int, ...]
) -> None:
    model(tmp_path, "m", f'backend: "python"\n{policy}\n', folders=there)
    found = read(tmp_path)
    assert {one.path.name for one in found.assumed} == {str(number) for number in assumed}
    assert found.refusal is None
    assert found.versions_to_load


def test_what_is_there_is_not_assumed(tmp_path: Path) -> None:
    text = 'backend: "python"\noutput [ { name: "Y" data_type: TYPE_FP32 dims: [ 1 ] '
    text += 'label_filename: "labels.txt" } ]\n'
    model(tmp_path, "m", text, files=("labels.txt",))
    assert read(tmp_path) == read_repository([tmp_path]).models[0]


@pytest.mark.parametrize("name", ["../labels.txt", "/etc/labels.txt", "a/../../labels.txt"])
def test_file_outside_of_the_model_is_never_assumed(tmp_path: Path, name: str) -> None:
    text = 'backend: "python"\noutput [ { name: "Y" data_type: TYPE_FP32 dims: [ 1 ] '
    model(tmp_path, "m", f'{text}label_filename: "{name}" }} ]\n')
    assert read(tmp_path).assumed == ()


def test_file_of_more_than_a_gigabyte_is_never_assumed(tmp_path: Path) -> None:
    text = 'backend: "python"\nmodel_warmup [ { name: "w" batch_size: 1 inputs { key: "X" value { '
    text += 'data_type: TYPE_FP32 dims: [ 1073741824 ] input_data_file: "x" } } } ]\n'
    model(tmp_path, "m", text)
    assert read(tmp_path).assumed == ()


@pytest.mark.parametrize("name", ["config.pbtxt", "libtriton_own.so"])
def test_config_or_library_that_is_not_pulled_is_not_assumed(tmp_path: Path, name: str) -> None:
    model(tmp_path, "m", None, files=(f"{name}.dvc",))
    found = read(tmp_path)
    assert found.refusal is not None
    assert found.config_file is None
    assert name not in found.beside
