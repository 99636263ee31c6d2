"""A ledger as GitLab's code quality report, which merge requests show at the lines changed.

https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
"""

from __future__ import annotations

import json
from hashlib import sha256

from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.ledger.entries import Ledger
from pytest_triton.reports.annotations import diagnostics, from_root
from pytest_triton.reports.report import Report
from pytest_triton.text.shown_text import printable

_SEVERITY: dict[str, str] = {
    "failed": "critical",
    "not-proven": "major",
    "fallback": "major",
    "skipped": "minor",
}


def gitlab(ledger: Ledger, *, start: str = "") -> str:
    """The report, a JSON array. `start` is where pytest ran, as seen from the repository's root."""
    found = diagnostics(Report.of(ledger))
    return json.dumps([_issue(one, start) for one in found], indent=1) + "\n"


def _issue(one: Diagnostic, start: str) -> dict[str, object]:
    # Without the line and the text, so that the same finding stays the same in a new version.
    parts = [one.deployment, one.model, one.name, one.rule]
    fingerprint = sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()
    description = f"{one.model} ({one.name}): {one.message}"
    return {
        "description": printable(" ".join(description.split())),
        "check_name": f"triton-{one.rule}",
        "fingerprint": fingerprint,
        "severity": _SEVERITY[one.rule],
        "location": {"path": from_root(one.path, start), "lines": {"begin": one.line or 1}},
    }
