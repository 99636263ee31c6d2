"""Templates of configs, rendered for a real server."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pytest_triton.ledger import read_ledger
from support.trees import model

pytestmark = pytest.mark.server

TENSORS = """\
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""
BRACED = f"""\
backend: "onnxruntime"
max_batch_size: ${{batch}}
{TENSORS}dynamic_batching {{ max_queue_delay_microseconds: ${{max_queue_delay_microseconds}} }}
instance_group [ {{ kind: KIND_${{kind}} count: ${{count}} }} ]
"""
JINJA = f"""\
backend: "onnxruntime"
{TENSORS}instance_group [
{{% for id in ids %}}  {{ kind: KIND_GPU gpus: [ {{{{ id }}}} ] count: {{{{ count }}}} }}
{{% endfor %}}]
"""
BY_HAND = {
    "braced": BRACED.replace("${batch}", "8")
    .replace("${max_queue_delay_microseconds}", "0")
    .replace("${kind}", "GPU")
    .replace("${count}", "2"),
    "jinja": f"""\
backend: "onnxruntime"
{TENSORS}instance_group [
  {{ kind: KIND_GPU gpus: [ 0 ] count: 2 }}
  {{ kind: KIND_GPU gpus: [ 5 ] count: 2 }}
]
""",
}


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    root = tmp_path / "models"
    model(root, "braced", BRACED)
    (model(root, "jinja", None) / "config.pbtxt.j2").write_text(JINJA)
    return root


def run(pytester: pytest.Pytester, repository: Path, *arguments: str) -> pytest.RunResult:
    plain = ("-p", "no:cacheprovider", "-p", "no:randomly")
    return pytester.runpytest(*plain, f"--triton-repo={repository}", *arguments)


def values_file(name: str, **values: object) -> str:
    Path(name).write_text(json.dumps(values))
    return f"--triton-values={name}"


def verdicts(pytester: pytest.Pytester) -> dict[object, object]:
    return {
        (one.model, one.result.test, one.result.hardware.spec): (
            one.verdict,
            one.result.declared,
            one.result.predicted,
            one.result.observed,
            one.result.config.hash,
        )
        for one in read_ledger(pytester.path / "l.json").entries
    }


def test_rendered_templates_get_the_verdicts_of_configs_rendered_by_hand(
    pytester: pytest.Pytester, templates: Path, tmp_path: Path
) -> None:
    values = values_file("prod.json", batch=8, kind="GPU", ids=[0, 5])
    arguments = (values, "--triton-values=count=2", "--triton-ledger=l.json")
    rendered = run(pytester, templates, *arguments)
    outcomes = rendered.parseoutcomes()
    found = verdicts(pytester)
    (pytester.path / "l.json").unlink()
    for name, text in BY_HAND.items():
        model(tmp_path / "by-hand", name, text)
    by_hand = run(pytester, tmp_path / "by-hand", "--triton-ledger=l.json")
    assert outcomes == by_hand.parseoutcomes()
    assert outcomes["failed"]  # GPU 5: READY on none of this run's hardware
    assert found == verdicts(pytester)
    assert sorted(path.name for path in templates.rglob("config*")) == [
        "config.pbtxt",
        "config.pbtxt.j2",
    ], "nothing is written to the repository"


def test_several_files_are_deployments_with_columns_and_ids_of_their_own(
    pytester: pytest.Pytester, templates: Path
) -> None:
    prod = values_file("prod.json", batch=8, kind="GPU", count=1, ids=[0])
    staging = values_file("staging.json", batch=8, kind="CPU", count=2, ids=[1])
    result = run(pytester, templates, prod, staging, "--triton-ledger=l.json", "-v")
    result.assert_outcomes(passed=2 * 2 * 5)
    result.stdout.fnmatch_lines(
        [
            "triton: rehearsal on * · values: prod.json, staging.json",
            "*braced/config.pbtxt::test_placement[[]staging-sim-2[]] PASSED*",
            "model *declared *prod: no GPU *prod: 2 GPUs * staging: no GPU *staging: 2 GPUs*",
            "braced *GPU | CPU x2 *refused: no GPU *GPU 0 · GPU 1 *CPU x2 *CPU x2",
        ]
    )
    deployments = {one.deployment for one in read_ledger(pytester.path / "l.json").entries}
    assert deployments == {f"{templates}@prod", f"{templates}@staging"}
    chosen = run(pytester, templates, prod, staging, "-k", "staging and test_config")
    chosen.assert_outcomes(passed=2, deselected=18)


def test_several_files_are_checked_by_workers_too(
    pytester: pytest.Pytester, templates: Path
) -> None:
    prod = values_file("prod.json", batch=8, kind="GPU", count=1, ids=[0])
    staging = values_file("staging.json", batch=8, kind="CPU", count=2, ids=[1])
    run(pytester, templates, prod, staging, "-n2").assert_outcomes(passed=20)


def test_missing_and_unused_values_end_the_run_before_any_test(
    pytester: pytest.Pytester, templates: Path
) -> None:
    missing = run(pytester, templates, "--triton-values=batch=8")
    assert missing.ret == pytest.ExitCode.USAGE_ERROR
    missing.stderr.fnmatch_lines(["*3 placeholders have no value:", "  count: *config.pbtxt*:*"])
    full = values_file("prod.json", batch=8, kind="GPU", count=1, ids=[0], kid="GPU")
    unused = run(pytester, templates, full)
    assert unused.ret == pytest.ExitCode.USAGE_ERROR
    unused.stderr.fnmatch_lines(["*1 value is used by no template:", "  kid (prod.json)*kind*"])


def test_one_cause_is_one_failure_in_each_deployment(
    pytester: pytest.Pytester, templates: Path
) -> None:
    prod = values_file("prod.json", batch="eight", kind="GPU", count=1, ids=[0])
    staging = values_file("staging.json", batch=8, kind="CPU", count=2, ids=[1])
    result = run(pytester, templates, prod, staging)
    result.assert_outcomes(failed=1, skipped=4, passed=15)
    result.stdout.fnmatch_lines(["*braced/config.pbtxt:2:17: *", "  2 | max_batch_size: ${batch}"])


def test_commands_take_the_same_values(pytester: pytest.Pytester, templates: Path) -> None:
    values_file("prod.json", batch=8, kind="GPU", count=1, ids=[0])
    values_file("staging.json", batch=8, kind="CPU", count=2, ids=[1])
    options = ("--values", "prod.json", "--values", "staging.json")

    def command(name: str, *arguments: str) -> pytest.RunResult:
        return pytester.run(
            sys.executable, "-m", "pytest_triton", name, str(templates), *options, *arguments
        )

    predicted = command("predict", "--gpus", "2")
    assert predicted.ret == 0
    predicted.stdout.fnmatch_lines(
        ["*@prod:", "braced *GPU *GPU 0 · GPU 1", "*@staging:", "*CPU x2*"]
    )
    assert command("audit").ret == 0
    plan = json.loads(command("plan", "--format", "json").stdout.str())
    assert {one["deployment"] for one in plan["needs"]} == {
        f"{templates}@prod",
        f"{templates}@staging",
    }
    arguments = plan["jobs"][0]["arguments"]
    assert f"--triton-repo={templates}" in arguments
    assert [one for one in arguments if one.startswith("--triton-values=")] == [
        f"--triton-values={pytester.path / name}" for name in ("prod.json", "staging.json")
    ]
