"""Editors that collect and run tests through plugins of their own.

The plugin here is a stand-in for VS Code's (python_files/vscode_pytest in microsoft/vscode-python):
it takes ids apart in the same way, and prints what it would send to the editor.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.builders import RepositoryBuilder

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("folders_left")]

STAND_IN = """
import json

def absolute(item_or_report_id, path):
    return "::".join([str(path), *item_or_report_id.split("::")[1:]])

def pytest_sessionfinish(session):
    if not session.config.option.collectonly:
        return
    tests = {}
    for item in session.items:
        name = item.name
        if hasattr(item, "callspec"):
            function, parameters = name.split("[", 1)
            before = item.nodeid.rsplit("::", 1)[0].rsplit(".py", 1)
            assert absolute(item.nodeid, item.path).startswith(
                str(item.path) + before[1] + "::" + function
            )
            name = item.originalname + " [" + parameters
        line = "" if item.location[1] is None else item.location[1] + 1
        tests[absolute(item.nodeid, item.path)] = [name, str(line)]
    print("\\nDISCOVERED " + json.dumps(tests))
"""


@pytest.fixture
def project(pytester: pytest.Pytester, tmp_path: Path) -> pytest.Pytester:
    """A project with all kinds of files that a model's checks may hang on, and tests of its own."""
    repository = RepositoryBuilder(pytester.path / "models")
    repository.add("small", "{ kind: KIND_CPU }")
    repository.add("is.python.py", "{ kind: KIND_CPU }")
    (repository.add("no_config").parent / "config.pbtxt").unlink()
    (repository.path / "empty").mkdir()
    RepositoryBuilder(tmp_path / "outside").add("far", "{ kind: KIND_CPU }")
    pytester.makeini(f"[pytest]\ntriton_repo = models:{tmp_path}/outside\n")
    pytester.makepyfile(vscode_pytest=STAND_IN)
    pytester.makepyfile(
        test_own="""
import pytest

@pytest.mark.parametrize("number", [1, 2])
def test_number(number): ...

def test_model(triton_model): ...

class TestOwn:
    def test_plain(self): ...
"""
    )
    pytester.syspathinsert()
    return pytester


def discovered(project: pytest.Pytester, *arguments: str) -> dict[str, list[str]]:
    result = project.runpytest_subprocess(
        "-p", "vscode_pytest", "--collect-only", f"--rootdir={project.path}", *arguments
    )
    lines = [line for line in result.outlines if line.startswith("DISCOVERED ")]
    assert len(lines) == 1, str(result.stdout) + str(result.stderr)
    found: Any = json.loads(lines[0].removeprefix("DISCOVERED "))
    return dict(found)


CHECKS = {
    "test_config",
    "test_explicit_placement",
    "test_audit",
    "test_placement[no-gpu]",
    "test_placement[sim-2]",
}


def test_discovery_of_vs_code_lists_all_tests_and_checks(
    project: pytest.Pytester, tmp_path: Path
) -> None:
    found = discovered(project)
    by_file: dict[str, set[str]] = {}
    for test in found:
        file, _, name = test.partition("::")
        place = project.path if Path(file).is_relative_to(project.path) else tmp_path
        by_file.setdefault(str(Path(file).relative_to(place)), set()).add(name)
    own = by_file.pop("test_own.py")
    assert {"test_number[1]", "test_model[small]", "TestOwn::test_plain"} <= own
    assert by_file == {
        "models/small/config.pbtxt": CHECKS,
        "models/is.python.py/config.pbtxt": CHECKS,
        "models/no_config/1/model.py": CHECKS,
        "models/empty": CHECKS,
        "outside/far/config.pbtxt": CHECKS,
    }


def test_ids_that_vs_code_found_can_be_run(project: pytest.Pytester) -> None:
    config = project.path / "models" / "small" / "config.pbtxt"
    chosen = [f"{config}::test_placement[sim-2]", f"{project.path}/test_own.py::test_number[1]"]
    assert set(chosen) <= set(discovered(project))
    result = project.runpytest_subprocess("-p", "vscode_pytest", *chosen)
    result.assert_outcomes(passed=2)
