"""Slips in config.pbtxt that are recognised as what they are: cases of public reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.repository import read_config

HEAD = 'backend: "python"\nmax_batch_size: 4\n'
INPUT = HEAD + 'input [ {{ name: "X" data_type: {} dims: [ {} ] }} ]\n'


def fix_of(tmp_path: Path, text: str) -> str:
    path = tmp_path / "config.pbtxt"
    path.write_text(text)
    problem = read_config(path).problem
    assert problem is not None
    return f"{problem.message}: {problem.fix}"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("BYTES", "TYPE_STRING"),
        ("FP32", "TYPE_FP32"),
        ("TYPE_FLOAT", "TYPE_FP32"),
        ("TYPE_FLOAT32", "TYPE_FP32"),
        ("float64", "TYPE_FP64"),
        ("LONG", "TYPE_INT64"),
        ("HALF", "TYPE_FP16"),
        ("TYPE_BYTES", "TYPE_STRING"),
        ("np.float32", "TYPE_FP32"),
        ("torch.bfloat16", "TYPE_BF16"),
        ("uint8_t", "TYPE_UINT8"),
        ("int", "TYPE_INT32"),
        ("DT_FLOAT", "TYPE_FP32"),
        ("object", "TYPE_STRING"),
        ('"tensor(int64)"', "TYPE_INT64"),
        ("TYPE_FP23", "TYPE_FP32"),
    ],
)
def test_data_type_of_another_system_is_translated(
    tmp_path: Path, written: str, meant: str
) -> None:
    assert f"Did you mean {meant}?" in fix_of(tmp_path, INPUT.format(written, 4))


@pytest.mark.parametrize("written", ["None", "?", "null", '"batch"', "N"])
def test_dimension_of_any_size_is_minus_one(tmp_path: Path, written: str) -> None:
    assert "Write -1 for" in fix_of(tmp_path, INPUT.format("TYPE_FP32", f"{written}, 3"))


@pytest.mark.parametrize(
    ("written", "meant"), [("100ms", "100000"), ("0.5s", "500000"), ("20us", "20"), ("5_ms", "")]
)
def test_unit_is_converted(tmp_path: Path, written: str, meant: str) -> None:
    text = HEAD + f"dynamic_batching {{ max_queue_delay_microseconds: {written} }}"
    assert f"Write max_queue_delay_microseconds: {meant}" in fix_of(tmp_path, text) or not meant


@pytest.mark.parametrize("mark", ["<<<<<<< HEAD", "=======", ">>>>>>> feature", "||||||| base"])
def test_mark_of_a_merge_conflict_is_recognised(tmp_path: Path, mark: str) -> None:
    assert "merge conflict" in fix_of(tmp_path, f"{HEAD}{mark}\ninstance_group [ ]\n")


@pytest.mark.parametrize("value", ['"{"description": "x"}"', "'it's'", '"say "hi" now"'])
def test_unescaped_quote_is_the_end_of_a_string_that_ended_early(
    tmp_path: Path, value: str
) -> None:
    text = HEAD + f'parameters {{ key: "a" value {{ string_value: {value} }} }}\n'
    said = fix_of(tmp_path, text)
    assert "the string that starts here ends at the quote" in said
    assert "backslash" in said


def test_strings_side_by_side_are_one(tmp_path: Path) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_text('backend: "py" "thon" default_model_filename: "a"\'b\'\n')
    assert read_config(path).problem is None
