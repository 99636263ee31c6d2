"""Findings that are ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.audit import Ignored, IgnoreError, audit, parse_ignored, parse_selected
from pytest_triton.audit.rules import KNOWN
from pytest_triton.repository import read_repository
from support.audit_examples import audit_config, ids, write_files

ONNX = 'backend: "onnxruntime"\n'


@pytest.mark.parametrize(
    ("text", "ignored"),
    [
        ("TRT101", Ignored(("TRT101",))),
        ("trt101", Ignored(("TRT101",))),
        ("undeclared: tokenizer_*", Ignored(("undeclared",), ("tokenizer_*",))),
        ("TRT101, TRT2: a, legacy/*", Ignored(("TRT101", "TRT2"), ("a", "legacy/*"))),
    ],
)
def test_texts(text: str, ignored: Ignored) -> None:
    assert parse_ignored(text, KNOWN) == ignored


@pytest.mark.parametrize("text", ["", ":", "TRT9", "TRT101:", "TRT101: ,", "undeclare", "*: a"])
def test_texts_that_name_nothing(text: str) -> None:
    with pytest.raises(IgnoreError):
        parse_ignored(text, KNOWN)


def test_selected_rules_are_ids_prefixes_and_names() -> None:
    assert parse_selected("TRT1, undeclared trt205", KNOWN) == ("TRT1", "undeclared", "TRT205")


def test_by_model_and_by_path(tmp_path: Path) -> None:
    files = {f"{name}/config.pbtxt": ONNX for name in ("old_a", "old_b", "new")}
    files |= {f"{name}/1/.gitkeep": "" for name in ("old_a", "old_b", "new")}
    repository = read_repository(write_files(tmp_path, files))

    def left(*texts: str) -> list[str]:
        ignored = [parse_ignored(text, KNOWN) for text in texts]
        return [finding.model for finding in audit(repository, ignore=ignored)]

    assert left() == ["new", "old_a", "old_b"]
    assert left("TRT101: old_*") == ["new"]
    assert left("TRT1: old_a", "undeclared: new") == ["old_b"]
    assert left("TRT101: models/old_*/*") == ["new"]
    assert left("TRT102: *") == ["new", "old_a", "old_b"]
    assert left("TRT101") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('backend: "pytorch"  # triton: ignore TRT101\n', []),
        ('backend: "pytorch"  # triton: ignore TRT102\n', ["TRT101"]),
        ('# triton: ignore TRT101\n\n# why: it is small\nbackend: "pytorch"\n', []),
        ('# triton: ignore TRT101\nmax_batch_size: 1\nbackend: "pytorch"\n', ["TRT101"]),
        ('# triton: ignore-file TRT1\nmax_batch_size: 1\nbackend: "pytorch"\n', []),
        ('#triton:ignore undeclared\nbackend: "pytorch"\n', []),
        ('backend: "pytorch" # triton: ignore TRT109, TRT101\n', []),
        ('backend: "pytorch" name: "m # triton: ignore TRT101"\n', ["TRT502"]),
        ('backend: "pytorch"  # triton: ignore\n', ["TRT101"]),
    ],
)
def test_by_a_comment_in_the_config(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert ids(audit_config(tmp_path, text)) == expected
