"""Along with other plugins of pytest, loaded together. `scripts/matrix` has them all installed.

Where they aren't installed (the environment of `make test`), each is asked for what is there.
"""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from support.builders import RepositoryBuilder

pytestmark = pytest.mark.usefixtures("folders_left")

ALL = ("asyncio", "randomly", "rerunfailures", "timeout", "xdist")


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    repository = RepositoryBuilder(pytester.path / "models")
    repository.add("pinned", "{ kind: KIND_GPU }", backend="onnxruntime")
    repository.add("small", "{ kind: KIND_CPU }")
    pytester.makeini("[pytest]\ntriton_repo = models\n")
    pytester.makepyfile(
        test_own="""
import pytest
from pytest_triton import assert_refused, gpu

@pytest.mark.parametrize("number", range(4))
def test_refused(triton_server, number):
    assert_refused(triton_server, "pinned")

@pytest.mark.parametrize("number", range(4))
@pytest.mark.triton(gpus="sim:1", changes=True)
def test_changed(triton_server, number):
    triton_server.unload("small")
    assert triton_server.placement("pinned") == gpu(0)
"""
    )
    return pytester


def installed() -> list[str]:
    """The names of those of them that are there."""
    names = {entry.name for entry in entry_points(group="pytest11")}
    return [name for name in ALL if name in names]


@pytest.mark.parametrize("way", [(), ("-n2",)], ids=["alone", "workers"])
def test_together(project: pytest.Pytester, way: tuple[str, ...]) -> None:
    there = installed()
    arguments = ["--timeout=60"] * ("timeout" in there) + ["--reruns=1"] * (
        "rerunfailures" in there
    )
    result = project.runpytest_subprocess(*arguments, *way, "test_own.py", "models")
    assert result.ret == 0, there
    result.assert_outcomes(passed=8 + 2 * 5)


@pytest.mark.skipif("rerunfailures" not in installed(), reason="scripts/matrix has it")
def test_rerun_has_its_server_again(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_own="""
import pytest
from pytest_triton import gpu

tries = []

@pytest.mark.triton(gpus="sim:1", changes=True)
def test_flaky(triton_server):
    assert triton_server.placement("pinned") == gpu(0)
    triton_server.unload("pinned")
    tries.append(1)
    assert len(tries) > 1
"""
    )
    result = project.runpytest_subprocess("--reruns=2", "test_own.py")
    result.stdout.fnmatch_lines(["*1 passed*1 rerun*"])


@pytest.mark.skipif("asyncio" not in installed(), reason="scripts/matrix has it")
def test_async_tests(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_own="""
import pytest

@pytest.mark.asyncio
async def test_it(triton_server):
    async with triton_server.async_client() as client:
        assert await client.is_model_ready("small")
"""
    )
    project.runpytest_subprocess("test_own.py").assert_outcomes(passed=1)


@pytest.mark.skipif("timeout" not in installed(), reason="scripts/matrix has it")
def test_timeout_leaves_nothing_behind(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_own="""
import time

def test_it(triton_server):
    time.sleep(60)
"""
    )
    result = project.runpytest_subprocess("--timeout=3", "test_own.py")
    result.assert_outcomes(failed=1)
