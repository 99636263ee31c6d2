"""Repositories whose names pytest, Triton or a container might take for something else."""

from __future__ import annotations

import pytest

from support.builders import RepositoryBuilder

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("folders_left")]


def test_repository_with_colon_in_its_name_is_checked(pytester: pytest.Pytester) -> None:
    RepositoryBuilder(pytester.path / "models:v2").add("small", "{ kind: KIND_CPU }")
    result = pytester.runpytest_subprocess("--triton-repo=models:v2", "-n0")
    assert result.ret == 0
    result.assert_outcomes(passed=5)


def test_url_as_repository_is_usage_error_with_way_to_copy(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--triton-repo=s3://bucket/models")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: --triton-repo=s3://bucket/models (command line): s3://bucket/models is in *",
            "*aws s3 sync s3://bucket/models models*",
        ]
    )


def test_url_in_marker_is_usage_error_with_way_to_copy(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import pytest

@pytest.mark.triton(repo="gs://bucket/models")
def test_it(triton_server): ...
"""
    )
    result = pytester.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*gcloud storage rsync --recursive gs://bucket/models models*"])
