"""Every risk that config.pbtxt shows, before any server starts.

Rules with stable ids, by theme: placement (TRT1..), backends (TRT2..), ensembles (TRT3..),
resources (TRT4..), repository (TRT5..). Nothing here knows pytest or starts a server; files of the
repository are read, never written (`fixing` writes where it is asked to).
"""

from __future__ import annotations

from pytest_triton.audit.auditing import audit
from pytest_triton.audit.ignoring import Ignored, IgnoreError, parse_ignored, parse_selected
from pytest_triton.audit.rule import Example, Rule
from pytest_triton.audit.rules import RULES, rule_named

__all__ = [
    "RULES",
    "Example",
    "IgnoreError",
    "Ignored",
    "Rule",
    "audit",
    "parse_ignored",
    "parse_selected",
    "rule_named",
]
