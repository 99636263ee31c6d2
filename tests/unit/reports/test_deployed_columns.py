"""Servers of deployment files that have different GPUs: one column, in every format."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

from msgspec.structs import replace as replaced

from pytest_triton.cli.report import render
from pytest_triton.ledger import Ledger
from pytest_triton.reports.annotations import diagnostics
from pytest_triton.reports.matrix import DEPLOYED, Matrix, column_titles
from pytest_triton.reports.overview import problems_of_proof
from pytest_triton.reports.proof import Proof
from pytest_triton.reports.report import Report
from pytest_triton.reports.terminal import PlacementTable
from support import sample_ledgers as samples

DIFFERENT = samples.deployments(none=0, one=1, two=2, four=4, eight=8)


def titles(ledger: Ledger) -> list[str]:
    return [column.label for column in Matrix.of(ledger).columns]


def test_deployments_with_different_gpus_share_a_column() -> None:
    matrix = Matrix.of(DIFFERENT)
    assert [column.title for column in matrix.columns] == [
        "deployed, tritonserver 2.51.0, rehearsal",
        "GPUs lost, tritonserver 2.51.0, rehearsal",
    ]
    (column, _) = matrix.columns
    own = {row.deployment: row.cells[0] for row in matrix.rows if row.cells[0] is not None}
    assert {name: cell.hardware_in(column) for name, cell in own.items()} == {
        "compose.yaml::none": "no GPU",
        "compose.yaml::one": "1 GPU",
        "compose.yaml::two": "2 GPUs",
        "compose.yaml::four": "4 GPUs",
        "compose.yaml::eight": "8 GPUs",
    }


def test_deployments_with_the_same_gpus_name_them_in_the_title() -> None:
    assert titles(samples.deployments(blue=2, green=2)) == ["deployed: 2 GPUs", "GPUs lost"]


def test_deployment_that_ran_on_several_keeps_their_columns() -> None:
    small, large = samples.deployments(triton=1), samples.deployments(triton=2)
    both = Ledger(small.jobs, (*small.entries, *large.entries))
    assert titles(both) == ["deployed: 2 GPUs", "deployed: 1 GPU", "GPUs lost"]


def test_real_runs_of_deployments_never_share_a_column_with_rehearsals() -> None:
    entries = tuple(
        replace(one, result=replaced(one.result, run="real run"))
        if one.deployment == "compose.yaml::two"
        else one
        for one in DIFFERENT.entries
    )
    columns = Matrix.of(replace(DIFFERENT, entries=entries)).columns
    own = [column.title for column in columns if column.label == DEPLOYED]
    assert own == [
        "deployed, tritonserver 2.51.0, rehearsal",
        "deployed, tritonserver 2.51.0, real run",
    ]


def test_other_hardware_keeps_its_title() -> None:
    found = column_titles([("models", "1 GPU"), ("models", "2 GPUs"), ("a", "deployed: 1 GPU")])
    assert found == {
        "1 GPU": "1 GPU",
        "2 GPUs": "2 GPUs",
        "deployed: 1 GPU": "deployed: 1 GPU",
    }


def cells_of(row: str) -> list[str]:
    return [unescape(one).strip() for one in row.split("|")[2:-1]]


def test_markdown_names_the_hardware_in_each_cell() -> None:
    lines = render("markdown", DIFFERENT, environ={}).splitlines()
    rows = [unescape(line) for line in lines if line.startswith("| <code>compose")]
    large = next(row for row in rows if "compose.yaml::two: detector" in row)
    assert cells_of(large) == ["GPU", "🟦 GPU 0 · GPU 1 (2 GPUs)", "⛔ refused: no GPU"]
    without = next(row for row in rows if "compose.yaml::none: tokenizer" in row)
    assert cells_of(without) == ["CPU x2", "🟢 CPU x2 (no GPU)", "·"]


def test_page_names_the_hardware_in_each_cell() -> None:
    page = render("html", DIFFERENT, environ={})
    head = re.search(r"<thead><tr>(<th scope=\"col\">model.*?)</tr>", page)
    assert head is not None
    assert head[1].count("<th") == 4
    cells = re.findall(r"<small>((?:no|\d) GPUs?)</small>", page)
    assert sorted(set(cells)) == ["1 GPU", "2 GPUs", "4 GPUs", "8 GPUs", "no GPU"]
    assert len(cells) == 10


def test_terminal_names_the_hardware_in_each_cell() -> None:
    results = [one.result for one in DIFFERENT.entries]
    shared = column_titles((one.deployment, one.hardware.label) for one in results)
    table = PlacementTable(list(shared), shared)
    for one in results:
        table.add(one, failed=one.deployment.endswith("two") and one.model == "tokenizer")
    lines = [" ".join(parts).split("  ") for parts, _ in table.lines()]
    rows = {cells[0]: [one.strip() for one in cells[1:] if one.strip()] for cells in lines}
    assert rows["model"] == ["declared", "deployed", "GPUs lost"]
    assert rows["compose.yaml::one: detector"] == ["GPU", "GPU 0 (1 GPU)", "refused: no GPU"]
    assert rows["compose.yaml::two: tokenizer"][1:3] == ["CPU x2 (2 GPUs)", "<- failed"]


def test_diagnostics_of_a_model_name_its_own_hardware() -> None:
    of_two = next(one for one in DIFFERENT.entries if one.deployment == "compose.yaml::two")
    failed = replace(of_two, verdict="failed", headline="runs on CPU")
    rest = [one for one in DIFFERENT.entries if one is not of_two]
    ledger = replace(DIFFERENT, entries=(failed, *rest))
    (found,) = diagnostics(Report.of(ledger))
    assert found.name == "deployed: 2 GPUs, rehearsal"


def test_problem_of_all_deployments_is_one() -> None:
    ledger = samples.expected_of_deployments(DIFFERENT)
    problems = problems_of_proof(Proof.of_ledger(ledger), Matrix.of(ledger))
    (found,) = [one for one in problems if one.what == "rehearsed only"]
    assert (found.where, len(found.places)) == ("deployed", 4)
    assert {place.column for place in found.places} == {0}
