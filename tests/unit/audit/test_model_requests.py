"""TRT237: what requests of a python model to other models are findings, and which aren't."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from pytest_triton.audit import audit
from pytest_triton.placement.command_line import NO_ARGUMENTS, CommandLine
from pytest_triton.repository.models import read_as
from pytest_triton.repository.reading import AS_IT_IS, Reading
from support.audit_examples import write_files

CPU = 'backend: "python"\ninstance_group [ { kind: KIND_CPU } ]\n'
CODE = """\
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        {body}
"""
GOOD = "class TritonPythonModel:\n    def execute(self, requests): ...\n"


def found(
    root: Path,
    code: str,
    line: CommandLine = NO_ARGUMENTS,
    reading: Reading = AS_IT_IS,
    more: Mapping[str, str] = MappingProxyType({}),
) -> list[tuple[int | None, int | None, str]]:
    files = {
        "m/config.pbtxt": CPU,
        "m/1/model.py": code,
        "encoder/config.pbtxt": CPU,
        "encoder/1/model.py": GOOD,
        "encoder/2/model.py": GOOD,
        **more,
    }
    paths = write_files(root, files)
    repository = read_as(paths, reading)
    findings = audit(repository, select=("TRT237",), line=line)
    return [(one.line, one.column, one.message) for one in findings]


def call(arguments: str, more: str = "") -> str:
    return CODE.format(body=f"pb_utils.InferenceRequest({arguments}).exec(){more}")


@pytest.mark.parametrize(
    ("arguments", "column", "message"),
    [
        (
            'model_name="encodr", inputs=[]',
            46,
            "requests the model `encodr`, which isn't in the repository. "
            'Did you mean model_name="encoder"?',
        ),
        (
            'inputs=[], model_name="zzz"',
            57,
            "requests the model `zzz`, which isn't in the repository",
        ),
        (
            'model_name="encoder", model_version=1',
            71,
            "requests version 1 of `encoder`, which serves 2",
        ),
    ],
)
def test_literal_name_or_version_that_is_not_there_is_found_at_its_place(
    tmp_path: Path, arguments: str, column: int, message: str
) -> None:
    assert found(tmp_path, call(arguments)) == [(6, column, message)]


@pytest.mark.parametrize(
    "head",
    [
        "import triton_python_backend_utils as u\n",
        "import triton_python_backend_utils\nu = 0\n",
        "from triton_python_backend_utils import InferenceRequest as R\n",
        "try:\n  import triton_python_backend_utils as pb\nexcept ImportError: pb = None\n",
    ],
)
def test_backends_module_is_known_by_any_name(tmp_path: Path, head: str) -> None:
    name = {
        "as u": "u.InferenceRequest",
        "u = 0": "triton_python_backend_utils.InferenceRequest",
        "as R": "R",
        "as pb": "pb.InferenceRequest",
    }
    chosen = next(call for mark, call in name.items() if mark in head)
    code = head + GOOD.replace("...", f'{chosen}(model_name="zzz")')
    assert len(found(tmp_path, code)) == 1


@pytest.mark.parametrize(
    "code",
    [
        call('model_name="encoder"'),
        call('model_name="encoder", model_version=2'),
        call('model_name="encoder", model_version=-1'),
        call('model_name="encoder", model_version=True'),
        call('model_name="encoder", model_version=requests[0].version'),
        call("model_name=requests[0].name"),
        call('model_name=f"enc{requests}"'),
        call('model_name="a" if requests else "b"'),
        call('**{"model_name": "zzz"}'),
        call(""),
        call('model_name=""'),
        call('model_name="zzz"', '; pb_utils.load_model(model_name="zzz", files={})'),
        call('model_name="zzz"', "; pb_utils.load_model(requests[0].name)"),
        call('model_name="zzz"', '; pb_utils.is_model_ready("zzz")'),
        call('model_name="broken"'),
        CODE.format(body='Other.InferenceRequest(model_name="zzz")'),
        CODE.format(body='InferenceRequest(model_name="zzz")'),
        "def broken(:\n",
    ],
)
def test_what_may_be_there_is_no_finding(tmp_path: Path, code: str) -> None:
    (tmp_path / "models/broken").mkdir(parents=True)
    assert found(tmp_path, code) == []


@pytest.mark.parametrize("flag", ["--model-control-mode=explicit", "--model-namespacing=true"])
def test_models_that_are_loaded_later_or_in_namespaces_are_no_finding(
    tmp_path: Path, flag: str
) -> None:
    code = call('model_name="zzz"')
    assert found(tmp_path / "with", code, CommandLine.parse([flag])) == []
    assert len(found(tmp_path / "without", code)) == 1


def test_model_of_another_repository_of_the_server_is_there(tmp_path: Path) -> None:
    other = {"other:far/config.pbtxt": CPU, "other:far/1/model.py": GOOD}
    assert found(tmp_path, call('model_name="far"'), more=other) == []


def test_versions_are_not_compared_where_some_are_assumed(tmp_path: Path) -> None:
    code = call('model_name="gone", model_version=7')
    assert found(tmp_path, code, reading=Reading("elsewhere")) == [
        (6, 46, "requests the model `gone`, which isn't in the repository")
    ]
    (tmp_path / "models/gone").mkdir()
    (tmp_path / "models/gone/config.pbtxt").write_text(CPU)
    assert found(tmp_path, code, reading=Reading("elsewhere")) == []
