"""`pytest-triton merge`: many jobs' ledgers, and one answer.

What must be proven comes from a plan, never from the ledgers that turned up. Exit codes:

    0  all of the plan is proven
    1  something isn't: it failed, was never proven, or was proven for another version of the model;
       a check of a model failed or was never passed; or a run failed
    2  nothing can be said: a ledger or plan is missing, empty, foreign, outdated or damaged, or
       wrong usage

Where no GPU is needed a rehearsal is proof enough, since Triton's real core decides there; with
GPUs a rehearsal simulates the very thing that is to be proven. `--rehearsals` changes that.

A failure counts until the same check has passed under the same conditions, in a later run of its
job that wrote to the same file. Of a job that was done again into another file, `--replaced` names
the old one.

`--output` writes one ledger of all and of what was expected, which `report`, `diff` and `merge`
take; `--html`, `--markdown`, `--junit` and `--sarif` write the verdict as `report` does. `--json`
prints
{format, ok, verdict, counts, cells, missing, failures, failed_runs, unknown, remarks, jobs}; a
cell is {deployment, model, gpus, state, ok, message, note, job}, its state "real", "rehearsed",
"failed", "fallback", "other outcome", "other identity" or "never".
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from pytest_triton.cli.deployed import add_deployments
from pytest_triton.cli.deployments import read_deployment
from pytest_triton.cli.option_names import with_own_options
from pytest_triton.cli.plan import gpu_count, make_plan
from pytest_triton.cli.reading_options import add_reading, readings_of
from pytest_triton.cli.report import render
from pytest_triton.cli.server_options import (
    add_own_backends,
    add_release,
    add_server_args,
    server_of,
)
from pytest_triton.errors import PytestTritonError
from pytest_triton.ledger import Entry, Ledger, LedgerUnusable, read_ledger, write_ledger
from pytest_triton.ledger.assess import Assessment, Cell, State, assess, headline_of
from pytest_triton.ledger.entries import Expected
from pytest_triton.ledger.fold import latest, merged, with_replaced
from pytest_triton.ledger.ledger_file import read_json, write_text
from pytest_triton.plan.plan_file import Plan, PlanUnusable, needs_of
from pytest_triton.reports.matrix import DEPLOYED
from pytest_triton.reports.proof import Open, Proof, columns_of, hardware_of
from pytest_triton.text.shown_text import printable
from pytest_triton.text.tables import lay_out, screen_width

_MOST_ROWS = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Put ledgers together and say whether every model is proven on the hardware it is meant "
        "for. Exit code 0: all is proven; 1: something isn't; 2: a file is unusable."
    )
    parser.add_argument(
        "ledgers",
        nargs="+",
        type=Path,
        metavar="LEDGER",
        help="files that pytest --triton-ledger wrote, or directories of them",
    )
    expected = parser.add_mutually_exclusive_group()
    expected.add_argument(
        "--plan",
        type=Path,
        metavar="plan.json",
        help="what must be proven: the output of plan --format json",
    )
    expected.add_argument(
        "--repo",
        action="append",
        type=read_deployment,
        metavar="DIR",
        help="the repository whose plan it is, as --triton-repo names it in the jobs (repeatable)",
    )
    add_deployments(parser)
    parser.add_argument(
        "--target",
        type=gpu_count,
        metavar="GPUS",
        help="how many GPUs a deployed server has whose file doesn't say",
    )
    parser.add_argument(
        "--rehearsals",
        choices=["no-gpu", "everywhere", "nowhere"],
        default="no-gpu",
        help="where a rehearsal is proof enough (default: no-gpu, where no GPU is needed)",
    )
    add_release(parser)
    add_own_backends(parser)
    add_server_args(parser)
    add_reading(parser)
    parser.add_argument(
        "--replaced",
        action="append",
        default=[],
        type=Path,
        metavar="LEDGER",
        help="a ledger of runs that were done again, in others of the ledgers: what those answer "
        "anew, under the same conditions, stands in its place (repeatable)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="write one ledger of all")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the verdict as a page")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write the verdict as a Markdown summary"
    )
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the verdict as tests")
    parser.add_argument("--sarif", type=Path, metavar="FILE", help="write the verdict as SARIF")
    parser.add_argument("--json", action="store_true", help="for programs; nothing else is printed")


def run(arguments: argparse.Namespace) -> int:
    try:
        plan = _plan(arguments)
        ledger = merged(
            [
                *with_replaced(
                    [read_ledger(path) for path in _files(arguments.ledgers)],
                    [read_ledger(path) for path in _files(arguments.replaced)],
                )
            ]
        )
        if not ledger.jobs:
            raise LedgerUnusable("The ledgers have no job.", fix="run the jobs again")
        expected = Expected(plan.needs, plan.checks, arguments.rehearsals)
        ledger = replace(ledger, expected=expected)
        if arguments.output is not None:
            write_ledger(arguments.output, ledger)
        for format in ("html", "markdown", "junit", "sarif"):
            path = getattr(arguments, format)
            if path is not None:
                write_text(path, render(format, ledger))
    except PytestTritonError as error:
        print(with_own_options("merge", f"error: {error}"), file=sys.stderr)
        return 2
    found = assess(plan, ledger, arguments.rehearsals)
    proof = Proof.of(found, ledger)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that has no "·"
    if arguments.json:
        print(json.dumps(as_json(found, proof, ledger), indent=2))
    else:
        print("\n".join(_text(found, proof)))
    return 0 if found.ok else 1


def _plan(arguments: argparse.Namespace) -> Plan:
    named = [arguments.plan is not None, bool(arguments.repo), bool(arguments.deployment)]
    if sum(named) != 1:
        raise PlanUnusable(
            "What must be proven is not named, or named twice.",
            fix="name one of --plan, --repo and --deployment",
        )
    if arguments.deployment:
        from pytest_triton.cli.deployed_plan import plan_of_deployments

        return plan_of_deployments(arguments).plan
    if arguments.plan is None:
        return make_plan(
            arguments.repo,
            server_of(arguments),
            arguments.own_backend,
            line=arguments.server_args,
            readings=readings_of(arguments),
        )
    try:
        return needs_of(read_json(arguments.plan))
    except PlanUnusable as error:
        raise PlanUnusable(f"{arguments.plan}: {error.what}", fix=error.fix) from None


def _files(given: Sequence[Path]) -> list[Path]:
    """The files, each once. A directory stands for the .json files in it, which there must be."""
    found: dict[str, Path] = {}
    for path in given:
        inside = sorted(path.rglob("*.json")) if path.is_dir() else [path]
        if not inside:
            raise LedgerUnusable(
                f"{path} holds no .json file.",
                fix="check that the jobs wrote their ledgers and that these were fetched",
            )
        for one in inside:
            found.setdefault(os.path.realpath(one), one)
    return list(found.values())


# Text


def _text(found: Assessment, proof: Proof) -> Iterator[str]:
    """The verdict first, and once more at the end: logs are read from there."""
    yield proof.verdict
    yield from (f"{number:5}  {label}" for number, label in proof.counts)
    yield ""
    yield from _table(found)
    several = len({cell.need.deployment for cell in found.cells}) > 1
    for title, those in (
        ("Failed besides:", proof.failed),
        ("Not proven besides:", proof.missing),
        ("Failed runs:", proof.failed_runs),
    ):
        yield from _listed(title, (_line(one, several) for one in those))
    yield from _listed("", map(printable, proof.remarks))
    yield ""
    yield proof.verdict


def _line(one: Open, several: bool) -> str:
    name = f"{one.deployment}: {one.model}" if several and one.deployment else one.model
    by = f" ({printable(one.job)})" if one.job not in ("", one.model) else ""
    return f"{printable(name)}, {one.where}: {printable(one.what)}{by}"


def _table(found: Assessment) -> Iterator[str]:
    column_of = columns_of(cell.need for cell in found.cells)
    columns = [*dict.fromkeys(column_of[key] for key in sorted(column_of, key=lambda key: key[1]))]
    rows: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in found.cells:
        need = cell.need
        row = rows.setdefault((need.deployment, need.model), {})
        row[column_of[need.deployment, need.gpus]] = cell
    several = len({deployment for deployment, _ in rows}) > 1
    # The whole table if it is short; else what deserves attention, the worst first.
    shown = list(rows.items())
    if len(shown) > _MOST_ROWS:
        bad = [row for row in shown if not all(cell.ok for cell in row[1].values())]
        shown = sorted(bad, key=_badness)[:_MOST_ROWS]
    table = [["model", "declared", *columns]]
    for (where, model), cells in shown:
        name = printable(f"{where}: {model}" if several else model)
        declared = next(iter(cells.values())).need.declared
        table.append([name, declared, *(_shown(cells.get(one), one) for one in columns)])
    if shown:
        for lines in lay_out(table, screen_width()):
            yield from lines
    if len(shown) < len(rows):
        hidden = [row for row in rows.items() if row not in shown]
        bad_ones = sum(not all(cell.ok for cell in cells.values()) for _, cells in hidden)
        label = f", {bad_ones} of them not proven" if bad_ones else ", all proven"
        yield f"... and {len(hidden)} more models of {len(rows)}{label}"


def _badness(row: tuple[object, dict[str, Cell]]) -> int:
    order = get_args(State)
    return min(order.index(cell.state) for cell in row[1].values() if not cell.ok)


def _shown(cell: Cell | None, column: str) -> str:
    if cell is None:
        return "-"
    hardware = f" ({hardware_of(cell.need.gpus)})" if column == DEPLOYED else ""
    note = f" ({printable(cell.note)})" if cell.note else ""
    by = f" in {printable(cell.entry.job.name)}" if cell.entry is not None and not cell.ok else ""
    return f"{cell}{hardware}{by}{note}{'' if cell.ok else '  <-'}"


def _listed(title: str, found: Iterable[str]) -> Iterator[str]:
    lines = list(found)
    if not lines:
        return
    yield ""
    if title:
        yield title
    indent = "  " if title else ""
    yield from (f"{indent}{line}" for line in lines[:_MOST_ROWS])
    if len(lines) > _MOST_ROWS:
        yield f"{indent}... and {len(lines) - _MOST_ROWS} more"


# JSON


def as_json(found: Assessment, proof: Proof, ledger: Ledger) -> dict[str, Any]:
    """The object that `--json` prints; this module's docstring lists its keys."""
    return {
        "format": 1,
        "ok": found.ok,
        "verdict": proof.verdict,
        "counts": dict(Counter(cell.state for cell in found.cells)),
        "cells": [
            {
                "deployment": cell.need.deployment,
                "model": cell.need.model,
                "gpus": cell.need.gpus,
                "state": cell.state,
                "ok": cell.ok,
                "message": str(cell),
                "note": cell.note,
                "job": cell.entry.job.name if cell.entry is not None else None,
            }
            for cell in found.cells
        ],
        "failures": [_failure(one) for one in found.failures],
        "missing": [
            {"deployment": one.deployment, "model": one.model, "test": one.test, "note": one.note}
            for one in found.missing
        ],
        "failed_runs": [job.name for job in found.failed_runs],
        "unknown": sorted({one.model for one in found.ignored.unknown}),
        "remarks": list(proof.remarks),
        "jobs": [
            {"name": job.name, "exit_status": job.exit_status, "ended": job.ended is not None}
            for job in latest(ledger).jobs
        ],
    }


def _failure(one: Entry) -> dict[str, str]:
    what = one.hardware.spec if one.is_placement else one.test
    return {"model": one.model, "what": what, "headline": headline_of(one), "job": one.job.name}
