"""What a project gives to markers, fixtures and servers: wrong values raise our errors only."""

from __future__ import annotations

import pytest

from support.builders import RepositoryBuilder

pytestmark = pytest.mark.usefixtures("folders_left")

WATCHING = """
import pytest
from pytest_triton import PytestTritonError
from support.wrong_values import WRONG

OURS = (PytestTritonError, pytest.fail.Exception, pytest.skip.Exception, AssertionError)


def pytest_exception_interact(node, call):
    if not isinstance(call.excinfo.value, OURS):
        print(f"NOT OURS {node.nodeid}: {call.excinfo.value!r}")
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    models = RepositoryBuilder(pytester.path / "models")
    models.add("small", "{ kind: KIND_CPU }")
    models.add("pinned", "{ kind: KIND_GPU }")
    pytester.makeini("[pytest]\ntriton_repo = models\n")
    pytester.makeconftest(WATCHING)
    return pytester


@pytest.mark.server
def test_servers_methods_called_with_wrong_values_raise_our_errors(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        test_own="""
import inspect
import pytest
from pytest_triton import TritonServer
from support.wrong_values import calls, mistake

LOADING = {"config": None, "instance_group": None, "directory": None, "files": None}
VALID = {
    "placement": {}, "observed": {}, "declared": {}, "predicted": {}, "verdict": {},
    "is_ready": {}, "unload": {},
    "load": LOADING, "load_or_refuse": LOADING,
    "reload": {"config": None, "instance_group": None},
    "infer": {
        "inputs": "zeros", "protocol": None, "version": "", "seed": 0, "shapes": None,
        "batch_size": 1, "optional": True, "outputs": (), "sequence_id": None,
        "sequence_start": None, "sequence_end": None, "parameters": None, "timeout": 60.0,
    },
    "set_gpus": {"count": 2, "fault": "none"},
    "lose_gpus": {"keep": 0, "fault": "none"},
}
NOT_OF_MODELS = {"set_gpus", "lose_gpus"}
METHODS = [
    name for name, one in inspect.getmembers(TritonServer, inspect.isfunction)
    if not name.startswith("_")
    and len(inspect.signature(one).parameters) > 1
]

@pytest.mark.triton(gpus="sim:2", changes=True)
@pytest.mark.parametrize("name", METHODS)
def test_it(triton_server, name):
    valid = VALID[name] if name in NOT_OF_MODELS else {"model": "small", **VALID[name]}
    tried = list(calls(name, getattr(TritonServer, name), valid, triton_server))
    print("CALLS", len(tried))
    mistakes = [found for found in map(mistake, tried) if found is not None]
    assert not mistakes, "MISTAKES\\\\n" + "\\\\n".join(mistakes)

def test_made(make_triton_server):
    tried = list(calls("make_triton_server", make_triton_server, {"repo": "models"}))
    mistakes = []
    for one in tried:
        try:
            found = mistake(one)
        except pytest.fail.Exception:  # with the text of an error of ours
            found = None
        mistakes += [found] if found else []
    assert not mistakes, "MISTAKES\\\\n" + "\\\\n".join(mistakes)
"""
    )
    result = project.runpytest("test_own.py", "-rP", "-p", "no:cacheprovider")
    result.stdout.no_fnmatch_line("*NOT OURS*")
    counted = [int(line.split()[1]) for line in result.outlines if line.startswith("CALLS ")]
    assert sum(counted) > 1_000
    assert result.ret == pytest.ExitCode.OK, "\n".join(result.outlines)


def test_markers_and_factories_with_wrong_values_are_usage_errors(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        test_own="""
import pytest
from pytest_triton import PytestTritonError, factories
from pytest_triton.options.settings import ARGUMENT_OPTIONS
from support.wrong_values import WRONG

ARGUMENTS = {
    "triton": [row.name for row in ARGUMENT_OPTIONS],
    "triton_models": ["declares", "backend", "name"],
    "triton_requires": ["gpus", "container", "real_backends"],
}
MARKED = [
    pytest.param(
        None, marks=getattr(pytest.mark, mark)(**{name: value}), id=f"{mark}-{name}-{label}"
    )
    for mark, names in ARGUMENTS.items()
    for name in names
    for label, value in WRONG.items()
] + [
    pytest.param(None, marks=getattr(pytest.mark, mark)(value), id=f"{mark}-place-{label}")
    for mark in ARGUMENTS
    for label, value in WRONG.items()
    if not callable(value)
]

@pytest.mark.parametrize("one", MARKED)
def test_it(triton_model, one): ...

FAILED = []
for name in ARGUMENTS["triton"]:
    for label, value in WRONG.items():
        try:
            factories.triton_server(**{name: value})
        except PytestTritonError:
            continue
        if label == "nonsense":
            FAILED.append((name, label))
assert not FAILED, FAILED
print("MARKED", len(MARKED))
"""
    )
    result = project.runpytest("test_own.py", "--collect-only", "-q", "-s")
    assert result.ret == pytest.ExitCode.USAGE_ERROR, "\n".join(result.outlines)
    text = result.stderr.str()
    assert "Traceback" not in text
    assert "INTERNALERROR" not in text + result.stdout.str()
    for label in ("nonsense", "no repr"):
        named = {line.split("[")[1] for line in result.errlines if f"-{label}]" in line}
        assert len(named) >= 30, label
    result.stderr.fnmatch_lines(["*::test_it?pinned-triton-gpus-float?: gpus=2.5 (marker): *"])


@pytest.mark.server
@pytest.mark.parametrize("fixture", ["triton_server_args", "triton_server_environment"])
def test_overridden_fixtures_with_wrong_values_fail_with_our_errors(
    project: pytest.Pytester, fixture: str
) -> None:
    project.makepyfile(
        test_own=f"""
import pytest
from support.wrong_values import WRONG

@pytest.fixture(params=WRONG.values(), ids=WRONG)
def {fixture}(request):
    return request.param

def test_it(triton_server): ...
"""
    )
    result = project.runpytest("test_own.py", "-s")
    result.stdout.no_fnmatch_line("*NOT OURS*")
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    result.stdout.fnmatch_lines(["*test_it?nonsense?*"])


@pytest.mark.server
@pytest.mark.parametrize("fixture", ["triton_hardware", "triton_model"])
def test_parametrized_fixtures_with_wrong_values_fail_with_our_errors(
    project: pytest.Pytester, fixture: str
) -> None:
    project.makepyfile(
        test_own=f'''
import pytest
from support.wrong_values import WRONG

@pytest.mark.parametrize("{fixture}", WRONG.values(), ids=WRONG, indirect=True)
def test_it({fixture}, triton_server): ...
'''
    )
    result = project.runpytest("test_own.py", "-s")
    result.stdout.no_fnmatch_line("*NOT OURS*")
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    result.stdout.fnmatch_lines(["*test_it?nonsense?*"])
