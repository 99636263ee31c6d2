"""A project's own tests, run by pytest on real servers: fixtures, markers, assertions."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton import OptionError, factories
from support.builders import RepositoryBuilder

pytestmark = pytest.mark.usefixtures("folders_left")

HEAD = """
import pytest
from pytest_triton import *
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with three models and an ini file that names their repository."""
    repository = RepositoryBuilder(pytester.path / "models")
    repository.add("pinned", "{ kind: KIND_GPU }", backend="onnxruntime")
    repository.add("mixed", "{ kind: KIND_GPU }, { kind: KIND_CPU }", backend="pytorch")
    repository.add("small", "{ kind: KIND_CPU count: 2 }")
    repository.add("free", backend="onnxruntime")
    pytester.makeini("[pytest]\ntriton_repo = models\n")
    return pytester


def run(project: pytest.Pytester, code: str, *arguments: str) -> pytest.RunResult:
    project.makepyfile(test_own=HEAD + code)
    return project.runpytest_subprocess("test_own.py", *arguments)


def test_three_tests_of_the_readme(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
@pytest.mark.triton(gpus="none")
def test_pinned_never_runs_on_the_cpu(triton_server):
    assert_refused(triton_server, "pinned", reason="no-gpu")

@pytest.mark.triton(gpus="sim:2")
def test_mixed_uses_both_gpus_and_the_cpu(triton_server):
    assert triton_server.placement("mixed") == gpu(0) + gpu(1) + cpu()

@pytest.mark.triton_models(declares="gpu")
def test_all_pinned(triton_server, triton_model):
    assert triton_model.name == "pinned"
    assert_refused(triton_server, triton_model)
""",
    )
    result.assert_outcomes(passed=3)


def test_each_of_them_can_fail(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
@pytest.mark.triton(gpus="sim:1")
def test_pinned_never_runs_on_the_cpu(triton_server):
    assert_refused(triton_server, "pinned", reason="no-gpu")

@pytest.mark.triton(gpus="sim:1")
def test_mixed_uses_both_gpus_and_the_cpu(triton_server):
    assert triton_server.placement("mixed") == gpu(0) + gpu(1) + cpu()

@pytest.mark.triton(gpus="none")
def test_refused_has_no_placement(triton_server):
    assert not triton_server.placement("mixed").devices
""",
    )
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        [
            "*pinned was to be refused (no-gpu), and runs: GPU 0",
            "*hardware   1 GPU (simulated)",
            "*declared   GPU",
            "*GPU 1: 1 instance expected, 0 found",
            "*mixed has no placement (on no GPU): the model is refused: no GPU; Triton says:",
            "*has kind KIND_GPU but no GPUs are available*",
            "*triton server log (no GPU)*",
        ]
    )


ASSERTIONS = """
@pytest.mark.triton(gpus="{gpus}")
def test_it(triton_server):
    {claim}
"""


@pytest.mark.parametrize(
    ("gpus", "claim"),
    [
        ("none", 'assert_refused(triton_server, "pinned")'),
        ("none", 'assert_refused(triton_server, "mixed", reason="no-gpu")'),
        ("sim:2", 'assert_placed(triton_server, "free", gpu(0) + gpu(1))'),
        ("sim:2", "assert_placed_as_declared(triton_server)"),
        ("none", 'assert_placed_as_declared(triton_server, "pinned", "small")'),
        ("sim:2", "assert_no_fallback(triton_server)"),
        ("none", 'assert_no_fallback(triton_server, allow=["fr*"])'),
        ("none", 'assert_ready_models(triton_server, {"small", "free"})'),
        ("sim:2", 'assert_complete(triton_server, "mixed")'),
    ],
)
def test_claims_that_hold(project: pytest.Pytester, gpus: str, claim: str) -> None:
    run(project, ASSERTIONS.format(gpus=gpus, claim=claim)).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("gpus", "claim", "message"),
    [
        (
            "none",
            'assert_refused(triton_server, "free")',
            "free was to be refused, and runs: CPU x2",
        ),
        (
            "none",
            'assert_refused(triton_server, "pinned", reason="gpu-id")',
            "pinned was to be refused (gpu-id), and is refused for another reason: refused: no GPU",
        ),
        (
            "none",
            'assert_refused(triton_server, "pinned", reason="no gpu")',
            "*assert_refused(reason='no gpu'): expected one of 'no-gpu', *Did you mean 'no-gpu'*",
        ),
        (
            "sim:2",
            'assert_placed(triton_server, "small", cpu())',
            "small was to run on CPU, and runs on CPU x2",
        ),
        (
            "none",
            'assert_placed(triton_server, "pinned", gpu(0))',
            "pinned was to run on GPU 0, and is not loaded: refused: no GPU",
        ),
        (
            "none",
            "assert_placed_as_declared(triton_server)",
            "free runs on the CPU, and nobody declared that",
        ),
        ("none", "assert_no_fallback(triton_server)", "1 model fell back to the CPU unnoticed"),
        (
            "none",
            'assert_ready_models(triton_server, {"small"})',
            "free: is READY, and was not to be (CPU x2)",
        ),
        (
            "none",
            'assert_ready_models(triton_server, {"small", "free", "mixed", "nosuch"})',
            "*No model is called 'nosuch' on *",
        ),
        (
            "none",
            'assert_complete(triton_server, "mixed")',
            "mixed has none of its instances: refused: no GPU",
        ),
        (
            "none",
            'triton_server.placement("fre")',
            "*No model is called 'fre' on *. Did you mean 'free'?",
        ),
    ],
)
def test_claims_that_do_not_hold(
    project: pytest.Pytester, gpus: str, claim: str, message: str
) -> None:
    result = run(project, ASSERTIONS.format(gpus=gpus, claim=claim))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*{message}"])


def test_fix_is_reported(project: pytest.Pytester) -> None:
    claim = "assert_no_fallback(triton_server)"
    result = run(project, ASSERTIONS.format(gpus="none", claim=claim))
    result.stdout.fnmatch_lines(
        ["*declared   nothing", "*observed   CPU x2  (seen in the *", "*kind: KIND_GPU*"]
    )


# --- which server ---------------------------------------------------------------------------------


def test_closest_marker_counts_argument_by_argument(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
pytestmark = pytest.mark.triton(gpus="sim:1", version="2.51.0")

class TestIt:
    pytestmark = pytest.mark.triton(gpus="sim:2")

    def test_class(self, triton_server):
        assert triton_server.hardware.count == 2

    @pytest.mark.triton(gpus="sim:3")
    def test_function(self, triton_server):
        assert triton_server.hardware.count == 3
        assert "2.51.0" in triton_server.description

def test_module(triton_server):
    assert triton_server.hardware.count == 1
""",
    )
    result.assert_outcomes(passed=3)


