"""Diagnostics of a repository: one value for the reader, the prediction and the audit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_triton.audit import audit
from pytest_triton.diagnostics.annotation import annotation
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.placement.refusal import classify
from pytest_triton.repository import read_repository

GOOD = 'backend: "python"\ninstance_group [ { kind: KIND_CPU } ]\n'
TREES: dict[str, dict[str, str]] = {
    "no version": {"m/config.pbtxt": GOOD, "m/v1/model.py": ""},
    "name": {"m/config.pbtxt": f'name: "n"\n{GOOD}', "m/1/model.py": ""},
    "no backend": {"m/config.pbtxt": "max_batch_size: 1\n", "m/1/weights": ""},
    "labels": {
        "m/config.pbtxt": GOOD
        + 'output { name: "Y" data_type: TYPE_FP32 dims: 1 label_filename: "l.txt" }\n',
        "m/1/model.py": "",
    },
    "not a model": {"m/README.md": "about", "other/config.pbtxt": GOOD, "other/1/model.py": ""},
    "misspelt": {"m/config.pbtxt": "instance_group { gpu: 0 }\n", "m/1/model.py": ""},
    "link": {"m/config.pbtxt": GOOD, "m/1/model.py": "", "m/elsewhere": "-> nowhere"},
    "config is a link": {"m/config.pbtxt": "-> nowhere", "m/1/model.py": ""},
    "batching": {"m/config.pbtxt": f"{GOOD}max_batch_size: -1\n", "m/1/model.py": ""},
    "twice": {
        "a/m/config.pbtxt": GOOD,
        "a/m/1/model.py": "",
        "b/m/config.pbtxt": GOOD,
        "b/m/1/model.py": "",
    },
}


def write(root: Path, files: dict[str, str]) -> list[Path]:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text[3:])
        else:
            path.write_text(text)
    return [root / "a", root / "b"] if "a" in {path.name for path in root.iterdir()} else [root]


@pytest.mark.parametrize("tree", TREES)
def test_reason_of_a_problem_is_that_of_the_text_which_triton_logs(
    tmp_path: Path, tree: str
) -> None:
    """So that a prediction and what is read in a server's log agree."""
    refusals = [
        problem
        for model in read_repository(write(tmp_path, TREES[tree])).models
        for problem in model.problems
        if problem.refuses
    ]
    assert refusals
    assert [one.reason for one in refusals] == [classify(one.triton) for one in refusals]


def test_finding_of_a_problem_has_its_reason_place_and_rule(tmp_path: Path) -> None:
    roots = write(tmp_path, TREES["misspelt"])
    found = [one for one in audit(read_repository(roots)) if one.severity == "error"]
    [problem] = read_repository(roots).models[0].problems
    assert [(one.rule, one.reason, one.place) for one in found] == [
        ("TRT501", "config", problem.place)
    ]


def test_text_of_a_diagnostic_shows_what_is_known(tmp_path: Path) -> None:
    [problem] = read_repository(write(tmp_path, TREES["misspelt"])).models[0].problems
    shown = str(problem).splitlines()
    assert shown[0].endswith("config.pbtxt:1:18: `gpu` is not a field of instance_group")
    assert shown[1:3] == ["  1 | instance_group { gpu: 0 }", "    |                  ^"]
    assert shown[3] == "  Did you mean `gpus`?"
    bare = replace(problem, fix="", source_line="", rule="TRT501", name="n")
    assert str(bare).endswith("1:18: TRT501 n (error): `gpu` is not a field of instance_group")


def test_diagnostic_without_anything_known_is_an_error_of_every_release() -> None:
    bare = Diagnostic()
    assert bare.severity == "error"
    assert bare.lasting
    assert bare.holds((2, 33, 0))


def test_annotation_escapes_what_ends_a_command() -> None:
    command = annotation("note", "50%\nmore", title="a: b, c", file="x.pbtxt", line=3, column=1)
    assert command == "::notice file=x.pbtxt,title=a%3A b%2C c,line=3,col=1::50%25%0Amore"
