"""Places that the user doesn't own: unreadable, missing, unwritable, full."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.rehearsal.simulation import OFFICIAL_BACKENDS
from pytest_triton.repository import RepositoryError, read_repository
from pytest_triton.servers.folders import FolderUnusable
from pytest_triton.servers.launching import launch
from pytest_triton.servers.process import releases
from pytest_triton.servers.process.discovery import (
    BadTritonserver,
    TritonserverNotFound,
    find_tritonserver,
)
from pytest_triton.servers.spec import ServerSpec
from support.builders import RepositoryBuilder
from support.unprivileged import closed_folder, without_rights

NOWHERE = Path("/nonexistent")


def not_found(path: str, cache: Path = NOWHERE, opt: Path = NOWHERE) -> str:
    environ = {"PATH": path, "PYTEST_TRITON_CACHE": str(cache)}
    with without_rights(), pytest.raises(TritonserverNotFound) as caught:
        find_tritonserver(environ=environ, opt=opt)
    return str(caught.value)


def test_folder_of_path_that_may_not_be_searched_is_passed_over_and_named() -> None:
    with closed_folder() as closed:
        text = not_found(f"{closed}/bin:/nonexistent:relative:")
    assert f"PATH (3 folders; {closed}/bin, which this user may not search): nothing" in text


def test_installation_and_cache_that_may_not_be_searched_are_named() -> None:
    with closed_folder() as closed:
        text = not_found("", cache=closed, opt=closed)
    assert f"{closed}/bin, which this user may not search: nothing" in text
    assert (
        f"installed releases ({closed}/releases, which this user may not search): nothing" in text
    )


def test_named_binary_that_may_not_be_read_is_error() -> None:
    with (
        closed_folder() as closed,
        without_rights(),
        pytest.raises(BadTritonserver, match=r"can't be read \(Permission denied\)"),
    ):
        find_tritonserver(closed / "bin" / "tritonserver")


def test_empty_and_relative_entries_of_path_are_no_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tritonserver").write_text("#!/bin/sh\n")
    environ = {"PATH": "::bin:bin", "PYTEST_TRITON_CACHE": str(NOWHERE)}
    with pytest.raises(TritonserverNotFound, match="PATH: bin/tritonserver is a script"):
        find_tritonserver(environ=environ, opt=NOWHERE)


def test_repository_that_may_not_be_searched_is_error() -> None:
    with closed_folder() as closed, without_rights():
        for path in (closed, closed / "bin", closed / "bin" / "models"):
            with pytest.raises(RepositoryError):
                read_repository([path])


def test_missing_home_is_error_only_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_TRITON_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # for a user without a home
    with pytest.raises(TritonserverNotFound):
        find_tritonserver(environ={"PATH": ""}, opt=NOWHERE)
    with pytest.raises(releases.CannotWriteCache, match="no home directory"):
        releases.install(releases.RELEASES[0], environ={})


def test_home_of_unknown_user_is_no_traceback(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--triton-repo=~nosuchuser/models")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*There is no model repository ~nosuchuser/models*"])


def spec(repository: RepositoryBuilder) -> ServerSpec:
    repository.add("cpu", "{ kind: KIND_CPU }")
    hardware = HardwareRequest.parse("none")
    return ServerSpec((repository.path,), hardware, stand_ins=OFFICIAL_BACKENDS)


def test_missing_temporary_directory_is_error(
    repository: RepositoryBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    with pytest.raises(FolderUnusable, match=r"No such file.*\(/nonexistent/") as caught:
        launch(spec(repository))
    assert "TMPDIR" in caught.value.fix


FULL = """
mount -t tmpfs -o size=4k,nr_inodes=3 tmpfs "$1" && TMPDIR="$1" exec "$2" -m pytest \
    --triton-repo=models -n0 -p no:cacheprovider
"""


def test_full_temporary_directory_is_error(repository: RepositoryBuilder, tmp_path: Path) -> None:
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        if os.environ.get("CI"):
            pytest.fail("a mount namespace needs root and unshare")
        pytest.skip("a mount namespace needs root and unshare")
    repository.add("cpu", "{ kind: KIND_CPU }")
    full = tmp_path / "full"
    full.mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", FULL, "sh", str(full), sys.executable],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "The files of a server can't be written: No space left on device" in done.stdout
    assert "make room there, or name another in the environment variable TMPDIR" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
