"""The audit of deployments: the rules TRT6xx over servers of compose files and manifests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_triton.audit.auditing import order_of, selected
from pytest_triton.audit.deployed import DeployedSubject
from pytest_triton.audit.ignoring import Comment, Ignored, comments_in
from pytest_triton.audit.rules import KNOWN, RULES
from pytest_triton.diagnostics.diagnostic import Diagnostic


def audit_deployments(
    subjects: Sequence[DeployedSubject],
    *,
    select: Sequence[str] = (),
    ignore: Sequence[Ignored] = (),
) -> tuple[Diagnostic, ...]:
    """What is wrong, or risky, in how production runs its servers; the worst first.

    `select` are the ids, names or prefixes of the rules to apply, all if empty. A comment in the
    YAML suppresses as one in a config does.
    """
    rules = [rule for rule in RULES if rule.scope == "deployment"]
    rules = [rule for rule in rules if not select or selected(rule, select)]
    found = [
        replace(
            one,
            rule=rule.id,
            name=rule.name,
            severity=rule.severity,
            reported_by=rule.reported_by,
        )
        for subject in subjects
        for rule in rules
        for one in rule.check(subject)
    ]
    wanted = [one for one in found if not any(ignored.covers(one) for ignored in ignore)]
    return tuple(sorted(_without_commented(wanted), key=order_of))


def _without_commented(findings: Sequence[Diagnostic]) -> Iterator[Diagnostic]:
    known: dict[Path, tuple[Comment, ...]] = {}
    for finding in findings:
        if finding.path not in known:
            known[finding.path] = comments_in(finding.path.read_text("utf-8", "replace"), KNOWN)
        if not any(one.suppresses(finding) for one in known[finding.path]):
            yield finding