def test_test_without_gpus_runs_on_the_first_hardware(project: pytest.Pytester) -> None:
    code = """
def test_it(triton_server):
    print("hardware:", triton_server.hardware.label)
"""
    result = run(project, code, "-s")
    result.stdout.fnmatch_lines(["*hardware: no GPU"])
    result = run(project, code, "-s", "--triton-gpus=sim:3", "--triton-gpus=none")
    result.stdout.fnmatch_lines(["*hardware: 3 GPUs (simulated)"])
    result.assert_outcomes(passed=1)


def test_test_that_takes_the_hardware_runs_on_each(project: pytest.Pytester) -> None:
    code = """
def test_all(triton_server, triton_hardware):
    assert triton_server.hardware.count == triton_hardware.count

@pytest.mark.triton(gpus=["sim:1", "sim:4"])
def test_some(triton_server, triton_hardware):
    assert triton_server.hardware.count == triton_hardware.count > 0
"""
    result = run(project, code, "-v")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*test_all[[]no-gpu[]]*", "*test_some[[]sim-4[]]*"])


def test_equal_requests_share_a_server(project: pytest.Pytester) -> None:
    code = """
seen = []

@pytest.mark.triton(gpus="sim:1")
def test_one(triton_server):
    seen.append(triton_server.grpc)

@pytest.mark.triton(gpus="sim:1")
def test_two(triton_server):
    seen.append(triton_server.grpc)

def test_three(triton_server):
    seen.append(triton_server.grpc)

def test_shared():
    assert seen[0] == seen[1] != seen[2]
"""
    run(project, code).assert_outcomes(passed=4)


