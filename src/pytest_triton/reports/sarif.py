"""Findings of an audit as SARIF 2.1.0, which code hosts and editors show beside the lines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pytest_triton._version import __version__
from pytest_triton.audit import Rule
from pytest_triton.audit.rule_text import explanation, page_url, sections
from pytest_triton.diagnostics.diagnostic import Diagnostic

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
    base = os.path.abspath(start).rstrip(os.sep) + os.sep
    if absolute.startswith(base):
        return quote(os.fsencode(absolute[len(base) :]))
    return "file://" + quote(os.fsencode(absolute))
