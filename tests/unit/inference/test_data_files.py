"""Test data in files: numpy's, raw bytes, and perf_analyzer's JSON."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_triton.inference.data_files import DataBroken, read_test_data
from pytest_triton.inference.signature import ModelSignature, TensorSpec

X = TensorSpec("x", "INT32", (2, -1), batched=True)
T = TensorSpec("t", "BYTES", (-1,), batched=True)
Y = TensorSpec("y", "FP32", (2,), batched=True)
MODEL = ModelSignature("m", (X, T), (Y,), max_batch_size=4)


def written(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_folder_of_arrays_is_an_entry(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(4, dtype=np.int32).reshape(2, 2))
    np.save(tmp_path / "t.npy", np.array([["a"], ["é"]]))
    (entry,) = read_test_data(tmp_path, MODEL)
    assert entry.inputs["x"].tolist() == [[[0, 1], [2, 3]]], "the batch dimension is added"
    assert entry.inputs["t"].tolist() == [[b"a"], ["é".encode()]], "and kept"


def test_folder_of_raw_bytes_is_an_entry(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(np.arange(4, dtype="<i4").tobytes())
    (tmp_path / "t").write_bytes(b"\2\0\0\0hi\0\0\0\0")
    (entry,) = read_test_data(tmp_path, MODEL)
    assert entry.inputs["x"].tolist() == [[[0, 1], [2, 3]]]
    assert entry.inputs["t"].tolist() == [[b"hi", b""]]


def test_folders_and_files_in_a_folder_are_entries(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "x.npy", np.zeros((2, 1), np.int32))
    written(tmp_path / "more.json", {"data": [{"x": [1, 2]}, {"x": [3, 4]}]})
    names = [entry.name for entry in read_test_data(tmp_path, MODEL)]
    assert names == [
        "more.json[0]",
        "more.json[1]",
        f"{tmp_path.name}/first",
        f"{tmp_path.name}/second",
    ]


def test_json_in_all_its_forms(tmp_path: Path) -> None:
    raw = base64.b64encode(np.array([5, 6], "<i4").tobytes()).decode()
    file = written(
        tmp_path / "data.json",
        {
            "data": [
                {"x": [1, 2, 3, 4], "t": ["a", "b"]},
                {"x": {"content": [1, 2, 3, 4], "shape": [2, 2]}},
                {"x": {"b64": raw}},
                {"x": {"content": {"b64": raw}, "shape": [2, 1]}},
            ],
            "validation_data": [{"y": [0.5, 1.5]}],
        },
    )
    entries = read_test_data(file, MODEL)
    assert [entry.inputs["x"].tolist() for entry in entries] == [
        [[[1, 2], [3, 4]]],
        [[[1, 2], [3, 4]]],
        [[[5], [6]]],
        [[[5], [6]]],
    ]
    assert entries[0].inputs["t"].tolist() == [[b"a", b"b"]]
    assert [list(entry.expected) for entry in entries] == [["y"], [], [], []]
    assert entries[0].expected["y"].tolist() == [[0.5, 1.5]]


def test_json_with_sequences(tmp_path: Path) -> None:
    file = written(tmp_path / "s.json", {"data": [[{"x": [1, 2]}, {"x": [3, 4]}], [{"x": [5, 6]}]]})
    entries = read_test_data(file, MODEL)
    assert [(one.name, one.sequence) for one in entries] == [
        ("s.json[0][0]", 0),
        ("s.json[0][1]", 0),
        ("s.json[1][0]", 1),
    ]


def test_bf16_bits(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes((np.float32(-1.5).view(np.uint32) >> 16).astype("<u2").tobytes())
    model = ModelSignature("m", (TensorSpec("b", "BF16", (1,)),), ())
    (entry,) = read_test_data(tmp_path, model)
    assert entry.inputs["b"].astype(np.float32).tolist() == [-1.5]


@pytest.mark.parametrize(
    ("content", "reported"),
    [
        ("[]", '"data"'),
        ("{", "can't be read as JSON"),
        ('{"data": []}', "no test data"),
        ('{"data": [1]}', "not an object of tensors"),
        ('{"data": [{"z": [1]}]}', "no tensor 'z'"),
        ('{"data": [{"x": [1, 2, 3]}]}', "3 elements can't be x"),
        ('{"data": [{"x": {"b64": "?"}}]}', "base64"),
        ('{"data": [{"x": {"b64": "AAA="}}]}', "whole number of INT32"),
        ('{"data": [{"x": {"shape": [1]}}]}', "neither a list nor content"),
        ('{"data": [{"t": {"b64": "BwAAAGE="}}]}', "length before each text"),
        ('{"data": [{"x": ["one"]}]}', "can't be made into an array"),
    ],
)
def test_broken_json_is_reported(tmp_path: Path, content: str, reported: str) -> None:
    file = tmp_path / "data.json"
    file.write_text(content)
    with pytest.raises(DataBroken) as caught:
        read_test_data(file, MODEL)
    assert reported in str(caught.value)


def test_broken_folders_are_reported(tmp_path: Path) -> None:
    with pytest.raises(DataBroken, match="no test data at"):
        read_test_data(tmp_path / "nowhere", MODEL)
    with pytest.raises(DataBroken, match=r"no test data for m(.|\n)*x\.npy"):
        read_test_data(tmp_path, MODEL)
    (tmp_path / "x.npy").write_bytes(b"?")
    with pytest.raises(DataBroken, match=r"x\.npy can't be read"):
        read_test_data(tmp_path, MODEL)
    (tmp_path / "x.npy").rename(tmp_path / "z.npy")
    with pytest.raises(DataBroken, match="no input 'z'"):
        read_test_data(tmp_path, MODEL)
    (tmp_path / "z.npy").unlink()
    np.save(tmp_path / "t.npy", np.array([b"x"], dtype=object), allow_pickle=True)
    with pytest.raises(DataBroken, match=r"dtype of S, or use JSON"):
        read_test_data(tmp_path, MODEL)
