"""A ledger as GitLab's code quality report, which merge requests show at the lines changed.

https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
"""

from __future__ import annotations

import json
import re
from collections import Counter
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
    issues: list[dict[str, object]] = []
    seen: Counter[str] = Counter()
    said: set[tuple[str, str, str, int | None]] = set()
    for one in found:
        text, key = _description(one), _key(one)
        what = (key, text, str(one.path), one.line)
        if what in said:  # by another job, word for word
            continue
        said.add(what)
        seen[key] += 1
        # GitLab drops all but one of those that have the same fingerprint.
        number = f"\0{seen[key]}" if seen[key] > 1 else ""
        fingerprint = sha256((key + number).encode("utf-8", "backslashreplace")).hexdigest()
        issues.append(_issue(one, text, fingerprint, start))
    return json.dumps(issues, indent=1) + "\n"


def _key(one: Diagnostic) -> str:
    """What stays the same of a finding when lines move, and in a new version: no line, no text."""
    rules = re.findall(r"\bTRT\d+\b", one.message) if one.name == "test_audit" else ()
    return "\0".join([one.deployment, one.model, one.name, one.rule, *rules])


def _description(one: Diagnostic) -> str:
    return printable(" ".join(f"{one.model} ({one.name}): {one.message}".split()))


def _issue(one: Diagnostic, text: str, fingerprint: str, start: str) -> dict[str, object]:
    return {
        "description": text,
        "check_name": f"triton-{one.rule}",
        "fingerprint": fingerprint,
        "severity": _SEVERITY[one.rule],
        "location": {"path": from_root(one.path, start), "lines": {"begin": one.line or 1}},
    }
