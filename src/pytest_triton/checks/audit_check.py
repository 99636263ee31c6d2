"""What the audit adds to the other checks, for one model of a deployment."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_triton.audit import Finding, Ignored, audit
from pytest_triton.placement.hardware import Hardware
from pytest_triton.session import CheckedDeployment

if TYPE_CHECKING:
    from pytest_triton.repository import Model
    from pytest_triton.settings import Settings

_WIDTH = 92  # characters a line of prose
_FALLBACKS = ("TRT101", "TRT102", "TRT524")


def audit_findings(
    checked: CheckedDeployment, model: Model, settings: Settings, *, fallback_allowed: bool
) -> list[Finding]:
    """The findings about a model that no other bundled check tells, the worst first.

    Those about the repository as a whole come with its first model. `settings` say for which
    hardware the audit is made, and what it leaves out.
    """
    select = tuple(rule for rules in settings.audit_select for rule in rules)
    found = _by_directory(checked, settings.target, select, settings.audit_ignore)
    mine = list(found.get(model.directory, ()))
    if checked.repository.models[:1] == (model,):
        mine += found.get(None, ())
    return [one for one in mine if not (fallback_allowed and one.rule in _FALLBACKS)]


@lru_cache(maxsize=8)
def _by_directory(
    checked: CheckedDeployment,
    target: Hardware | None,
    select: tuple[str, ...],
    ignore: tuple[Ignored, ...],
) -> Mapping[Path | None, Sequence[Finding]]:
    """One audit a deployment, when the first of its models asks; None: about all of them."""
    repositories = set(checked.repository.paths)
    found: dict[Path | None, list[Finding]] = {}
    for finding in audit(checked.repository, target=target, select=select, ignore=ignore):
        if finding.told_by:
            continue
        directory = finding.path
        while directory not in repositories and directory.parent not in repositories:
            directory = directory.parent
        found.setdefault(None if directory in repositories else directory, []).append(finding)
    return found


def audit_text(finding: Finding, start: Path) -> str:
    """A finding as a failure shows it."""
    path = os.path.relpath(finding.path, start)
    place = ":".join(str(part) for part in (path, finding.line, finding.column) if part is not None)
    lines = [f"{place}: {finding.rule} {finding.name}", ""]
    lines += textwrap.wrap(finding.message, _WIDTH, break_on_hyphens=False)
    if finding.mend:
        lines += ["", textwrap.indent(finding.mend, "    ")]
    if finding.model:
        lines += ["", f"More: python -m pytest_triton audit --explain {finding.rule}"]
        lines += [f"If it is meant: a comment there, `# triton: ignore {finding.rule}`"]
    return "\n".join(lines)
