"""`--triton-ledger`: what a run writes, on a real tritonserver."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from pytest_triton.__main__ import main
from pytest_triton.ledger import Entry, Ledger, read_ledger
from pytest_triton.ledger.ledger_file import SCHEMA_FILE
from pytest_triton.placement.instances import Placement, cpu, gpu
from support.builders import RepositoryBuilder
from support.components import need_release

pytestmark = pytest.mark.server


def run(pytester: pytest.Pytester, *arguments: str | Path) -> pytest.RunResult:
    """In a process of its own, as it may be killed."""
    return pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "-p", "no:randomly", "--triton-ledger=l.json", *arguments
    )


def written(pytester: pytest.Pytester) -> Ledger:
    """What is in the file, which is as the schema says."""
    path = pytester.path / "l.json"
    Draft202012Validator(json.loads(SCHEMA_FILE.read_text())).validate(json.loads(path.read_text()))
    return read_ledger(path)


def verdicts(ledger: Ledger) -> dict[tuple[str, str], str]:
    return {(entry.model, entry.hardware.spec): entry.verdict for entry in ledger.placements}


def the(ledger: Ledger, model: str, spec: str) -> Entry:
    (found,) = [e for e in ledger.placements if (e.model, e.hardware.spec) == (model, spec)]
    return found


@pytest.fixture
def models(pytester: pytest.Pytester) -> RepositoryBuilder:
    """A repository of a mixed model, one that nobody declared and one that can't be read."""
    builder = RepositoryBuilder(pytester.path / "models")
    builder.add("mixed", "{ kind: KIND_GPU }, { kind: KIND_CPU name: 'small' count: 2 }")
    builder.add("undeclared", backend="onnxruntime")
    builder.add_config("unreadable", "backend: python")
    return builder


def test_all_that_is_known_is_written(pytester: pytest.Pytester, models: RepositoryBuilder) -> None:
    result = run(pytester, "--triton-repo=models", "--triton-job=both")
    ledger = written(pytester)
    (job,) = ledger.jobs
    assert (job.name, job.exit_status, job.shard) == ("both", result.ret, None)
    assert job.ended is not None
    mixed = the(ledger, "mixed", "sim:2")
    assert (mixed.verdict, str(mixed.declared)) == ("proven", "GPU + CPU x2")
    assert [(group.name, group.summary) for group in mixed.declared.groups] == [
        ("", "GPU"),
        ("small", "CPU x2"),
    ]
    assert (mixed.hardware.gpus, mixed.hardware.simulated) == (2, True)
    assert mixed.predicted is not None
    assert mixed.observed is not None
    assert mixed.predicted.placement == mixed.observed.placement
    assert Placement(mixed.observed.placement) == gpu(0) + gpu(1) + cpu(count=2)
    assert [group.name for group in mixed.predicted.groups] == ["mixed_0", "small"]
    assert mixed.observed.state == "READY"
    assert mixed.evidence
    assert mixed.server is not None
    assert (mixed.server.version, mixed.run) == (
        "2.51.0",
        "rehearsal (simulated GPUs, stand-in backends)",
    )
    assert [gpu.id for gpu in mixed.server.gpus] == [0, 1]
    assert not mixed.is_real
    refused = the(ledger, "mixed", "none").observed
    assert refused is not None
    assert (refused.placement, refused.reason) == ((), "no-gpu")
    assert "no GPUs are available" in refused.text
    fallback = the(ledger, "undeclared", "none").observed
    assert fallback is not None
    assert fallback.fallback
    unreadable = the(ledger, "unreadable", "none")
    assert (unreadable.verdict, unreadable.server) == ("not proven", None)
    assert unreadable.config.path == "models/unreadable/config.pbtxt"
    (check,) = [
        one
        for one in ledger.checks
        if (one.model, one.test) == ("undeclared", "test_explicit_placement")
    ]
    assert (check.verdict, check.headline) == ("failed", "may fall back to the CPU unnoticed")
    assert "instance_group" in check.text


def test_xdist_writes_the_same(pytester: pytest.Pytester, models: RepositoryBuilder) -> None:
    run(pytester, "--triton-repo=models", "-n0")
    alone = verdicts(written(pytester))
    (pytester.path / "l.json").unlink()
    run(pytester, "--triton-repo=models", "-n2")
    assert verdicts(written(pytester)) == alone
    assert len(alone) == 6
    (job,) = written(pytester).jobs
    assert job.exit_status == 1


