"""docs/refusals.json, the list of all that Triton's core refuses, held against the code.

Each predicted row has a repository that shows it; the others say why they aren't predicted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_triton.audit import audit
from pytest_triton.placement.hardware import NO_GPU
from pytest_triton.placement.predict import Prediction, ServerTraits, predict_all
from pytest_triton.placement.rate_limits import RateLimits
from pytest_triton.placement.refusal import classify
from pytest_triton.repository import read_repository
from pytest_triton.repository.refusals import (
    completed_configs,
    declared_models,
    refused_everywhere,
    with_known_backends,
)

ROOT = Path(__file__).resolve().parents[3]
ROWS: list[Mapping[str, Any]] = json.loads((ROOT / "docs" / "refusals.json").read_text())
COUNTS = (126, 159)  # predicted, of all
PREDICTED = [row for row in ROWS if row["predicted"]]


def traits(row: Mapping[str, Any]) -> ServerTraits:
    release = tuple(int(part) for part in row.get("release", "2.51.0").split("."))
    limits = RateLimits.of_arguments(row.get("arguments", ()))
    server = ServerTraits(version=release, rate_limits=limits)  # type: ignore[arg-type]
    return with_known_backends(server, ["mine"])


def write(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root / "models"


def predicted(root: Path, row: Mapping[str, Any]) -> Prediction | None:
    models = read_repository([write(root, row["files"])]).models
    declared = declared_models(models, completed_configs(models))
    return predict_all(declared, NO_GPU, server=traits(row)).get("m")


def test_table_has_all_that_is_known() -> None:
    assert (len(PREDICTED), len(ROWS)) == COUNTS
    for row in ROWS:
        assert row["stage"] in ("poll", "load", "request")
        assert row["releases"]
        assert row["predicted"] or row["why"]


@pytest.mark.parametrize("row", PREDICTED, ids=lambda row: row["message"][:50])
def test_row_is_predicted_with_its_text_and_at_its_stage(
    row: Mapping[str, Any], tmp_path: Path
) -> None:
    prediction = predicted(tmp_path, row)
    if prediction is None:  # the config can't be read at all
        [model] = read_repository([tmp_path / "models"]).models
        assert model.refusal is not None
        text, stage, reason = model.refusal.triton, "poll", model.refusal.reason
    else:
        assert prediction.refusal is not None
        text, stage = prediction.refusal.text, prediction.refusal.stage
        reason = prediction.refusal.reason
        flaw = prediction.refusal.diagnostic
        assert flaw is None or bool(flaw.fix) == bool(flaw.message)  # of groups, advice.py has them
    pattern = ".*".join(re.escape(part) for part in row["message"].split("{}"))
    assert re.fullmatch(rf"(?:[A-Z][a-z ]+: )?{pattern}", text), text
    assert stage == row["stage"]
    assert reason == classify(text) != "other"


@pytest.mark.parametrize(
    "row",
    [row for row in PREDICTED if "release" not in row and "arguments" not in row],
    ids=lambda row: row["message"][:50],
)
def test_audit_reports_it_as_an_error_where_predict_does(
    row: Mapping[str, Any], tmp_path: Path
) -> None:
    repository = read_repository([write(tmp_path, row["files"])])
    models = repository.models
    declared = declared_models(models, completed_configs(models))
    refused = refused_everywhere(models, declared, traits(row)).get("m")
    found = audit(repository, server=traits(row), own_backends=["mine"])
    errors = [one for one in found if one.severity == "error" and one.model == "m"]
    if refused is None:
        assert "no GPUs are available" in row["message"] or "gpu id" in row["message"] or errors
        return
    assert errors, refused
    place = refused.line, refused.column
    assert place in [(one.line, one.column) for one in errors] or not place[0]