def test_overridden_arguments_and_environment(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
import pytest

@pytest.fixture(scope="session")
def triton_server_args():
    return ["--log-verbose=1"]

@pytest.fixture(scope="session")
def triton_server_environment():
    return {"CUDA_VISIBLE_DEVICES": ""}
"""
    )
    code = """
def test_it(triton_server):
    assert "Ready for RPC 'ServerLive'" in triton_server.log
"""
    run(project, code).assert_outcomes(passed=1)


def test_factories_give_servers_side_by_side(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
from pytest_triton import factories

gpu_server = factories.triton_server(gpus="sim:2")
cpu_server = factories.triton_server(gpus="none")
"""
    )
    code = """
@pytest.mark.triton(gpus="sim:7")
def test_it(gpu_server, cpu_server, triton_server):
    counts = [one.hardware.count for one in (gpu_server, cpu_server, triton_server)]
    assert counts == [2, 0, 7]
"""
    run(project, code).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (
            "triton(gpu='none')",
            "*has no argument gpu (did you mean gpus?): triton([*], repo*",
        ),
        ("triton('none')", "*keyword arguments only, got 'none': triton([*], repo*"),
        ("triton(gpus='nine')", "*'nine' names no hardware*"),
        ("triton(gpus=[])", "*gpus=[[][]] (marker): an empty list names nothing*"),
        (
            "triton(backends='fake')",
            "*backends='fake' (marker): expected one of real, stand-in, auto*",
        ),
        ("triton(load=['a'])", "*needs changes=True*"),
        (
            "triton(arguments='--x')",
            "*arguments='--x' (marker): expected a list of texts, not a str*",
        ),
        (
            "triton_models(declare='gpu')",
            "*has no argument declare (did you mean declares?): triton_models(*",
        ),
        ("triton_models(declares='gpu')", "*gives models to a test that doesn't take them*"),
        ("triton(changes='perhaps')", "*changes='perhaps' (marker): expected on or off*"),
        ("triton_models(declares='GPUs')", "*declares='GPUs'): expected one of 'gpu', *"),
        ("triton_requires(gpu=2)", "*triton_requires*"),
    ],
)
def test_wrong_marks_are_usage_errors(project: pytest.Pytester, mark: str, message: str) -> None:
    code = f"@pytest.mark.{mark}\ndef test_it(triton_server):\n    pass\n"
    result = run(project, code)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *{message}"])
    result.stderr.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize("gpus", ["none", "1", "all"])
@pytest.mark.parametrize("place", ["module", "class", "function"])
def test_loss_of_gpus_that_are_not_simulated_is_a_usage_error(
    project: pytest.Pytester, gpus: str, place: str
) -> None:
    mark = f"pytest.mark.triton(gpus={gpus!r})"
    code = {
        "module": f"pytestmark = {mark}\ndef test_it(triton_gpu_loss): ...\n",
        "class": f"@{mark}\nclass TestIt:\n    def test_it(self, triton_gpu_loss): ...\n",
        "function": f"@{mark}\ndef test_it(triton_gpu_loss): ...\n",
    }[place]
    result = run(project, f"{code}def test_other(): ...\n")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = f"ERROR: *test_it: triton_gpu_loss takes simulated GPUs away, * says gpus={gpus}"
    result.stderr.fnmatch_lines([said, 'What to do: write gpus="sim:2", *'])


def test_fixture_of_the_same_name_may_have_any_gpus(project: pytest.Pytester) -> None:
    run(
        project,
        """
@pytest.fixture
def triton_gpu_loss(triton_server):
    return triton_server

@pytest.mark.triton(gpus="none")
def test_it(triton_gpu_loss):
    assert triton_gpu_loss.hardware.count == 0
""",
    ).assert_outcomes(passed=1)


