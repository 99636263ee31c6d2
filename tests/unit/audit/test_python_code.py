"""What can be read from the code of python models, and what can't."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_triton.audit.python_code import (
    NOTHING_TO_SAY,
    SIZE_LIMIT,
    DeviceUse,
    device_use,
    device_use_of,
)

from support.audit_examples import audit_files, ids

HEAD = "import torch\nclass TritonPythonModel:\n  def initialize(self, args):\n"
GPU, CPU = "kind: KIND_GPU", "kind: KIND_CPU"


def findings(tmp_path: Path, code: str, group: str = GPU, target: int | None = None) -> list[str]:
    files = {
        "m/config.pbtxt": f'backend: "python"\ninstance_group [ {{ {group} }} ]',
        "m/1/model.py": code,
    }
    return ids(audit_files(tmp_path, files, target))


@pytest.mark.parametrize(
    ("body", "group", "target", "expected"),
    [
        ('    self.m = load().to("cuda:1")', GPU, None, ["TRT221"]),
        ('    self.m = load().to("cuda:1")', f"{GPU} gpus: [ 1 ]", None, []),
        ('    self.m = load().to("cuda:0")', GPU, 1, []),
        ('    self.m = load().to("cuda:0")', GPU, 2, ["TRT221"]),
        ("    self.m = load().cuda(2)", GPU, None, ["TRT221"]),
        ("    self.m = load().cuda(device=2)", GPU, None, ["TRT221"]),
        ("    self.m = load().cuda()", GPU, None, ["TRT220"]),
        ("    self.m = load().cuda()", f"{GPU} gpus: [ 0 ]", None, []),
        ('    self.m = load().to("cuda")', f"{GPU} gpus: [ 0, 1 ]", None, ["TRT220"]),
        (
            '    torch.cuda.set_device(int(args["model_instance_device_id"])); x().cuda()',
            GPU,
            2,
            [],
        ),
        ('    place(args); self.m = load().to("cuda")', GPU, 2, []),  # who knows what place does
        ('    self.args = args; self.m = load().to("cuda")', GPU, 2, []),
        ('    "like cuda:0"; self.m = load()', GPU, 2, []),  # mentions it, so that nobody knows
        ("    self.m = load()", GPU, 2, ["TRT222"]),
        ("    self.m = load()", CPU, 0, []),
        ("    import ultralytics; self.m = load()", GPU, 2, []),  # may move itself
        ("    from .mine import load; self.m = load()", GPU, 2, []),
        ('    self.m = load().to("cuda")', CPU, None, ["TRT223"]),
        ('    d = "cuda" if torch.cuda.is_available() else "cpu"', CPU, None, []),
        (
            '    if torch.cuda.is_available():\n      d = "cuda:0"\n    else:\n      d = "cpu"',
            f"{GPU} gpus: [ 0 ]",
            None,
            ["TRT224"],
        ),
    ],
)
def test_code_against_kind(
    tmp_path: Path, body: str, group: str, target: int | None, expected: list[str]
) -> None:
    assert findings(tmp_path, f"{HEAD}{body}\n", group, target) == expected


def test_the_place_is_that_of_the_expression_in_characters(tmp_path: Path) -> None:
    use = device_use_of(f'{HEAD}    self.é = "ü"; self.m = x.to("cuda:3")\n')
    assert use.fixed == ((4, 33), 3)


@pytest.mark.parametrize(
    "text",
    [
        "import torch\x00",
        "def f(:\n  'cuda'",
        "x = 'cuda'" + "-" * 100_000 + "1",
        "x = 'cuda' + " + "(" * 5_000,
        "x = 'cuda' + " + "[" * 150 + "]" * 150,
        "x = 'cuda'" + " + 'a'" * 20_000,
        "x = 'cuda'" + ".a" * 20_000,
        "x = 'cuda'; y = " + "not " * 20_000 + "1",
        "lambda: " * 5_000 + "'cuda'",
        "'cuda'\n" + "if 1:\n" * 3,
        "'cuda' '\\d'",  # warns of the escape when parsed
    ],
    ids=range(11),
)
def test_code_that_no_parser_likes_is_passed_over(text: str) -> None:
    assert isinstance(device_use_of(text), DeviceUse)


@given(st.text(alphabet="cuda:0\"'.()\n torchimpselfxargs=[]{},+-*#\\éü", max_size=200))
def test_any_text_is_read(text: str) -> None:
    assert isinstance(device_use_of(text), DeviceUse)


def test_files_that_are_no_code(tmp_path: Path) -> None:
    binary = tmp_path / "binary.py"
    binary.write_bytes(bytes(range(256)) * 10 + b"'cuda'")
    huge = tmp_path / "huge.py"
    huge.write_text("'cuda'\n" + "#" * SIZE_LIMIT)
    loop = tmp_path / "loop.py"
    loop.symlink_to("loop.py")
    pipe = tmp_path / "pipe.py"
    os.mkfifo(pipe)
    for path in (binary, huge, loop, pipe, tmp_path, tmp_path / "gone.py"):
        assert device_use(path) is NOTHING_TO_SAY
