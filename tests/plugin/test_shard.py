"""`--triton-shard`: the parts of a repository, on a real tritonserver."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.ledger import read_ledger
from pytest_triton.plan.sharding import Shard
from support.builders import RepositoryBuilder

pytestmark = pytest.mark.server

NAMES = ["a", "b", "c", "d", "e"]


def run(pytester: pytest.Pytester, *arguments: str | Path) -> pytest.RunResult:
    return pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "-p", "no:randomly", "--triton-repo=models", *arguments
    )


@pytest.fixture
def _models(pytester: pytest.Pytester) -> None:
    builder = RepositoryBuilder(pytester.path / "models")
    for name in NAMES:
        builder.add(name, "{ kind: KIND_CPU }")


def shown(result: pytest.RunResult) -> set[str]:
    return {line.split("/")[1] for line in result.outlines if line.startswith("models/")}


@pytest.mark.usefixtures("_models")
@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_shards_share_all_models(pytester: pytest.Pytester, workers: str) -> None:
    proven: list[str] = []
    for number in (1, 2):
        name = f"{number}.json"
        result = run(pytester, workers, f"--triton-shard={number}/2", f"--triton-ledger={name}")
        assert result.ret == 0
        ledger = read_ledger(pytester.path / name)
        assert ledger.jobs[0].shard == f"{number}/2"
        models = {entry.model for entry in ledger.entries}
        assert models == {one for one in NAMES if Shard(number, 2).holds(one)}
        proven += models
    assert sorted(proven) == NAMES


@pytest.mark.usefixtures("_models")
@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_empty_shard_passes_and_says_so(pytester: pytest.Pytester, workers: str) -> None:
    empty = next(n for n in range(1, 101) if not any(Shard(n, 100).holds(one) for one in NAMES))
    result = run(pytester, workers, f"--triton-shard={empty}/100", "--triton-ledger=l.json")
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"triton: shard {empty}/100 has none of the 5 models*"])
    ledger = read_ledger(pytester.path / "l.json")
    assert (ledger.entries, [job.exit_status for job in ledger.jobs]) == ((), [0])


@pytest.mark.usefixtures("_models")
def test_selection_that_matches_nothing_is_no_empty_shard(pytester: pytest.Pytester) -> None:
    number = next(n for n in (1, 2) if Shard(n, 2).holds("a"))
    assert run(pytester, f"--triton-shard={number}/2", "-k", "typo").ret == 5


@pytest.mark.usefixtures("_models")
def test_tests_that_are_not_about_a_model_stay(pytester: pytest.Pytester) -> None:
    test = pytester.makepyfile("def test_it(): pass")
    result = run(pytester, "--triton-shard=1/2", "-v", test, "models")
    result.stdout.fnmatch_lines(["*::test_it PASSED*"])


@pytest.mark.usefixtures("_models")
def test_shard_that_cannot_be_is_refused(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--triton-shard=3/2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--triton-shard=3/2 (command line): expected K/N*"])
