"""Golden files: what is written compares equal, what differs is reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_triton.inference.arrays import numpy_type, object_array
from pytest_triton.inference.golden import GoldenBroken, GoldenMismatch, compare_with_golden
from pytest_triton.inference.infer import Inference

Outputs = dict[str, np.ndarray[Any, np.dtype[Any]]]
OUTPUTS: Outputs = {
    "scores": np.array([[0.5, np.nan]], np.float32),
    "a/b.c %": np.array([True, False]),
    "half": np.array([1.5], numpy_type("BF16")),
    "text": object_array([b"\xff\0", "é".encode(), b""], (3, 1)),
    "ids": np.array(7, np.uint64),
}


def changed(**outputs: Any) -> Outputs:
    return {**OUTPUTS, **outputs}


def test_what_was_written_compares_equal(tmp_path: Path) -> None:
    compare_with_golden(OUTPUTS, tmp_path, update=True)
    compare_with_golden(OUTPUTS, tmp_path)
    compare_with_golden(changed(scores=np.array([[0.51, np.nan]], np.float32)), tmp_path, atol=0.1)
    assert '"é"' in (tmp_path / "text.json").read_text("utf-8"), "texts can be read"


@given(texts=st.lists(st.binary(max_size=6), min_size=1, max_size=4))
def test_bytes_survive(tmp_path_factory: pytest.TempPathFactory, texts: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("golden")
    compare_with_golden({"t": object_array(texts, (len(texts),))}, folder, update=True)
    compare_with_golden({"t": object_array(texts, (len(texts),))}, folder)
    with pytest.raises(GoldenMismatch):
        compare_with_golden(
            {"t": object_array([*texts[:-1], texts[-1] + b"!"], (len(texts),))}, folder
        )


@pytest.mark.parametrize(
    ("outputs", "reported"),
    [
        (
            changed(scores=np.array([[0.6, np.nan]], np.float32)),
            "Not equal to tolerance rtol=1e-05",
        ),
        (changed(scores=np.array([[0.5, 1]], np.float32)), "nan location mismatch"),
        (changed(scores=np.array([0.5, np.nan], np.float32)), "scores: shape (2,), golden (1, 2)"),
        (changed(scores=np.array([[0.5, np.nan]])), "scores: dtype float64, golden float32"),
        (changed(**{"a/b.c %": np.array([True, True])}), "Arrays are not equal"),
        (changed(text=object_array([b"\xff", "é".encode(), b""], (3, 1))), "Arrays are not equal"),
        (changed(half=np.array([1.75], numpy_type("BF16"))), "half"),
        (changed(ids=np.array(8, np.uint64)), "ids"),
        (changed(more=np.zeros(1)), "more: an output without a golden file (more.npy)"),
        ({"scores": OUTPUTS["scores"]}, "text.json is there"),
        ({}, "no outputs"),
    ],
)
def test_differences_are_reported(tmp_path: Path, outputs: Outputs, reported: str) -> None:
    compare_with_golden(OUTPUTS, tmp_path, update=True)
    with pytest.raises(GoldenMismatch) as caught:
        compare_with_golden(outputs, tmp_path)
    assert reported in str(caught.value)


def test_all_differences_are_reported_at_once(tmp_path: Path) -> None:
    compare_with_golden(OUTPUTS, tmp_path, update=True)
    with pytest.raises(GoldenMismatch, match=r"ids(.|\n)*half|half(.|\n)*ids"):
        compare_with_golden(
            changed(ids=np.array(8, np.uint64), half=np.array([9], numpy_type("BF16"))), tmp_path
        )


def test_no_golden_files_is_no_success(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(GoldenMismatch, match=r"update=True"):
            compare_with_golden(OUTPUTS, folder)


def test_update_replaces_and_leaves_other_files_alone(tmp_path: Path) -> None:
    compare_with_golden({"y": np.zeros(2)}, tmp_path, update=True)
    compare_with_golden({"y": object_array([b"a"], (1,))}, tmp_path, update=True)
    assert [file.name for file in tmp_path.iterdir()] == ["y.json"]
    with pytest.raises(GoldenMismatch, match=r"y\.json is there; delete it"):
        compare_with_golden({"z": np.zeros(1)}, tmp_path, update=True)


@pytest.mark.parametrize("content", ["{", "[]", '{"shape": [2], "data": ["a"]}'])
def test_broken_golden_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(GoldenBroken, match=r"t\.json can't be read"):
        compare_with_golden({"t": object_array([b"a"], (1,))}, tmp_path)


@pytest.mark.parametrize("update", [False, True])
def test_outputs_of_a_rehearsal_are_neither_compared_nor_written(
    tmp_path: Path, update: bool
) -> None:
    answer = Inference("m", "1", {}, "zeros", (OUTPUTS,), (), rehearsal=True)
    with pytest.raises(GoldenMismatch, match="whose stand-ins answer zeros") as caught:
        compare_with_golden(answer, tmp_path / "golden", update=update)
    assert "--triton-backends=real" in caught.value.fix
    assert not (tmp_path / "golden").exists()
