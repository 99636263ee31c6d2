"""`plan`, `merge` and `diff` as commands: exit codes, tables, JSON. No server."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pytest_triton.__main__ import main
from pytest_triton.ledger import Entry, read_ledger, write_ledger
from pytest_triton.placement.releases import NEWEST_KNOWN
from support.builders import RepositoryBuilder
from support.ledger_strategies import after, changed, entry, job, ledger, with_checks


class Said(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    repository: RepositoryBuilder,
) -> Command:
    """Run a command where the repository `models` is, of one GPU model and one for the CPU."""
    repository.add("detector", "{ kind: KIND_GPU }")
    repository.add("tokenizer", "{ kind: KIND_CPU }")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: object) -> Said:
        try:
            code = main([str(one) for one in arguments])
        except SystemExit as stopped:
            code = int(str(stopped.code))
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def plan(run: Command) -> dict[str, Any]:
    said = run("plan", "models", "--format", "json")
    Path("plan.json").write_text(said.out)
    found: dict[str, Any] = json.loads(said.out)
    return found


def proof(plan: dict[str, Any], model: str, spec: str, *, real: bool = False, **more: Any) -> Entry:
    """An entry that proves a model of the plan, as it is."""
    config = next(need["identity"] for need in plan["needs"] if need["model"] == model)
    return entry(spec=spec, real=real, model=model, **{"config": config, **more})


def all_proven(plan: dict[str, Any]) -> list[Entry]:
    return [
        proof(plan, "detector", "none", placed="refused: no GPU"),
        proof(plan, "detector", "1", real=True, by=job("gpu")),
        proof(plan, "tokenizer", "none", placed="CPU"),
    ]


def test_plan_as_text(run: Command) -> None:
    said = run("plan", "models")
    assert said.code == 0
    assert said.out.splitlines() == [
        "2 models, 1 of them for GPUs: 2 jobs, 1 with GPUs",
        f"By Triton's rules for release {NEWEST_KNOWN}.",
        "",
        "job         GPUs   image                models   cost",
        "rehearsal   0      none                 2        3",
        "1-gpu       1      tritonserver:*-py3   1        2",
        "cost: the instances that a job loads, and one for each model; it is no time.",
        "",
        "rehearsal:",
        "  why:    every model without a GPU, and on simulated ones before real ones are paid for",
        "  models: detector, tokenizer",
        "  run:    pytest --triton-repo=models --triton-gpus=none --triton-gpus=sim:1",
        "          --triton-job=rehearsal --triton-ledger=ledgers/rehearsal.json",
        "",
        "1-gpu:",
        "  why:    1 model: runs on GPUs",
        "  models: detector",
        "  run:    pytest --triton-repo=models --triton-gpus=1 --triton-require=gpus=1",
        "          --triton-job=1-gpu --triton-ledger=ledgers/1-gpu.json",
    ]


def test_plan_without_gpu_jobs_says_so(
    run: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    RepositoryBuilder(tmp_path / "cpu").add("tokenizer", "{ kind: KIND_CPU }")
    assert "No GPU job is needed" in run("plan", "cpu").out
    github = dict(
        line.split("=", 1) for line in run("plan", "cpu", "--format", "github").out.splitlines()
    )
    assert github["gpu_jobs"] == "0"
    assert json.loads(github["gpu_matrix"]) == {"include": []}
    assert list(json.loads(run("plan", "cpu", "--format", "gitlab").out)) == [".triton-plan"]


def test_matrices_hold_the_same_jobs(run: Command) -> None:
    lines = run("plan", "models", "--format", "github", "--shards", 2).out.splitlines()
    github = json.loads(dict(line.split("=", 1) for line in lines)["matrix"])["include"]
    gitlab = json.loads(run("plan", "models", "--format", "gitlab", "--shards", 2).out)
    names = [one["TRITON_NAME"] for one in gitlab[".triton-plan"]["parallel"]["matrix"]]
    assert names == [one["name"] for one in github]
    assert all(
        isinstance(v, str)
        for one in gitlab[".triton-plan"]["parallel"]["matrix"]
        for v in one.values()
    )
    assert [one["gpus"] for one in github] == [0, 0, 1] or [one["gpus"] for one in github] == [0, 1]


def test_all_proven(run: Command, plan: dict[str, Any]) -> None:
    reported = all_proven(plan)
    write_ledger("a.json", with_checks(reported[0], reported[2]))
    write_ledger("b.json", ledger(reported[1]))
    said = run("merge", "a.json", "b.json", "--plan", "plan.json", "--output", "all.json")
    assert said.code == 0
    assert said.out.splitlines() == [
        "All proven: 3 placements",
        "    2  rehearsed (no GPU)",
        "    1  proven on a real GPU (1 GPU)",
        "",
        "model       declared   no GPU      1 GPU",
        "detector    GPU        rehearsed   proven on a real GPU",
        "tokenizer   CPU        rehearsed   -",
        "",
        "All proven: 3 placements",
    ]
    assert len(read_ledger("all.json").placements) == 3
    assert run("merge", "all.json", "--repo", "models").out == said.out
    assert run("merge", "all.json", "--repo", "models", "--rehearsals", "nowhere").code == 1


def test_job_that_never_ran_is_never_proven(run: Command, plan: dict[str, Any]) -> None:
    write_ledger(
        "a.json", with_checks(*[one for one in all_proven(plan) if one.hardware.gpus == 0])
    )
    said = run("merge", "a.json", "--plan", "plan.json")
    assert said.code == 1
    assert "detector    GPU        rehearsed   never proven  <-" in said.out
    assert said.out.splitlines()[-1] == "Not all is proven: 2 of 3 placements proven, 1 not proven"
    found = json.loads(run("merge", "a.json", "--plan", "plan.json", "--json").out)
    assert (found["ok"], found["counts"]) == (False, {"rehearsed": 2, "never": 1})


def test_changed_config_is_not_proven_by_what_it_was(
    run: Command, plan: dict[str, Any], repository: RepositoryBuilder
) -> None:
    write_ledger("a.json", with_checks(*all_proven(plan)))
    config = repository.path / "detector" / "config.pbtxt"
    config.write_text("# a comment changes nothing\n" + config.read_text())
    assert run("merge", "a.json", "--repo", "models").code == 0
    config.write_text(config.read_text().replace("max_batch_size: 8", "max_batch_size: 4"))
    said = run("merge", "a.json", "--repo", "models")
    assert said.code == 1
    assert "proven for another version of the model" in said.out


def test_what_the_plan_does_not_know_is_reported(run: Command, plan: dict[str, Any]) -> None:
    reported = [changed(one, deployment="build/models") for one in all_proven(plan)]
    killed = replace(job("gpu"), ended=None, exit_status=None)
    write_ledger("a.json", ledger(*[replace(one, job=killed) for one in reported]))
    said = run("merge", "a.json", "--plan", "plan.json")
    assert said.code == 1
    assert "The plan is for `models`, and there are ledgers of `build/models`" in said.out
    assert "Ended before they were done: gpu" in said.out


def test_other_failures_are_reported(run: Command, plan: dict[str, Any]) -> None:
    more = proof(plan, "detector", "8", real=True, headline="runs on CPU")
    write_ledger("a.json", with_checks(*all_proven(plan), replace(more, verdict="failed")))
    said = run("merge", "a.json", "--plan", "plan.json")
    assert said.code == 1
    assert "  detector, 8: runs on CPU (one)" in said.out
    last = said.out.splitlines()[-1]
    assert last == "Not all is proven: 3 of 3 placements proven, 1 other failure"


@pytest.mark.parametrize(
    "arguments",
    [
        ["missing.json", "--plan", "plan.json"],
        ["a.json", "missing.json", "--plan", "plan.json"],
        ["nothing", "--plan", "plan.json"],  # a directory without ledgers
        ["plan.json", "--plan", "plan.json"],
        ["empty.json", "--plan", "plan.json"],
        ["a.json", "--plan", "a.json"],
        ["a.json", "--plan", "missing.json"],
        ["a.json", "--repo", "nothing"],
        ["jobless.json", "--plan", "plan.json"],
        ["a.json"],
        ["a.json", "--plan", "plan.json", "--output", "plan.json/all.json"],
    ],
)
def test_nothing_to_judge_by_is_never_success(
    run: Command, plan: dict[str, Any], arguments: list[str]
) -> None:
    write_ledger("a.json", ledger(*all_proven(plan)))
    write_ledger("jobless.json", ledger())
    Path("empty.json").touch()
    Path("nothing").mkdir()
    said = run("merge", *arguments)
    assert said.code == 2
    assert said.err
    assert said.out == ""
    assert "Traceback" not in said.err


def test_damaged_plan_is_refused(run: Command, plan: dict[str, Any]) -> None:
    write_ledger("a.json", ledger(*all_proven(plan)))
    changes: tuple[dict[str, Any], ...] = (
        {"schema": 9},
        {"needs": []},
        {"needs": None},
        {"needs": [{**plan["needs"][0], "gpus": -1}]},
        {"needs": [{**plan["needs"][0], "model": None}]},
        {"needs": [7]},
    )
    for change in changes:
        Path("bad.json").write_text(json.dumps({**plan, **change}))
        said = run("merge", "a.json", "--plan", "bad.json")
        assert (said.code, said.out) == (2, "")
        assert "bad.json" in said.err


def test_directory_stands_for_its_ledgers(run: Command, plan: dict[str, Any]) -> None:
    for number, one in enumerate(all_proven(plan)):
        write_ledger(f"ledgers/job-{number}/ledger.json", with_checks(one))
    assert run("merge", "ledgers", "--plan", "plan.json").code == 0


def test_of_many_models_only_what_deserves_attention_is_shown(
    run: Command, plan: dict[str, Any]
) -> None:
    (first, *_) = plan["needs"]
    needs = [{**first, "model": f"m{number:04}", "gpus": 0} for number in range(1000)]
    Path("plan.json").write_text(json.dumps({**plan, "needs": needs}))
    reported = [
        entry(model=f"m{number:04}", config=first["identity"], placed="refused: no GPU")
        for number in range(1000)
    ]
    reported[700] = replace(reported[700], verdict="failed", headline="runs on CPU")
    write_ledger("a.json", with_checks(*reported[:999]))
    lines = run("merge", "a.json", "--plan", "plan.json").out.splitlines()
    verdict = (
        "Not all is proven: 998 of 1,000 placements proven, 1 failed, 1 not proven, "
        "3 checks not proven"
    )
    assert lines == [
        verdict,
        "  998  rehearsed (no GPU)",
        "    1  failed (no GPU)",
        "    1  never proven (no GPU)",
        "",
        "model   declared   no GPU",
        "m0700   GPU        failed in one (runs on CPU)  <-",
        "m0999   GPU        never proven  <-",
        "... and 998 more models of 1000, all proven",
        "",
        "Not proven besides:",
        "  m0999, test_config, test_explicit_placement, test_audit: never proven",
        "",
        verdict,
    ]


def test_diff_of_deployment_files_without_the_option_names_the_command(
    run: Command, tmp_path: Path
) -> None:
    for name in ("old.yaml", "new.yml"):
        Path(name).write_text("services: {}\n")
    Path("prod").mkdir()
    Path("prod/compose.yaml").write_text("services: {}\n")
    write_ledger("a.json", ledger(entry(placed="CPU")))
    said = run("diff", "--rehearse", "old.yaml", "new.yml")
    assert said.code == 2
    assert said.err.splitlines() == [
        "error: old.yaml and new.yml are deployment files, and ledgers are compared here",
        "What to do: pytest-triton diff --deployment --rehearse old.yaml new.yml",
    ]
    said = run("diff", "a.json", "prod")
    assert said.err.splitlines() == [
        "error: prod is a deployment file, and ledgers are compared here",
        "What to do: pytest-triton diff --deployment a.json prod",
    ]
    for option in (["--rehearse"], ["--target", "2"], ["--deployment-repo", f"/m={tmp_path}"]):
        said = run("diff", *option, "a.json", "a.json")
        assert (said.code, said.out) == (2, "")
        assert said.err == f"error: {option[0]} is for --deployment\n"


def test_folder_in_place_of_a_ledger_is_called_one(run: Command) -> None:
    Path("ledgers").mkdir()
    said = run("report", "ledgers")
    assert said.code == 1
    assert "ledgers is not a file, but a directory." in said.err
    assert "there is none in it" in said.err
    write_ledger("ledgers/a.json", ledger(entry(placed="CPU")))
    for command in (["report", "ledgers"], ["diff", "ledgers", "ledgers"]):
        assert "What to do: name the files in it: ledgers/*.json\n" in run(*command).err
    Path("compose.yaml").write_text("services: {}\n")
    assert "pytest --triton-ledger=FILE.json has written" in run("report", "compose.yaml").err


def test_diff_reports_what_changed_and_why(run: Command) -> None:
    write_ledger("a.json", ledger(entry(placed="refused: no GPU", version="2.33.0")))
    write_ledger("b.json", ledger(entry(placed="CPU", version="2.51.0")))
    said = run("diff", "a.json", "b.json")
    assert said.code == 1
    assert said.out.splitlines() == [
        "Triton: 2.33.0 -> 2.51.0",
        "",
        "model      hardware   before            after   why",
        "detector   none       refused: no GPU   CPU     Triton",
        "",
        "1 placement changed, 0 did not",
    ]
    changes: list[Any] = json.loads(run("diff", "a.json", "b.json", "--json").out)["changes"]
    assert [one["causes"] for one in changes] == [["Triton: 2.33.0 -> 2.51.0"]]
    assert run("diff", "a.json", "a.json").code == 0
    assert run("diff", "a.json", "missing.json").code == 2
    write_ledger("empty.json", ledger())
    assert run("diff", "empty.json", "empty.json").code == 2


def test_reports_of_a_merge_show_its_verdict_first(run: Command, plan: dict[str, Any]) -> None:
    found = all_proven(plan)
    write_ledger("a.json", with_checks(found[0], found[2]))
    reports = ("--html", "r.html", "--markdown", "r.md")
    assert run("merge", "a.json", "--plan", "plan.json", *reports).code == 1
    page, summary = Path("r.html").read_text(), Path("r.md").read_text()
    colon = '<span class="colon">: </span>'
    rest = "2 of 3 placements proven, 1 not proven"
    assert f'<p class="verdict bad">Not all is proven{colon}<span>{rest}</span></p>' in page
    assert "<strong>1 GPU</strong> <span>never proven</span>" in page
    assert "<bdi>detector</bdi>" in page.split("never proven</span>")[1].split("</li>")[0]
    assert "did as predicted" not in page
    assert summary.startswith(
        "## ❌ Triton placement: Not all is proven: 2 of 3 placements proven, 1 not proven\n"
    )
    assert "| ❓ 1 GPU | never proven | <code>detector</code> |  |" in summary
    write_ledger("b.json", ledger(found[1]))
    assert run("merge", "a.json", "b.json", "--plan", "plan.json", *reports).code == 0
    good = f'<p class="verdict good">All proven{colon}<span>3 placements</span></p>'
    assert good in Path("r.html").read_text()
    assert Path("r.md").read_text().startswith("## ✅ Triton placement: All proven: 3 placements\n")


def test_aborted_run_that_was_done_again_is_not_reported(
    run: Command, plan: dict[str, Any]
) -> None:
    killed = replace(job(), ended=None, exit_status=None)
    again = after(killed, ended="2026-01-31T12:01:00Z", exit_status=0)
    found = [replace(one, job=again) if one.job.name == "one" else one for one in all_proven(plan)]
    partial = proof(plan, "tokenizer", "none", placed="CPU", by=killed)
    write_ledger("a.json", with_checks(partial, *found))
    said = run("merge", "a.json", "--plan", "plan.json", "--html", "r.html")
    assert said.code == 0
    assert "Ended before" not in said.out
    assert "cut off" not in Path("r.html").read_text().split("<script")[0]
    assert "2 runs of pytest" in Path("r.html").read_text(), "one, and gpu"


def test_aborted_run_that_was_done_again_in_another_file_is_not_reported(
    run: Command, plan: dict[str, Any]
) -> None:
    killed = replace(job(started="2026-01-31T11:00:00Z"), ended=None, exit_status=None, id="old")
    write_ledger("a.json", ledger(proof(plan, "tokenizer", "none", placed="CPU", by=killed)))
    write_ledger("b.json", with_checks(*all_proven(plan)))
    said = run("merge", "a.json", "b.json", "--plan", "plan.json", "--json")
    assert said.code == 0
    assert json.loads(said.out)["remarks"] == []


def test_aborted_run_whose_failure_counts_is_reported(run: Command, plan: dict[str, Any]) -> None:
    killed = replace(job(started="2026-01-31T11:00:00Z"), ended=None, exit_status=None, id="old")
    failed = proof(plan, "tokenizer", "none", placed="GPU 0", verdict="failed", by=killed)
    write_ledger("a.json", ledger(failed))
    write_ledger("b.json", with_checks(*all_proven(plan)))
    said = run("merge", "a.json", "b.json", "--plan", "plan.json")
    assert said.code == 1
    assert "Ended before they were done: one" in said.out


def test_other_release_is_another_prediction(run: Command, repository: RepositoryBuilder) -> None:
    repository.add("undeclared")
    plans = [
        json.loads(run("plan", "models", "--format", "json", "--release", release).out)
        for release in ("2.33.0", "2.51.0")
    ]
    reasons = [
        next(need for need in one["needs"] if need["model"] == "undeclared" and not need["gpus"])
        for one in plans
    ]
    assert [need["reason"] for need in reasons] == ["no-gpu", ""]
    old = proof(plans[0], "undeclared", "none", placed="refused: no GPU", version="2.33.0")
    write_ledger("a.json", with_checks(old))
    now = json.loads(run("merge", "a.json", "--repo", "models", "--json").out)["cells"]
    (cell,) = [one for one in now if one["state"] == "other outcome"]
    assert cell["message"] == "not as predicted today"
    assert cell["note"] == "refused: no GPU on tritonserver 2.33.0; predicted: CPU"
    then = ("--repo", "models", "--release", "2.33.0")
    assert "not as predicted" not in run("merge", "a.json", *then).out
