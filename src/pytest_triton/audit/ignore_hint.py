"""How to suppress a finding: what a failure may offer, since it works for this finding."""

from __future__ import annotations

import shlex

from pytest_triton.audit.ignoring import comments_in
from pytest_triton.audit.rules import KNOWN
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.repository.config_file import ConfigFile


def ignore_hint(finding: Diagnostic, config: ConfigFile | None) -> str:
    """What suppresses a finding about a model with this config.pbtxt, None if it has none."""
    comment = f"# triton: ignore {finding.rule}"
    if config is not None and _is_suppressed_by(comment, finding, config):
        return f"a comment on a line of its own above line {finding.line}, `{comment}`"
    value = ignoring_value(finding)
    return (
        f"--triton-audit-ignore={shlex.quote(value)}, or in pytest's ini file: "
        f"triton_audit_ignore = {value}"
    )


def ignoring_value(finding: Diagnostic) -> str:
    """The value of triton_audit_ignore (`audit --ignore`) that suppresses a finding."""
    if finding.model:
        return f"{finding.rule}: {_pattern(finding.model)}"
    if len(finding.path.parts) < 2:
        return finding.rule
    return f"{finding.rule}: {'/'.join(map(_pattern, finding.path.parts[-2:]))}"


def _pattern(name: str) -> str:
    """A pattern that fits a name; patterns stand in a line, with commas between them."""
    return "".join(
        f"[{one}]" if one in "*?[" else one if one.isprintable() and one not in ", " else "?"
        for one in name
    )


def _is_suppressed_by(comment: str, finding: Diagnostic, config: ConfigFile) -> bool:
    """Whether a comment above the finding's line is read, and for that line."""
    lines = config.source.split("\n")
    if finding.path != config.path or not 0 < (finding.line or 0) <= len(lines):
        return False
    number = finding.line or 0
    lines.insert(number - 1, comment)
    covered = {one.covers for one in comments_in("\n".join(lines), KNOWN) if one.line == number}
    return number + 1 in covered
