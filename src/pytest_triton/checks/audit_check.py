"""What the audit adds to the other checks, for one model of a deployment."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_triton.text.paths import path_from
from pytest_triton.text.wrapping import wrapped

if TYPE_CHECKING:
    from pytest_triton.checks.checked_deployment import CheckedDeployment
    from pytest_triton.checks.run import TritonSession
    from pytest_triton.diagnostics.diagnostic import Diagnostic
    from pytest_triton.options.settings import Settings
    from pytest_triton.repository import Model
    from pytest_triton.repository.config_file import ConfigFile

_WIDTH = 92  # characters a line of prose
_EXPLICIT = ("TRT101", "TRT102", "TRT103")  # reported by test_explicit_placement


def audit_findings(
    session: TritonSession, checked: CheckedDeployment, model: Model, *, fallback_allowed: bool
) -> list[Diagnostic]:
    """The findings about a model that no other bundled check reports, the worst first.

    Those about the repository as a whole come with its first model.
    """
    from pytest_triton.audit.auditing import FALLBACKS

    found = session.audited(checked)
    mine = list(found.get(model.directory, ()))
    if checked.repository.models[:1] == (model,):
        mine += found.get(None, ())
    return [one for one in mine if not (fallback_allowed and one.rule in FALLBACKS)]


def is_suppressed(settings: Settings, checked: CheckedDeployment, model: Model) -> bool:
    """Whether a comment or triton_audit_ignore suppresses all that test_explicit_placement is for.

    What suppresses a finding in `audit` does so in pytest's checks.
    """
    from pytest_triton.audit import audit

    declared = checked.declared.get(model.name)
    if declared is None or declared.is_explicit:
        return False
    alone = replace(checked.repository, models=(model,))

    def found(*, suppressed: bool) -> bool:
        findings = audit(
            alone,
            select=_EXPLICIT,
            ignore=settings.audit_ignore,
            own_backends=settings.own_backends,
            line=checked.line,
            suppressed=suppressed,
        )
        return bool(findings)

    suppressing = settings.audit_ignore or (
        model.config_file is not None and "ignore" in model.config_file.text
    )
    return bool(suppressing) and found(suppressed=True) and not found(suppressed=False)


def audit_text(finding: Diagnostic, start: Path, config: ConfigFile | None) -> str:
    """A finding as a failure shows it; `config` is the config.pbtxt of its model."""
    from pytest_triton.audit.ignore_hint import ignore_hint

    path = path_from(finding.path, start)
    place = ":".join(str(part) for part in (path, finding.line, finding.column) if part is not None)
    lines = [f"{place}: {finding.rule} {finding.name}", ""]
    lines += wrapped(finding.message, _WIDTH)
    if finding.lines:
        lines += ["", textwrap.indent(finding.lines, "    ")]
    lines += ["", f"More: pytest-triton audit --explain {finding.rule}"]
    lines += [f"To ignore it: {ignore_hint(finding, config)}"]
    return "\n".join(lines)
