"""Findings of an audit, and what a ledger shows to be wrong, as SARIF 2.1.0.

Code hosts and editors show it beside the lines.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pytest_triton._version import __version__
from pytest_triton.audit import Rule
from pytest_triton.audit.rule_text import explanation, page_url, sections
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.ledger.entries import Ledger
from pytest_triton.reports.annotations import diagnostics, from_root
from pytest_triton.reports.matrix import ATTENTION, KINDS
from pytest_triton.reports.report import Report
from pytest_triton.text.paths import url_of_copy
from pytest_triton.text.shown_text import printable

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_WIDTH = 92  # characters a line of help


def as_sarif(
    findings: Iterable[Diagnostic], rules: Sequence[Rule], start: Path
) -> Mapping[str, Any]:
    """One SARIF log with one run; paths below `start` are relative to it, as code hosts want."""
    numbers = {rule.id: number for number, rule in enumerate(rules)}
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "pytest-triton audit",
                        "version": __version__,
                        "rules": [_rule(rule) for rule in rules],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding, numbers, start) for finding in findings],
            }
        ],
    }


def ledger_as_sarif(ledger: Ledger, *, start: str = "") -> str:
    """The log, of a merged ledger; `start` is where pytest ran, as seen from the repository's root.

    The verdict is what the run's invocation says of its exit.
    """
    report = Report.of(ledger)
    kinds = [kind for kind in KINDS if kind in ATTENTION]
    numbers = {str(kind): number for number, kind in enumerate(kinds)}
    run = {
        "tool": {
            "driver": {
                "name": "pytest-triton",
                "version": __version__,
                "rules": [
                    {"id": kind, "shortDescription": {"text": KINDS[kind]}} for kind in kinds
                ],
            }
        },
        "invocations": [
            {
                "executionSuccessful": True,
                "exitCode": 0 if report.is_good else 1,
                "exitCodeDescription": report.verdict,
            }
        ],
        "columnKind": "unicodeCodePoints",
        "results": [_of_ledger(one, numbers, start) for one in diagnostics(report)],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _of_ledger(one: Diagnostic, numbers: Mapping[str, int], start: str) -> Mapping[str, Any]:
    text = printable(" ".join(f"{one.model} ({one.name}): {one.message}".split()))
    result: dict[str, Any] = {
        "ruleId": one.rule,
        "ruleIndex": numbers[one.rule],
        "level": one.severity,
        "message": {"text": text},
    }
    if one.path != Path():
        location = {
            "artifactLocation": {"uri": quote(os.fsencode(from_root(one.path, start)))},
            "region": {"startLine": one.line or 1},
        }
        result["locations"] = [{"physicalLocation": location}]
    return result


def _rule(rule: Rule) -> Mapping[str, Any]:
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.documentation},
        "help": {"text": explanation(rule, _WIDTH), "markdown": _markdown(rule)},
        "helpUri": page_url(rule),
        "defaultConfiguration": {"level": rule.severity},
    }


def _markdown(rule: Rule) -> str:
    return "\n\n".join(f"## {heading}\n\n{text}" for heading, text in sections(rule))


def _result(finding: Diagnostic, numbers: Mapping[str, int], start: Path) -> Mapping[str, Any]:
    text = finding.message + (f"\n\n{finding.lines}" if finding.lines else "")
    location: dict[str, Any] = {"artifactLocation": {"uri": _uri(finding.path, start)}}
    if finding.line is not None:
        location["region"] = {"startLine": finding.line, "startColumn": finding.column or 1}
    return {
        "ruleId": finding.rule,
        "ruleIndex": numbers[finding.rule],
        "level": finding.severity,
        "message": {"text": text},
        "locations": [
            {
                "physicalLocation": location,
                "logicalLocations": [{"name": finding.model, "kind": "module"}]
                if finding.model
                else [],
            }
        ],
    }


def _uri(path: Path, start: Path) -> str:
    absolute = os.path.abspath(path)
    if url := url_of_copy(absolute):
        return quote(os.fsencode(url), safe=":/")
    base = os.path.abspath(start).rstrip(os.sep) + os.sep
    if absolute.startswith(base):
        return quote(os.fsencode(absolute[len(base) :]))
    return "file://" + quote(os.fsencode(absolute))
