"""Fixtures of all tests: model repositories, and a clean environment."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import tritonclient.grpc  # noqa: F401  # if pytester makes it load twice, its C parts crash
from hypothesis import HealthCheck, settings

from pytest_triton.servers.process.releases import cache_dir
from support.builders import RepositoryBuilder
from support.docker_daemon import IMAGE, build_image
from support.gates import Certificates, make_certificates

pytest_plugins = ["pytester", "support.components"]

# A shell's background jobs ignore Ctrl-C, and what they start does too; tests send it to theirs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No timed assertions: a busy machine makes any example slow.
settings.register_profile(
    "untimed", settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
)
# Where the same properties were tried with more examples on another Python.
settings.register_profile("few", settings.get_profile("untimed"), max_examples=15)
settings.load_profile("untimed")

# pytester moves HOME, and with it the cache in which the installed releases are.
os.environ.setdefault("PYTEST_TRITON_CACHE", str(cache_dir()))


@pytest.fixture(autouse=True)
def _no_options_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
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


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """PEM files for servers and clients on localhost."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def docker_image() -> str:
    """The name of an image of Triton that Docker has."""
    build_image()
    return IMAGE


@pytest.fixture
def folders_left(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Fails if a test leaves a server's folder behind; gives it a place of its own for them."""
    place = tmp_path_factory.mktemp("servers")
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield
    left = list(place.glob("pytest-triton-*"))
    assert left == [], f"left behind: {left}"
