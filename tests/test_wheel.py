"""What a wheel of this package contains."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pytest_triton._version import DOCUMENTATION

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow  # builds the wheel in an environment of its own


LIBRARIES = {"libpytest_triton_gpus.so", "libpytest_triton_backend.so"}


def build(folder: Path, **environ: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build(folder)
    return next(folder.glob("*.whl"))


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src").rglob("*.py")}
    assert modules <= names
    assert "pytest_triton/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"pytest_triton"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {f"pytest_triton/rehearsal/native/{name}" for name in LIBRARIES} <= names


def test_readme_on_a_package_index_links_to_pages_that_are_there(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
    readme = archive.read(name).decode().partition("\n\n")[2]
    links = re.findall(r"\]\(([^)]+)\)", readme)
    pages = [link.removeprefix(DOCUMENTATION) for link in links if link.startswith(DOCUMENTATION)]
    assert len(pages) > 10
    assert [link for link in links if not link.startswith("https://")] == []
    missing = [one for one in pages if not (ROOT / "docs" / one).with_suffix(".md").is_file()]
    assert missing == []


def test_one_wheel_serves_every_python(wheel: Path) -> None:
    assert "-py3-none-linux_" in wheel.name


@pytest.mark.parametrize("platform", ["any", "manylinux_2_27_x86_64"])
def test_wheel_to_publish_is_for_what_it_is_asked_for(platform: str, tmp_path: Path) -> None:
    builds = [ROOT / "src/pytest_triton/rehearsal/native" / name for name in LIBRARIES]
    before = [one.stat().st_mtime_ns for one in builds]
    build(tmp_path, PYTEST_TRITON_WHEEL=platform)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith(f"-py3-none-{platform}.whl")
    held = {name.rpartition("/")[2] for name in zipfile.ZipFile(wheel).namelist()}
    assert LIBRARIES & held == (set() if platform == "any" else LIBRARIES)
    assert [one.stat().st_mtime_ns for one in builds] == before


def test_wheel_to_publish_is_not_built_without_its_compiler(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        build(tmp_path, PYTEST_TRITON_WHEEL="manylinux_2_27_aarch64", CC="no-such-compiler")
    assert "CC names isn't there: no-such-compiler" in caught.value.stdout + caught.value.stderr
    assert list(tmp_path.iterdir()) == []


def test_entry_point_and_the_metadata(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    folder = next(name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name)
    assert (
        "[console_scripts]\npytest-triton = pytest_triton.__main__:main\n\n"
        "[pytest11]\ntriton = pytest_triton.plugin.hooks"
        in archive.read(f"{folder}/entry_points.txt").decode()
    )
    metadata = archive.read(f"{folder}/METADATA").decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.10" in metadata
    assert "nvidia-pytriton" not in metadata.split("\n\n")[0], "it would force numpy < 2"
