"""A ledger as one HTML page that needs nothing else: no network, no other file.

Data in, text out. The table is plain HTML and can be read without scripts; `page/` holds what is
the same on every page. What a ledger says (names of models, logs) is only ever text: it is escaped
in the HTML, embedded as JSON that no markup can end, and put into the page as text nodes. A
content security policy names the one style sheet and the one script by their hashes, so that
nothing else could run or be loaded.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from pytest_triton._version import __version__
from pytest_triton.checks.result import SERVICE, Outcome, ServerFacts, as_builtins
from pytest_triton.ledger.entries import Entry, Job, Ledger
from pytest_triton.reports.matrix import (
    ATTENTION,
    KINDS,
    Cell,
    Column,
    Kind,
    Matrix,
    Row,
    count_kinds,
    evidence_of,
    outcome_text,
)
from pytest_triton.reports.overview import Place, Problem, parts_of
from pytest_triton.reports.proof import Open, Proof
from pytest_triton.reports.report import Report
from pytest_triton.text.shown_text import printable

_PAGE = Path(__file__).with_name("page")
_MOST_PROBLEMS = 12
_MOST_PLACES = 8  # of a problem; all are in the table
_LONG = 24  # characters of a name that may be broken
_PICTURE_FROM = 60  # models; fewer are seen at a glance in the table

# Paths in a square of 16 x 16. "open" ones are lines, never filled.
_SHAPES: Mapping[Kind, tuple[str, bool]] = {
    "failed": ("M3.5 1.5 8 6 12.5 1.5l2 2L10 8l4.5 4.5-2 2L8 10l-4.5 4.5-2-2L6 8 1.5 3.5z", False),
    "not-proven": ("M4.8 5.2a3.2 3.2 0 1 1 4.6 3C8.4 8.7 8 9.3 8 10.6M8 14v.3", True),
    "fallback": ("M1.5 3h13L8 14.5z", False),
    "skipped": ("M2.5 3.5 7 8l-4.5 4.5M8.5 3.5 13 8l-4.5 4.5", True),
    "fallback-allowed": ("M1.5 6h13L8 15zM1.5 2.5h13", False),
    "refused": ("M1.5 6h13v4h-13z", False),
    "gpu": ("M2 2h12v12H2z", False),
    "mixed": (
        "M1.5 1.5h9v6.2a4 4 0 0 0-2.8 2.8H1.5zM15 11.5a3.3 3.3 0 1 1-6.6 0 3.3 3.3 0 0 1 6.6 0z",
        False,
    ),
    "cpu": ("M14.2 8A6.2 6.2 0 1 1 1.8 8a6.2 6.2 0 0 1 12.4 0z", False),
    "model": ("M8 1.3 14 4.7v6.6l-6 3.4-6-3.4V4.7z", False),
    "ready": ("M11 8a3 3 0 1 1-6 0 3 3 0 0 1 6 0z", False),
}


def html(ledger: Ledger, *, title: str = "Triton placement") -> str:
    """The page of a merged ledger. Rows are sorted worst first, then by name."""
    report = Report.of(ledger)
    ledger, matrix, proof, verdict = report.ledger, report.matrix, report.proof, report.verdict
    rows = report.rows
    numbers = {id(entry): number for number, entry in enumerate(ledger.placements)}
    checks = {id(check): number for number, check in enumerate(ledger.checks)}
    style = (_PAGE / "page.css").read_text("utf-8")
    script = (_PAGE / "page.js").read_text("utf-8")
    lead = _Lead(proof is not None, any(row.failed_checks for row in rows))
    parts = {
        "policy": "default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"style-src '{_hash(style)}' 'unsafe-hashes'; script-src '{_hash(script)}'",
        "version": escape(__version__),
        "title": escape(f"{title}: {verdict}"),
        "style": style,
        "shapes": "".join(_symbols()),
        "mood": "good" if report.is_good else "bad",
        "verdict": _verdict(verdict),
        "proof": "".join(_proof(proof)) if proof is not None else "",
        "problems": "".join(_problems(report.problems, matrix, lead)),
        "parts": "".join(_parts(report, lead)) if matrix.several_deployments else "",
        "evidence": "".join(_evidence(matrix)),
        "warnings": "".join(_warnings(matrix)),
        "legend": "".join(_legend(matrix)),
        "attention": _attention_button(len(report.attention)),
        "picture": _picture(matrix) if len(rows) > _PICTURE_FROM else "",
        "titles": "".join(_titles(matrix.columns, lead)),
        "rows": "\n".join(_row(row, report, lead, numbers, checks) for row in rows),
        "footer": "".join(_footer(matrix)),
        "data": _data(ledger, matrix, lead),
        "script": script,
    }
    page = (_PAGE / "page.html").read_text("utf-8")
    pieces = page.split("{{")  # in one pass: what is put in is never looked at again
    text = [pieces[0]]
    for piece in pieces[1:]:
        name, _, rest = piece.partition("}}")
        text += [parts[name], rest]
    return "".join(text)


@dataclass(frozen=True)
class _Lead:
    """Which cells of a row stand before those of the matrix's columns."""

    has_proof: bool
    has_checks: bool

    @property
    def cells(self) -> int:
        return 2 + self.has_proof + self.has_checks

    def at(self, column: int | None) -> int:
        """Where a row has a column's cell; of None that of the checks, or of the proof."""
        return self.cells - 1 if column is None else self.cells + column


