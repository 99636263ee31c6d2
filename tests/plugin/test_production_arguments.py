"""`--triton-server-args`: production's command line, for the bundled checks on a real server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from pytest_triton.__main__ import main
from pytest_triton.placement.server_flags import FLAGS, since
from pytest_triton.testing.repository_builder import TENSORS
from support.bare_server import server_libraries
from support.builders import RepositoryBuilder
from support.components import RELEASES, do_without
from support.core_oracle import server_of_release

pytestmark = pytest.mark.server

ADDRESSES = (
    "tritonserver --model-repository=/models --http-port=80 --allow-grpc=false --log-info=false "
    "--exit-on-error=true --id=production --metrics-address=0.0.0.0 --host-policy=gpu_0,numa-node=7"
)


def run(pytester: pytest.Pytester, *arguments: str | Path) -> pytest.RunResult:
    return pytester.runpytest("-p", "no:cacheprovider", "-p", "no:randomly", *arguments)


def row(result: pytest.RunResult, model: str) -> str:
    """A model's row in the placement table, with single spaces."""
    (found,) = [line for line in result.outlines if line.split()[:1] == [model]]
    return " ".join(found.split())


@pytest.mark.parametrize("version", ["2.33.0", "2.36.0", "2.39.0", "2.42.0", "2.51.0"])
def test_table_of_flags_is_what_the_release_lists(version: str) -> None:
    binary = server_of_release(version)
    if binary is None:
        do_without(RELEASES, f"{RELEASES.reason}: {version}")
    libraries = ":".join(map(str, server_libraries(binary)))
    asked = subprocess.run(
        [binary, "--help"],
        env={"LD_LIBRARY_PATH": libraries},
        capture_output=True,
        text=True,
        check=False,
    )
    listed = {}
    for line in (asked.stdout + asked.stderr).splitlines():
        if line.startswith("  --"):
            flag, _, value = line.strip().removeprefix("--").partition(" ")
            listed[flag] = value
    numbers = tuple(int(number) for number in version.split("."))
    assert set(listed) == {flag for flag in FLAGS if since(flag) <= numbers}
    kinds = {"<boolean>": "switch", "": "nothing", "<integer>": "number", "<float>": "number"}
    for flag, value in listed.items():
        if flag != "log-verbose":  # an integer, and true and false, too
            assert FLAGS[flag] == kinds.get(value, "text"), flag


