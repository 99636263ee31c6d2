"""Names and texts that a terminal, a CI or an XML file would not take as they are."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from support.builders import RepositoryBuilder

pytestmark = pytest.mark.server

NAMES = (
    "::error title=x::boom",
    "esc\x1b[31m",
    "bell\x07",
    "turned\u202ename",
    "line\nbreak",
    os.fsdecode(b"broken\xff"),
    "back\\slash",
    "##vso[task.complete]",
)


@pytest.mark.parametrize("way", [(), ("-n2",)], ids=["alone", "workers"])
@pytest.mark.parametrize("inside", [False, True])
def test_names_of_models_harm_no_terminal_no_ci_and_no_junit_file(
    pytester: pytest.Pytester, way: tuple[str, ...], inside: bool
) -> None:
    repository = RepositoryBuilder(pytester.path / "models")
    for name in NAMES:
        repository.add(name)
    if inside:
        os.chdir(repository.path)
    result = pytester.runpytest_subprocess(
        f"--triton-repo={'.' if inside else 'models'}",
        f"--junit-xml={pytester.path}/junit.xml",
        "-v",
        "-rA",
        "--color=no",
        "-p",
        "no:cacheprovider",
        *way,
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    output = result.stdout.str() + result.stderr.str()
    assert "INTERNALERROR" not in output
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e\u200f\x7f]", output)
    assert not re.search(r"^\s*::|##(vso|teamcity)?\[", output, re.MULTILINE)
    cases = ET.parse(Path(pytester.path, "junit.xml")).getroot().iter("testcase")
    # pytest 8.2 takes the first `[` in a name for that of a parameter.
    cut = 1 if pytest.version_tuple < (8, 3) else 0
    assert len({case.get("classname", "") for case in cases}) >= len(NAMES) - cut


def test_workers_send_what_tests_of_ones_own_say_of_names_that_are_not_utf8(
    pytester: pytest.Pytester,
) -> None:
    repository = RepositoryBuilder(pytester.path / "models")
    names = [os.fsdecode(b"broken\xff"), "broken\\udcff"]
    for name in names:
        repository.add(name)
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.triton_models
        def test_name(triton_model):
            print(ascii(triton_model.name))
            assert not triton_model.name
        """
    )
    result = pytester.runpytest_subprocess("--triton-repo=models", "-n2", "-k", "test_name")
    result.assert_outcomes(failed=2)
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()


def test_names_that_are_not_utf8_are_distinguished_with_workers(pytester: pytest.Pytester) -> None:
    repository = RepositoryBuilder(pytester.path / "models")
    for name in (os.fsdecode(b"broken\xff"), "broken\\udcff"):
        repository.add(name)
    result = pytester.runpytest_subprocess(
        "--triton-repo=models", "-n2", "-k", "test_audit", "-v", "--color=no"
    )
    result.assert_outcomes(passed=2)
    passed = set(re.findall(r"PASSED (\S+)::test_audit", result.stdout.str()))
    assert passed == {
        r"models/broken\udcff/config.pbtxt",
        r"models/broken\x5cudcff/config.pbtxt",
    }
    rows = re.findall(r"^broken\S+", result.stdout.str(), re.MULTILINE)
    assert sorted(set(rows)) == [r"broken\udcff", r"broken\x5cudcff"]


def test_argument_that_is_not_utf8_is_an_error_with_workers(pytester: pytest.Pytester) -> None:
    name = os.fsdecode(b"models\xff")
    RepositoryBuilder(pytester.path / name).add("m")
    result = pytester.runpytest_subprocess(f"--triton-repo={name}", "-n2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*models*udcff: this argument is not UTF-8*", "*-n0*"])
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
