"""Triton's texts name the repositories as they were given, not the server's view of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.servers.server_log import ServerLog
from pytest_triton.servers.spec import ServerSpec
from pytest_triton.text.cache_folder import cache_dir

SPEC = ServerSpec(
    repositories=(Path("/work/models"), Path("/else/more models")), hardware=HardwareRequest()
)
VIEW = "/tmp/pytest-triton-0123456789/repositories"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"for read {VIEW}/0-models/a/l.txt: No", "for read /work/models/a/l.txt: No"),
        (f"at '{VIEW}/0-models'.", "at '/work/models'."),
        (f"in {VIEW}/1-more models/a and {VIEW}/0-models/b", None),
        (f"in {VIEW}/0-models-2/a", f"in {VIEW}/0-models-2/a"),
        ("in /data/repositories/0-models/a", "in /data/repositories/0-models/a"),
        ("no path", "no path"),
    ],
)
def test_paths_of_the_view_are_shown_as_the_repositories_own(text: str, shown: str | None) -> None:
    expected = shown or "in /else/more models/a and /work/models/b"
    assert SPEC.as_given(text) == expected


def test_kept_container_has_a_view_too() -> None:
    text = (
        "x /root/.cache/pytest-triton/containers/pytest-triton-reuse-ab12/repositories/0-models/m"
    )
    assert SPEC.as_given(text) == "x /work/models/m"


def test_copy_of_a_store_is_shown_by_its_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_TRITON_CACHE", str(tmp_path))
    store = cache_dir() / "stores" / "0123456789ab"
    store.mkdir(parents=True)
    (store / "url").write_text("s3://bucket/models")
    text = f"{store}/models/a/config.pbtxt, {VIEW}/0-models/a, {store}"
    spec = ServerSpec(repositories=(store / "models",), hardware=HardwareRequest())
    url = "s3://bucket/models"
    assert spec.as_given(text) == f"{url}/a/config.pbtxt, {url}/a, {store}"


def test_log_is_read_with_the_repositories_own_paths(tmp_path: Path) -> None:
    (tmp_path / "server.log").write_text(f"failed: {VIEW}/0-models/a\n")
    log = ServerLog(tmp_path / "server.log", as_given=SPEC.as_given)
    assert log.tail() == "failed: /work/models/a"
