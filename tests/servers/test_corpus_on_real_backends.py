"""Whole repositories on real backends without a GPU: what a server says is what was predicted.

The corpora hold configs only, so python models get a model file that answers zeros. The backends
of their neighbours, which the installed release doesn't have, are seen to be missing, as predicted.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pytest_triton.checks.run import TritonSession
from pytest_triton.options.settings import Settings
from pytest_triton.options.values import Deployment
from pytest_triton.placement.compare import compare
from pytest_triton.placement.hardware import HardwareRequest
from support.corpora import all_repositories

ZEROS_MODEL = """\
import json

import numpy
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.outputs = json.loads(args["model_config"])["output"]

    def execute(self, requests):
        zeros = [self.zeros(output) for output in self.outputs]
        return [pb_utils.InferenceResponse(zeros) for _ in requests]

    def zeros(self, output):
        shape = [1, *(max(size, 1) for size in output["dims"])]
        kind = pb_utils.triton_string_to_numpy(output["data_type"])
        return pb_utils.Tensor(output["name"], numpy.zeros(shape, kind))
"""
NO_GPU = HardwareRequest.parse("none")


PYTHON_REPOSITORIES = [
    repository
    for repository in all_repositories()
    if any('"python"' in path.read_text() for path in repository.glob("*/config.pbtxt"))
]


def with_model_files(repository: Path, copy: Path) -> Path:
    shutil.copytree(repository, copy, symlinks=True)
    for version in copy.glob("*/*/"):
        (version / "model.py").write_text(ZEROS_MODEL)
    return copy


@pytest.mark.real_python
@pytest.mark.parametrize("repository", PYTHON_REPOSITORIES, ids=lambda path: path.name)
def test_predicted_is_observed(repository: Path, tmp_path: Path) -> None:
    copy = with_model_files(repository, tmp_path / "models")
    session = TritonSession(
        Settings(
            repo=(Deployment(str(copy), (copy,)),),
            binary=None,
            version=None,
            python=None,
            gpus=(NO_GPU,),
            backends="real",
            timeout=120,
            allow_fallback=(),
            expect=(),
        )
    )
    try:
        (checked,) = session.deployments
        served = [model for model in checked.repository.models if model.refusal is None]
        assert served
        assert checked.excluded == {}
        seen = session.seen(checked, NO_GPU)
        verdicts = {
            model.name: compare(
                checked.declared[model.name],
                seen.predicted[model.name],
                seen.observed[model.name],
            )
            for model in served
        }
        assert {name: v.headline for name, v in verdicts.items() if not v.ok} == {}
        for name, verdict in verdicts.items():
            print(f"{name}: {verdict.headline}")
    finally:
        session.close()