def test_what_the_plugin_sets_itself_is_replaced_with_a_note(
    pytester: pytest.Pytester, repository: RepositoryBuilder, folders_left: None
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    line = f"{ADDRESSES} --http-thread-count=4"
    result = run(pytester, f"--triton-repo={repository.path}", f"--triton-server-args={line}")
    result.assert_outcomes(passed=5)
    (said,) = [line for line in result.outlines if "production's arguments" in line]
    assert said.startswith("triton: production's arguments: --http-thread-count=4 · left to the")
    assert said.endswith(
        "--allow-grpc, --exit-on-error, --host-policy, --http-port, --id, --log-info, "
        "--metrics-address, --model-repository"
    )


def test_only_models_that_production_loads_are_checked(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    repository.add("wanted", "{ kind: KIND_GPU }")
    repository.add("inner", "{ kind: KIND_CPU }", backend="onnxruntime")
    repository.add("broken", "{ kind: KIND_CPU gpus: [ 0 ] }")
    step = (
        'model_name: "inner" model_version: -1 input_map { key: "X" value: "X" } '
        'output_map { key: "Y" value: "Y" }'
    )
    text = f'platform: "ensemble"\n{TENSORS}ensemble_scheduling {{ step {{ {step} }} }}\n'
    repository.add_config("outer", text)
    pytester.makeini(
        "[pytest]\ntriton_server_args =\n  --model-control-mode=explicit\n  --load-model=wanted\n"
        "  --load-model outer\n"
    )
    result = run(pytester, f"--triton-repo={repository.path}", "-v")
    result.assert_outcomes(passed=15)
    result.stdout.fnmatch_lines(["triton: not loaded at the start, so not checked: broken"])
    assert row(result, "inner") == "inner CPU CPU x2 CPU x2"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--model-control-mode=explicit --load-model=nope", "no model is called so"),
        ("--model-control-mode=explicit", "loads no model at the start"),
        ("--no-such-flag", "no tritonserver up to"),
        ("--load-model=a", "only with --model-control-mode=explicit"),
        ("--http-port='", "not readable as shell words"),
    ],
)
def test_arguments_that_can_not_work_are_usage_errors(
    pytester: pytest.Pytester, repository: RepositoryBuilder, arguments: str, message: str
) -> None:
    repository.add("a", "{ kind: KIND_CPU }")
    result = run(pytester, f"--triton-repo={repository.path}", f"--triton-server-args={arguments}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in result.stderr.str()
    assert "Traceback" not in result.stderr.str()


def test_variant_of_configs_is_read_and_served(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    config = repository.add("m", "{ kind: KIND_CPU }")
    variants = config.parent / "configs"
    variants.mkdir()
    variant = config.read_text().replace("KIND_CPU", "KIND_GPU")
    (variants / "h100.pbtxt").write_text(variant)
    repository.add("other", "{ kind: KIND_CPU }")
    arguments = "--triton-server-args=--model-config-name=h100"
    result = run(pytester, f"--triton-repo={repository.path}", arguments, "-v")
    result.assert_outcomes(passed=10)
    assert row(result, "m") == "m GPU refused: no GPU GPU 0 · GPU 1"
    assert row(result, "other") == "other CPU CPU CPU"
    assert "m/configs/h100.pbtxt::test_config PASSED" in result.stdout.str()


def test_model_without_config_is_refused_where_completion_is_off(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    model = repository.path / "bare" / "1"
    model.mkdir(parents=True)
    (model / "model.onnx").touch()
    repository.add("full", "{ kind: KIND_CPU }")
    strict = "--triton-server-args=--strict-model-config=true"
    result = run(pytester, f"--triton-repo={repository.path}", strict, "-k", "config or placement")
    result.stdout.fnmatch_lines(["*forbid to complete one (--disable-auto-complete-config)*"])
    assert row(result, "full") == "full CPU CPU CPU"
    assert "not served" in row(result, "bare")
    usual = run(pytester, f"--triton-repo={repository.path}", "-k", "config or placement")
    assert row(usual, "bare").startswith("bare nothing CPU")


def test_capability_and_rate_limits_decide_as_in_production(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    repository.add("gpu", "{ kind: KIND_GPU }")
    resources = "rate_limiter { resources { name: 'R' count: 4 } }"
    repository.add("greedy", f"{{ kind: KIND_CPU {resources} }}")
    for arguments, expected in (
        ("--min-supported-compute-capability=9.0", "refused: no GPU"),
        ("--min-supported-compute-capability=8.0", "GPU 0"),
    ):
        result = run(
            pytester,
            f"--triton-repo={repository.path}",
            "--triton-gpus=sim:1",
            f"--triton-server-args={arguments}",
            "-k",
            "gpu",
        )
        assert row(result, "gpu").startswith(f"gpu GPU {expected}")
    limited = "--rate-limit=Execution_Count --rate-limit-resource=R:2"
    result = run(pytester, f"--triton-repo={repository.path}", f"--triton-server-args={limited}")
    assert "refused: rate limit" in row(result, "greedy")
    result.stdout.fnmatch_lines(["*an instance takes 4 of `R`, and the server has 2*"])


def test_flag_that_the_release_does_not_know_is_error_with_those_that_do(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    if server_of_release("2.42.0") is None:
        do_without(RELEASES, f"{RELEASES.reason}: 2.42.0")
    repository.add("a", "{ kind: KIND_CPU }")
    result = run(
        pytester,
        f"--triton-repo={repository.path}",
        "--triton-version=2.42.0",
        "--triton-server-args=--model-config-name=h100",
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["*tritonserver 2.42.0 doesn't know --model-config-name*", "*from release 2.46.0 on*"]
    )


def test_tests_of_a_suite_get_production_arguments_unless_they_name_their_own(
    pytester: pytest.Pytester, repository: RepositoryBuilder, folders_left: None
) -> None:
    repository.add("a", "{ kind: KIND_CPU }")
    repository.add("b", "{ kind: KIND_CPU }")
    pytester.makeini(
        f"[pytest]\ntriton_repo = {repository.path}\n"
        "triton_server_args = --model-control-mode=explicit --load-model=a --exit-timeout-secs=9\n"
    )
    pytester.makepyfile(
        test_own="""
import pytest

def test_production(triton_server):
    assert triton_server.is_ready("a")
    assert not triton_server.is_ready("b")

@pytest.mark.triton(arguments=["--log-verbose=0"])
def test_own(triton_server):
    assert triton_server.is_ready("b")

@pytest.mark.triton(changes=True)
def test_changing(triton_server):
    assert not triton_server.is_ready("b")
    triton_server.load("b")
    assert triton_server.is_ready("b")

def test_made(make_triton_server):
    assert make_triton_server(arguments=["--strict-readiness=false"]).is_ready("b")
"""
    )
    result = run(pytester, "test_own.py")
    result.assert_outcomes(passed=4)


def test_commands_take_production_arguments(
    repository: RepositoryBuilder, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.add("a", "{ kind: KIND_GPU }")
    repository.add("b", "{ kind: KIND_GPU gpus: [ 9 ] }")
    line = "--server-args=--model-control-mode=explicit --load-model=a"
    models = str(repository.path)
    assert main(["predict", models, line]) == 0
    shown = capsys.readouterr().out
    assert "not loaded at the start (--load-model): b" in shown
    assert main(["predict", models, line, "--json"]) == 0
    (deployment,) = json.loads(capsys.readouterr().out)["deployments"]
    assert deployment["not_loaded"] == ["b"]
    assert main(["plan", models, line, "--format", "json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert {need["model"] for need in plan["needs"]} == {"a"}
    assert (
        "--triton-server-args=--model-control-mode=explicit --load-model=a"
        in plan["jobs"][0]["arguments"]
    )
    assert main(["audit", models, line, "--format", "json", "--target", "1"]) == 0
    assert not [
        one for one in json.loads(capsys.readouterr().out)["findings"] if one["model"] == "b"
    ]
    assert main(["audit", models, "--target", "1"]) == 1
    capsys.readouterr()
    assert main(["predict", models, "--release=2.42.0", "--server-args=--enable-peer-access=1"])
    assert "from release 2.47.0 on" in capsys.readouterr().err