def _hash(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()


def _text(text: str) -> str:
    """Any text of a ledger, in one line, as HTML. Nothing in it is invisible or turns the line."""
    return escape(printable(text))


def _breakable(name: str) -> str:
    """A name of a model or deployment, which a narrow column breaks at its parts; short names of
    models stay whole."""
    parts = "::|/" if len(name) <= _LONG else r"::|[/_.-](?=\w)"
    return re.sub(f"({parts})", r"\1<wbr>", _text(name))


def _symbols() -> Iterator[str]:
    for kind, (path, is_open) in _SHAPES.items():
        fill = ' fill="none"' if is_open else ""
        yield f'<symbol id="{kind}" viewBox="0 0 16 16"><path d="{path}"{fill}/></symbol>'


def _shape(kind: Kind, label: bool = True) -> str:
    if not label:
        return f'<svg class="i" aria-hidden="true"><use href="#{kind}"/></svg>'
    return f'<svg class="i" role="img" aria-label="{KINDS[kind]}"><use href="#{kind}"/></svg>'


def _stamp(run: str) -> str:
    if not run:
        return '<span class="stamp none">no server</span>'
    if run == "real run":
        return '<span class="stamp real">real run</span>'
    return f'<span class="stamp rehearsal">{_text(evidence_of(run))}</span>'


# The head


def _verdict(text: str) -> str:
    """The sentence, of which what stands behind a colon is smaller."""
    first, colon, rest = text.partition(": ")
    if not colon or not rest[:1].isdigit():
        return escape(text)
    return f'{escape(first)}<span class="colon">{colon}</span><span>{escape(rest)}</span>'


def _evidence(matrix: Matrix) -> Iterator[str]:
    rehearsed, real = matrix.count(real=False), matrix.count(real=True)
    if matrix.evidence == "rehearsal" and matrix.only_attached:
        yield f"<p>{_stamp('attached server')} "
        yield (
            f"{rehearsed:,} placement{_s(rehearsed)} seen on a running server; whether its GPUs "
            "and backends are real isn't known here</p>"
        )
        return
    if matrix.evidence in ("rehearsal", "both"):
        yield f"<p>{_stamp('rehearsal')} "
        yield (
            f"{rehearsed:,} placement{_s(rehearsed)} as predicted, with a real Triton core and "
            "simulated GPUs or stand-in backends: where models go, not that they compute</p>"
        )
    if matrix.evidence in ("real run", "both"):
        yield f"<p>{_stamp('real run')} "
        yield f"{real:,} placement{_s(real)} as predicted, on real hardware and backends</p>"
    elif matrix.evidence == "rehearsal":
        yield '<p class="soft">nothing here was run on real hardware</p>'
    else:
        yield _stamp("")


def _proof(proof: Proof) -> Iterator[str]:
    """How many of the plan's placements are in which state, and merge's remarks."""
    counts = "".join(f"<li><b>{number:,}</b> {_text(label)}</li>" for number, label in proof.counts)
    whole = f"{proof.planned:,} placement{_s(proof.planned)} of the plan"
    yield f'<section class="proof" aria-label="What is proven"><h2>{whole}</h2><ul>{counts}</ul>'
    yield "".join(f"<p>{_text(remark)}</p>" for remark in proof.remarks)
    yield "</section>"


def _problems(problems: Sequence[Problem], matrix: Matrix, lead: _Lead) -> Iterator[str]:
    """What is wrong, and where: what many models have in common stands once."""
    if not problems:
        return
    yield '<section class="problems" aria-label="What is wrong"><ul>'
    for one in problems[:_MOST_PROBLEMS]:
        jobs = f" <small>found by {_text(', '.join(one.jobs))}</small>" if one.jobs else ""
        count = f"{len(one.places):,} models: " if len(one.places) > 1 else ""
        models = "; ".join(_models(one, matrix.several_deployments, lead))
        yield f'<li data-k="{one.kind}" class="real">{_shape(one.kind)}<div>'
        yield f"<strong>{_text(one.where)}</strong> <span>{_text(one.what)}</span>{jobs}"
        yield f"<p>{count}{models}</p></div></li>"
    yield "</ul>"
    if len(problems) > _MOST_PROBLEMS:
        yield f"<p>and {len(problems) - _MOST_PROBLEMS:,} more; all are in the table</p>"
    yield "</section>"


def _models(problem: Problem, several: bool, lead: _Lead) -> Iterator[str]:
    """The first models of a problem, by deployment where there are several."""
    places_sorted = sorted(problem.places, key=lambda place: (place.deployment, place.model))
    by_deployment = [(name, [*those]) for name, those in groupby(places_sorted, key=_deployment)]
    most = max(2, _MOST_PLACES // len(by_deployment))
    for name, places in by_deployment[:_MOST_PLACES]:
        head = f"{_breakable(name)}: " if several and name else ""
        more = f" and {len(places) - most:,} more" if len(places) > most else ""
        yield head + ", ".join(_link(place, several, lead) for place in places[:most]) + more


def _deployment(place: Place) -> str:
    return place.deployment


def _link(place: Place, several: bool, lead: _Lead) -> str:
    """A model's name, which opens its details."""
    mark = {"model": printable(place.model), "at": str(lead.at(place.column))}
    if several:
        mark["in"] = printable(place.deployment)
    return f'<a href="#{escape(urlencode(mark))}"><bdi>{_breakable(place.model)}</bdi></a>'


def _parts(report: Report, lead: _Lead) -> Iterator[str]:
    """A line for each deployment: its server, and how many models need attention, and where."""
    matrix, has_checks = report.matrix, lead.has_checks
    parts = parts_of(matrix)
    has_servers = any(part.service is not None for part in parts)
    titles = ["server"] * has_servers + ["models"]
    titles += ["not proven"] * lead.has_proof + ["checks"] * has_checks
    titles += [f"{column.label}, {column.evidence}" for column in matrix.columns]
    heads = "".join(f'<th scope="col">{_text(title)}</th>' for title in titles)
    yield '<div class="parts"><table><caption>Models that need attention</caption>'
    yield "<thead><tr>"
    yield f'<th scope="col">deployment</th>{heads}</tr></thead><tbody>'
    for part in parts:
        yield f'<tr><th scope="row"><bdi>{_breakable(part.deployment)}</bdi></th>'
        if has_servers:
            yield _server_cell(part.service, report)
        yield f"<td>{part.models:,}</td>"
        if lead.has_proof:
            open_here = sum(
                deployment == part.deployment and model != SERVICE
                for deployment, model in report.open
            )
            planned = sum(map(report.is_planned, part.rows))
            yield _part_cell(open_here, planned, none="not in the plan")
        counts = part.counts if has_checks else part.counts[1:]
        yield "".join(_part_cell(bad, known) for bad, known in counts) + "</tr>"
    yield "</tbody></table></div>"


def _server_cell(service: Row | None, report: Report) -> str:
    if service is None:
        return '<td class="none" aria-label="not known">·</td>'
    if not report.needs_attention(service):
        return '<td class="soft">passed</td>'
    kind = _kind_of_checks(service) if service.failed_checks else "not-proven"
    return f'<td data-k="{kind}">{KINDS[kind]}</td>'


def _part_cell(bad: int, known: int, none: str = "") -> str:
    if not known and none:
        return f'<td class="soft">{none}</td>'
    if not known:
        return '<td class="none" aria-label="not known">·</td>'
    if bad:
        return f'<td data-k="failed">{bad:,} of {known:,}</td>'
    return f'<td class="soft">none of {known:,}</td>'


def _warnings(matrix: Matrix) -> Iterator[str]:
    for job in matrix.cut_off:
        yield (
            f'<p class="warning">The run <bdi>{_text(job.name)}</bdi> (started '
            f"{_text(job.started)}) was cut off: what it had proven until then is shown.</p>"
        )
    if not matrix.jobs:
        yield '<p class="warning">This ledger holds no run at all.</p>'


def _legend(matrix: Matrix) -> Iterator[str]:
    marks = [cell.kind for cell in matrix.cells]
    marks += [_kind_of_checks(row) for row in matrix.rows if row.failed_checks]
    if marks:
        yield '<li><span class="key">marks in the table:</span></li>'
    for kind, count in count_kinds(marks).items():
        yield (
            f'<li><button type="button" data-k="{kind}" aria-pressed="false" '
            f'class="{_run_class(matrix.evidence == "real run")}">'
            f"{_shape(kind, label=False)}<span>{KINDS[kind]}</span><b>{count:,}</b></button></li>"
        )
    if matrix.evidence == "both":
        for real, text in ((True, "filled: real run"), (False, "outlined: rehearsal")):
            run = _run_class(real)
            count = sum(cell.worst.is_real == real for cell in matrix.cells)
            yield (
                f'<li><button type="button" data-r="{run}" aria-pressed="false" class="{run}">'
                f"{_shape('gpu', label=False)}<span>{text}</span><b>{count:,}</b></button></li>"
            )
    elif matrix.cells:
        unreal = "attached server" if matrix.only_attached else "rehearsal"
        outlined = f"outlined: {unreal}" if matrix.evidence == "rehearsal" else "filled: real run"
        yield f'<li><span class="key">{outlined}</span></li>'


def _attention_button(count: int) -> str:
    if not count:
        return ""
    return (
        '<button id="attention" type="button" aria-pressed="false">'
        f"only what needs attention <b>{count:,}</b></button>"
    )


def _picture(matrix: Matrix) -> str:
    return (
        '<figure id="picture" class="picture" data-needs-script hidden aria-hidden="true">'
        '<canvas></canvas><div class="tip" hidden></div><figcaption>Every mark is a model, at the '
        "same place for each hardware. The table below has the same, with names.</figcaption>"
        "</figure>"
    )


# The table


def _titles(columns: Sequence[Column], lead: _Lead) -> Iterator[str]:
    yield '<th scope="col">model</th><th scope="col">declared</th>'
    if lead.has_proof:
        yield '<th scope="col">proven</th>'
    if lead.has_checks:
        yield '<th scope="col">checks</th>'
    for column in columns:
        version = f"<small>tritonserver {_text(column.version)}</small>" if column.version else ""
        yield f'<th scope="col">{_text(column.label)}{version}{_stamp(column.run)}</th>'


def _row(
    row: Row,
    report: Report,
    lead: _Lead,
    numbers: Mapping[int, int],
    checks: Mapping[int, int],
) -> str:
    several = report.matrix.several_deployments
    where = f'<span class="deployment">{_breakable(row.deployment)}</span>' if several else ""
    cells = [
        f'<th scope="row"><bdi>{_breakable(row.model)}</bdi>{where}</th>',
        f'<td class="cell">{_text(row.declared) or "-"}</td>',
    ]
    if lead.has_proof:
        open_here = report.open.get((row.deployment, row.model), ())
        cells.append(_proof_cell(open_here, report.is_planned(row)))
    if lead.has_checks:
        cells.append(_checks_cell(row))
    cells += [
        _cell(cell, numbers, column)
        for cell, column in zip(row.cells, report.matrix.columns, strict=True)
    ]
    failed = " ".join(str(checks[id(check)]) for check in row.failed_checks)
    attributes = f' data-d="{_text(row.deployment)}"' if several else ""
    attributes += f' data-c="{failed}"' if failed else ""
    attributes += " data-service" if row.model == SERVICE else ""
    attributes += ' class="attention"' if report.needs_attention(row) else ""
    return f"<tr{attributes}>{''.join(cells)}</tr>"


def _proof_cell(found: Sequence[Open], is_planned: bool) -> str:
    """What keeps a model from being proven, if anything."""
    if not found and not is_planned:
        return '<td class="cell soft">not in the plan</td>'
    if not found:
        return '<td class="cell soft">proven</td>'
    kind: Kind = "failed" if any(one.failed for one in found) else "not-proven"
    lines = "".join(f"<small>{_text(one.where)}: {_text(one.what)}</small>" for one in found[:3])
    more = f"<small>and {len(found) - 3} more</small>" if len(found) > 3 else ""
    return (
        f'<td class="cell real" data-k="{kind}"><span>{_shape(kind)}'
        f"<span>{KINDS[kind]}{lines}{more}</span></span></td>"
    )


def _checks_cell(row: Row) -> str:
    if not row.failed_checks:
        return '<td class="cell"></td>'
    tests = dict.fromkeys(check.test for check in row.failed_checks)
    names = ", ".join(test.removeprefix("test_").replace("_", " ") for test in tests)
    kind = _kind_of_checks(row)
    return (
        f'<td class="cell real" data-k="{kind}"><span>{_shape(kind)}'
        f"<span>{_text(names)}</span></span></td>"
    )


def _kind_of_checks(row: Row) -> Kind:
    failed = any(check.verdict == "failed" for check in row.failed_checks)
    return "failed" if failed else "not-proven"


def _cell(cell: Cell | None, numbers: Mapping[int, int], column: Column) -> str:
    if cell is None:
        return '<td class="none" aria-label="not known">·</td>'
    worst = cell.worst
    run = _run_class(worst.is_real)
    entries = " ".join(str(numbers[id(entry)]) for entry in cell.entries)
    placed = re.sub(r"GPU (?=\d)", "GPU&nbsp;", _text(outcome_text(worst)))
    note = ""
    if cell.kind == "failed" and worst.predicted is not None:
        note = f"<small>predicted: {_text(str(worst.predicted))}</small>"
    elif cell.kind in ("fallback", "fallback-allowed"):
        note = f"<small>{KINDS[cell.kind]}</small>"
    if hardware := cell.hardware_in(column):
        note += f"<small>{_text(hardware)}</small>"
    more = f" <small>{len(cell.entries)} runs</small>" if len(cell.entries) > 1 else ""
    return (
        f'<td class="cell {run}" data-k="{cell.kind}" data-r="{run}" data-e="{entries}"><span>'
        f"{_shape(cell.kind)}<span>{placed}{note}{more}</span></span></td>"
    )


def _run_class(real: bool) -> str:
    return "real" if real else "rehearsal"


# The foot, and the data


def _footer(matrix: Matrix) -> Iterator[str]:
    runs: dict[str, list[str]] = {}
    for job in matrix.jobs:
        runs.setdefault(job.name, []).append(
            _text(job.started)
            + (f", commit {_text(job.commit)}" if job.commit else "")
            + (f", shard {_text(job.shard)}" if job.shard else "")
            + ("" if job.ended else ", cut off")
        )
    jobs = "".join(
        f"<li><bdi>{_text(name)}</bdi>: {'; '.join(starts)}</li>" for name, starts in runs.items()
    )
    count = len(matrix.jobs)
    yield f"<details><summary>{count:,} run{_s(count)} of pytest</summary><ul>{jobs}</ul></details>"
    yield f"<p>pytest-triton {escape(__version__)}</p>"


Asked = tuple[ServerFacts, str]  # a server, and what its run was


def _data(ledger: Ledger, matrix: Matrix, lead: _Lead) -> str:
    """What the script needs, as JSON that is safe between script tags and in any encoding."""
    jobs: dict[Job, int] = {}
    servers: dict[Asked, int] = {}
    entries = [_entry(one, jobs, servers) for one in ledger.placements]
    checks = [_check(one) for one in ledger.checks]
    value = {
        "kinds": KINDS,
        "attention": sorted(ATTENTION),
        "several": matrix.several_deployments,
        "columns": [None] * lead.cells + [{"title": column.title} for column in matrix.columns],
        "jobs": [asdict(job) for job in jobs],
        "servers": [{**as_builtins(server), "run": run} for server, run in servers],
        "entries": entries,
        "checks": checks,
    }
    text = json.dumps(_without_blanks(value), separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _entry(entry: Entry, jobs: dict[Job, int], servers: dict[Asked, int]) -> dict[str, Any]:
    """What the story of a cell shows of an entry, as texts; its job and server by number."""
    number = None
    if entry.server is not None:
        number = servers.setdefault((entry.server, entry.run), len(servers))
    # Triton names a group that has no name after its model and number: so does its row.
    declared = [
        {"name": one.name or f"{entry.model}_{place}", "summary": one.summary}
        for place, one in enumerate(entry.declared.groups)
    ]
    return {
        "hardware": {"label": entry.hardware.label},
        "predicted": _outcome(entry.predicted),
        "observed": _outcome(entry.observed),
        "groups": declared,
        "sources": [{"name": one.name, "said": one.report} for one in entry.evidence],
        "server": number,
        "job": jobs.setdefault(entry.job, len(jobs)),
        "log": entry.log,
        **_check(entry),
    }


def _check(entry: Entry) -> dict[str, Any]:
    return {
        "test": entry.test,
        "verdict": entry.verdict,
        "headline": entry.headline,
        "text": entry.text,
        "config": as_builtins(entry.config),
    }


def _outcome(outcome: Outcome | None) -> dict[str, Any] | None:
    if outcome is None:
        return None
    groups = [{"name": group.name, "summary": str(group.placement)} for group in outcome.groups]
    return {"summary": str(outcome), "text": outcome.text, "groups": groups}


def _without_blanks(value: Any) -> Any:
    """Without fields that say nothing: half of a ledger."""
    if isinstance(value, dict):
        return {
            name: _without_blanks(field)
            for name, field in value.items()
            if field is not None and field is not False and field not in ("", [])
        }
    if isinstance(value, list):
        return [_without_blanks(one) for one in value]
    return value


def _s(count: int) -> str:
    return "" if count == 1 else "s"
