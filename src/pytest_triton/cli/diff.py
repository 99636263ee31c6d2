"""`pytest-triton diff BEFORE AFTER`: which placements changed between two ledgers.

For upgrades of Triton, an image or the hardware. Exit codes: 0 if all models are placed alike, 1 if
one isn't (or is in one ledger only), 2 if a ledger is unusable.

`--json` prints {format, same, surroundings, changes}; a change is {deployment, model, hardware,
before, after, causes} (before, after: {placed, verdict, hardware, text}, null where the model
isn't).

With `--deployment` both are deployment files (compose, rendered manifests), and what Triton's rules
make of each is compared, on the GPUs that it grants and without any; no server is started, unless
`--rehearse` has the real core show it. `--json` then prints {format, source, servers}; a server is
{name, rehearsed_on, settings, changes}, a change {model, hardware, before, after} (model: "" for
the service as a whole; hardware: also the name of a probe, that fails always before or after).
"""

from __future__ import annotations

import argparse
import io
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_triton.cli.deployed import add_deployment_repo
from pytest_triton.cli.option_names import with_own_options
from pytest_triton.errors import PytestTritonError
from pytest_triton.ledger import Entry, read_ledger
from pytest_triton.ledger.diff import Change, Difference, difference, placed
from pytest_triton.ledger.fold import latest, merged
from pytest_triton.text.shown_text import printable
from pytest_triton.text.tables import lay_out, screen_width

_MOST_ROWS = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show which models are placed otherwise than before, and what else changed. Exit code 0: "
        "none; 1: some; 2: a ledger is unusable."
    )
    parser.add_argument("before", type=Path, metavar="BEFORE", help="a ledger, or a merged one")
    parser.add_argument("after", type=Path, metavar="AFTER", help="the ledger to compare with it")
    parser.add_argument(
        "--deployment",
        action="store_true",
        help="compare two versions of a deployment file, by prediction, instead of ledgers",
    )
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help="with --deployment: have the real core show it, with simulated GPUs and stand-in "
        "backends",
    )
    add_deployment_repo(parser)
    parser.add_argument(
        "--target",
        type=int,
        metavar="GPUS",
        help="how many GPUs a host has whose GPUs are all granted (with --deployment)",
    )
    parser.add_argument("--json", action="store_true", help="for programs; nothing else is printed")


def run(arguments: argparse.Namespace) -> int:
    if arguments.deployment:
        from pytest_triton.cli.deployment_diff import run as run_deployments

        return run_deployments(arguments)
    if problem := _problem(arguments):
        print(f"error: {problem}", file=sys.stderr)
        return 2
    try:
        before = latest(merged([read_ledger(arguments.before)]))
        after = latest(merged([read_ledger(arguments.after)]))
    except PytestTritonError as error:
        print(with_own_options("diff", f"error: {error}"), file=sys.stderr)
        return 2
    found = difference(before, after)
    if not found.changes and not found.same:
        print("error: the ledgers hold no placement to compare", file=sys.stderr)
        return 2
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that has no "·"
    if arguments.json:
        print(json.dumps(as_json(found), indent=2))
    else:
        print("\n".join(_text(found)))
    return 1 if found.changes else 0


def _problem(arguments: argparse.Namespace) -> str:
    """What is wrong with a comparison of ledgers; "" if nothing is."""
    files = [one for one in (arguments.before, arguments.after) if _is_deployment(one)]
    if files:
        command = ["pytest-triton", "diff", "--deployment", *["--rehearse"] * arguments.rehearse]
        command += [str(arguments.before), str(arguments.after)]
        are = "is a deployment file" if len(files) == 1 else "are deployment files"
        return (
            f"{' and '.join(printable(str(one)) for one in files)} {are}, and ledgers are "
            f"compared here\nWhat to do: {printable(shlex.join(command))}"
        )
    for option in ("rehearse", "deployment_repo", "target"):
        if getattr(arguments, option) not in (False, None, []):
            return f"--{option.replace('_', '-')} is for --deployment"
    return ""


def _is_deployment(path: Path) -> bool:
    file = Path(str(path).partition("::")[0])
    try:
        inside = [*file.iterdir()] if file.is_dir() else [file]
    except OSError:
        return False
    return any(one.suffix in (".yaml", ".yml") for one in inside)


def _text(found: Difference) -> Iterator[str]:
    yield from found.surroundings
    if found.surroundings:
        yield ""
    if found.changes:
        deployments = {change.deployment for change in found.changes}
        table = [["model", "hardware", "before", "after", "why"]]
        for change in found.changes[:_MOST_ROWS]:
            name = f"{change.deployment}: {change.model}" if len(deployments) > 1 else change.model
            why = _why(change, found.surroundings)
            table.append(
                [printable(name), _hardware(change), _cell(change.before), _cell(change.after), why]
            )
        for lines in lay_out(table, screen_width()):
            yield from lines
        if len(found.changes) > _MOST_ROWS:
            yield f"... and {len(found.changes) - _MOST_ROWS} more"
        yield ""
        yield from _reasons(found)
    plural = "s" if len(found.changes) != 1 else ""
    yield f"{len(found.changes)} placement{plural} changed, {found.same} did not"


def _reasons(found: Difference) -> Iterator[str]:
    """Triton's text on models that were served before and no longer are."""
    reported = [
        f"  {printable(change.model)}, {_hardware(change)}: {printable(change.after.observed.text)}"
        for change in found.changes[:_MOST_ROWS]
        if change.after is not None and change.after.observed and change.after.observed.text
    ]
    if reported:
        yield "Triton says:"
        yield from reported
        yield ""


def _why(change: Change, surroundings: tuple[str, ...]) -> str:
    if change.before is None:
        return "not in the first ledger"
    if change.after is None:
        return "not in the second ledger"
    causes = [_short(cause) for cause in change.causes]
    return ", ".join(causes) or "nothing that the ledgers know of"


def _short(cause: str) -> str:
    name, colon, _ = cause.partition(":")
    return name if colon else cause


def _hardware(change: Change) -> str:
    entry = change.after or change.before
    return entry.hardware.label if entry is not None else ""


def _cell(entry: Entry | None) -> str:
    if entry is None:
        return "-"
    return placed(entry) + ("" if entry.verdict == "proven" else f" ({entry.verdict})")


def as_json(found: Difference) -> dict[str, Any]:
    """The object that `--json` prints; this module's docstring lists its keys."""
    return {
        "format": 1,
        "same": found.same,
        "surroundings": list(found.surroundings),
        "changes": [
            {
                "deployment": change.deployment,
                "model": change.model,
                "hardware": _hardware(change),
                "before": _side(change.before),
                "after": _side(change.after),
                "causes": list(change.causes),
            }
            for change in found.changes
        ],
    }


def _side(entry: Entry | None) -> dict[str, str] | None:
    if entry is None:
        return None
    return {
        "placed": placed(entry),
        "verdict": entry.verdict,
        "hardware": entry.hardware.spec,
        "text": entry.observed.text if entry.observed is not None else "",
    }