def test_wrong_use_of_a_fixture_shows_no_line_of_ours(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
def test_place(make_triton_server):
    make_triton_server("models", "none")

@pytest.mark.parametrize("triton_hardware", ["sim:2"], indirect=True)
def test_hardware(triton_hardware):
    pass

class TestLoss:
    @pytest.fixture
    def make_triton_server(self, make_triton_server):
        return lambda **arguments: make_triton_server(gpus="none")

    def test_loss(self, triton_gpu_loss):
        pass
""",
    )
    out = result.stdout.str()
    assert "takes one argument without a name, the repository, and got 'none' as another" in out
    assert "triton_hardware(param='sim:2'): expected hardware" in out
    assert "no GPU: only simulated GPUs can be taken away" in out
    assert "pytest_triton/" not in out


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ("declares='gpu'", {"pinned"}),
        ("declares=['gpu', 'mixed']", {"pinned", "mixed"}),
        ("declares='cpu'", {"small"}),
        ("declares='nothing'", {"free"}),
        ("backend='onnx*'", {"pinned", "free"}),
        ("name=['mix*', 'small']", {"mixed", "small"}),
        ("declares='gpu', backend='onnxruntime', name='p*'", {"pinned"}),
        ("", {"pinned", "mixed", "small", "free"}),
    ],
)
def test_models_are_chosen(project: pytest.Pytester, chosen: str, names: set[str]) -> None:
    code = f"@pytest.mark.triton_models({chosen})\ndef test_it(triton_model):\n    pass\n"
    result = run(project, code, "-v")
    result.assert_outcomes(passed=len(names))
    result.stdout.fnmatch_lines_random([f"*test_it[[]{name}[]] PASSED*" for name in names])


def test_all_wrong_marks_are_reported_at_once(project: pytest.Pytester) -> None:
    code = """
@pytest.mark.triton(gpu="none")
def test_one(triton_server):
    pass

@pytest.mark.triton_models(declare="gpu")
def test_two(triton_model):
    pass

@pytest.mark.triton(gpus=["none", "sim:x"])
def test_three(triton_server, triton_hardware):
    pass
"""
    result = run(project, code)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    for name in ("test_one", "test_two", "test_three"):
        assert f"::{name}" in result.stderr.str()
    result.stderr.no_fnmatch_line("*Traceback*")


def test_tests_own_parametrize_goes_first(project: pytest.Pytester) -> None:
    code = """
@pytest.mark.parametrize("triton_model", ["pinned", "nope"])
def test_model(triton_model):
    assert triton_model in ("pinned", "nope")

@pytest.mark.parametrize(("triton_hardware", "count"), [("sim:1", 1), ("sim:3", 3)])
def test_hardware(triton_server, triton_hardware, count):
    assert triton_server.hardware.count == count
"""
    run(project, code).assert_outcomes(passed=4)


def test_gpus_that_are_not_there_fail_every_test_that_asks_for_them(
    project: pytest.Pytester,
) -> None:
    code = """
@pytest.mark.triton(gpus=2)
def test_it(triton_server):
    pass
"""
    result = run(project, code)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*2 GPUs asked for, but * can use no GPUs.", "*gpus= of a test*"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('triton_server.infer("small", "ones")', "*'ones': neither 'random', 'zeros' or arrays*"),
        ('triton_server.infer("small", [1, 2])', '*infer(inputs=[[]1, 2[]]): expected "random", *'),
        (
            'assert_placed("small", triton_server, cpu())',
            "*expected a TritonServer, such as the fixture*",
        ),
        (
            'triton_server.reload("small", instance_group="kind: KIND_GPU")',
            "*is no list of groups*",
        ),
        ('make_triton_server(gpu="none")', "*no argument gpu (did you mean gpus?)*"),
    ],
)
def test_wrong_arguments_in_a_test(project: pytest.Pytester, line: str, message: str) -> None:
    code = f"""
@pytest.mark.triton(gpus="none", changes=True)
def test_it(triton_server, make_triton_server):
    {line}
"""
    result = run(project, code)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([message])
    result.stdout.no_fnmatch_line("*src/pytest_triton*:[0-9]*: *")


def test_server_that_exits_in_a_test_is_reported_and_replaced(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    code = """
import os, signal
from support.watching import command_lines

def test_server_exits(triton_server):
    known = f"--id={triton_server._state.running.name}"
    os.kill(min(pid for pid, line in command_lines().items() if known in line), signal.SIGKILL)
    triton_server.infer("small")

def test_next(triton_server):
    assert triton_server.is_ready("small")
"""
    result = run(project, code)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*ended with signal SIGKILL*", "*Cause: killed:*"])
    for noise in ("*During handling of*", "*direct cause of*", "*src/pytest_triton*:[0-9]*: *"):
        result.stdout.no_fnmatch_line(noise)


def test_models_that_match_nothing_fail(project: pytest.Pytester) -> None:
    code = "@pytest.mark.triton_models(name='zz*')\ndef test_it(triton_model):\n    pass\n"
    result = run(project, code)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*No model of models matches triton_models(name='zz[*]')*"])


def test_suite_without_a_repository_is_reported(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(triton_server):\n    pass\n")
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*No model repository is named for this test.", "*triton(repo=*"])


def test_repository_named_by_the_marker(project: pytest.Pytester) -> None:
    (project.path / "tox.ini").write_text("[pytest]\n")
    code = """
@pytest.mark.triton(repo="models", gpus="none")
def test_it(triton_server):
    assert_refused(triton_server, "pinned")

@pytest.mark.triton(repo="modles")
def test_typo(triton_server):
    pass
"""
    result = run(project, code)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*modles*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_start_that_failed_is_reported_to_each_test(project: pytest.Pytester) -> None:
    code = """
pytestmark = pytest.mark.triton(arguments=["--host-policy=x,y=z"])

def test_one(triton_server):
    pass

def test_two(triton_server):
    pass
"""
    result = run(project, code)
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*bad argument*"])


# --- changing what is loaded ----------------------------------------------------------------------


def test_load_unload_and_what_if(project: pytest.Pytester) -> None:
    code = """
pytestmark = pytest.mark.triton(gpus="sim:2", changes=True)

def test_change(triton_server):
    triton_server.unload("mixed")
    assert not triton_server.is_ready("mixed")
    triton_server.load("mixed")
    assert_complete(triton_server, "mixed")
    triton_server.reload("small", instance_group="{ kind: KIND_GPU gpus: [1] count: 3 }")
    assert triton_server.placement("small") == gpu(1, count=3)
    assert_placed_as_declared(triton_server, "small")
    with pytest.raises(ModelRefused, match="gpu id 7") as raised:
        triton_server.reload("small", instance_group="{ kind: KIND_GPU gpus: [7] }")
    assert raised.value.refusal.reason == "gpu-id"
    assert_refused(triton_server, "small", "gpu-id")
    triton_server.reload("small")
    assert triton_server.declared("small").summary == "CPU x2"
    assert_placed_as_declared(triton_server, "small")
    seen = triton_server.load_or_refuse("free", config={"backend": "pytorch"})
    assert seen.ready
    triton_server.unload("free")

def test_all_is_as_before(triton_server):
    assert triton_server.placement("small") == cpu(count=2)
    assert_placed_as_declared(triton_server)
    assert_ready_models(triton_server, {"pinned", "mixed", "small", "free"})
"""
    run(project, code).assert_outcomes(passed=2)


def test_ensembles_that_triton_unloads_along_are_back(project: pytest.Pytester) -> None:
    RepositoryBuilder(project.path / "models").add_config(
        "both",
        """
        platform: "ensemble" max_batch_size: 8
        input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
        output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
        ensemble_scheduling { step [ {
          model_name: "small" model_version: -1
          input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" }
        } ] }
        """,
    )
    code = """
pytestmark = pytest.mark.triton(gpus="none", changes=True)

def test_change(triton_server):
    assert triton_server.is_ready("both")
    triton_server.unload("small")
    assert not triton_server.is_ready("both")

def test_it_is_back(triton_server):
    assert triton_server.client.is_model_ready("small")
    assert triton_server.client.is_model_ready("both")
"""
    run(project, code).assert_outcomes(passed=2)


def test_model_from_outside_the_repository(project: pytest.Pytester) -> None:
    outside = RepositoryBuilder(project.path / "elsewhere")
    outside.add("external", "{ kind: KIND_GPU gpus: [0] }", backend="onnxruntime")
    code = """
pytestmark = pytest.mark.triton(gpus="sim:1", changes=True)

def test_it(triton_server):
    triton_server.load("external", directory="elsewhere/external")
    assert triton_server.placement("external") == gpu(0)
    assert triton_server.infer("external")["Y"].shape == (1, 4)

def test_it_is_gone(triton_server):
    assert not triton_server.client.is_model_ready("external")
    with pytest.raises(PytestTritonError, match="No model is called"):
        triton_server.placement("external")

def test_nothing_there(triton_server):
    with pytest.raises(PytestTritonError, match="no/where can't be read: No such"):
        triton_server.load("external", directory="no/where")
    with pytest.raises(PytestTritonError, match="can't be read"):
        triton_server.load("small", config="backend: python")
"""
    run(project, code).assert_outcomes(passed=3)


def test_shared_server_is_not_changed(project: pytest.Pytester) -> None:
    code = """
def test_it(triton_server):
    triton_server.unload("small")
"""
    result = run(project, code)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*shared with other tests*", "*changes=True*"])


def test_only_some_models_are_loaded_at_the_start(project: pytest.Pytester) -> None:
    code = """
@pytest.mark.triton(gpus="sim:1", changes=True, load=["small"])
def test_it(triton_server):
    assert_ready_models(triton_server, {"small"})
    triton_server.load("pinned")
    assert_ready_models(triton_server, {"small", "pinned"})

@pytest.mark.triton(gpus="sim:1", changes=True, load=["small"])
def test_again(triton_server):
    assert_ready_models(triton_server, {"small"})
"""
    run(project, code).assert_outcomes(passed=2)


def test_loaded_model_that_no_repository_has_is_error_with_the_one_meant(
    project: pytest.Pytester,
) -> None:
    builder = RepositoryBuilder(project.path / "second")
    builder.add("other", "{ kind: KIND_CPU }")
    code = """
import warnings
from pytest_triton import factories, gpu

mine = factories.triton_server(changes=True, load=["smal"])

@pytest.mark.triton(changes=True, load=["smal"])
def test_marker(triton_server): ...

def test_factory(mine): ...

def test_fixture(make_triton_server):
    make_triton_server(load=["smal"])

def test_wrong_call():
    gpu(0, 2)

@pytest.mark.triton(changes=True, repo="models:second", load=["small", "other"])
def test_both(triton_server):
    assert_ready_models(triton_server, {"small", "other"})

def test_all(make_triton_server):
    assert make_triton_server(load=["*"]).is_ready("small")
"""
    result = run(project, code)
    result.assert_outcomes(passed=2, failed=2, errors=2)
    text = result.stdout.str()
    assert text.count("no model is called 'smal' in models. Did you mean 'small'?") >= 3
    assert ">       gpu(0, 2)" in text
    assert "checked.py" not in text
    assert "takes 1 positional argument, 2 given" in text


def test_gpu_loss(project: pytest.Pytester) -> None:
    code = """
def test_what_becomes_of_the_models(triton_gpu_loss):
    assert triton_gpu_loss.refused == ("mixed", "pinned")
    assert triton_gpu_loss.fallbacks == ("free",)
    assert triton_gpu_loss.live
    assert not triton_gpu_loss.ready
    assert "simulated" in triton_gpu_loss.run

@pytest.mark.triton(gpus="sim:2", changes=True)
def test_one_of_two(triton_server):
    loss = triton_server.lose_gpus(keep=1)
    assert loss.refused == ()
    assert loss.fallbacks == ()
    assert triton_server.placement("mixed") == gpu(0) + cpu()
    assert_placed_as_declared(triton_server, "mixed")

@pytest.mark.triton(gpus="sim:2", changes=True)
def test_they_are_back(triton_server):
    assert triton_server.placement("mixed") == gpu(0) + gpu(1) + cpu()

@pytest.mark.triton(gpus="sim:2", changes=True)
def test_cuda_error_refuses_all(triton_server):
    loss = triton_server.lose_gpus(keep=2, fault="unknown")
    assert set(loss.refused) == {"pinned", "mixed", "small", "free"}

@pytest.mark.triton(gpus="none", changes=True)
def test_no_gpus_to_lose(triton_server):
    triton_server.lose_gpus()
"""
    result = run(project, code)
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["*only simulated GPUs can be taken away*"])


def test_servers_of_ones_own(project: pytest.Pytester) -> None:
    code = """
def test_it(make_triton_server, triton_repository):
    triton_repository.add("a", "{ kind: KIND_GPU }")
    one = make_triton_server(triton_repository, gpus="sim:1")
    two = make_triton_server(triton_repository, gpus="none")
    assert one.placement("a") == gpu(0)
    assert_refused(two, "a", "no-gpu")
    one.unload("a")
    assert one.grpc != two.grpc
"""
    run(project, code).assert_outcomes(passed=1)


def test_clients(project: pytest.Pytester) -> None:
    code = """
import asyncio

@pytest.mark.triton(gpus="sim:1")
def test_grpc(triton_client, triton_server):
    assert triton_client.is_model_ready("small")
    result = triton_server.infer("small", "zeros", batch_size=3)
    assert result["Y"].shape == (3, 4)

def test_async(triton_server):
    async def ask():
        async with triton_server.async_client() as client:
            return await client.is_model_ready("small")
    assert asyncio.run(ask())
"""
    run(project, code).assert_outcomes(passed=2)


def test_what_pytest_shows_of_it(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("--markers")
    result.stdout.fnmatch_lines(
        ["@pytest.mark.triton(*", "@pytest.mark.triton_models(*", "@pytest.mark.triton_requires(*"]
    )
    result = project.runpytest_subprocess("--fixtures")
    for name in ("triton_server", "triton_client", "triton_model", "triton_gpu_loss"):
        result.stdout.fnmatch_lines([f"{name} -- *"])


def test_models_of_a_repository_are_read_where_they_are(
    project: pytest.Pytester, tmp_path: Path
) -> None:
    """A test below rootdir names the repository as seen from rootdir, wherever pytest starts."""
    below = project.mkdir("below")
    (below / "test_below.py").write_text(
        HEAD
        + '@pytest.mark.triton(repo="models")\n'
        + "def test_it(triton_server):\n    assert triton_server.is_ready('small')\n"
    )
    result = project.runpytest_subprocess("--rootdir=.", "below/test_below.py")
    result.assert_outcomes(passed=1)


# --- fixtures of broader scopes ------------------------------------------------------------------

SCOPED = """
from pytest_triton import factories

shared = factories.triton_server(scope="{scope}", gpus="sim:2")
own = factories.triton_server(scope="{scope}", gpus="none", changes=True)

@pytest.mark.parametrize("number", range(3))
def test_shared(shared, triton_server, number, record_property):
    assert shared.placement("pinned") == gpu(0) + gpu(1)
    assert_refused(triton_server, "pinned")

def test_changes(own):
    own.unload("small")

def test_finds_what_was_changed(own):
    assert not own.is_ready("small")

@pytest.mark.triton(changes=True)
def test_beside_it(triton_server):
    assert triton_server.is_ready("small")

def test_fails(shared):
    shared.infer("nothing")
"""


@pytest.mark.parametrize("scope", ["class", "module", "package", "session"])
def test_factories_of_a_scope_give_one_server_to_its_tests(
    project: pytest.Pytester, scope: str
) -> None:
    code = SCOPED.format(scope=scope)
    if scope == "class":  # without a class, that of one test
        code = code.replace("def test_finds", "def not_test_finds")
    result = run(project, code, "--junitxml=junit.xml", "-p", "no:cacheprovider")
    passed = 5 if scope == "class" else 6
    result.assert_outcomes(passed=passed, failed=1)
    text = (project.path / "junit.xml").read_text()
    assert text.count('name="triton_hardware" value="2 GPUs (simulated)"') == 4
    result.stdout.fnmatch_lines(["*No model is called 'nothing'*"])


def test_factory_of_a_module_has_the_markers_of_the_module(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
from pytest_triton import factories

pytestmark = pytest.mark.triton(gpus="sim:1")
triton_server = factories.triton_server(scope="module")

@pytest.mark.triton(gpus="none")
def test_it(triton_server, triton_client):
    assert triton_server.placement("pinned") == gpu(0)
    assert triton_client.is_server_live()
""",
    )
    result.assert_outcomes(passed=1)


