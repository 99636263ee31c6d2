"""Idioms of python models are found, and nothing is found in good ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.audit_examples import audit_files, ids
from support.good_python_models import CPU_MODELS, GPU_MODELS
from support.python_idioms import IDIOMS

_DEVICES = {"TRT220", "TRT221", "TRT222", "TRT223", "TRT224", "TRT225", "TRT226"}
_CONFIG = 'backend: "python"\ninstance_group [ {{ kind: KIND_{kind} }} ]\n'
_HEAD = "import os\nimport torch\n\n\nclass TritonPythonModel:\n    def initialize(self, args):\n"


def model_code(body: str) -> str:
    """A model.py of the idiom's body."""
    initialize, _, execute = body.replace("ID", "args['model_instance_device_id']").partition("---")
    lines = [f"        {line}" for line in initialize.strip("\n").splitlines()]
    lines += ["", "    def execute(self, requests):"]
    lines += [f"        {line}" for line in execute.strip("\n").splitlines()]
    return _HEAD + "\n".join([*lines, "        return []"]) + "\n"


def found(root: Path, code: str, kind: str = "GPU") -> set[str]:
    config = _CONFIG.format(kind=kind)
    findings = audit_files(root, {"m/config.pbtxt": config, "m/1/model.py": code}, target=2)
    return set(ids(findings)) & _DEVICES


@pytest.mark.parametrize("name", IDIOMS)
def test_idiom_of_a_gpu_model_is_found(name: str, tmp_path: Path) -> None:
    body, expected = IDIOMS[name]
    code = model_code(body)
    compile(code, name, "exec")
    assert found(tmp_path, code) == expected


@pytest.mark.parametrize("name", GPU_MODELS)
def test_good_gpu_model_has_no_finding(name: str, tmp_path: Path) -> None:
    code = model_code(GPU_MODELS[name])
    compile(code, name, "exec")
    assert found(tmp_path, code) == set()


BOTH = {name: body for name, body in GPU_MODELS.items() if "both" in name} | CPU_MODELS


@pytest.mark.parametrize("name", BOTH)
def test_good_cpu_model_has_no_finding(name: str, tmp_path: Path) -> None:
    code = model_code(BOTH[name])
    compile(code, name, "exec")
    assert found(tmp_path, code, "CPU") == set()
