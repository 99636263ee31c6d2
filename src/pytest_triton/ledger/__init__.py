"""What was proven, as a file: written by a run of pytest, merged and compared across jobs."""

from __future__ import annotations

from pytest_triton.ledger.entries import VERDICTS, Entry, Job, Ledger, Verdict
from pytest_triton.ledger.ledger_file import LedgerUnusable, read_ledger, write_ledger

__all__ = [
    "VERDICTS",
    "Entry",
    "Job",
    "Ledger",
    "LedgerUnusable",
    "Verdict",
    "read_ledger",
    "write_ledger",
]
