"""Machines whose loopback doesn't work: network namespaces, which need root."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_triton.servers.loopback import _no_loopback, check_loopback
from support.builders import RepositoryBuilder

TESTS = Path(__file__).parents[1]
DOWN = "true"
ONLY_IPV6 = "ip link set lo up && ip addr del 127.0.0.1/8 dev lo"


def in_network(setup: str, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a network of its own, whose loopback is down before `setup`."""
    if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode != 0:
        if os.environ.get("CI"):
            pytest.fail("a network namespace needs root and unshare")
        pytest.skip("a network namespace needs root and unshare")
    script = f'{setup} && exec "$@"'
    return subprocess.run(
        ["unshare", "--net", "sh", "-c", script, "sh", *command],
        capture_output=True,
        text=True,
        cwd=cwd,
    )


@pytest.mark.parametrize(
    ("setup", "what", "fix"),
    [
        (DOWN, "The loopback of this machine is down", "ip link set lo up"),
        (ONLY_IPV6, "has no 127.0.0.1", "ip addr add 127.0.0.1/8 dev lo"),
    ],
    ids=["down", "only IPv6"],
)
@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_run_without_loopback_fails_before_it_waits(
    repository: RepositoryBuilder, setup: str, what: str, fix: str, workers: str
) -> None:
    repository.add("small", "{ kind: KIND_CPU }")
    done = in_network(
        setup,
        *(sys.executable, "-m", "pytest", "--triton-repo=models", workers),
        *("-p", "no:cacheprovider", "--triton-timeout=600", "-k", "test_placement"),
        cwd=repository.path.parent,
    )
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert what in said
    assert fix in said
    assert "was not live after" not in said
    assert "Traceback" not in said


def test_loopback_of_this_machine_works() -> None:
    check_loopback()


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (errno.EADDRNOTAVAIL, "has no 127.0.0.1"),
        (errno.EAFNOSUPPORT, "has no 127.0.0.1"),
        (errno.ENETUNREACH, "is down"),
        (errno.EPERM, "can't connect to itself"),
        (errno.EMFILE, "can't connect to itself"),
    ],
)
def test_error_of_loopback_is_reported_with_fix(number: int, what: str) -> None:
    error = _no_loopback(OSError(number, os.strerror(number)))
    assert what in error.what
    assert os.strerror(number) in str(error)
    assert error.fix


def test_run_without_loopback_leaves_other_tests_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): ...")
    done = in_network(DOWN, sys.executable, "-m", "pytest", "-n2", cwd=pytester.path)
    assert done.returncode == 0, done.stdout + done.stderr