def test_factory_of_a_scope_outlives_many_other_servers(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
from pytest_triton import factories

shared = factories.triton_server(scope="session", gpus="sim:2")

@pytest.mark.parametrize("number", range(3, 9))
def test_others(shared, make_triton_server, number):
    other = make_triton_server(gpus=f"sim:{number}")
    assert len(other.placement("pinned").devices) == number

@pytest.mark.parametrize("number", range(3, 9))
def test_more(request, triton_server, number, triton_hardware):
    pass

def test_end(shared):
    assert shared.client.is_server_live()
""",
        *[f"--triton-gpus=sim:{number}" for number in range(1, 7)],
    )
    result.assert_outcomes(passed=6 + 36 + 1)


def test_factory_of_no_known_scope_is_an_error() -> None:
    with pytest.raises(OptionError, match=r"scope='modul'\): expected .* Did you mean 'module'"):
        factories.triton_server(scope="modul")  # type: ignore[arg-type]


def test_load_of_a_loaded_model_with_other_groups_places_it_anew(
    project: pytest.Pytester,
) -> None:
    result = run(
        project,
        """
@pytest.mark.triton(gpus="sim:2", changes=True)
def test_it(triton_server):
    assert triton_server.placement("small") == cpu(count=2)
    triton_server.load("small")
    assert triton_server.placement("small") == cpu(count=2)
    triton_server.load("small", instance_group="{ kind: KIND_GPU gpus: [1] }")
    assert triton_server.placement("small") == gpu(1)

def test_short(triton_gpu_loss):
    assert len(repr(triton_gpu_loss)) < 300
    assert "fallbacks: free" in repr(triton_gpu_loss)
""",
    )
    result.assert_outcomes(passed=2)
