"""`merge --deployment` of several servers: one column for all, lines that name each. No server."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.__main__ import main
from pytest_triton.checks.result import DEPLOYMENT_TEST, SERVICE
from pytest_triton.ledger import write_ledger
from support.builders import RepositoryBuilder
from support.ledger_strategies import changed, check, entry, ledger

SERVER = """  {NAME}:
    image: nvcr.io/nvidia/tritonserver:24.10-py3
    command: tritonserver --model-repository=/models
    volumes: [./models:/models]
    gpus: [{{ count: {GPUS} }}]
"""


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, repository: RepositoryBuilder) -> None:
    repository.add("detector", "{ kind: KIND_GPU }")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def merge(capsys: pytest.CaptureFixture[str], **gpus: int) -> list[str]:
    servers = [SERVER.format(NAME=name, GPUS=count) for name, count in gpus.items()]
    Path("compose.yaml").write_text(f"services:\n{''.join(servers)}")
    down = changed(
        check("failed", DEPLOYMENT_TEST, model=SERVICE, deployment="compose.yaml::large"),
        deployed=True,
        headline="large doesn't come up",
    )
    write_ledger("l.json", ledger(entry(model="other"), down))
    assert main(["merge", "l.json", "--deployment", "compose.yaml"]) == 1
    return capsys.readouterr().out.splitlines()


def test_merge_of_deployments_with_different_gpus_has_one_column(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = merge(capsys, small=1, medium=2, large=4, huge=8)
    assert "    4  never proven (deployed)" in lines
    head = next(line for line in lines if line.startswith("model "))
    assert head.split() == ["model", "declared", "no", "GPU", "deployed"]
    (row,) = [line for line in lines if line.startswith("compose.yaml::huge: detector")]
    assert row.endswith("never proven (8 GPUs)  <-")


def test_merge_of_deployments_with_the_same_gpus_has_them_as_title(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = merge(capsys, blue=2, large=2)
    assert "    2  never proven (2 GPUs)" in lines
    head = next(line for line in lines if line.startswith("model "))
    assert head.endswith(" 2 GPUs")


def test_merge_names_the_deployment_of_each_failure_and_missing_check(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = merge(capsys, small=1, large=2)
    failed = lines[lines.index("Failed besides:") + 1]
    assert failed.startswith(f"  compose.yaml::large: {SERVICE}, {DEPLOYMENT_TEST}: ")
    missing = lines[lines.index("Not proven besides:") + 1 :]
    assert f"  compose.yaml::small: {SERVICE}, {DEPLOYMENT_TEST}: never proven" in missing


def test_merge_of_one_deployment_does_not_repeat_its_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = merge(capsys, large=2)
    assert lines[lines.index("Failed besides:") + 1].startswith(f"  {SERVICE}, {DEPLOYMENT_TEST}: ")
