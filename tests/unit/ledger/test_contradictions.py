"""What no run could have written is no ledger."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_triton.ledger import Ledger, LedgerUnusable, read_ledger, write_ledger
from support.ledger_strategies import as_json, check, entry, job, ledger

GOOD = ledger(entry(spec="sim:2"), entry(placed="refused: no GPU"), check())
Change = Callable[[dict[str, Any]], None]


def _job(**changes: Any) -> Change:
    return lambda value: value["jobs"][0].update(changes)


def _entry(**changes: Any) -> Change:
    return lambda value: value["entries"][0].update(changes)


def _result(**changes: Any) -> Change:
    return lambda value: value["entries"][0]["result"].update(changes)


def _hardware(**changes: Any) -> Change:
    return lambda value: value["entries"][0]["result"]["hardware"].update(changes)


def _observed(**changes: Any) -> Change:
    return lambda value: value["entries"][0]["result"]["observed"].update(changes)


CPU = [{"kind": "CPU", "device": None, "count": 1}]
CONTRADICTIONS: dict[str, tuple[Change, str]] = {
    "placed otherwise": (_observed(placement=CPU), "otherwise than predicted"),
    "refused": (_observed(reason="no-gpu", placement=[]), "otherwise than predicted"),
    "no server": (_result(server=None), "without a server"),
    "no observation": (_result(observed=None), "without a server"),
    "no prediction": (_result(predicted=None), "without a server"),
    "no backend": (_result(unproven="no backend"), "is proven, and is not"),
    "real on simulated": (_result(run="real run"), "real run on simulated GPUs"),
    "not simulated": (_hardware(simulated=False), "whether that is simulated"),
    "other number": (_hardware(gpus=4), "is on sim:2, and had 4 GPUs"),
    "no hardware": (_hardware(spec="two"), "hardware that there isn't"),
    "twice": (lambda value: value["entries"].append(value["entries"][0]), "once more"),
    "no id": (_job(id=""), "has none"),
    "one id": (lambda value: value["jobs"].append(value["jobs"][0]), "have one id"),
    "hidden failure": (_job(exit_status=1), "exit status 1, and no failure"),
    "unknown verdict": (_entry(verdict="fine"), "Invalid enum value"),
    "unknown job": (_entry(job=7), "names job 7"),
    "text for a number": (_entry(job="0"), "Expected `int`"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_ledger_that_contradicts_itself_is_refused(case: str, tmp_path: Path) -> None:
    change, message = CONTRADICTIONS[case]
    value = as_json(GOOD)
    path = tmp_path / "ledger.json"
    path.write_text(json.dumps(value))
    assert read_ledger(path) == GOOD
    change(value)
    path.write_text(json.dumps(value))
    with pytest.raises(LedgerUnusable) as caught:
        read_ledger(path)
    assert message in caught.value.what
    assert "ledger.json" in caught.value.what


@pytest.mark.parametrize("schema", ["true", "1.0", '"1"', "[1]", "null"])
def test_ledger_with_a_schema_of_another_type_is_refused(schema: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    path.write_text(json.dumps(as_json(GOOD)).replace('"schema": 1', f'"schema": {schema}'))
    with pytest.raises(LedgerUnusable, match="has schema"):
        read_ledger(path)


def test_object_that_has_a_field_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    text = json.dumps(as_json(ledger(entry("failed"))))
    path.write_text(text.replace('"verdict": "failed"', '"verdict": "failed", "verdict": "proven"'))
    with pytest.raises(LedgerUnusable, match="'verdict' twice"):
        read_ledger(path)


@pytest.mark.parametrize(
    "explained",
    [
        ledger(check("failed", by=replace(job(), exit_status=1))),
        ledger(check("not proven", by=replace(job(), exit_status=1))),
        ledger(check(by=replace(job(), exit_status=1, other_failures=1))),
        ledger(check(by=replace(job(), exit_status=1, unexplained=True))),
        ledger(check(by=replace(job(), exit_status=2))),
        ledger(check(by=replace(job(), exit_status=None, ended=None))),
    ],
)
def test_run_that_failed_for_a_reason_is_read(explained: Ledger, tmp_path: Path) -> None:
    write_ledger(tmp_path / "ledger.json", explained)
    assert read_ledger(tmp_path / "ledger.json") == explained
