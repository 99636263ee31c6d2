"""Arguments that the plugin sets itself are refused wherever a server can be asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_triton import TritonContainer
from pytest_triton.client.http import HttpApi
from pytest_triton.options.server_arguments import ArgumentRefused, check_arguments
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.rehearsal.simulation import OFFICIAL_BACKENDS
from pytest_triton.servers.process.server import launch
from pytest_triton.servers.server_errors import ServerExited
from pytest_triton.servers.spec import ServerSpec
from support.builders import RepositoryBuilder

pytestmark = pytest.mark.usefixtures("folders_left")

REASON = "*--http-port=8000 can't be given: the plugin gives each server ports of its own*"


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    RepositoryBuilder(pytester.path / "models").add("small", "{ kind: KIND_CPU }")
    pytester.makeini("[pytest]\ntriton_repo = models\n")
    return pytester


def test_marker_with_refused_argument_is_usage_error(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_own="""
import pytest

@pytest.mark.triton(arguments=["--http-port=8000"])
def test_it(triton_server): ...
"""
    )
    result = project.runpytest_subprocess("test_own.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([REASON])
    result.stderr.no_fnmatch_line("*Traceback*")


def test_factory_with_refused_argument_is_error_with_reason(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_own="""
from pytest_triton import factories

mine = factories.triton_server(arguments=["--http-port=8000"])

def test_it(mine): ...
"""
    )
    result = project.runpytest_subprocess("test_own.py")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([REASON])


def test_fixture_and_maker_with_refused_argument_fail_with_reason(
    project: pytest.Pytester,
) -> None:
    project.makeconftest(
        """
import pytest

@pytest.fixture(scope="session")
def triton_server_args(request):
    return ["--http-port=8000"]
"""
    )
    project.makepyfile(
        test_own="""
import pytest

def test_overridden(triton_server): ...

def test_made(make_triton_server):
    make_triton_server(arguments=["--http-port=8000"])

@pytest.mark.triton(arguments=["--load-model=small"])
def test_made_with_marked_arguments(make_triton_server):
    make_triton_server()
"""
    )
    result = project.runpytest_subprocess("test_own.py")
    result.assert_outcomes(errors=1, failed=2)
    result.stdout.fnmatch_lines([REASON, REASON, "*--load-model=small can't be given*"])
    result.stdout.no_fnmatch_line("*was not live after*")


def test_misspelt_flag_is_an_error_at_once_wherever_it_is_given(
    project: pytest.Pytester,
) -> None:
    project.makeconftest(
        """
import pytest

@pytest.fixture(scope="session")
def triton_server_args(request):
    return ["--log-verbos_=1"]
"""
    )
    project.makepyfile(
        test_own="""
def test_overridden(triton_server): ...

def test_made(make_triton_server):
    make_triton_server(arguments=["--strict_readiness=1"])

def test_made_for_another_release(make_triton_server):
    make_triton_server(arguments=["--allow-client-shm=true"], version="2.51.0")
""",
        test_marked="""
import pytest

@pytest.mark.triton(arguments=["--log-verbos_=1"])
def test_it(triton_server): ...
""",
    )
    result = project.runpytest_subprocess("test_own.py")
    result.assert_outcomes(errors=1, failed=2)
    result.stdout.fnmatch_lines_random(
        [
            "*arguments: --log-verbos_=1: no tritonserver up to * knows this flag*",
            "What to do: did you mean --log-verbose?",
            "What to do: did you mean --strict-readiness?",
            "*tritonserver 2.51.0 doesn't know --allow-client-shm*",
            "*known from release 2.68.0 on*",
        ]
    )
    assert "Usage: tritonserver" not in result.stdout.str()
    marked = project.runpytest_subprocess("test_marked.py")
    assert marked.ret == pytest.ExitCode.USAGE_ERROR
    marked.stderr.fnmatch_lines(["*did you mean --log-verbose?*"])


def test_container_with_refused_argument_or_variable_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ArgumentRefused):
        TritonContainer(tmp_path, arguments=["--grpc-port", "8001"])
    with pytest.raises(ArgumentRefused, match="did you mean --log-verbose"):
        TritonContainer(tmp_path, arguments=["--log-verbos_=1"])
    with pytest.raises(ArgumentRefused):
        TritonContainer(tmp_path, environment={"AIP_MODE": "PREDICTION"})


def started(repository: RepositoryBuilder, arguments: Sequence[str]) -> bool:
    """Whether a real server comes up with arguments that nobody has checked."""
    hardware = HardwareRequest.parse("none")
    server = launch(
        ServerSpec(
            (repository.path,),
            hardware,
            stand_ins=OFFICIAL_BACKENDS,
            arguments=tuple(arguments),
            timeout=20,
        )
    )
    try:
        server.wait_until_live()
        with HttpApi(server.http) as api:
            return api.ready()
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("arguments", "equal"),
    [
        (["--log-verb=1"], ["--log-verbose=1"]),
        (["--strict-readi", "false"], ["--strict-readiness=false"]),
        (["--http-thread-c=2"], ["--http-thread-count", "2"]),
    ],
)
def test_flag_of_real_server_may_be_shortened(
    repository: RepositoryBuilder, arguments: list[str], equal: list[str]
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    for way in (arguments, equal):
        check_arguments(way)
        assert started(repository, way)


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["--frobnicate"], "unknown flag"),
        (["--http=1"], "unknown flag"),
        (["-log-verbose=1"], "unknown flag"),
        (["log-verbose"], "bad argument"),
        (["--log-verbose"], "bad argument"),
        (["--http-thread-count=many"], "bad argument"),
        (["--host-policy=x,y=z"], "bad argument"),
        (["--load-model=cpu"], "bad argument"),
    ],
)
def test_argument_that_real_server_does_not_take_is_named_as_cause(
    repository: RepositoryBuilder, arguments: list[str], cause: str
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    with pytest.raises(ServerExited) as caught:
        started(repository, arguments)
    assert caught.value.cause == cause
    assert "see the log" not in caught.value.what
