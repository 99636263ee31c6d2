"""What a ledger can't say and be true: no run of pytest-triton writes such a file."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_triton.errors import OptionError
from pytest_triton.ledger.entries import Entry, Ledger
from pytest_triton.placement.hardware import HardwareRequest

_TESTS_FAILED = 1  # pytest's exit status


def contradictions(ledger: Ledger) -> Iterator[str]:
    """What is wrong, each in one line."""
    ids = [job.id for job in ledger.jobs]
    if len({*ids}) < len(ids) or "" in ids:
        yield "two of its runs have one id, or one has none"
    known: set[tuple[str, ...]] = set()
    failed: set[str] = set()
    for number, entry in enumerate(ledger.entries):
        result = entry.result
        key = (entry.job.id, result.deployment, result.model, result.test, result.hardware.spec)
        if key in known:
            yield f"entry {number} says once more what another one says of {_name(entry)}"
        known.add(key)
        if entry.verdict in ("failed", "not proven"):
            failed.add(entry.job.id)
        for what in _of_entry(entry):
            yield f"entry {number}, {_name(entry)}, {what}"
    replaced = {one for job in ledger.jobs for one in job.replaces}
    for job in ledger.jobs:
        reported = job.id in failed or job.other_failures or job.unexplained or job.id in replaced
        if job.exit_status == _TESTS_FAILED and not reported:
            yield f"the run {job.name!r} has exit status 1, and no failure"


def _of_entry(entry: Entry) -> Iterator[str]:
    result, server = entry.result, entry.server
    hardware = result.hardware
    if result.is_placement and entry.verdict == "proven":
        if server is None or result.observed is None or result.predicted is None:
            yield "is proven without a server that was asked"
        elif (result.observed.placement, result.observed.reason) != (
            result.predicted.placement,
            result.predicted.reason,
        ):
            yield "is proven, and was observed otherwise than predicted"
        elif result.unproven:
            yield f"is proven, and is not ({result.unproven})"
    if entry.is_real and hardware.simulated and hardware.gpus:
        yield "is a real run on simulated GPUs"
    asked = _asked(hardware.spec)
    if asked is None:
        if hardware.spec:
            yield f"is on hardware that there isn't: {hardware.spec!r}"
    elif asked.simulated != hardware.simulated:
        yield f"is on {hardware.spec}, and says otherwise of whether that is simulated"
    elif asked.count is not None and hardware.gpus not in (None, asked.count):
        yield f"is on {hardware.spec}, and had {hardware.gpus} GPUs"
    if server is not None and server.gpus and hardware.gpus not in (None, len(server.gpus)):
        yield f"had {hardware.gpus} GPUs, and its server {len(server.gpus)}"


def _asked(spec: str) -> HardwareRequest | None:
    try:
        return HardwareRequest.parse(spec)
    except OptionError:
        return None


def _name(entry: Entry) -> str:
    return f"{entry.test} of {entry.model!r}"
