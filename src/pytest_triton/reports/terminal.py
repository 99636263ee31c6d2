"""What is said in the terminal: the header line, and the table at the end."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_triton.checks.release import header_line
from pytest_triton.checks.result import own_hardware
from pytest_triton.options.production_arguments import server_arguments
from pytest_triton.placement.command_line import shown_arguments
from pytest_triton.reports.assumed import assumed_count, assumed_lines
from pytest_triton.text.shown_text import node_name, printable, shown
from pytest_triton.text.tables import lay_out, screen_width

if TYPE_CHECKING:
    import pytest

    from pytest_triton.checks.result import CheckResult
    from pytest_triton.checks.run import TritonSession
    from pytest_triton.options.settings import Settings

_MOST_ROWS = 50
_AT_CELL = ("failed", "other config")  # marks that a result's own text doesn't have
_MOST_FINDINGS = 20  # of the audit, a line each


def header(session: TritonSession, sources: bool) -> list[str]:
    """`triton: real run on ... · hardware: ... · N models in DIR`, and where options came from."""
    settings = session.settings
    hardware = ", ".join(request.label for request in settings.gpus)
    models = len({path for checked in session.deployments for path in checked.model_in})
    where = ", ".join(deployment.text for deployment in settings.repo[:3])
    if len(settings.repo) > 3:
        where += f", ... ({len(settings.repo)} deployments)"
    on = (
        f"attached server at {settings.server}"
        if not settings.host.is_ours
        else f"{_run(settings)} on {_server(settings)}"
    )
    lines = [
        f"triton: {on} · hardware: {hardware} · "
        f"{models} model{'s' if models != 1 else ''} in {where}"
        + assumed_count(session)
        + _values(settings),
        header_line(settings),
    ]
    lines += _production_lines(session)
    given = [
        f"{name} ({source})" for name, source in settings.sources.items() if source != "default"
    ]
    if sources:
        lines.append("triton options: " + ", ".join(given))
    return lines


def _production_lines(session: TritonSession) -> list[str]:
    """What production's arguments change: what is left to the plugin, what isn't loaded."""
    settings = session.settings
    if not settings.server_args:
        return []
    given = server_arguments(settings)
    lines = []
    if settings.host.is_ours:
        listed = shlex.join(shown_arguments(given.arguments)) or "none left"
        lines.append(f"triton: production's arguments: {listed}")
        if given.replaced:
            names = ", ".join(f"--{name}" for name in given.replaced)
            lines[0] += f" · left to the plugin: {names}"
    for checked in session.deployments:
        if checked.not_loaded:
            names = ", ".join(map(printable, checked.not_loaded[:_MOST_ROWS]))
            more = " ..." if len(checked.not_loaded) > _MOST_ROWS else ""
            lines.append(f"triton: not loaded at the start, so not checked: {names}{more}")
    return lines


def _values(settings: Settings) -> str:
    """` · values: prod.yaml, batch`: files and names, never a value."""
    names = [one.name for one in settings.values]
    return f" · values: {', '.join(names)}" if names else ""


def _run(settings: Settings) -> str:
    if settings.backends == "stand-in":
        return "rehearsal"
    simulated = [request.simulated for request in settings.gpus]
    return (
        "rehearsal" if all(simulated) else "real run, rehearsal" if any(simulated) else "real run"
    )


def _server(settings: Settings) -> str:
    from pytest_triton.errors import PytestTritonError
    from pytest_triton.options.hosts import ContainerHost
    from pytest_triton.servers.container.image import OFFICIAL_IMAGE
    from pytest_triton.servers.process.discovery import find_tritonserver
    from pytest_triton.servers.process.server import describe

    host = settings.host
    if isinstance(host, ContainerHost):
        return f"tritonserver (container, {host.image or OFFICIAL_IMAGE})"
    try:
        return describe(find_tritonserver(settings.binary, settings.version))
    except PytestTritonError as error:
        return f"no tritonserver ({error.what.splitlines()[0]})"


@dataclass(frozen=True)
class _Cell:
    """What a model did on some hardware; `mark` is "", or what people should look at.

    `hardware` is what it is called where the column's title doesn't say it.
    """

    result: CheckResult
    failed: bool
    hardware: str = ""

    @property
    def mark(self) -> str:
        if self.result.is_fallback:
            return "fallback (allowed)" if self.result.fallback_allowed else "fallback"
        if self.result.unproven == "ready nowhere":
            return "READY nowhere"
        if self.result.unproven == "other config":
            return "other config"
        return "failed" if self.failed else ""

    @property
    def is_marked(self) -> bool:
        """Whether something is wrong."""
        return self.mark in ("failed", "fallback", "READY nowhere", "other config")

    @property
    def outcome(self) -> str:
        """What it comes to, where only models are counted: `GPU + CPU`, `refused`, `fallback`."""
        observed = self.result.observed
        if self.mark:
            return self.mark
        if observed is None:
            return str(self)
        if observed.reason:
            return "refused"
        return " + ".join(observed.kinds) or observed.where

    def __str__(self) -> str:
        text = self.result.observation or ("not proven" if self.failed else "")
        if text and self.hardware:
            text += f" ({self.hardware})"
        if text and self.mark in _AT_CELL:
            text += f"  <- {self.mark}"
        return text


@dataclass
class _Row:
    declared: str
    cells: dict[str, _Cell] = field(default_factory=dict)
    failed: bool = False

    @property
    def deserves_attention(self) -> bool:
        return self.failed or any(cell.is_marked for cell in self.cells.values())


class PlacementTable:
    """Collects what the checks found, and writes models x hardware at the end.

    `titles` are those of columns that several hardware share, by the labels of these.
    """

    def __init__(self, hardware: Sequence[str], titles: Mapping[str, str] | None = None) -> None:
        self.variants: Sequence[str] = ()
        self._titles = titles or {}
        self._hardware = [*dict.fromkeys(self._titles.get(one, one) for one in hardware)]
        self._rows: dict[tuple[str, str], _Row] = {}
        self._notes: dict[str, None] = {}
        self._findings: dict[str, None] = {}
        self._assumed: dict[str, tuple[str, ...]] = {}

    def add(self, result: CheckResult, *, failed: bool) -> None:
        """Take in what a check found, in this process or in an xdist worker."""
        if not failed:  # errors are reported by the failure
            self._findings.update(dict.fromkeys(result.findings))
        self._notes.update(dict.fromkeys(result.notes))
        if result.assumed:
            self._assumed[result.model] = result.assumed
        key = (result.repository, result.model)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _Row(str(result.declared))
        if result.values and str(result.declared) not in row.declared.split(" | "):
            row.declared += f" | {result.declared}"  # with other values
        row.failed = row.failed or failed
        if not result.is_placement:
            return
        column = self._titles.get(result.column, result.column)
        is_shared = column != result.column
        cell = _Cell(result, failed, own_hardware(result.column) if is_shared else "")
        if str(cell):
            row.cells[column] = cell

    def lines(self) -> list[tuple[list[str], bool]]:
        """The lines of each row of the table, and whether something is wrong in it.

        Without a title; empty when no check ran.
        """
        rows = sorted(self._rows.items())
        chosen = rows
        if len(rows) > _MOST_ROWS:
            chosen = [(key, row) for key, row in rows if row.deserves_attention][:_MOST_ROWS]
        several = len({repository for repository, _ in self._rows}) > 1
        table = [["model", "declared", *self._hardware]]
        for (repository, model), row in chosen:
            shown = node_name(model)  # two names are never shown the same
            name = f"{repository}: {shown}" if several else shown
            cells = [str(row.cells.get(hardware, "-")) for hardware in self._hardware]
            table.append([printable(name), row.declared, *cells])
        wrong = [False, *(any(c.is_marked for c in row.cells.values()) for _, row in chosen)]
        lines = [*zip(lay_out(table if chosen else [], screen_width()), wrong, strict=False)]
        if len(chosen) < len(rows):
            lines += [(line, False) for line in self._counts(len(chosen))]
        return lines

    def _counts(self, shown: int) -> list[list[str]]:
        """What stands in for the rows that aren't shown: how many models did what."""
        attention = sum(row.deserves_attention for row in self._rows.values())
        counts = [[f"{attention:,} of {len(self._rows):,} models need attention"]]
        if shown < attention:
            counts[0][0] += f", the first {shown:,} of them are shown"
        width = max(map(len, self._hardware), default=0)
        for hardware in self._hardware:
            cells = [row.cells.get(hardware) for row in self._rows.values()]
            outcomes = [cell.outcome if cell is not None else "not run" for cell in cells]
            number = Counter(outcomes).most_common()
            listed = ", ".join(f"{count:,} {outcome}" for outcome, count in number)
            counts.append([f"  {hardware:{width}}  {listed}"])
        return counts

    def write(self, reporter: pytest.TerminalReporter, title: str = "triton placement") -> None:
        if not self._rows:
            return
        reporter.section(title)
        for lines, is_wrong in self.lines():
            for line in lines:
                reporter.line(line, red=is_wrong)
        for line in [*assumed_lines(self._assumed), *self.variants]:
            reporter.line(shown(printable(line)))
        for note in self._notes:
            reporter.line(shown(printable(note)))
        if self._findings:
            reporter.section("triton audit")
            for finding in [*self._findings][:_MOST_FINDINGS]:
                reporter.line(shown(printable(finding)))
            more = len(self._findings) - _MOST_FINDINGS
            if more > 0:
                reporter.line(f"... and {more:,} more: pytest-triton audit")
