"""Fixtures of all tests: model repositories, and a clean environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import RepositoryBuilder
from pytest_triton.servers.releases import cache_dir

pytest_plugins = ["pytester"]

# pytester moves HOME, and with it the cache in which the installed releases are.
os.environ.setdefault("PYTEST_TRITON_CACHE", str(cache_dir()))


@pytest.fixture(autouse=True)
def _no_options_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("PYTEST_TRITON_") and name not in (
            "PYTEST_TRITON_CACHE",
            "PYTEST_TRITON_CORPUS",
        ):
            monkeypatch.delenv(name)


@pytest.fixture
def repository(tmp_path: Path) -> RepositoryBuilder:
    """An empty model repository to put models into."""
    return RepositoryBuilder(tmp_path / "models")


@pytest.fixture
def folders_left() -> Iterator[None]:
    """Fails if a test leaves a server's folder or shared memory behind."""
    before = _left_behind()
    yield
    left = _left_behind() - before
    assert not left, f"left behind: {left}"


def _left_behind() -> set[Path]:
    places = (Path(os.environ.get("TMPDIR", "/tmp")), Path("/dev/shm"))
    return {path for place in places for path in place.glob("pytest-triton-*")}
