"""`pytest --triton-repo=DIR` as a user sees it, on a real tritonserver."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from support.builders import RepositoryBuilder

pytestmark = pytest.mark.server


def run(pytester: pytest.Pytester, *arguments: str | Path) -> pytest.RunResult:
    return pytester.runpytest("-p", "no:cacheprovider", "-p", "no:randomly", *arguments)


def outcomes(result: pytest.RunResult) -> dict[str, str]:
    """`-v` lines: the end of each node id -> its outcome."""
    found: dict[str, str] = {}
    for line in result.outlines:
        node, _, rest = line.partition(" ")
        if "::" in node and rest.split(maxsplit=1)[:1]:
            name = node.replace("/config.pbtxt", "").rsplit("/", 1)[-1]
            found.setdefault(name, rest.split()[0])
    return found


def test_each_declaration_gets_the_outcome_that_it_deserves(
    pytester: pytest.Pytester, repository: RepositoryBuilder, folders_left: None
) -> None:
    repository.add("pinned", "{ kind: KIND_GPU }")
    repository.add("mixed", "{ kind: KIND_GPU }, { kind: KIND_CPU count: 2 }")
    repository.add("cpu", "{ kind: KIND_CPU }")
    repository.add("second", "{ kind: KIND_GPU gpus: [ 1 ] }", backend="onnxruntime")
    repository.add("undeclared", backend="onnxruntime")
    repository.add("never", "{ kind: KIND_CPU gpus: [ 0 ] }")
    result = run(pytester, "-v", f"--triton-repo={repository.path}")
    assert outcomes(result) == {
        f"{model}::{check}": "PASSED"
        for model in ("cpu", "mixed", "never", "pinned", "second", "undeclared")
        for check in (
            "test_config",
            "test_explicit_placement",
            "test_audit",
            "test_placement[no-gpu]",
            "test_placement[sim-2]",
        )
    } | {"undeclared::test_explicit_placement": "FAILED", "never::test_config": "FAILED"}
    table = result.outlines[result.outlines.index(_title(result)) + 1 :]
    assert [line.split("   ") for line in map(_squeezed, table[:7])] == [
        ["model", "declared", "no GPU", "2 GPUs (simulated)"],
        ["cpu", "CPU", "CPU", "CPU"],
        ["mixed", "GPU + CPU x2", "refused: no GPU", "GPU 0 · GPU 1 · CPU x2"],
        ["never", "CPU 0", "refused: KIND_CPU with gpus", "refused: KIND_CPU with gpus"],
        ["pinned", "GPU", "refused: no GPU", "GPU 0 · GPU 1"],
        ["second", "GPU 1", "refused: no such GPU", "GPU 1"],
        ["undeclared", "nothing", "CPU x2  <- fallback", "GPU 0 · GPU 1"],
    ]
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def _title(result: pytest.RunResult) -> str:
    return next(line for line in result.outlines if "triton placement" in line)


def _squeezed(line: str) -> str:
    import re

    return re.sub(r" {3,}", "   ", line.strip())


def test_fallback_is_explained_with_the_lines_that_fix_it(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    config = repository.add("legacy", "{ count: 2 }", backend="onnxruntime")
    result = run(pytester, f"--triton-repo={repository.path}")
    result.stdout.fnmatch_lines(
        [
            "*legacy::test_explicit_placement*",
            "may fall back to the CPU unnoticed",
            f"  config    *legacy{'/'}config.pbtxt:5",
            "  declared  AUTO x2",
            "  no GPU    CPU x2  <- fallback",
            "  2 GPUs    GPU 0 x2 · GPU 1 x2",
            "*kind: KIND_GPU*",
            "*count: 2*",
            "*triton_allow_fallback = legacy*",
        ]
    )
    config.write_text(config.read_text().replace("{ count", "{ kind: KIND_GPU count"))
    run(pytester, f"--triton-repo={repository.path}").assert_outcomes(passed=5)


def test_backend_that_refuses_the_cpu_cannot_fall_back(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    repository.add("plan", backend="tensorrt")
    result = run(pytester, f"--triton-repo={repository.path}")
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(["plan *nothing *refused: backend takes GPU only *GPU 0 · GPU 1"])


def test_fallback_that_is_allowed_by_name_passes_and_is_still_shown(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    repository.add("tokenizer_en")
    pytester.makeini("[pytest]\ntriton_allow_fallback = tokenizer_*")
    result = run(pytester, f"--triton-repo={repository.path}")
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(["tokenizer_en*CPU  <- fallback (allowed)*GPU 0 · GPU 1"])


@pytest.mark.parametrize("way", ["comment", "ini", "command line"])
def test_finding_that_is_suppressed_passes_explicit_placement_too(
    pytester: pytest.Pytester, repository: RepositoryBuilder, way: str
) -> None:
    config = repository.add("small", backend="onnxruntime")
    check = f"{config}::test_explicit_placement"
    arguments = [f"--triton-repo={repository.path}", check]
    run(pytester, *arguments).assert_outcomes(failed=1)
    if way == "comment":
        config.write_text("# triton: ignore-file TRT101 -- small\n" + config.read_text())
    elif way == "ini":
        pytester.makeini("[pytest]\ntriton_audit_ignore = TRT101: small\n")
        arguments += ["-c", "tox.ini"]
    else:
        arguments.append("--triton-audit-ignore=TRT1: sm*")
    run(pytester, *arguments).assert_outcomes(passed=1)


def test_suppressed_finding_of_another_rule_leaves_explicit_placement_failing(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    config = repository.add("small", backend="onnxruntime")
    config.write_text("# triton: ignore-file TRT102\n" + config.read_text())
    check = f"{config}::test_explicit_placement"
    run(pytester, f"--triton-repo={repository.path}", check).assert_outcomes(failed=1)


@pytest.mark.parametrize(
    ("groups", "expected", "passes"),
    [
        ("{ kind: KIND_GPU }", "gpu", True),
        ("{ kind: KIND_GPU }, { kind: KIND_CPU }", "gpu + cpu", True),
        ("{ kind: KIND_GPU }, { kind: KIND_CPU }", "gpu", False),
        ("{ kind: KIND_CPU }", "gpu", False),
        ("", "gpu", False),
    ],
)
def test_expectations(
    pytester: pytest.Pytester,
    repository: RepositoryBuilder,
    groups: str,
    expected: str,
    passes: bool,
) -> None:
    repository.add("fraud_a", groups)
    pytester.makeini(f"[pytest]\ntriton_expect = fraud_*: {expected}")
    result = run(
        pytester, f"--triton-repo={repository.path}", "-k", "explicit", "--triton-gpus=none"
    )
    assert result.ret == (pytest.ExitCode.OK if passes else pytest.ExitCode.TESTS_FAILED)
    if not passes:
        result.stdout.fnmatch_lines(["is expected to declare *", "*(triton_expect: fraud_[*])"])


def test_config_that_cannot_be_parsed_is_one_failure_and_stops_nobody(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    repository.add("good", "{ kind: KIND_CPU }")
    repository.add("typo", "{ kind: KIND_GPU gpu: [ 0 ] }")
    repository.add_config("binary", b"\x00\xff\xfe" * 100)
    repository.add_config("other_name", 'name: "somebody" backend: "python"')
    result = run(pytester, "-v", f"--triton-repo={repository.path}", "--triton-gpus=none")
    found = outcomes(result)
    assert {name for name, outcome in found.items() if outcome == "PASSED"} == {
        "good::test_config",
        "good::test_explicit_placement",
        "good::test_audit",
        "other_name::test_audit",
        "good::test_placement[no-gpu]",
    }
    result.stdout.fnmatch_lines(
        [
            "*typo/config.pbtxt:5:35: `gpu` is not a field of instance_group*",
            "*Did you mean `gpus`?*",
            "Triton (tritonserver * says:*",
            "*has no field named *gpu*",
        ]
    )
    failed = {name for name, outcome in found.items() if outcome == "FAILED"}
    assert failed == {
        "binary::test_config",
        "other_name::test_config",
        "typo::test_config",
    }


def test_fixed_config_of_a_broken_ensemble_step_fixes_the_ensemble(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    repository.add("step", "{ kind: KIND_GPU }")
    repository.add_config(
        "chain",
        'platform: "ensemble"\nmax_batch_size: 8\n'
        'input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
        'output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
        'ensemble_scheduling { step [ { model_name: "step" model_version: -1 '
        'input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" } } ] }\n',
    )
    result = run(pytester, f"--triton-repo={repository.path}")
    result.assert_outcomes(passed=10)
    result.stdout.fnmatch_lines(["chain*ensemble*refused: ensemble *ready*"])


def test_results_reach_junit_with_what_was_declared_predicted_and_observed(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    repository.add("pinned", "{ kind: KIND_GPU }")
    run(pytester, f"--triton-repo={repository.path}", "--junitxml=report.xml")
    cases = {
        case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")}
        for case in ElementTree.parse(pytester.path / "report.xml").iter("testcase")
    }
    reported = cases["test_placement[sim-2]"]
    assert reported["triton_model"] == "pinned"
    assert reported["triton_hardware"] == "2 GPUs (simulated)"
    assert (
        reported["triton_declared"],
        reported["triton_predicted"],
        reported["triton_observed"],
    ) == (
        "GPU",
        "GPU 0 · GPU 1",
        "GPU 0 · GPU 1",
    )
    assert reported["triton_run"] == "rehearsal (simulated GPUs, stand-in backends)"


@pytest.mark.real_python
def test_failing_placement_shows_what_the_server_wrote_about_the_model(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    config = repository.add("moody", "{ kind: KIND_CPU }")
    (config.parent / "1" / "model.py").write_text(
        "class TritonPythonModel:\n"
        "    def initialize(self, args):\n"
        "        raise RuntimeError('not today')\n"
        "    def execute(self, requests):\n"
        "        return []\n"
    )
    repository.add("calm", "{ kind: KIND_CPU }")
    result = run(pytester, f"--triton-repo={repository.path}", "--triton-backends=real")
    result.assert_outcomes(passed=7, failed=1)
    result.stdout.fnmatch_lines(
        [
            "refused: other, though it was predicted to run on CPU",
            "  hardware   no GPU",
            "  observed   refused: other  (evidence: repository index, server log)",
            "  server     tritonserver *, real run",
            "  Triton     *RuntimeError: not today*",
            "*triton server log (no GPU)*",
            "*failed to load 'moody' version 1*",
        ]
    )
    log = result.stdout.str().split("triton server log")[1].split("triton placement")[0]
    assert "calm" not in log, "only what is about the model"


@pytest.mark.real_python
def test_backend_that_the_server_does_not_have_is_reported(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    repository.add("odd", "{ kind: KIND_CPU }", backend="fil")
    result = run(pytester, f"--triton-repo={repository.path}", "--triton-backends=real")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "not proven: the server has no backend for it",
            "  observed   refused: backend missing*",
            "*no backend `fil`; it has: python*",
            "odd*CPU*refused: backend missing  <- failed",
        ]
    )


@pytest.mark.parametrize(("name", "close"), [("pyhton", "python"), ("onnxruntme", "onnxruntime")])
def test_misspelt_backend_does_not_pass_a_rehearsal(
    pytester: pytest.Pytester, repository: RepositoryBuilder, name: str, close: str
) -> None:
    repository.add("odd", "{ kind: KIND_CPU }", backend=name)
    repository.add("own", "{ kind: KIND_CPU }", backend="our_company")
    repository.add("newer", "{ kind: KIND_CPU }", backend="onnxruntime2")
    own = ("--triton-own-backends=our_company", "--triton-own-backends=onnxruntime2")
    result = run(pytester, f"--triton-repo={repository.path}", "-k", "test_config", *own)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines([f"*Triton has no backend `{name}`", f'*Write backend: "{close}".'])


def test_ensemble_that_never_loads_is_reported(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    repository.add_config(
        "chain",
        'platform: "ensemble"\nmax_batch_size: 8\n'
        'input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
        'output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
        'ensemble_scheduling { step [ { model_name: "not_there" model_version: -1 '
        'input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" } } ] }\n',
    )
    repository.add("other", "{ kind: KIND_CPU }")
    result = run(pytester, f"--triton-repo={repository.path}", "-k", "chain and test_config")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["Triton refuses this model on any hardware", "*not_there*"])


def test_rehearsal_needs_no_weights(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    pinned = "{ kind: KIND_GPU }"
    empty = repository.add("empty", pinned, backend="onnxruntime").parent / "1"
    (empty / "model.py").unlink()
    pointer = repository.add("pointer", pinned, backend="onnxruntime").parent / "1"
    (pointer / "model.onnx").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 97797\n"
    )
    closed = repository.add("closed", pinned, backend="tensorrt").parent / "1" / "model.plan"
    closed.touch(0o000)
    run(pytester, f"--triton-repo={repository.path}").assert_outcomes(passed=15)


def test_xdist_workers_report_to_one_table(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    pytest.importorskip("xdist")
    for number in range(4):
        repository.add(f"model_{number}", "{ kind: KIND_CPU }")
    result = run(pytester, f"--triton-repo={repository.path}", "-n", "2", "--triton-gpus=none")
    result.assert_outcomes(passed=16)
    result.stdout.fnmatch_lines([f"model_{number}*CPU*CPU" for number in range(4)])
