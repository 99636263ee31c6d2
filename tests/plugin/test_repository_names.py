"""Repositories whose names pytest, Triton or a container might take for something else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.builders import RepositoryBuilder

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("folders_left")]


def test_repository_with_colon_in_its_name_is_checked(pytester: pytest.Pytester) -> None:
    RepositoryBuilder(pytester.path / "models:v2").add("small", "{ kind: KIND_CPU }")
    result = pytester.runpytest_subprocess("--triton-repo=models:v2", "-n0")
    assert result.ret == 0
    result.assert_outcomes(passed=5)


SAID = "*gs://bucket/models is read through fsspec, and gcsfs isn't installed."
FIX = "*pip install 'pytest-triton[[]remote[]]' gcsfs"


@pytest.fixture
def no_gcsfs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As where it isn't installed, whatever is installed here."""
    (tmp_path / "gcsfs.py").write_text("raise ImportError('not here')\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path.rstrip(os.pathsep))


@pytest.mark.usefixtures("no_gcsfs")
def test_url_as_repository_is_usage_error_that_names_the_missing_package(
    pytester: pytest.Pytester,
) -> None:
    result = pytester.runpytest_subprocess("--triton-repo=gs://bucket/models")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([SAID, FIX])


@pytest.mark.usefixtures("no_gcsfs")
def test_url_in_marker_is_usage_error_that_names_the_missing_package(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
import pytest

@pytest.mark.triton(repo="gs://bucket/models")
def test_it(triton_server): ...
"""
    )
    result = pytester.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([SAID, FIX])
