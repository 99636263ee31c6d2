"""A broken model is one failure: what depends on its config is skipped, and never proven."""

from __future__ import annotations

import pytest

from pytest_triton.ledger import read_ledger
from support.builders import RepositoryBuilder

pytestmark = pytest.mark.server

NONE = "--triton-gpus=none"
ENSEMBLE = """\
platform: "ensemble"
max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
ensemble_scheduling { step [ { model_name: "typo" model_version: -1
  input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" } } ] }
"""
SHUFFLED = """
import random

def pytest_collection_modifyitems(items):
    random.Random(%d).shuffle(items)
"""


@pytest.fixture
def models(repository: RepositoryBuilder) -> RepositoryBuilder:
    repository.add("good", "{ kind: KIND_CPU }")
    repository.add("typo", "{ kind: KIND_GPU gpu: [ 0 ] }")
    return repository


def run(
    pytester: pytest.Pytester, repository: RepositoryBuilder, *arguments: str
) -> pytest.RunResult:
    return pytester.runpytest("-p", "no:randomly", f"--triton-repo={repository.path}", *arguments)


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["alone", "workers"])
@pytest.mark.parametrize("order", [None, 1, 2])
def test_broken_config_is_one_failure_in_any_order(
    pytester: pytest.Pytester, models: RepositoryBuilder, order: int | None, workers: list[str]
) -> None:
    if order is not None:
        pytester.makeconftest(SHUFFLED % order)
    result = run(pytester, models, "-rs", "-p", "no:cacheprovider", *workers)
    result.assert_outcomes(failed=1, skipped=4, passed=5)
    result.stdout.fnmatch_lines(
        [
            "*`gpu` is not a field of instance_group*",
            "SKIPPED [[]4] *typo/config.pbtxt:1: config is invalid, see test_config",
        ]
    )


@pytest.mark.parametrize(
    "selection",
    [["-k", "typo and not test_config"], ["--deselect"], ["-k", "typo", "skip", "xfail"]],
)
def test_without_test_config_the_others_fail_themselves(
    pytester: pytest.Pytester, models: RepositoryBuilder, selection: list[str]
) -> None:
    marks = [one for one in selection if one in ("skip", "xfail")]
    arguments = [one for one in selection if one not in marks]
    node = "models/typo/config.pbtxt::test_config"
    if arguments == ["--deselect"]:
        arguments = ["--deselect", node, "-k", "typo", f"--rootdir={models.path.parent}"]
    for mark in marks or [""]:
        if mark:
            pytester.makeconftest(
                "import pytest\n"
                "def pytest_collection_modifyitems(items):\n"
                "    for item in items:\n"
                f"        if item.name == 'test_config': item.add_marker(pytest.mark.{mark})\n"
            )
        result = run(pytester, models, NONE, "-p", "no:cacheprovider", *arguments)
        assert result.parseoutcomes()["failed"] == 3
        result.stdout.fnmatch_lines(
            ["nothing to *, since Triton can't take the model*", "*`gpu` is not a field*"]
        )


def test_last_failed_runs_test_config_alone(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    run(pytester, models, NONE).assert_outcomes(failed=1, skipped=3, passed=4)
    run(pytester, models, NONE, "--lf").assert_outcomes(failed=1)


def test_test_config_that_is_skipped_while_it_runs_fails_the_session(
    pytester: pytest.Pytester,
) -> None:
    models = RepositoryBuilder(pytester.path / "models")  # where conftest.py is seen
    models.add("good", "{ kind: KIND_CPU }")
    models.add("typo", "{ kind: KIND_GPU gpu: [ 0 ] }")
    pytester.makeconftest(
        "import pytest\n"
        "def pytest_runtest_setup(item):\n"
        "    if item.name == 'test_config': pytest.skip('not today')\n"
    )
    result = run(pytester, models, NONE, "-p", "no:cacheprovider")
    result.assert_outcomes(skipped=5, passed=3)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*A check was skipped (*see test_config*did not fail*"])


def test_ensemble_of_a_broken_model_is_left_to_that_model(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    models.add_config("chain", ENSEMBLE)
    result = run(pytester, models, NONE, "-rs", "-p", "no:cacheprovider")
    assert result.parseoutcomes()["failed"] == 1
    result.stdout.fnmatch_lines(
        ["SKIPPED*chain*its model typo is invalid, see test_config of typo"]
    )
    alone = run(pytester, models, NONE, "-k", "chain and test_config", "-p", "no:cacheprovider")
    alone.assert_outcomes(failed=1, deselected=11)


def test_what_is_skipped_is_proven_by_no_ledger(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    run(pytester, models, "--triton-ledger=ledger.json", "-p", "no:cacheprovider")
    ledger = read_ledger(pytester.path / "ledger.json")
    verdicts = {one.verdict for one in ledger.placements if one.model == "typo"}
    assert verdicts == {"not proven"}
    checks = {one.test: one.verdict for one in ledger.checks if one.model == "typo"}
    assert checks == {
        "test_config": "failed",
        "test_explicit_placement": "not proven",
        "test_audit": "not proven",
    }
    merged = pytester.runpython_c(
        "import sys; from pytest_triton.__main__ import main; "
        f"sys.exit(main(['merge', 'ledger.json', '--repo', {str(models.path)!r}]))"
    )
    assert merged.ret == 1
    merged.stdout.fnmatch_lines(["*typo*never proven*"])


def test_config_that_only_triton_refuses_is_one_failure(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    """A field that releases newer than the server's know."""
    repository.add("newer", "{ kind: KIND_CPU }", more="model_metrics { }\n")
    result = run(pytester, repository, "-p", "no:cacheprovider", "--triton-version=2.51.0")
    assert result.parseoutcomes()["failed"] == 1
