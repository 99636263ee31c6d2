"""The project's own files: workflows, issue forms, hooks, and the checks of a release."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
FORMS = sorted(path for path in GITHUB.glob("ISSUE_TEMPLATE/*.yml") if path.name != "config.yml")


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", WORKFLOWS),
        ("github-actions", [ROOT / "action.yml"]),
        ("dependabot", [GITHUB / "dependabot.yml"]),
        ("github-issue-forms", FORMS),
        ("github-issue-config", [GITHUB / "ISSUE_TEMPLATE/config.yml"]),
    ],
)
def test_file_fits_its_schema(schema: str, files: list[Path]) -> None:
    assert files
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*command, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflows_and_action_are_safe() -> None:
    """zizmor: unpinned actions, injected expressions, too many permissions, kept credentials."""
    program = shutil.which("zizmor", path=str(Path(sys.executable).parent))
    assert program is not None, "zizmor is one of the dev dependencies"
    done = subprocess.run(
        [program, "--offline", "--pedantic", "--no-progress", GITHUB, ROOT / "action.yml"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _scripts() -> Iterator[str]:
    for workflow in WORKFLOWS:
        for job in _read(workflow)["jobs"].values():
            yield from (step["run"] for step in job["steps"] if "run" in step)


def test_workflows_run_what_is_there() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    for script in _scripts():
        for made in re.findall(r"\bmake ([a-z -]+)", script):
            assert set(made.split()) <= set(targets), script
        for name in re.findall(r"(?:^|\s)(scripts/\S+|\.ci/\S+)", script):
            assert (ROOT / name).is_file(), script


def test_workflows_test_every_python_that_the_package_names() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    named = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)
    assert (
        _read(GITHUB / "workflows/ci.yml")["jobs"]["unit"]["strategy"]["matrix"]["python"] == named
    )


def test_only_the_job_that_publishes_may_do_more_than_read() -> None:
    rights = {
        (path.stem, name): job.get("permissions", _read(path)["permissions"])
        for path in WORKFLOWS
        for name, job in _read(path)["jobs"].items()
    }
    assert rights.pop(("release", "publish")) == {"id-token": "write"}
    assert all(one == {"contents": "read"} for one in rights.values())


@pytest.mark.parametrize("name", ["bug.yml", "placement.yml"])
def test_form_for_a_fault_asks_for_what_doctor_says(name: str) -> None:
    fields = {one["id"]: one for one in _read(GITHUB / "ISSUE_TEMPLATE" / name)["body"]}
    assert "doctor --json" in fields["doctor"]["attributes"]["label"]
    assert fields["doctor"]["validations"]["required"] is True


def test_hooks_name_programs_of_the_development_environment() -> None:
    (repo,) = _read(ROOT / ".pre-commit-config.yaml")["repos"]
    linters = re.findall(r"^\t\$\(BIN\)/([\w-]+)", _rule("lint"), re.M)
    programs = {hook["entry"].split()[0].rpartition("/")[2] for hook in repo["hooks"]}
    assert set(linters) <= programs
    assert all(shutil.which(one, path=str(Path(sys.executable).parent)) for one in programs)


def _rule(target: str) -> str:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.M)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("tag", "changes", "reported"),
    [
        ("v1.2.3", "## 1.2.3 (2026-01-31)\n", []),
        ("v1.2.4", "## 1.2.3 (2026-01-31)\n", ["the tag has to be v1.2.3"]),
        ("1.2.3", "## 1.2.3 (2026-01-31)\n", ["the tag has to be v1.2.3"]),
        ("v1.2.3", "## Unreleased\n", ["has no heading"]),
        ("v1.2.3", "## 1.2.30 (2026-01-31)\n", ["has no heading"]),
        ("v2", "", ["the tag has to be", "has no heading"]),
    ],
)
def test_release_needs_a_tag_that_is_the_version_and_its_changes(
    tmp_path: Path, tag: str, changes: str, reported: list[str]
) -> None:
    package = tmp_path / "src/pytest_triton"
    package.mkdir(parents=True)
    (package / "_version.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n{changes}")
    found = runpy.run_path(str(ROOT / "scripts/check-release"))["problems"](tag, tmp_path)
    assert len(found) == len(reported)
    assert all(text in one for text, one in zip(reported, found, strict=True))
