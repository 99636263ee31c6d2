"""`merge` of what real runs wrote: no failure is lost, and no evidence is stale."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from pytest_triton.__main__ import main
from pytest_triton.ledger.locked_file import LockedFile
from support.builders import RepositoryBuilder

pytestmark = pytest.mark.server

ENSEMBLE = """platform: "ensemble"
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
ensemble_scheduling { step [
  { model_name: "part" model_version: -1
    input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" } }
] }
"""
PART = """backend: "onnxruntime"
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
instance_group [ { kind: KIND_GPU } ]
"""


def run(pytester: pytest.Pytester, *arguments: str | Path) -> pytest.RunResult:
    plain = ("-p", "no:cacheprovider", "-p", "no:randomly", "-q")
    return pytester.runpytest_subprocess(*plain, "--triton-repo=models", *arguments)


class Merged(NamedTuple):
    code: int
    text: str


Merge = Callable[..., Merged]


@pytest.fixture
def merge(
    pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Merge:
    monkeypatch.chdir(pytester.path)

    def merge(*ledgers: str, rehearsals: str = "everywhere") -> Merged:
        capsys.readouterr()
        code = main(["merge", *ledgers, "--repo", "models", "--rehearsals", rehearsals])
        return Merged(code, "".join(capsys.readouterr()))

    return merge


@pytest.fixture
def models(pytester: pytest.Pytester) -> RepositoryBuilder:
    builder = RepositoryBuilder(pytester.path / "models")
    builder.add_config("part", PART)
    builder.add_config("whole", ENSEMBLE)
    return builder


def test_proof_is_stale_once_anything_that_decides_has_changed(
    pytester: pytest.Pytester, models: RepositoryBuilder, merge: Merge
) -> None:
    run(pytester, "--triton-ledger=l.json")
    assert merge("l.json") == (0, merge("l.json").text)
    kept = pytester.path / "kept"
    shutil.copytree(models.path, kept)

    def changed(change: str) -> Merged:
        shutil.rmtree(models.path)
        shutil.copytree(kept, models.path)
        part = models.path / "part"
        if change == "member":
            config = part / "config.pbtxt"
            config.write_text(config.read_text().replace("KIND_GPU", "KIND_CPU"))
        elif change == "gone":
            shutil.rmtree(part)
        elif change == "version":
            (part / "2").mkdir()
            shutil.rmtree(part / "1")
        else:
            (part / "1" / "model.py").write_text("changed = True\n")
        return merge("l.json")

    for change in ("member", "gone", "version", "code"):
        found = changed(change)
        assert found.code == 1, change
        assert "whole" in found.text
        assert "proven for another version of the model" in found.text
        assert "Not counted, of other versions of these models" in found.text or change == "gone"


def test_run_without_the_other_checks_does_not_hide_a_fallback(
    pytester: pytest.Pytester, merge: Merge
) -> None:
    builder = RepositoryBuilder(pytester.path / "models")
    builder.add("undeclared", backend="onnxruntime")
    run(pytester, "--triton-ledger=l.json", "-k", "test_placement")
    found = merge("l.json")
    assert found.code == 1
    assert "fell back to the CPU (no GPU)" in found.text
    assert "undeclared, test_config, test_explicit_placement, test_audit" in found.text
    pytester.makeconftest(
        "import pytest\n"
        "def pytest_collection_modifyitems(items):\n"
        "    for item in items:\n"
        "        if 'explicit' in item.name: item.add_marker(pytest.mark.xfail(reason='later'))\n"
    )
    allowed = "--triton-allow-fallback=undeclared"
    run(pytester, "--triton-ledger=x.json", "-k", "not test_audit", allowed, "--runxfail")
    found = merge("x.json")
    assert found.code == 1
    assert "undeclared, test_audit: never proven" in found.text
    pytester.path.joinpath("x.json").unlink()
    run(pytester, "--triton-ledger=x.json")
    found = merge("x.json")
    assert found.code == 1
    assert "test_explicit_placement: skipped: xfail: later" in found.text


def test_failure_stands_until_the_same_file_has_a_pass(
    pytester: pytest.Pytester, models: RepositoryBuilder, merge: Merge
) -> None:
    pytester.makeconftest(
        "import os, pytest\n"
        "@pytest.fixture(autouse=True)\n"
        "def broken(request):\n"
        "    yield\n"
        "    if os.environ.get('BROKEN') and 'part' in request.node.nodeid: assert not 'broken'\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BROKEN", "1")
        run(pytester, "--triton-ledger=first.json", "--triton-gpus=none")
    run(pytester, "--triton-ledger=second.json")
    assert merge("second.json").code == 0
    both = merge("first.json", "second.json")
    assert both.code == 1
    assert "2 runs are called local" in both.text
    assert main(["merge", "second.json", "--replaced", "first.json", "--repo", "models"]) == 1
    again = main(
        ["merge", "second.json", "--replaced", "first.json", "--repo", "models"]
        + ["--rehearsals", "everywhere"]
    )
    assert again == 0
    run(pytester, "--triton-ledger=first.json")
    found = merge("first.json")
    assert (found.code, "Ended before" in found.text) == (0, False)


def test_ledger_of_another_run_is_refused_before_the_first_test(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    file = LockedFile(pytester.path / "l.json")
    file.open()
    try:
        result = run(pytester, "--triton-ledger=l.json")
    finally:
        file.close()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*l.json is written by another run of pytest.*"])
