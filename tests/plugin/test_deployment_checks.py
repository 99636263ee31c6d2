"""`--triton-deployment`: each server of a deployment file is a test, on the real core."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_triton.__main__ import main
from pytest_triton.servers.process.guard import Guard
from support.builders import RepositoryBuilder

pytestmark = pytest.mark.server

assert yaml.__with_libyaml__ is not None  # imported here, since its C part can be loaded once only

SERVICE = """services:
  triton:
    image: nvcr.io/nvidia/tritonserver:24.10-py3
    command: tritonserver --model-repository=/models --http-port=80{ARGUMENTS}
    volumes: [./models:/models]
    healthcheck: {{ test: curl -f http://localhost/v2/health/ready, interval: 10s, retries: 3 }}
    gpus: [{{ count: {GPUS} }}]
"""
KINDS = {
    "pinned": "{ kind: KIND_GPU }",
    "second": "{ kind: KIND_GPU gpus: [ 1 ] }",
    "cpu": "{ kind: KIND_CPU }",
    "nothing": "",
}


def run(pytester: pytest.Pytester, *arguments: str | Path) -> pytest.RunResult:
    return pytester.runpytest("-p", "no:cacheprovider", "-p", "no:randomly", *arguments)


def run_service(pytester: pytest.Pytester, *arguments: str | Path) -> pytest.RunResult:
    """The test of the server itself, without those of its models."""
    test = "compose.yaml::triton::test_deployment"
    return run(pytester, "--triton-deployment=compose.yaml", test, *arguments)


def deploy(pytester: pytest.Pytester, *models: str, gpus: int = 1, arguments: str = "") -> None:
    repository = RepositoryBuilder(pytester.path / "models")
    for name in models:
        repository.add(name, KINDS[name], backend="onnxruntime")
    more = f" {arguments}" if arguments else ""
    text = SERVICE.format(ARGUMENTS=more, GPUS=gpus)
    (pytester.path / "compose.yaml").write_text(text)


def row(result: pytest.RunResult) -> list[str]:
    """The cells of the one row of the table of deployments."""
    (found,) = [line for line in result.outlines if line.startswith("triton  ")]
    return [cell.strip() for cell in found.split("   ") if cell.strip()]


@pytest.mark.parametrize(
    ("models", "arguments", "lost", "who"),
    [
        (("pinned", "cpu"), "", "stops", "the container ends with an exit code; nobody"),
        (("pinned",), "--exit-on-error=false", "not ready", "unhealthy 30 s after"),
        (
            ("pinned", "nothing"),
            "--exit-on-error=false --strict-readiness=false",
            "degraded",
            "nobody",
        ),
        (("cpu",), "", "unaffected", ""),
    ],
)
def test_deployment_passes_whose_lost_gpus_are_noticed(
    pytester: pytest.Pytester,
    folders_left: None,
    models: tuple[str, ...],
    arguments: str,
    lost: str,
    who: str,
) -> None:
    deploy(pytester, *models, arguments=arguments)
    result = run_service(pytester, "-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["compose.yaml::triton::test_deployment PASSED*"])
    text = " ".join(" ".join(row(result)).split())
    assert "1 GPU unaffected" in text
    assert lost in text
    shown = " ".join(result.stdout.str().split())
    assert all(word in shown for word in who.split())


def test_lost_gpu_that_nobody_notices_is_failure_with_fix(pytester: pytest.Pytester) -> None:
    deploy(pytester, "nothing", "cpu", gpus=2)
    result = run_service(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "When its GPUs are lost, triton comes up READY on the CPU, unnoticed.",
            "  on the CPU: nothing",
            "  noticed by: nobody",
            "  What to do: declare instance_group*KIND_GPU*",
        ]
    )
    allowed = run_service(pytester, "--triton-allow-fallback=nothing")
    allowed.assert_outcomes(passed=1)
    config = pytester.path / "models" / "nothing" / "config.pbtxt"
    config.write_text(config.read_text() + "instance_group [ { kind: KIND_GPU } ]\n")
    run_service(pytester).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("old", "new", "text", "rule"),
    [
        (
            "count: 1",
            "count: 1, capabilities: [gpu, utility]",
            "triton: 1 GPU granted, and capabilities: [[]gpu, utility] has no `compute`*",
            "TRT608",
        ),
        ("-py3", "-py3-sdk", "triton: `24.10-py3-sdk` has clients*no tritonserver*", "TRT628"),
    ],
)
def test_what_a_rehearsal_does_not_show_of_the_file_is_failure(
    pytester: pytest.Pytester, old: str, new: str, text: str, rule: str
) -> None:
    deploy(pytester, "pinned")
    file = pytester.path / "compose.yaml"
    file.write_text(file.read_text().replace(old, new))
    result = run_service(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([text, "*compose.yaml:*", f"*# triton: ignore {rule} in the file."])
    run_service(pytester, f"--triton-audit-ignore={rule}").assert_outcomes(passed=1)


def test_health_check_of_another_port_notices_nothing_and_is_failure(
    pytester: pytest.Pytester,
) -> None:
    deploy(pytester, "pinned", arguments="--exit-on-error=false")
    file = pytester.path / "compose.yaml"
    file.write_text(file.read_text().replace("--http-port=80 ", "--http-port=8080 "))
    result = run_service(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "triton is never healthy: its healthcheck fails always.",
            "*compose.yaml:6:5: it asks port 80, and Triton answers HTTP on port 8080",
            "  What to do: ask port 8080.",
            "  If another program answers there: # triton: ignore TRT616 in the file.",
        ]
    )
    assert "nobody" in row(result)
    run_service(pytester, "--triton-audit-ignore=TRT616").assert_outcomes(passed=1)
    text = file.read_text().replace("retries: 3 }", "retries: 3 }  # triton: ignore TRT616")
    file.write_text(text)
    run_service(pytester).assert_outcomes(passed=1)


def test_server_that_ends_while_its_container_goes_on_is_failure(
    pytester: pytest.Pytester,
) -> None:
    deploy(pytester, "pinned")
    file = pytester.path / "compose.yaml"
    text = file.read_text()
    (check,) = [line for line in text.splitlines() if "healthcheck" in line]
    command = "command: tritonserver --model-repository=/models --http-port=80"
    goes_on = command.replace("tritonserver", "bash -c 'tritonserver", 1) + "; sleep infinity'"
    file.write_text(text.replace(command, goes_on).replace(f"{check}\n", ""))
    result = run_service(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "When its GPUs are lost, triton stops, and nobody notices: its container goes on *",
            "  refused: pinned",
            "  What to do: let `exec tritonserver` be the command's last program, *",
            "triton *1 GPU *stops *nobody: the *",
        ]
    )
    run_service(pytester, "--triton-on-gpu-loss=unnoticed").assert_outcomes(passed=1)
    file.write_text(text.replace(command, goes_on))  # whose health check fails then
    run_service(pytester).assert_outcomes(passed=1)


def deploy_engine(pytester: pytest.Pytester, gpus: int, engine: str) -> None:
    """A vLLM model, with engine arguments, and a server with so many GPUs."""
    repository = RepositoryBuilder(pytester.path / "models")
    repository.add("llm", "{ kind: KIND_MODEL }", backend="vllm")
    (repository.path / "llm/1/model.json").write_text(engine)
    text = SERVICE.format(ARGUMENTS="", GPUS=gpus).replace("-py3", "-vllm-python-py3")
    (pytester.path / "compose.yaml").write_text(text)


@pytest.mark.parametrize(
    ("gpus", "granted"), [(0, "No GPU is granted (compose.yaml:"), (1, "1 GPU is granted (")]
)
def test_engine_that_needs_more_gpus_than_are_granted_is_failure(
    pytester: pytest.Pytester, gpus: int, granted: str
) -> None:
    deploy_engine(pytester, gpus, '{"model": "x", "tensor_parallel_size": 2}')
    result = run_service(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "triton doesn't come up on its own hardware*: the server stops.",
            "  llm: its engine needs 2 GPUs (assumed: a stand-in needs none)",
            f"  {granted}*Grant 2 there.",
            "triton *stops (assumed*",
        ]
    )


def test_engine_that_loses_its_gpus_ends_the_server(pytester: pytest.Pytester) -> None:
    deploy_engine(pytester, 2, '{"model": "x", "tensor_parallel_size": 2}')
    result = run_service(pytester)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["triton *2 GPUs *unaffected *stops (assumed *"])


def test_probe_of_a_model_that_is_not_loaded_is_failure(pytester: pytest.Pytester) -> None:
    deploy(pytester, "pinned")
    file = pytester.path / "compose.yaml"
    file.write_text(file.read_text().replace("/v2/health/ready", "/v2/models/pined/ready"))
    result = run_service(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "triton is never healthy: its healthcheck fails always.",
            "  compose.yaml:6:5: it asks about the model pined, which isn't loaded",
            "  What to do: did you mean pinned? Else ask /v2/health/ready.",
        ]
    )
    result = run_service(pytester, "--triton-audit-ignore=TRT616: */compose.yaml")
    result.assert_outcomes(passed=1)


def test_more_can_be_demanded_of_a_lost_gpu(pytester: pytest.Pytester) -> None:
    deploy(pytester, "pinned", arguments="--exit-on-error=false")
    run_service(pytester, "--triton-on-gpu-loss=not-ready").assert_outcomes(passed=1)
    pytester.makeini(
        "[pytest]\ntriton_deployment = compose.yaml::triton\ntriton_on_gpu_loss = stops\n"
    )
    result = run(pytester, "compose.yaml::triton::test_deployment")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*triton is not ready, and triton_on_gpu_loss is stops.", "*leave out --exit-on-error*"]
    )


def test_deployment_that_does_not_come_up_is_failure(pytester: pytest.Pytester) -> None:
    deploy(pytester, "second", "cpu")
    result = run_service(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["triton doesn't come up on its own hardware (1 GPU (simulated)): the server stops."]
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("services: {web: {image: nginx}}", "No Triton server is started by compose.yaml"),
        ("a:\n\t- b", "compose.yaml:2:1: not YAML"),
    ],
)
def test_file_that_can_not_be_used_is_usage_error(
    pytester: pytest.Pytester, text: str, words: str
) -> None:
    (pytester.path / "compose.yaml").write_text(text)
    result = run_service(pytester)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert words in result.stderr.str()
    assert "Traceback" not in result.stderr.str()


def test_repository_elsewhere_is_failure_and_can_be_named(pytester: pytest.Pytester) -> None:
    deploy(pytester, "pinned")
    file = pytester.path / "compose.yaml"
    file.write_text(file.read_text().replace("./models:", "claim:"))
    result = run_service(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*compose.yaml:4:5: the repository /models isn't on this*"])
    run_service(pytester, "--triton-deployment-repo=/models=models").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("visible", "models", "said"),
    [
        ("1", ("pinned",), []),
        ("1", ("second",), ["triton doesn't come up on its own hardware (1 GPU (simulated))*"]),
        ("GPU-8a6b,GPU-77c1", ("second",), []),
        ("6,7", ("pinned",), ["triton doesn't come up on its own hardware (no GPU)*"]),
        ("6,7", ("nothing",), ["triton comes up on the CPU on its own hardware: 2 GPUs granted,*"]),
        ("", ("nothing",), ["triton comes up on the CPU on its own hardware: 2 GPUs granted,*"]),
    ],
)
def test_visible_devices_of_production_are_those_of_the_rehearsal(
    pytester: pytest.Pytester, visible: str, models: tuple[str, ...], said: list[str]
) -> None:
    deploy(pytester, *models, gpus=2)
    file = pytester.path / "compose.yaml"
    file.write_text(f'{file.read_text()}    environment: {{ CUDA_VISIBLE_DEVICES: "{visible}" }}\n')
    result = run_service(pytester)
    result.assert_outcomes(passed=not said, failed=bool(said))
    result.stdout.fnmatch_lines(said)


def test_environment_of_production_reaches_the_core_and_no_report(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(pytester, "pinned")
    file = pytester.path / "compose.yaml"
    library = "/opt/nowhere/libjemalloc.so"
    more = f"{{ TOKEN: hunter2, PYTHONUNBUFFERED: 1, LD_PRELOAD: {library}, PATH: /nowhere }}"
    file.write_text(f"{file.read_text()}    environment: {more}\n")
    seen: list[dict[str, str]] = []
    start = Guard.start

    def watched(guard: Guard, command: list[str], environment: dict[str, str], **more: Any) -> None:
        seen.append(environment)
        start(guard, command, environment, **more)

    monkeypatch.setattr(Guard, "start", watched)
    result = run_service(pytester, "-vv", "--showlocals", "-rA")
    result.assert_outcomes(passed=1)
    assert len(seen) >= 2
    for environment in seen:
        assert environment["TOKEN"] == "hunter2"
        assert environment["PYTHONUNBUFFERED"] == "1"
        assert environment["PATH"] != "/nowhere"
        assert library not in environment.get("LD_PRELOAD", "")
    file.write_text(file.read_text().replace("gpus: [{ count: 1 }]", "gpus: [{ count: 0 }]"))
    failed = run_service(pytester, "-vv", "--showlocals", "-rA")
    failed.assert_outcomes(failed=1)
    for one in (result, failed):
        assert "hunter2" not in one.stdout.str() + one.stderr.str()


@pytest.mark.parametrize(
    ("image", "arguments", "field", "header", "said"),
    [
        ("nvcr.io/nvidia/tritonserver:24.10-py3", "", "", "24.10", "installed release)"),
        ("own/tritonserver:7", "", "", "release not known", "production's release isn't known"),
        (
            "nvcr.io/nvidia/tritonserver:24.11-py3",
            "",
            "",
            "24.11, on 2.51.0",
            "in place of 2.52.0 (24.11)",
        ),
        (
            "nvcr.io/nvidia/tritonserver:25.08-py3",
            "--http-max-input-size=9",
            "",
            "25.08, on 2.51.0",
            "in place of 2.60.0 (25.08), without --http-max-input-size=9",
        ),
        # 2.51.0 doesn't know the field, and refuses the model.
        (
            "nvcr.io/nvidia/tritonserver:24.11-py3",
            "",
            "model_metrics { }",
            "24.11, on 2.51.0",
            "unaffected (predicted; 2.51.0: stops)",
        ),
    ],
)
def test_release_that_is_not_installed_is_predicted_and_rehearsed_on_the_nearest(
    pytester: pytest.Pytester, image: str, arguments: str, field: str, header: str, said: str
) -> None:
    deploy(pytester, "pinned", arguments=arguments)
    file = pytester.path / "compose.yaml"
    file.write_text(file.read_text().replace("nvcr.io/nvidia/tritonserver:24.10-py3", image))
    config = pytester.path / "models" / "pinned" / "config.pbtxt"
    config.write_text(f"{config.read_text()}{field}\n")
    result = run_service(pytester)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [f"triton: 1 server of *rehearsed on a real core: triton ({header})"]
    )
    (table,) = [line for line in result.outlines if line.startswith("triton  ")]
    lines = result.outlines
    rows = "\n".join(lines[lines.index(table) :])
    assert not set(said.split()) - set(rows.split())


def test_planned_rehearsal_proves_what_production_serves(
    pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(pytester, "pinned", "cpu", gpus=3)
    assert main(["plan", "--deployment=compose.yaml", "--format=json"]) == 0
    text = capsys.readouterr().out
    (pytester.path / "plan.json").write_text(text)
    rehearsal, on_gpus = json.loads(text)["jobs"]
    assert "--triton-gpus=sim:3" in rehearsal["arguments"]
    result = run(pytester, *rehearsal["arguments"], "--triton-ledger=ledger.json")
    result.assert_outcomes(passed=21)
    assert main(["merge", "ledger.json", "--plan=plan.json", "--rehearsals=everywhere"]) == 0
    assert main(["merge", "ledger.json", "--plan=plan.json", "--rehearsals=no-gpu"]) == 1
    assert on_gpus["gpus"] == 3


def test_deployments_and_repositories_are_checked_in_one_run(pytester: pytest.Pytester) -> None:
    deploy(pytester, "pinned")
    (pytester.path / "deploy").mkdir()
    other = SERVICE.format(ARGUMENTS="", GPUS=1).replace("./models", "../models")
    (pytester.path / "deploy" / "b.yaml").write_text(other.replace("  triton:", "  other:"))
    result = run(
        pytester,
        "--triton-repo=models",
        "--triton-deployment=compose.yaml",
        "--triton-deployment=deploy",
    )
    result.assert_outcomes(passed=17)
    one = run(pytester, "--triton-deployment=deploy", "deploy/b.yaml::other::test_deployment")
    one.assert_outcomes(passed=1)


def test_marker_triton_checks_is_on_deployments_too(pytester: pytest.Pytester) -> None:
    deploy(pytester, "pinned")
    pytester.makepyfile("def test_own(): pass")
    chosen = run(
        pytester, "--triton-deployment=compose.yaml", "--collect-only", "-q", "-m", "triton_checks"
    )
    chosen.stdout.fnmatch_lines(["compose.yaml::triton::test_deployment", "6/7 tests collected *"])
