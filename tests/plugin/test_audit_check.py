"""test_audit: what the audit adds to the other checks of --triton-repo."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from support.builders import RepositoryBuilder


def run(pytester: pytest.Pytester, repository: RepositoryBuilder, *more: str) -> pytest.RunResult:
    # Hardware and servers are other tests' business.
    return pytester.runpytest(
        "-p", "no:cacheprovider", f"--triton-repo={repository.path}", "-k", "test_audit", *more
    )


def test_error_fails_with_place_fix_and_the_way_to_ignore_it(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    config = repository.add("vino", "{ count: 2 }", backend="openvino")
    result = run(pytester, repository)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*vino::test_audit*",
            "*vino/config.pbtxt:5:18: TRT203 openvino-auto",
            "*on a host with a GPU it becomes KIND_GPU*",
            "        kind: KIND_CPU",
            "*pytest-triton audit --explain TRT203",
            "*# triton: ignore TRT203*",
        ]
    )
    config.write_text(config.read_text().replace("{ count", "\n# triton: ignore TRT203\n{ count"))
    run(pytester, repository).assert_outcomes(passed=1)


def test_what_other_checks_report_is_not_reported_twice(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    repository.add("undeclared")
    repository.add("never", "{ kind: KIND_CPU gpus: [ 0 ] }")
    run(pytester, repository).assert_outcomes(passed=2)


def test_config_that_cannot_be_read_is_not_passed_over(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    repository.add_config("broken", "backend: python")
    result = run(pytester, repository)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["nothing to audit, since Triton can't take the model as it is*"])


def test_warnings_and_notes_pass_and_reach_the_reports(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    config = repository.add("twice", "{ kind: KIND_GPU gpus: [ 0, 0 ] }")
    repository.add("calm", "{ kind: KIND_GPU }")
    run(pytester, repository, "--junitxml=report.xml").assert_outcomes(passed=2)
    cases = {
        reported["triton_model"]: reported.get("triton_audit")
        for reported in (
            {p.get("name"): p.get("value") for p in case.iter("property")}
            for case in ElementTree.parse(pytester.path / "report.xml").iter("testcase")
        )
    }
    reported = cases.pop("twice")
    assert reported is not None
    assert reported.startswith(f"{config}:5:46: TRT109 gpu-twice (warning): GPU 0 is listed twice")
    assert cases == {"calm": None}


def test_allowed_fallback_holds_for_variants_too(
    pytester: pytest.Pytester, repository: RepositoryBuilder
) -> None:
    config = repository.add("small", "{ kind: KIND_GPU }")
    (config.parent / "configs").mkdir()
    (config.parent / "configs" / "laptop.pbtxt").write_text('backend: "python"\n')
    for more, expected in (((), ["TRT524"]), (("--triton-allow-fallback=small",), [])):
        run(pytester, repository, "--junitxml=report.xml", *more).assert_outcomes(passed=1)
        report = (pytester.path / "report.xml").read_text()
        assert [rule for rule in ("TRT524",) if rule in report] == expected
