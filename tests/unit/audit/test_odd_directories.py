"""Models whose directories hold links in circles, pipes and what may not be looked at."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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
SETPRIV = shutil.which("setpriv") or ""
WITHOUT_RIGHTS = ("--bounding-set=-dac_override,-dac_read_search",)  # as any other user
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


@pytest.mark.skipif(os.geteuid() != 0 or not SETPRIV, reason="only root can give up its rights")
def test_audit_without_rights_says_what_to_open_and_has_no_traceback(tmp_path: Path) -> None:
    for backend in FILES:
        fill(tmp_path, backend, "closed")
        (tmp_path / f"{backend}-closed" / "1").chmod(0)
    (tmp_path / "tensorrt-closed").chmod(0o444)
    result = subprocess.run(
        [SETPRIV, *WITHOUT_RIGHTS, sys.executable, "-m", "pytest_triton", "audit", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in result.stderr
    assert f"chmod a+rx {tmp_path}/tensorrt-closed" in " ".join(result.stdout.split())
    assert "can't be read: chmod -R a+rX" in result.stdout


def test_links_in_a_circle_are_called_that_wherever_they_stand(tmp_path: Path) -> None:
    for name in ("code", "version", "labels", "config", "variant", "archive"):
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "config.pbtxt").write_text('backend: "python"\n')
        (tmp_path / name / "1" / "model.py").write_text("class TritonPythonModel: ...\n")
    (tmp_path / "archive" / "config.pbtxt").write_text(
        'backend: "python"\nparameters { key: "EXECUTION_ENV_PATH" value { string_value: '
        '"$$TRITON_MODEL_DIRECTORY/env" } }\n'
    )
    (tmp_path / "version" / "1" / "model.py").unlink()
    (tmp_path / "version" / "1").rmdir()
    (tmp_path / "variant" / "configs").mkdir()
    for circle in (
        *("code/1/model.py", "version/1", "labels/labels.txt", "config/config.pbtxt"),
        *("variant/configs/gpu.pbtxt", "archive/env"),
    ):
        path = tmp_path / circle
        path.unlink(missing_ok=True)
        path.symlink_to(path.name)
    findings = audit(read_repository([tmp_path]))
    for name in ("code", "version", "labels", "config", "variant", "archive"):
        said = [one.message for one in findings if one.model == name]
        assert any("in a circle" in one for one in said), (name, said)
        assert not any("nowhere" in one or "was its target" in one for one in said), (name, said)
