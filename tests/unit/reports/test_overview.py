"""What is wrong, and where, in few lines however many models there are."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import pytest

from pytest_triton.checks.result import DEPLOYMENT_TEST, SERVICE
from pytest_triton.cli.report import render
from pytest_triton.ledger import Ledger
from pytest_triton.reports.html import html
from pytest_triton.reports.markdown import markdown
from pytest_triton.reports.matrix import Matrix
from pytest_triton.reports.overview import Place, Problem, parts_of, problems_of, problems_of_proof
from pytest_triton.reports.proof import Open, Proof
from support import sample_ledgers as samples


def test_problems_of_many_models_are_few_and_the_worst_come_first() -> None:
    first, second = problems_of(Matrix.of(samples.three_deployments(999)))
    assert (first.kind, first.where, first.what) == (
        "failed",
        "test_explicit_placement",
        "may fall back to the CPU unnoticed",
    )
    assert len(first.places) == 9
    assert first.jobs == ("search-rehearsal", "speech-rehearsal", "vision-rehearsal")
    assert (second.where, second.what) == ("2 GPUs, real run", "runs on CPU and on no GPU")
    assert len(second.places) == 6


def test_problems_name_each_kind_that_needs_attention_once() -> None:
    found = problems_of(Matrix.of(samples.one_of_everything()))
    assert [(one.kind, one.where) for one in found] == [
        ("failed", "test_explicit_placement"),
        ("failed", "2 GPUs, real run"),
        ("not-proven", "no GPU, rehearsal"),
        ("skipped", "2 GPUs (simulated), rehearsal"),
    ]
    assert found[0].places == (Place("models", "legacy"),), "its fallback is the same cause"
    assert found[1].places == (Place("models", "ranker", 2),)


def test_fallback_that_no_check_explains_is_a_problem() -> None:
    entry = samples.entry("legacy", samples.ready("CPU", fallback=True), declared="nothing")
    (found,) = problems_of(Matrix.of(Ledger((samples.CPU_JOB,), (entry,))))
    assert found == Problem(
        "fallback",
        "no GPU, rehearsal",
        "fell back to the CPU",
        (Place("models", "legacy", 0),),
        ("rehearsal",),
    )


def test_nothing_wrong_is_no_problem_and_no_section() -> None:
    good = samples.all_proven()
    assert problems_of(Matrix.of(good)) == ()
    assert 'class="problems"' not in html(good)


def test_problems_of_a_proof_are_grouped_with_failures_first() -> None:
    matrix = Matrix.of(samples.all_proven())
    failure = Open("models", "detector", "test_config", "is refused", "rehearsal", failed=True)
    cells = tuple(Open("models", f"m{n}", "2 GPUs", "never proven") for n in range(300))
    run = Open("", "gpu-2", "exit status 3", "its output says why", "gpu-2", failed=True)
    proof = Proof(False, "Not all is proven", ((300, "never"),), cells, (failure,), (), (run,), ())
    found = problems_of_proof(proof, matrix)
    assert [(one.kind, one.where, len(one.places)) for one in found] == [
        ("failed", "test_config", 1),
        ("failed", "exit status 3", 1),
        ("not-proven", "2 GPUs", 300),
    ]
    assert found[0].jobs == ("rehearsal",)


def test_parts_count_what_needs_attention_in_each_deployment() -> None:
    found = parts_of(Matrix.of(samples.three_deployments(999)))
    assert [(part.deployment, part.models) for part in found] == [
        ("search", 333),
        ("speech", 333),
        ("vision", 333),
    ]
    for part in found:
        assert part.counts == ((3, 3), (3, 333), (0, 333), (2, 112))
    page = html(samples.three_deployments(999))
    assert len(re.findall(r'<td data-k="failed">\d+ of \d+</td>', page)) == 9


def test_table_of_deployments_counts_models_and_has_the_state_of_each_server() -> None:
    known = samples.deployments(small=1, large=2)
    down = "small doesn't come up"
    services = [
        samples.check(SERVICE, DEPLOYMENT_TEST, text, deployment=f"compose.yaml::{name}")
        for name, text in (("small", down), ("large", ""))
    ]
    ledger = replace(known, entries=(*known.entries, *services))
    assert [part.models for part in parts_of(Matrix.of(ledger))] == [2, 2]
    page = html(ledger)
    rows = re.findall(r"<tr><th scope=\"row\"><bdi>compose.yaml::<wbr>(.*?)</tr>", page)
    small, large = (row for name in ("small", "large") for row in rows if row.startswith(name))
    assert '<td data-k="failed">failed</td><td>2</td>' in small
    assert '<td class="soft">passed</td><td>2</td>' in large
    assert "of 3" not in "".join(rows), "no server is counted as a model"


def test_models_that_the_plan_does_not_have_are_not_called_proven() -> None:
    planned = samples.expected_of_deployments(samples.deployments(small=1))
    ledger = replace(samples.deployments(small=1, large=2), expected=planned.expected)
    page = html(ledger)
    rows = re.findall(r'<tr data-d="compose.yaml::(\w+)"[^>]*>(.*?)</tr>', page)
    assert {name: "not in the plan" in row for name, row in rows} == {"small": False, "large": True}
    (part,) = re.findall(r"<tr><th scope=\"row\"><bdi>compose.yaml::<wbr>large(.*?)</tr>", page)
    assert "not in the plan" in part
    table = [line for line in markdown(ledger).splitlines() if line.startswith("| <code>")]
    assert {("large&#58;" in line) == ("not in the plan" in line) for line in table[-4:]} == {True}


def test_counts_of_a_merge_name_what_they_count() -> None:
    page = html(samples.expected_of_deployments(samples.deployments(small=1, large=2)))
    (heading,) = re.findall(r'aria-label="What is proven"><h2>(.*?)</h2>', page)
    (verdict,) = re.findall(r'<p class="verdict \w+">(.*?)</p>', page)
    assert heading.removesuffix(" of the plan") in verdict
    assert '<span class="key">marks in the table:</span>' in page


def test_long_names_break_at_their_parts_and_short_ones_do_not() -> None:
    long = "embedder_of_the_search_v2_quantized_int8"
    page = html(samples.merged_with_plan(samples.all_proven(), long, "cpu_with_gpus"))
    assert f"<bdi>{long.replace('_', '_<wbr>')}</bdi>" in page
    assert "<bdi>cpu_with_gpus</bdi>" in page


def test_invalid_config_of_a_model_is_one_problem() -> None:
    note = "not proven: config is invalid, see test_config"
    failure = Open("models", "typo", "test_config", "`gpu` is no field", failed=True)
    rest = (
        Open("models", "typo", "no GPU", f"never proven ({note})"),
        Open("models", "typo", "test_audit", note),
        Open("models", "other", "no GPU", "never proven"),
    )
    proof = Proof(False, "Not all is proven", (), rest, (failure,))
    found = problems_of_proof(proof, Matrix.of(samples.all_proven()))
    assert [(one.where, one.places[0].model) for one in found] == [
        ("test_config", "typo"),
        ("no GPU", "other"),
    ]


@pytest.mark.parametrize("format", ["html", "markdown"])
def test_only_the_verdict_of_a_merge_counts_what_is_proven(format: str) -> None:
    ledger = samples.merged_with_plan(samples.many(100))
    text = unescape(render(format, ledger, environ={}))
    assert {*re.findall(r"([\d,]+) (?:more )?placements? proven", text)} <= {
        *re.findall(r"([\d,]+) placements proven", Proof.of_ledger(ledger).verdict)
    }
    assert "placements as predicted, " in text


def test_deployments_have_no_table_where_there_is_one() -> None:
    assert 'class="parts"' not in html(samples.one_of_everything())


def test_verdict_and_problems_come_before_all_else_on_the_page() -> None:
    page = html(samples.three_deployments(999))
    places = [
        page.index(part)
        for part in (
            "<h1>",
            'class="verdict',
            'class="problems',
            'class="parts',
            'class="evidence',
            'class="legend',
            '<table id="matrix"',
        )
    ]
    assert places == sorted(places)
