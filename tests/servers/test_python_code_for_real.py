"""What the audit says of a model's code happens on the real python backend."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_triton.audit import audit
from pytest_triton.checks.run import TritonSession
from pytest_triton.options.settings import Settings
from pytest_triton.options.values import Deployment
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.repository import read_repository

pytestmark = pytest.mark.real_python

CONFIG = """\
backend: "python"
input [ { name: "X" data_type: TYPE_FP32 dims: [ 3 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 3 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
GOOD = "class TritonPythonModel:\n  def execute(self, requests):\n    return []\n"


def archive(mode: str) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as packed:  # type: ignore[call-overload]
        packed.addfile(tarfile.TarInfo("bin/activate"))
    return data.getvalue()


def parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'


def environment(value: str) -> str:
    return parameter("EXECUTION_ENV_PATH", value)


def initialize(body: str) -> str:
    return (
        "import json\nclass TritonPythonModel:\n  def initialize(self, args):\n"
        '    p = json.loads(args["model_config"])["parameters"]\n'
        f"    {body}\n  def execute(self, requests):\n    return []\n"
    )


# name -> (model.py, more of the config, other files, the rule, part of Triton's reason)
REFUSED: dict[str, tuple[str | bytes, str, Mapping[str, bytes], str, str]] = {
    "syntax": (GOOD.replace("):", ")"), "", {}, "TRT230", "SyntaxError"),
    "return": (GOOD + "return 1\n", "", {}, "TRT230", "'return' outside function"),
    "utf16": (GOOD.encode("utf-16"), "", {}, "TRT230", "null bytes"),
    "null": (GOOD.encode() + b"\0", "", {}, "TRT230", "null bytes"),
    "relative": ("from .helper import x\n" + GOOD, "", {}, "TRT230", "No module named"),
    "two_dots": (
        "from ..helper import x\n" + GOOD,
        "",
        {"helper.py": b"x = 1"},
        "TRT230",
        "beyond top-level package",
    ),
    "helper_syntax": ("import mine\n" + GOOD, "", {"1/mine.py": b"def"}, "TRT230", "SyntaxError"),
    "elsewhere": (
        "import mine\n" + GOOD,
        "",
        {"1/kit/mine.py": b"x = 1"},
        "TRT234",
        "No module named 'mine'",
    ),
    "class": (GOOD.replace("PythonM", "Pythonm"), "", {}, "TRT231", "has no attribute"),
    "no_class": ("x = 1\n", "", {}, "TRT231", "has no attribute"),
    "constructor": (
        "class TritonPythonModel:\n  def __init__(self, args): pass\n"
        "  def execute(self, requests): return []\n",
        "",
        {},
        "TRT232",
        "missing 1 required positional argument",
    ),
    "initialize": (
        "class TritonPythonModel:\n  def initialize(self): pass\n"
        "  def execute(self, requests): return []\n",
        "",
        {},
        "TRT232",
        "takes 1 positional argument but 2 were given",
    ),
    "complete": (
        "class TritonPythonModel:\n  def auto_complete_config(self, config): return config\n"
        "  def execute(self, requests): return []\n",
        "",
        {},
        "TRT232",
        "missing 1 required positional argument",
    ),
    "complete_nothing": (
        "class TritonPythonModel:\n  @staticmethod\n  def auto_complete_config(config): pass\n"
        "  def execute(self, requests): return []\n",
        "",
        {},
        "TRT232",
        "must return a valid pb.ModelConfig object",
    ),
    "suffix": (
        GOOD,
        'default_model_filename: "model.txt"\n',
        {"1/model.txt": GOOD.encode()},
        "TRT230",
        "must end with '.py'",
    ),
    "parameter": (initialize('p["a"]["string_value"]'), "", {}, "TRT233", "KeyError: 'a'"),
    "get": (initialize('p.get("a")["string_value"]'), "", {}, "TRT233", "not subscriptable"),
    "env_relative": (GOOD, environment("env.tar.gz"), {}, "TRT235", "canonical path"),
    "env_one_dollar": (
        GOOD,
        environment("$TRITON_MODEL_DIRECTORY/env.tar.gz"),
        {"env.tar.gz": archive("w:gz")},
        "TRT235",
        "canonical path",
    ),
    "env_missing": (
        GOOD,
        environment("$$TRITON_MODEL_DIRECTORY/env.tar.gz"),
        {},
        "TRT235",
        "canonical path",
    ),
    "env_absolute": (
        GOOD,
        environment("/nowhere/env.tar.gz"),
        {},
        "TRT236",
        "canonical path",
    ),
    "env_prefix": (
        GOOD,
        environment("file://$$TRITON_MODEL_DIRECTORY/env.tar.gz"),
        {"env.tar.gz": archive("w:gz")},
        "TRT235",
        "canonical path",
    ),
    "env_directory": (
        GOOD,
        environment("$$TRITON_MODEL_DIRECTORY/env"),
        {"env/lib/x": b""},
        "TRT235",
        "should contain an 'activate' script",
    ),
    "env_xz": (
        GOOD,
        environment("$$TRITON_MODEL_DIRECTORY/env.tar.xz"),
        {"env.tar.xz": archive("w:xz")},
        "TRT235",
        "archive_read_open_filename() failed",
    ),
}

ACCEPTED: dict[str, tuple[str | bytes, str, Mapping[str, bytes]]] = {
    "plain": (GOOD, "", {}),
    "bom": (b"\xef\xbb\xbf" + GOOD.encode(), "", {}),
    "latin1": (b"# -*- coding: latin-1 -*-\n# \xe9\n" + GOOD.encode(), "", {}),
    "latin1_comment": (b"# \xe9\n" + GOOD.encode(), "", {}),
    "relative_there": ("from .helper import x\n" + GOOD, "", {"1/helper.py": b"x = 1"}),
    "relative_package": ("from .kit.a import x\n" + GOOD, "", {"1/kit/a.py": b"x = 1"}),
    "relative_name": ("from . import helper\n" + GOOD, "", {"1/helper.py": b"x = 1"}),
    "by_version": ("import helper_v\n" + GOOD, "", {"1/helper_v.py": b"x = 1"}),
    "by_model": ("import helper_m\n" + GOOD, "", {"helper_m.py": b"x = 1"}),
    "own_path": (
        "import os, sys\nsys.path.append(os.path.dirname(__file__) + '/kit')\nimport mine\n" + GOOD,
        "",
        {"1/kit/mine.py": b"x = 1"},
    ),
    "imported_class": ("from inner import TritonPythonModel\n", "", {"1/inner.py": GOOD.encode()}),
    "assigned_class": (GOOD.replace("TritonP", "P") + "TritonPythonModel = PythonModel\n", "", {}),
    "base_class": (GOOD.replace("TritonP", "P") + "class TritonPythonModel(PythonModel): pass\n",
                   "", {}),
    "static": (
        "class TritonPythonModel:\n  @staticmethod\n  def auto_complete_config(c): return c\n"
        "  def execute(self, requests): return []\n",
        "",
        {},
    ),
    "parameter": (initialize('p["a"]["string_value"]'), parameter("a", "1"), {}),
    "no_parameters": (initialize('p.get("a", {}).get("string_value")'), "", {}),
    "env_empty": (GOOD, environment(""), {}),
    "env_directory": (
        GOOD,
        environment("$$TRITON_MODEL_DIRECTORY/env"),
        {"env/bin/activate": b"", "env/lib/x": b""},
    ),
    "env_archive": (
        GOOD,
        environment("$$TRITON_MODEL_DIRECTORY/env.tar.gz"),
        {"env.tar.gz": archive("w:gz")},
    ),
}  # fmt: skip


def write_model(root: Path, code: str | bytes, more: str, files: Mapping[str, bytes]) -> None:
    (root / "1").mkdir(parents=True)
    (root / "config.pbtxt").write_text(CONFIG + more)
    (root / "1/model.py").write_bytes(code if isinstance(code, bytes) else code.encode())
    for name, data in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def outcomes(repository: Path) -> Mapping[str, str]:
    """What a real server makes of each model: "" if it's READY, else the reason."""
    no_gpu = HardwareRequest.parse("none")
    session = TritonSession(
        Settings(
            repo=(Deployment(str(repository), (repository,)),),
            binary=None,
            version=None,
            python=None,
            gpus=(no_gpu,),
            backends="real",
            timeout=120,
            allow_fallback=(),
            expect=(),
        )
    )
    try:
        (checked,) = session.deployments
        observed = session.seen(checked, no_gpu).observed
        return {
            name: "" if one.state == "READY" else one.refusal.text if one.refusal else "?"
            for name, one in observed.items()
        }
    finally:
        session.close()


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, str]]:
    root = tmp_path_factory.mktemp("refused")
    for name, (code, more, files, _, _) in REFUSED.items():
        write_model(root / name, code, more, files)
    return root, outcomes(root)


@pytest.fixture(scope="module")
def accepted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, str]]:
    root = tmp_path_factory.mktemp("accepted")
    for name, (code, more, files) in ACCEPTED.items():
        write_model(root / name, code, more, files)
    return root, outcomes(root)


def rules(root: Path, name: str) -> set[str]:
    return {one.rule for one in audit(read_repository([root])) if one.model == name}


@pytest.mark.parametrize("name", REFUSED)
def test_code_that_the_audit_reports_is_refused(
    refused: tuple[Path, Mapping[str, str]], name: str
) -> None:
    root, outcome = refused
    *_, rule, reason = REFUSED[name]
    assert reason in outcome[name]
    assert rules(root, name) == {rule}


@pytest.mark.parametrize("name", ACCEPTED)
def test_code_that_the_audit_passes_is_ready(
    accepted: tuple[Path, Mapping[str, str]], name: str
) -> None:
    root, outcome = accepted
    assert outcome[name] == ""
    assert rules(root, name) == set()
