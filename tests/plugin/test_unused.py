"""A project that does not use the plugin pays nothing for it."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

HEAVY = (
    "docker",
    "testcontainers",
    "tritonclient",
    "numpy",
    "grpc",
    "google.protobuf",
    "pytest_triton.placement",
    "pytest_triton.repository",
    "pytest_triton.servers",
    "pytest_triton.checks.run",
    "pytest_triton.plugin.collection",
)


def test_unrelated_run_imports_nothing_and_says_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import sys

        def test_nothing_heavy():
            loaded = [name for name in {HEAVY!r} if name in sys.modules]
            assert loaded == []
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("triton:*")
    result.stdout.no_fnmatch_line("*triton placement*")


def test_what_is_imported_at_the_start() -> None:
    code = (
        "import pytest, sys; before = set(sys.modules); import pytest_triton.plugin.hooks; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name for name in done.stdout.split() if name.startswith("pytest_triton")} == {
        "pytest_triton",
        "pytest_triton._version",
        "pytest_triton.inference",
        "pytest_triton.inference.golden_place",
        "pytest_triton.options",
        "pytest_triton.options.option",
        "pytest_triton.options.settings",
        "pytest_triton.options.sources",
        "pytest_triton.plugin",
        "pytest_triton.plugin.factories",
        "pytest_triton.plugin.fixtures",
        "pytest_triton.plugin.hooks",
    }


def test_importing_the_plugin_is_cheap() -> None:
    """A generous bound: the aim is 5 ms, and machines are noisy."""
    code = (
        "import pytest, time; start = time.perf_counter(); import pytest_triton.plugin.hooks; "
        "print(time.perf_counter() - start)"
    )
    took = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(5)
    ]
    assert min(took) < 0.05


def test_public_names_are_all_there() -> None:
    import pytest_triton

    assert {name for name in pytest_triton.__all__ if not hasattr(pytest_triton, name)} == set()
    assert set(dir(pytest_triton)) == set(pytest_triton.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nobody'"):
        _ = pytest_triton.nobody


def test_without_a_tritonserver_all_that_needs_none_works(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    from support.builders import RepositoryBuilder

    repository = RepositoryBuilder(pytester.path / "models")
    repository.add("pinned", "{ kind: KIND_GPU }")
    repository.add("typo", "{ kind: KIND_GPU gpu: 1 }")
    monkeypatch.setenv("PYTEST_TRITON_CACHE", str(pytester.path / "cache"))
    monkeypatch.setenv("PATH", "")
    start = time.monotonic()
    result = pytester.runpytest("--triton-repo=models", "-v")
    assert time.monotonic() - start < 60
    result.stdout.fnmatch_lines(
        [
            "triton: rehearsal on no tritonserver (No tritonserver was found on this machine.)*",
            "models/pinned/config.pbtxt::test_config PASSED*",
            "models/pinned/config.pbtxt::test_explicit_placement PASSED*",
            "models/pinned/config.pbtxt::test_placement?no-gpu? FAILED*",
            "models/typo/config.pbtxt::test_config FAILED*",
            "no server to ask",
            "*pytest-triton install*",
            "no server to ask: No tritonserver was found on this machine. (reported in full above)",
            "pinned *GPU *not proven*not proven*",
        ]
    )
