"""`compare_with_golden` in tests: where relative paths start, and --triton-update-golden."""

from __future__ import annotations

from pathlib import Path

import pytest

CODE = """
import numpy as np
from pytest_triton import compare_with_golden

def test_it():
    compare_with_golden({"Y": np.arange(%d)}, "golden/it")
"""


@pytest.fixture
def tests(pytester: pytest.Pytester) -> Path:
    """The directory of the tests, below the current one."""
    folder = pytester.mkdir("tests")
    (folder / "test_it.py").write_text(CODE % 3)
    return folder


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)


def test_relative_path_starts_at_the_directory_of_the_tests_file(
    pytester: pytest.Pytester, tests: Path
) -> None:
    missing = run(pytester)
    missing.assert_outcomes(failed=1)
    missing.stdout.fnmatch_lines(
        [f"*there are no golden files in {tests}/golden/it", "*pytest --triton-update-golden (or*"]
    )
    run(pytester, "--triton-update-golden").assert_outcomes(passed=1)
    assert [file.name for file in (tests / "golden" / "it").iterdir()] == ["Y.npy"]
    run(pytester).assert_outcomes(passed=1)
    run(pytester, "--rootdir=tests", "tests").assert_outcomes(passed=1)


def test_golden_files_that_the_current_directory_has_are_named(
    pytester: pytest.Pytester, tests: Path
) -> None:
    run(pytester, "--triton-update-golden=on")
    (tests / "golden").rename(pytester.path / "golden")
    result = run(pytester)
    result.stdout.fnmatch_lines(
        [f"*{pytester.path}/golden/it has some; but golden/it starts at the directory of the *"]
    )


@pytest.mark.parametrize("way", ["-n0", "-n2"])
def test_update_golden_writes_and_lists_the_files(
    pytester: pytest.Pytester, tests: Path, way: str
) -> None:
    run(pytester, "--triton-update-golden")
    # Of another size: in the same second its old bytecode would count.
    (tests / "test_it.py").write_text(f"{CODE % 4}\n")
    differs = run(pytester, way)
    differs.assert_outcomes(failed=1)
    differs.stdout.fnmatch_lines([f"*not as in {tests}/golden/it*"])
    updated = run(pytester, way, "tests", "--triton-update-golden")
    updated.assert_outcomes(passed=1)
    updated.stdout.fnmatch_lines(["*triton golden files*", f"written: {tests}/golden/it"])
    run(pytester, way).assert_outcomes(passed=1)


def test_update_golden_in_the_ini_file_is_a_usage_error(
    pytester: pytest.Pytester, tests: Path
) -> None:
    pytester.makeini("[pytest]\ntriton_update_golden = on\n")
    result = run(pytester)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*nothing would ever be compared*"])


@pytest.mark.server
def test_update_golden_of_a_rehearsal_is_refused(pytester: pytest.Pytester) -> None:
    from support.builders import RepositoryBuilder

    RepositoryBuilder(pytester.path / "models").add("small", "{ kind: KIND_CPU }")
    pytester.makepyfile(
        """
import pytest
from pytest_triton import compare_with_golden

@pytest.mark.triton(repo="models", gpus="none")
def test_it(triton_server):
    compare_with_golden(triton_server.infer("small"), "golden")
"""
    )
    result = run(pytester, "--triton-update-golden")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [f"*outputs are from a rehearsal*{pytester.path}/golden*", "none was written *"]
    )
    assert not (pytester.path / "golden").exists()
