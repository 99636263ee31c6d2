"""How many servers a run starts: one for each hardware, in any order, alone and with workers."""

from __future__ import annotations

import pytest

from support.builders import RepositoryBuilder

pytestmark = pytest.mark.usefixtures("folders_left")

# Adds a line to a file for each start; SHUFFLE puts the tests in an order of its own.
CONFTEST = """
import os
import random
from pytest_triton.servers import launching

_launch = launching.launch

def launch(spec, **more):
    with open(os.environ["STARTS"], "a") as file:
        file.write(f"{spec.hardware}\\n")
    return _launch(spec, **more)

launching.launch = launch

def pytest_collection_modifyitems(items):
    if "SHUFFLE" in os.environ:
        random.Random(int(os.environ["SHUFFLE"])).shuffle(items)
"""

OWN_TESTS = """
import pytest

@pytest.mark.parametrize("number", range(3))
def test_it(triton_server, triton_hardware, number):
    assert triton_server.is_ready("small")
"""

HARDWARE = (("none",), ("none", "sim:2"), ("none", "sim:1", "sim:2", "sim:4"))


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "workers"])
@pytest.mark.parametrize("order", ["", "1", "2"], ids=["in-order", "shuffled-1", "shuffled-2"])
@pytest.mark.parametrize("own", [False, True], ids=["checks", "checks-and-own-tests"])
@pytest.mark.parametrize("hardware", HARDWARE, ids=["1", "2", "4"])
def test_starts_of_a_run_are_one_for_each_hardware(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    hardware: tuple[str, ...],
    own: bool,
    order: str,
    workers: tuple[str, ...],
) -> None:
    repository = RepositoryBuilder(pytester.path / "models")
    repository.add("pinned", "{ kind: KIND_GPU }", backend="onnxruntime")
    repository.add("small", "{ kind: KIND_CPU count: 2 }")
    pytester.makeconftest(CONFTEST)
    if own:
        pytester.makepyfile(test_own=OWN_TESTS)
    starts = pytester.path / "starts"
    monkeypatch.setenv("STARTS", str(starts))
    if order:
        monkeypatch.setenv("SHUFFLE", order)
    gpus = [f"--triton-gpus={one}" for one in hardware]
    result = pytester.runpytest_subprocess("--triton-repo=models", *gpus, *workers)
    result.assert_outcomes(passed=6 + 2 * len(hardware) + 3 * own * len(hardware))
    assert sorted(starts.read_text().split()) == sorted(hardware)
