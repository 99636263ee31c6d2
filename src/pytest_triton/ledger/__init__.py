"""What was proven, as a file: written by a run of pytest, merged and compared across jobs."""

from __future__ import annotations

from pytest_triton.ledger.entries import (
    Check,
    ConfigFacts,
    Entry,
    Group,
    HardwareFacts,
    Job,
    Ledger,
    Outcome,
    Run,
    ServerFacts,
    ServerGpu,
    Verdict,
    Witness,
)
from pytest_triton.ledger.ledger_file import (
    LedgerUnusable,
    as_json,
    from_json,
    read_ledger,
    write_ledger,
)

__all__ = [
    "Check",
    "ConfigFacts",
    "Entry",
    "Group",
    "HardwareFacts",
    "Job",
    "Ledger",
    "LedgerUnusable",
    "Outcome",
    "Run",
    "ServerFacts",
    "ServerGpu",
    "Verdict",
    "Witness",
    "as_json",
    "from_json",
    "read_ledger",
    "write_ledger",
]
