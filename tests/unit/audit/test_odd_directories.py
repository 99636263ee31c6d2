"""Models whose directories hold links in circles, pipes and what may not be looked at."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pytest_triton import read_repository
from pytest_triton.audit import audit

FILES = {
    "onnxruntime": "model.onnx",
    "openvino": "model.xml",
    "python": "model.py",
    "pytorch": "model.pt",
    "tensorflow": "model.savedmodel",
    "tensorrt": "model.plan",
    "vllm": "model.json",
}
KINDS = ("circle", "nowhere", "pipe", "directory", "closed")


def make(path: Path, kind: str) -> None:
    if kind == "circle":
        path.symlink_to(path.name)
    elif kind == "nowhere":
        path.symlink_to("nothing")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
        (path / "inside").write_text("x")
        if kind == "closed":
            path.chmod(0)


def fill(repository: Path, backend: str, kind: str) -> None:
    """Two models with such entries: where rules look for a file, and beside a missing file."""
    _fill(repository / f"{backend}-{kind}", backend, kind)
    _fill(repository / f"{backend}-{kind}-alone", backend, kind, alone=True)


def _fill(model: Path, backend: str, kind: str, *, alone: bool = False) -> None:
    file = FILES[backend]
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(
        f'backend: "{backend}"\n'
        "instance_group [ { kind: KIND_GPU } ]\n"
        'output [ { name: "Y" data_type: TYPE_FP32 dims: [ 1 ] label_filename: "labels.txt" } ]\n'
        'parameters { key: "EXECUTION_ENV_PATH" value { string_value: '
        '"$$TRITON_MODEL_DIRECTORY/env" } }\n'
    )
    if file == "model.py" and not alone and kind in ("circle", "closed"):
        (model / "1" / file).write_text("import helper\nfrom . import other\n")
    make(model / "1" / "helper", kind)
    make(model / "1" / "01", kind)
    if alone:
        (model / "labels.txt").write_text("a\n")
        return
    for path in (model / "1" / file, model / "2", model / "labels.txt", model / "env"):
        if not os.path.lexists(path):
            make(path, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_audit_of_odd_entries_has_findings_and_no_exception(tmp_path: Path, kind: str) -> None:
    for backend in FILES:
        fill(tmp_path, backend, kind)
    repository = read_repository([tmp_path])
    assert len(repository.models) == 2 * len(FILES)
    assert all(finding.message for finding in audit(repository))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_audit_by_a_user_who_may_not_look_into_a_version_has_no_traceback() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # pytest's folder is root's alone
        models = Path(name, "models")
        for backend in FILES:
            fill(models, backend, "closed")
        for model in models.glob("*-closed*"):
            (model / "1").chmod(0)
        Path(name).chmod(0o755)
        code = (
            "import os, runpy, sys\n"
            "import pytest_triton.cli.audit, pytest_triton.audit.rules, yaml, google.protobuf\n"
            "from pytest_triton.__main__ import main\n"
            f"main(['audit', {str(models)!r}])\n"  # imports all that it needs, as root
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            f"sys.exit(main(['audit', {str(models)!r}]))\n"
        )
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd="/tmp"
        )
    assert "Traceback" not in result.stderr
    assert "can't be read" in result.stdout
