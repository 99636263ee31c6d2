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
    # pytest-xdist can't send what isn't UTF-8
    names = [name for name in NAMES if not way or name.isascii() or "\u202e" in name]
    for name in names:
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
    assert len({case.get("classname", "") for case in cases}) >= len(names)
