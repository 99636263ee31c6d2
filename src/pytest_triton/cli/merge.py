"""`python -m pytest_triton merge`: many jobs' ledgers, and one answer.

What must be proven comes from a plan, never from the ledgers that turned up. Exit codes:

    0  all of the plan is proven
    1  something isn't: it failed, was never proven, or was proven for another config; or a check
       failed
    2  nothing can be said: a ledger or plan is missing, empty, foreign, outdated or damaged, or
       wrong usage

Where no GPU is needed a rehearsal is proof enough, since Triton's real core decides there; with
GPUs a rehearsal simulates the very thing that is to be proven. `--rehearsals` changes that.

`--output` writes one ledger of all, which `report`, `diff` and `merge` take. `--json` prints
{format, ok, counts, cells, failures, strangers, jobs}; a cell is {deployment, model, gpus, state,
ok, words, note, job}, its state "real", "rehearsed", "failed", "other config" or "never".
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pytest_triton.cli.deployments import read_deployment
from pytest_triton.cli.plan import make_plan
from pytest_triton.errors import PytestTritonError
from pytest_triton.ledger import Entry, Ledger, LedgerUnusable, read_ledger, write_ledger
from pytest_triton.ledger.assess import Assessment, Cell, assess
from pytest_triton.ledger.fold import merged
from pytest_triton.ledger.ledger_file import read_json
from pytest_triton.plan.plan_file import Plan, PlanUnusable, needs_of
from pytest_triton.repository.problems import printable
from pytest_triton.text.tables import lay_out, screen_width

_MOST_ROWS = 50
_MOST_NAMES = 20


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
    expected = parser.add_mutually_exclusive_group(required=True)
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
    parser.add_argument(
        "--rehearsals",
        choices=["no-gpu", "everywhere", "nowhere"],
        default="no-gpu",
        help="where a rehearsal is proof enough (default: no-gpu, where no GPU is needed)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="write one ledger of all")
    parser.add_argument("--json", action="store_true", help="for programs; nothing else is printed")


def run(arguments: argparse.Namespace) -> int:
    try:
        plan = _plan(arguments)
        ledger = merged(read_ledger(path) for path in _files(arguments.ledgers))
        if not ledger.jobs:
            raise LedgerUnusable("The ledgers tell of no job.", cure="run the jobs again")
        if arguments.output is not None:
            write_ledger(arguments.output, ledger)
    except PytestTritonError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    found = assess(plan, ledger, arguments.rehearsals)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that has no "·"
    if arguments.json:
        print(json.dumps(as_json(found, ledger), indent=2))
    else:
        print("\n".join(_text(found, ledger)))
    return 0 if found.ok else 1


def _plan(arguments: argparse.Namespace) -> Plan:
    if arguments.plan is None:
        return make_plan(arguments.repo)
    try:
        return needs_of(read_json(arguments.plan))
    except PlanUnusable as error:
        raise PlanUnusable(f"{arguments.plan}: {error.what}", cure=error.cure) from None


def _files(given: Sequence[Path]) -> list[Path]:
    """The files, each once. A directory stands for the .json files in it, which there must be."""
    found: dict[str, Path] = {}
    for path in given:
        inside = sorted(path.rglob("*.json")) if path.is_dir() else [path]
        if not inside:
            raise LedgerUnusable(
                f"{path} holds no .json file.",
                cure="check that the jobs wrote their ledgers and that these were fetched",
            )
        for one in inside:
            found.setdefault(os.path.realpath(one), one)
    return list(found.values())


# Text


def _text(found: Assessment, ledger: Ledger) -> Iterator[str]:
    yield from _table(found)
    yield ""
    for words, number in Counter(_counted_as(cell) for cell in found.cells).most_common():
        yield f"{number:5}  {words}"
    if found.failures:
        yield ""
        yield "Failed besides:"
        for one in found.failures[:_MOST_ROWS]:
            what = one.hardware.label if one.is_placement else one.test
            yield f"  {printable(one.model)}, {what}: {printable(one.headline)} ({one.job.name})"
        if len(found.failures) > _MOST_ROWS:
            yield f"  ... and {len(found.failures) - _MOST_ROWS} more"
    yield from _remarks(found, ledger)
    yield ""
    yield _last_line(found)


def _counted_as(cell: Cell) -> str:
    where = f"{cell.need.gpus} GPU{'s' if cell.need.gpus > 1 else ''}"
    return f"{cell} ({where if cell.need.gpus else 'no GPU'})"


def _table(found: Assessment) -> Iterator[str]:
    columns = sorted({cell.need.gpus for cell in found.cells})
    rows: dict[tuple[str, str], dict[int, Cell]] = {}
    for cell in found.cells:
        rows.setdefault((cell.need.deployment, cell.need.model), {})[cell.need.gpus] = cell
    several = len({deployment for deployment, _ in rows}) > 1
    # The whole table if it is short; else what deserves attention, the worst first.
    shown = list(rows.items())
    if len(shown) > _MOST_ROWS:
        bad = [row for row in shown if not all(cell.ok for cell in row[1].values())]
        shown = sorted(bad, key=_badness)[:_MOST_ROWS]
    header = ["model", "declared", *(_column(count) for count in columns)]
    table = [header]
    for (where, model), cells in shown:
        name = printable(f"{where}: {model}" if several else model)
        declared = next(iter(cells.values())).need.declared
        table.append([name, declared, *(_shown(cells.get(count)) for count in columns)])
    if shown:
        for lines in lay_out(table, screen_width()):
            yield from lines
    if len(shown) < len(rows):
        hidden = [row for row in rows.items() if row not in shown]
        bad_ones = sum(not all(cell.ok for cell in cells.values()) for _, cells in hidden)
        words = f", {bad_ones} of them not proven" if bad_ones else ", all proven"
        yield f"... and {len(hidden)} more models of {len(rows)}{words}"


def _badness(row: tuple[object, dict[int, Cell]]) -> int:
    order = ["failed", "other config", "never", "rehearsed", "real"]
    return min(order.index(cell.state) for cell in row[1].values() if not cell.ok)


def _column(count: int) -> str:
    return {0: "no GPU", 1: "1 GPU"}.get(count, f"{count} GPUs")


def _shown(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    note = f" ({printable(cell.note)})" if cell.note else ""
    return f"{cell}{note}{'' if cell.ok else '  <-'}"


def _remarks(found: Assessment, ledger: Ledger) -> Iterator[str]:
    killed = [job.name for job in ledger.jobs if job.ended is None]
    if killed:
        yield ""
        yield f"Ended before they were done: {', '.join(dict.fromkeys(killed))}"
    if found.strangers:
        known = {cell.need.deployment for cell in found.cells}
        names = list(dict.fromkeys(one.model for one in found.strangers))
        more = f", and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        yield ""
        yield "Not in the plan: " + ", ".join(map(printable, names[:_MOST_NAMES])) + more
        others = {one.deployment for one in found.strangers} - known
        if others:
            yield (
                f"  The plan is for {_quoted(known)}, and there are ledgers of {_quoted(others)}: "
                "name the repository the same in both."
            )


def _quoted(names: set[str]) -> str:
    return ", ".join(f"`{printable(name)}`" for name in sorted(names))


def _last_line(found: Assessment) -> str:
    unproven = [cell for cell in found.cells if not cell.ok]
    if found.ok:
        return f"All proven: {len(found.cells)} of {len(found.cells)}"
    parts = []
    if unproven:
        parts.append(f"{len(unproven)} of {len(found.cells)} not proven")
    if found.failures:
        plural = "s" if len(found.failures) > 1 else ""
        parts.append(f"{len(found.failures)} other failure{plural}")
    return f"Not all is proven: {', '.join(parts)}"


# JSON


def as_json(found: Assessment, ledger: Ledger) -> dict[str, Any]:
    """The object that `--json` prints; this module's docstring lists its keys."""
    return {
        "format": 1,
        "ok": found.ok,
        "counts": dict(Counter(cell.state for cell in found.cells)),
        "cells": [
            {
                "deployment": cell.need.deployment,
                "model": cell.need.model,
                "gpus": cell.need.gpus,
                "state": cell.state,
                "ok": cell.ok,
                "words": str(cell),
                "note": cell.note,
                "job": cell.entry.job.name if cell.entry is not None else None,
            }
            for cell in found.cells
        ],
        "failures": [_failure(one) for one in found.failures],
        "strangers": sorted({one.model for one in found.strangers}),
        "jobs": [
            {"name": job.name, "exit_status": job.exit_status, "ended": job.ended is not None}
            for job in ledger.jobs
        ],
    }


def _failure(one: Entry) -> dict[str, str]:
    what = one.hardware.spec if one.is_placement else one.test
    return {"model": one.model, "what": what, "headline": one.headline, "job": one.job.name}
