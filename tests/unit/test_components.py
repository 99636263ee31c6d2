"""What is missing on a machine is skipped and counted, or fails in CI; nothing is hidden."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_triton.servers.process.discovery import TritonserverNotFound, find_tritonserver
from support.components import COMPONENTS, RELEASES, missing_line

TESTS = Path(__file__).parents[1]
BARE = """
import pytest

pytestmark = pytest.mark.slow

@pytest.mark.browser
def test_page():
    pass

@pytest.mark.openssl
@pytest.mark.parametrize("way", [1, 2])
def test_tls(way):
    pass

def test_nothing_needed():
    pass

@pytest.mark.skip(reason="for another reason")
def test_skipped():
    pass
"""


@pytest.fixture
def bare(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Some tests on a machine without programs."""
    monkeypatch.setenv("PATH", str(pytester.path))
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    markers = [f"    {component.marker}" for component in COMPONENTS]
    pytester.makeini("\n".join(["[pytest]", "markers =", *markers]))
    pytester.makepyfile(BARE)
    return pytester


@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["alone", "workers"])
def test_missing_components_are_skipped_and_counted(
    bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    monkeypatch.delenv("CI", raising=False)
    result = bare.runpytest_subprocess("-p", "support.components", *workers)
    result.assert_outcomes(passed=1, skipped=4)
    assert [line for line in result.outlines if line][-1] == (
        "3 tests were skipped: they need Chromium (1), openssl (2). "
        "To run them, as root: apt-get install chromium openssl && make test-all"
    )


def test_missing_components_in_ci_fail(
    bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    result = bare.runpytest_subprocess("-p", "support.components")
    result.assert_outcomes(passed=1, errors=3, skipped=1)
    result.stdout.fnmatch_lines(["needs openssl: with CI=true nothing is skipped"])
    result.stdout.no_fnmatch_line("*were skipped:*")


def test_missing_line_without_anything_missing_is_empty() -> None:
    assert missing_line(["for another reason"]) == ""


def test_missing_line_for_releases_names_their_command() -> None:
    line = missing_line([f"{RELEASES.reason}: 2.33.0", f"{RELEASES.reason}: 2.36.0"])
    assert line == (
        "2 tests were skipped: they need more releases of tritonserver (2). "
        "To run them: make releases && make test-all"
    )


def test_test_without_the_marker_sees_no_server() -> None:
    with pytest.raises(TritonserverNotFound):
        find_tritonserver(environ={**os.environ, "PATH": ""}, opt=TESTS)


def test_every_component_has_a_registered_marker(request: pytest.FixtureRequest) -> None:
    registered = {line.partition(":")[0] for line in request.config.getini("markers")}
    assert {component.marker for component in COMPONENTS} <= registered
