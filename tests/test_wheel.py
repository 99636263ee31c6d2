"""What a wheel of this package contains."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow  # builds the wheel in an environment of its own


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src").rglob("*.py")}
    assert modules <= names
    assert "pytest_triton/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"pytest_triton"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "pytest_triton/rehearsal/native/libpytest_triton_gpus.so" in names
    assert "pytest_triton/rehearsal/native/libpytest_triton_backend.so" in names


def test_one_wheel_serves_every_python(wheel: Path) -> None:
    assert "-py3-none-linux_" in wheel.name


def test_entry_point_and_the_metadata(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    folder = next(name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name)
    assert (
        "[pytest11]\ntriton = pytest_triton.plugin.hooks"
        in archive.read(f"{folder}/entry_points.txt").decode()
    )
    metadata = archive.read(f"{folder}/METADATA").decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.10" in metadata
    assert "nvidia-pytriton" not in metadata.split("\n\n")[0], "it would force numpy < 2"
