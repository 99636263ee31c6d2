"""What `print(...)` and a failing `assert` show of the values that tests hold: a line."""

from __future__ import annotations

from pathlib import Path

from pytest_triton import compare, predict, read_repository
from pytest_triton.placement.compare import Observation, Observed
from pytest_triton.placement.hardware import NO_GPU
from pytest_triton.placement.instances import cpu
from support.builders import RepositoryBuilder


def test_reprs_are_a_line_each(tmp_path: Path) -> None:
    repository = RepositoryBuilder(tmp_path / "models")
    for number in range(50):
        repository.add(f"m{number}", "{ kind: KIND_CPU }")
    found = read_repository(repository.path)
    model = found.models[0]
    seen = Observation("resolved config", "high", "x" * 500, placement=cpu())
    observed = Observed.of("READY", [seen])
    verdict = compare(model.declared, predict(model.declared, NO_GPU), observed)
    assert [repr(value) for value in (found, model, observed, verdict)] == [
        f"<Repository {repository.path}, 50 models>",
        f"<Model m0: python, {model.directory}>",
        "<Observed CPU (resolved config)>",
        "<Verdict ok: runs on CPU, as predicted (one source: resolved config)>",
    ]
