"""`pytest-triton doctor`: what this machine can run, and why not.

Exit codes: 0 if all that is required can run here; 1 if something of it can't (the output names
it, with the fix); 2 for wrong usage. Without --require it is required that a model repository can
be checked at all: by a rehearsal or in a container. Warnings never change the exit code.

Nothing is changed, pulled or installed. The tritonserver that is found is started once with
--help; nvidia-smi and the Docker daemon are asked, each for at most --timeout seconds.

With `--json` one object goes to standard output. Its keys are stable; new ones may join them:

    format     1
    abilities  an object, by name (rehearsal, real-backends, gpus, container, container-gpus):
               {possible, what, lacks, limits} (lacks: the findings that are missing for it;
               limits: those with a warning)
    gpus       how many real GPUs a tritonserver could use
    findings   a list: {name, status, text, fix, facts} (status: "ok", "warning" or "missing";
               facts: an object that depends on the finding)
    required   a list of texts
    unmet      those of them that this machine can't do
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from pytest_triton.cli.option_names import with_own_options
from pytest_triton.doctor.examine import ABILITIES, Wanted, examine
from pytest_triton.doctor.report import Diagnosis, Finding
from pytest_triton.servers.container.image import OFFICIAL_IMAGE
from pytest_triton.text.shown_text import printable
from pytest_triton.text.wrapping import wrapped

_WIDTH = 92  # characters a line of prose
_ANY_WAY = "rehearsal or container"
_MARKS = {"ok": "ok", "warning": "warning", "missing": "MISSING"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show what this machine can run and why not, each with its fix: rehearsals, real "
        "backends, GPUs, containers. Nothing is changed. Exit code 0 if all that is required can "
        "run here, else 1."
    )
    parser.add_argument("--json", action="store_true", help="for programs; nothing else is printed")
    parser.add_argument(
        "--require",
        action="append",
        default=[],
        type=_requirement,
        metavar="WHAT",
        help=f"what must be possible: {', '.join(ABILITIES)}, gpus=N. Repeatable (default: "
        "rehearsal or container)",
    )
    parser.add_argument("--image", default=OFFICIAL_IMAGE, help="as --triton-image (%(default)s)")
    parser.add_argument("--binary", type=Path, metavar="PATH", help="as --triton-binary")
    parser.add_argument("--version", metavar="V", help="as --triton-version")
    parser.add_argument("--python", type=Path, metavar="PYTHON", help="as --triton-python")
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="how long a program or daemon may take to answer (default: 10)",
    )


def run(arguments: argparse.Namespace) -> int:
    wanted = Wanted(
        image=arguments.image,
        binary=arguments.binary,
        version=arguments.version,
        python=arguments.python,
        seconds=arguments.timeout,
    )
    diagnosis = examine(wanted)
    required: list[str] = list(dict.fromkeys(arguments.require)) or [_ANY_WAY]
    unmet = [one for one in required if not _met(one, diagnosis)]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that has no "·"
    if arguments.json:
        print(json.dumps(as_json(diagnosis, required, unmet), indent=2))
    else:
        print("\n".join(_text(diagnosis)))
        for one in unmet:
            print(f"\nnot possible here: {one} ({_why(one, diagnosis)})")
    return 1 if unmet else 0


def _requirement(text: str) -> str:
    if text in ABILITIES or re.fullmatch(r"gpus=[1-9]\d{0,3}", text):
        return text
    close = get_close_matches(text.lower(), ABILITIES, n=1)
    meant = f". Did you mean {close[0]}?" if close else ""
    raise argparse.ArgumentTypeError(
        f"{text!r} is nothing that can be required: {', '.join(ABILITIES)}, or gpus=2{meant}"
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to 3600")
    return seconds


def _met(requirement: str, diagnosis: Diagnosis) -> bool:
    if requirement == _ANY_WAY:
        return any(diagnosis.ability(name).possible for name in ("rehearsal", "container"))
    name, _, count = requirement.partition("=")
    return diagnosis.ability(name).possible and diagnosis.gpus >= int(count or 0)


def _why(requirement: str, diagnosis: Diagnosis) -> str:
    names = ("rehearsal", "container") if requirement == _ANY_WAY else (requirement,)
    lacks = [lack for name in names for lack in diagnosis.ability(name.partition("=")[0]).lacks]
    return f"missing: {', '.join(lacks)}" if lacks else f"there are {diagnosis.gpus} GPUs"


def as_json(
    diagnosis: Diagnosis, required: Sequence[str], unmet: Sequence[str]
) -> dict[str, object]:
    """The object that `--json` prints; this module's docstring lists its keys."""
    return {
        "format": 1,
        "abilities": {
            one.name: {
                "possible": one.possible,
                "what": one.what,
                "lacks": list(one.lacks),
                "limits": list(one.limits),
            }
            for one in diagnosis.abilities
        },
        "gpus": diagnosis.gpus,
        "findings": [
            {
                "name": one.name,
                "status": one.status,
                "text": _own(one.text),
                "fix": _own(one.fix),
                "facts": dict(one.facts),
            }
            for one in diagnosis.findings
        ],
        "required": list(required),
        "unmet": list(unmet),
    }


def _text(diagnosis: Diagnosis) -> Iterator[str]:
    yield "This machine can run"
    width = max(len(one.name) for one in diagnosis.abilities)
    for one in diagnosis.abilities:
        answer = "yes" if one.possible else "no"
        because = "lacks " + ", ".join(one.lacks) if one.lacks else ""
        if one.possible and one.limits:
            because = "but see " + ", ".join(one.limits)
        yield from _wrapped(
            f"{answer:3}  {one.what}" + (f": {because}" if because else ""),
            f"  {one.name:{width}}  ",
        )
    yield ""
    yield "because"
    width = max(len(one.name) for one in diagnosis.findings)
    for finding in diagnosis.findings:
        yield from _finding(finding, width)


def _own(text: str) -> str:
    return with_own_options("doctor", text)


def _finding(finding: Finding, width: int) -> Iterator[str]:
    start = f"  {_MARKS[finding.status]:7}  {finding.name:{width}}  "
    yield from _wrapped(printable(_own(finding.text)), start)
    if finding.fix:
        yield from _wrapped(f"fix: {printable(_own(finding.fix))}", " " * len(start))


def _wrapped(text: str, start: str) -> list[str]:
    return wrapped(text, max(_WIDTH, len(start) + 40), start=start, behind=" " * len(start))
