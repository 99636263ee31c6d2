"""The models of deployed servers: checked on their GPUs and without, in ledgers, and merged."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pytest_triton.__main__ import main
from pytest_triton.ledger import read_ledger
from support.builders import RepositoryBuilder

pytestmark = pytest.mark.server

assert yaml.__with_libyaml__ is not None  # imported here, since its C part can be loaded once only

SERVICE = """  {NAME}:
    image: nvcr.io/nvidia/tritonserver:24.10-py3
    command: tritonserver --model-repository=/models{ARGUMENTS}
    volumes: [./models:/models]
    gpus: [{{ count: {GPUS} }}]
"""
KINDS = {
    "pinned": "{ kind: KIND_GPU }",
    "second": "{ kind: KIND_GPU gpus: [ 1 ] }",
    "cpu": "{ kind: KIND_CPU }",
}


def deploy(pytester: pytest.Pytester, *models: str, **services: str | int) -> None:
    """A service for each keyword: its number of GPUs, and its arguments behind."""
    repository = RepositoryBuilder(pytester.path / "models")
    for name in models:
        repository.add(name, KINDS[name], backend="onnxruntime")
    text = "services:\n"
    for name, value in services.items():
        gpus, _, arguments = str(value).partition(" ")
        more = f" {arguments}" if arguments else ""
        text += SERVICE.format(NAME=name, GPUS=gpus, ARGUMENTS=more)
    (pytester.path / "compose.yaml").write_text(text)


def run(pytester: pytest.Pytester, *arguments: str | Path) -> pytest.RunResult:
    plain = ("-p", "no:cacheprovider", "-p", "no:randomly", "-rs")
    deployment = "--triton-deployment=compose.yaml"
    return pytester.runpytest_subprocess(*plain, deployment, "compose.yaml", *arguments)


def test_models_are_checked_on_their_deployments_hardware_and_without_gpus(
    pytester: pytest.Pytester,
) -> None:
    deploy(pytester, "pinned", "second", "cpu", triton=2)
    result = run(pytester, "-v", "--triton-ledger=l.json", "--triton-markdown=r.md")
    result.assert_outcomes(passed=16)
    result.stdout.fnmatch_lines(
        [
            "compose.yaml::triton::cpu::test_placement[[]deployed[]] PASSED*",
            "compose.yaml::triton::cpu::test_placement[[]gpus-lost[]] PASSED*",
            "model *declared *deployed: 2 GPUs *GPUs lost",
            "cpu *CPU *CPU x2 *CPU x2",
            "pinned *GPU *GPU 0 · GPU 1 *refused: no GPU",
            "second *GPU 1 *GPU 1 *refused: no such GPU",
        ]
    )
    ledger = read_ledger(pytester.path / "l.json")
    assert {one.deployment for one in ledger.entries} == {"compose.yaml::triton"}
    assert {one.hardware.label for one in ledger.placements} == {"deployed: 2 GPUs", "GPUs lost"}
    summary = (pytester.path / "r.md").read_text()
    assert "All 3 models did as predicted in a rehearsal" in summary
    assert "deployed&#58; 2 GPUs<br>rehearsal" in summary


def test_arguments_of_the_deployment_decide_which_models_are_checked(
    pytester: pytest.Pytester,
) -> None:
    deploy(pytester, "pinned", "cpu", triton="1 --model-control-mode=explicit --load-model=cpu")
    result = run(pytester, "-v")
    result.assert_outcomes(passed=6)
    assert "pinned" not in result.stdout.str()


def test_model_that_the_deployments_gpus_never_serve_fails(pytester: pytest.Pytester) -> None:
    deploy(pytester, "second", triton=1)
    result = run(pytester, "-k", "second")
    result.assert_outcomes(failed=1, passed=4, deselected=None)
    result.stdout.fnmatch_lines(
        ["READY on none of this run's hardware", "*second*GPU 1*refused: no such GPU*"]
    )


def deploy_with(pytester: pytest.Pytester, gpus: str) -> None:
    """One model, pinned to GPU 1, and a server with these lines about GPUs."""
    deploy(pytester, "second", triton=1)
    file = pytester.path / "compose.yaml"
    text = file.read_text()
    assert "gpus: [{ count: 1 }]" in text
    file.write_text(text.replace("gpus: [{ count: 1 }]", gpus))


def test_deployment_whose_gpus_nobody_counts_asks_for_their_number(
    pytester: pytest.Pytester,
) -> None:
    deploy_with(pytester, "gpus: all")
    result = run(pytester)
    result.assert_outcomes(failed=2, passed=4)
    unknown = "How many GPUs triton has isn't known: it is granted all GPUs of its host*"
    result.stdout.fnmatch_lines(
        [
            "triton doesn't come up on its own hardware*",
            "  second: refused: no such GPU",
            f"  {unknown}",
            "    --triton-target=2",
            "READY on none of this run's hardware",
            unknown,
            "    --triton-target=2",
            "triton *all GPUs, 1 assumed *",
            "assumed: triton: 1 GPU, --triton-target=N says how many: it is granted all GPUs *"
            "(compose.yaml:*)",
        ]
    )
    again = run(pytester, "--triton-target=2")
    again.assert_outcomes(passed=6)
    again.stdout.no_fnmatch_line("*assumed*")


def test_runtime_of_kserve_that_is_not_in_the_file_is_said_to_be_assumed(
    pytester: pytest.Pytester,
) -> None:
    deploy(pytester, "pinned", triton=1)
    (pytester.path / "compose.yaml").write_text(
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: { name: s }\n"
        "spec:\n  predictor:\n    model:\n      modelFormat: { name: triton }\n"
        "      storageUri: s3://bucket/models\n      runtimeVersion: 24.10-py3\n"
        "      resources: { limits: { nvidia.com/gpu: 1 } }\n"
    )
    result = run(pytester, "-q", "--triton-deployment-repo=s3://bucket/models=models")
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(
        [
            "InferenceService/s *1 GPU *",
            "assumed: InferenceService/s: the runtime kserve-tritonserver isn't in the file: *",
        ]
    )


@pytest.mark.parametrize(
    ("gpus", "why"),
    [
        (
            'gpus: [{ count: 2 }]\n    environment: { CUDA_VISIBLE_DEVICES: "0" }',
            "CUDA_VISIBLE_DEVICES=0 shows Triton 1 of 2 GPUs (compose.yaml:*). Leave the *",
        ),
        ("gpus: [{ count: 1 }]", "1 GPU is granted (compose.yaml:*). Grant 2 there."),
    ],
    ids=["hidden", "not granted"],
)
def test_deployment_without_enough_gpus_says_who_hides_or_grants_them(
    pytester: pytest.Pytester, gpus: str, why: str
) -> None:
    deploy_with(pytester, gpus)
    result = run(pytester)
    result.assert_outcomes(failed=2, passed=4)
    result.stdout.fnmatch_lines(
        ["  second: refused: no such GPU", f"  {why}", "READY on none of this*", why]
    )
    result.stdout.no_fnmatch_line("*--triton-gpus=*")


def test_deployment_with_more_gpus_than_can_be_simulated_says_so(
    pytester: pytest.Pytester,
) -> None:
    deploy_with(pytester, "gpus: [{ count: 20 }]")
    config = pytester.path / "models/second/config.pbtxt"
    config.write_text(config.read_text().replace("gpus: [ 1 ]", "gpus: [ 18 ]"))
    result = run(pytester)
    result.assert_outcomes(failed=2, passed=4)
    result.stdout.fnmatch_lines(
        ["*Triton sees 20 GPUs there, and no more than 16 can be simulated. *"]
    )


def test_repository_in_a_store_is_mapped_by_its_url_and_shows_no_credential(
    pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pytester.path)
    deploy(pytester, "cpu", triton="1 --cache-config=redis,password=hunter2")
    file = pytester.path / "compose.yaml"
    text = file.read_text()
    file.write_text(text.replace("=/models ", "=s3://key:hunter2@bucket/models "))
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*--triton-deployment-repo=s3://bucket/models=DIR*"])
    mapped = "deployment-repo=s3://bucket/models=models"
    shown = result.stdout.str()
    result = run(pytester, f"--triton-{mapped}", "--triton-ledger=l.json")
    result.assert_outcomes(passed=6)
    shown += result.stdout.str() + (pytester.path / "l.json").read_text()
    for command in (["audit"], ["plan"], ["diff", "compose.yaml"]):
        main([*command, "--deployment", "compose.yaml", f"--{mapped}"])
        said = capsys.readouterr()
        shown += said.out + said.err
    assert "hunter2" not in shown
    assert "holds a credential: --cache-config=redis,password=***" in shown


def test_environment_of_the_deployment_decides_what_models_see(pytester: pytest.Pytester) -> None:
    deploy(pytester, "pinned", triton=2)
    file = pytester.path / "compose.yaml"
    file.write_text(f'{file.read_text()}    environment: {{ CUDA_VISIBLE_DEVICES: "1" }}\n')
    result = run(pytester)
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["pinned *GPU *GPU 0 *refused: no GPU"])


def test_merge_says_for_which_deployment_a_model_is_not_proven(
    pytester: pytest.Pytester,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(pytester.path)
    deploy(pytester, "pinned", "cpu", small=1, large=2)
    result = run(pytester, "--triton-ledger=l.json")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "model *declared *deployed *GPUs lost",
            "compose.yaml::large: pinned *GPU 0 · GPU 1 (2 GPUs) *refused: no GPU",
            "compose.yaml::small: pinned *GPU 0 (1 GPU) *refused: no GPU",
        ]
    )
    merge = ["merge", "l.json", "--deployment", "compose.yaml"]
    assert main([*merge, "--rehearsals", "everywhere", "--html", "r.html"]) == 0
    assert "All proven: 6 placements" in capsys.readouterr().out
    page = (pytester.path / "r.html").read_text()
    assert "compose.yaml::small" in page
    assert "compose.yaml::large" in page
    assert main(merge) == 1
    out = capsys.readouterr().out
    assert "compose.yaml::large: pinned" in out
    assert "2 rehearsed only" in out
    assert run(pytester, "--triton-ledger=s.json", "-k", "small").ret == 0
    assert main(["merge", "s.json", *merge[2:], "--rehearsals", "everywhere"]) == 1
    out = capsys.readouterr().out
    assert "3 of 6 placements proven, 3 not proven" in out
    assert "compose.yaml::large: (server), test_deployment: never proven" in out


def test_failure_of_a_deployed_model_shows_what_the_server_wrote_about_it(
    pytester: pytest.Pytester,
) -> None:
    deploy(pytester, "pinned", "cpu", triton=1)
    config = pytester.path / "models" / "pinned" / "config.pbtxt"
    agents = 'model_repository_agents { agents [ { name: "own" } ] }\n'
    config.write_text(config.read_text() + agents)
    result = run(pytester, "-k", "pinned and test_placement")
    result.assert_outcomes(failed=2)
    text = result.stdout.str()
    for hardware in ("1 GPU (simulated, 99.0)", "no GPU"):
        log = text.split(f"triton server log ({hardware})")[1].partition("\n__")[0]
        assert "unable to find 'libtritonrepoagent_own.so'" in log
        assert "'cpu'" not in log