def test_run_that_stops_at_a_failure_says_what_it_proved(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    run(pytester, "--triton-repo=models", "-x")
    ledger = written(pytester)
    assert verdicts(ledger) == {("mixed", "none"): "proven", ("mixed", "sim:2"): "proven"}
    assert ledger.jobs[0].exit_status == 1


def test_killed_run_leaves_what_it_proved(pytester: pytest.Pytester) -> None:
    RepositoryBuilder(pytester.path / "models").add("first", "{ kind: KIND_CPU }")
    pytester.makepyfile(
        test_kill="import os, signal, time\n"
        "def test_long(): time.sleep(1.5)\n"  # until a writing is due
        "def test_killed(): os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = run(pytester, "--triton-repo=models", ".")
    assert result.ret == -9
    ledger = written(pytester)
    assert verdicts(ledger) == {("first", "none"): "proven", ("first", "sim:2"): "proven"}
    (job,) = ledger.jobs
    assert (job.ended, job.exit_status) == (None, None)


def test_runs_of_one_job_are_folded(pytester: pytest.Pytester, models: RepositoryBuilder) -> None:
    run(pytester, "--triton-repo=models", "--triton-gpus=none", "-k", "mixed")
    run(pytester, "--triton-repo=models", "--triton-gpus=sim:2", "-k", "mixed")
    assert verdicts(written(pytester)) == {
        ("mixed", "none"): "proven",
        ("mixed", "sim:2"): "proven",
    }
    pytester.makeconftest(
        "import pytest\n"
        "def pytest_collection_modifyitems(items):\n"
        "    for item in items: item.add_marker(pytest.mark.skip(reason='no GPU today'))\n"
    )
    run(pytester, "--triton-repo=models", "--triton-gpus=sim:2")
    ledger = written(pytester)
    assert verdicts(ledger) == {
        ("mixed", "none"): "proven",
        ("mixed", "sim:2"): "proven",
        ("undeclared", "sim:2"): "skipped",
        ("unreadable", "sim:2"): "skipped",
    }
    assert "no GPU today" in the(ledger, "undeclared", "sim:2").headline
    assert len(ledger.jobs) == 3


def test_server_that_never_answers_proves_nothing(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        run(
            pytester,
            "--triton-repo=models",
            f"--triton-server=http://127.0.0.1:{silent.getsockname()[1]}",
            "--triton-timeout=0.5",
            "--triton-gpus=none",
            "-k",
            "mixed",
        )
    ledger = written(pytester)
    assert set(verdicts(ledger).values()) == {"not proven"}
    assert the(ledger, "mixed", "none").headline.startswith("no server to ask")


def test_file_that_is_no_ledger_is_not_overwritten(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    path = pytester.path / "l.json"
    path.write_text('{"mine": 1}')
    result = run(pytester, "--triton-repo=models")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*l.json: This is no ledger of pytest-triton.*"])
    assert path.read_text() == '{"mine": 1}'


def test_ledger_of_everything_fulfils_the_plan(
    pytester: pytest.Pytester,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    builder = RepositoryBuilder(pytester.path / "models")
    builder.add("detector", "{ kind: KIND_GPU }")
    builder.add("tokenizer", "{ kind: KIND_CPU }")
    monkeypatch.chdir(pytester.path)
    run(pytester, "--triton-repo=./models/")
    assert main(["merge", "l.json", "--repo", "models"]) == 1
    assert "rehearsed only" in capsys.readouterr().out
    assert main(["merge", "l.json", "--repo", "models", "--rehearsals", "everywhere"]) == 0


def test_upgrade_from_one_real_release_to_another(
    pytester: pytest.Pytester,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    need_release("2.33.0")
    builder = RepositoryBuilder(pytester.path / "models")
    builder.add("undeclared")  # a backend's preference for GPUs held without one up to 2.33.0
    builder.add("pinned", "{ kind: KIND_GPU }")
    monkeypatch.chdir(pytester.path)
    for version in ("2.33.0", "2.51.0"):
        run(pytester, "--triton-repo=models", f"--triton-version={version}")
        (pytester.path / "l.json").rename(f"{version}.json")
    capsys.readouterr()
    assert main(["diff", "2.33.0.json", "2.51.0.json"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "Triton: 2.33.0 -> 2.51.0",
        "",
        "model        hardware   before            after              why",
        "undeclared   no GPU     refused: no GPU   CPU  <- fallback   Triton",
        "",
        "1 placement changed, 3 did not",
    ]
