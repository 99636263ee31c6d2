"""Commands name options that they have: whatever is wrong, each `--option` they show is theirs."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pytest_triton.__main__ import COMMANDS, main
from pytest_triton.audit import RULES, Rule
from pytest_triton.cli.option_names import OWN, with_own_options
from pytest_triton.options.settings import OPTIONS
from pytest_triton.placement.server_flags import FLAGS
from support.audit_examples import DEPLOYMENT, write_files

FLAGS_OF_OTHERS = {
    *("shm-size", "ipc", "gpus", "pids-limit", "no-deps", "init", "endpoint-url", "runtime")
}
"""Of docker, pip and git, in what they say to run."""

_COMMAND_LINE = re.compile(
    r"pytest(?:'s)?(?:\s+-\S+|\s+[^\s-]\S*/\S*)+|pytest-triton [a-z]+ [^\n`]*"
)
_OPTION = re.compile(r"(?<![\w`-])--([a-z][a-z-]*[a-z])")


def options_of(command: str) -> set[str]:
    parser = argparse.ArgumentParser()
    importlib.import_module(f"pytest_triton.cli.{command}").add_arguments(parser)
    return {one[2:] for action in parser._actions for one in action.option_strings}


def foreign(command: str, text: str) -> list[str]:
    """The options in a command's output that it doesn't have, and nobody says whose they are."""
    rest = _COMMAND_LINE.sub("", text)
    known = options_of(command) | {*FLAGS} | FLAGS_OF_OTHERS
    return [name for name in _OPTION.findall(rest) if name not in known]


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with contextlib.suppress(SystemExit):
        main(arguments)
    found = capsys.readouterr()
    return found.out + found.err


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_commands_name_own_options_whatever_a_rule_finds(
    rule: Rule,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    repositories = write_files(tmp_path, rule.failing.files)
    monkeypatch.chdir(tmp_path)
    deployment = DEPLOYMENT in rule.failing.files
    where = ("--deployment", DEPLOYMENT) if deployment else (":".join(map(str, repositories)),)
    commands: list[Sequence[str]] = [("audit", *where), ("audit", *where, "--json")]
    commands += [("plan", *where)]
    if not deployment:
        commands += [("predict", *where), ("predict", *where, "--json")]
    for command in commands:
        text = said(capsys, *command)
        assert foreign(command[0], text) == [], text


CONFIGS = {
    "value": 'backend: "python"\nmax_batch_size: ${most}\n',
    "jinja": 'backend: "python"\nmax_batch_size: {{ most }}\n',
    "bare": 'backend: "python"\nmax_batch_size: MAX_BATCH\n',
    "angle": 'backend: "python"\nmax_batch_size: <MOST>\n',
    "own": 'backend: "mine"\n',
    "newer": 'platform: "torch_aoti"\n',
    "agent": 'backend: "python"\nmodel_repository_agents { agents [ { name: "checksum" } ] }\n',
    "gone": "",
}


def repositories(root: Path) -> Iterator[Path]:
    for name, config in CONFIGS.items():
        (root / name / "m" / "1").mkdir(parents=True)
        if config:
            (root / name / "m" / "config.pbtxt").write_text(config)
        yield root / name
    for name, file in (("template", "config.pbtxt.template"), ("templ", "config_template.pbtxt")):
        (root / name / "m" / "1").mkdir(parents=True)
        (root / name / "m" / file).write_text(CONFIGS["value"])
        yield root / name
    (root / "empty").mkdir()
    yield from (root / "empty", root / "missing", root / "own" / "m", root / "own/m/config.pbtxt")


def test_commands_name_own_options_for_repositories_that_they_can_not_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for repository in [*repositories(tmp_path / "all"), f"{tmp_path}/all/own:{tmp_path}/all/jinja"]:
        for command in ("audit", "predict", "plan", "merge"):
            for more in (
                (),
                ("--values", "most=8"),
                ("--release", "2.33.0"),
                ("--weights", "elsewhere"),
                ("--server-args=--model-control-mode=poll --load-model=no",),
                ("--server-args=--model-repository=/x",),
            ):
                before = ("ledger.json", "--repo") if command == "merge" else ()
                text = said(capsys, command, *before, str(repository), *more)
                assert foreign(command, text) == [], (command, more, text)


@pytest.mark.parametrize(
    "place",
    [
        "http://host:8000",
        "grpc://user:secret@host:8001",
        "ftp://x",
        "file:///x",
        "s3://",
        "s3://a:b@c",
    ],
)
def test_commands_name_own_options_for_places_that_are_no_repository(
    place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("audit", "predict", "plan"):
        text = said(capsys, command, place)
        assert "error" in text
        assert foreign(command, text) == [], text


def test_commands_name_own_options_for_ledgers_and_deployments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("compose.yaml").write_text(
        "services:\n  t:\n    image: nvcr.io/nvidia/tritonserver:24.10-py3\n"
        "    command: tritonserver --model-repository=/models\n"
        "    deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}\n"
    )
    Path("empty.json").write_text("{}")
    for command in (
        ("audit", "--deployment", "compose.yaml"),
        ("plan", "--deployment", "compose.yaml"),
        ("merge", "empty.json", "--deployment", "compose.yaml"),
        ("diff", "--deployment", "compose.yaml", "compose.yaml"),
        ("diff", "compose.yaml", "compose.yaml"),
        ("diff", "empty.json", "gone.json"),
        ("report", "empty.json"),
        ("report", "."),
        ("merge", "empty.json", "--plan", "empty.json"),
        ("install", "1.2.3"),
        ("install", "--remove", "1.2.3"),
    ):
        text = said(capsys, *command)
        assert foreign(command[0], text) == [], (command, text)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--binary", "/gone", "--python", "/gone", "--image", "no/such:image"),
        ("--json", "--version", "1.2"),
    ],
)
def test_doctor_names_own_options(arguments: Sequence[str]) -> None:
    command = (sys.executable, "-m", "pytest_triton", "doctor", *arguments)
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.stdout
    assert foreign("doctor", ran.stdout + ran.stderr) == [], ran.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_table_has_options_that_there_are(command: str) -> None:
    names = {one.flag.removeprefix("--triton-") for one in OPTIONS}
    own = OWN.get(command, {})
    assert {*own} <= names
    assert {one[2:] for one in own.values()} <= options_of(command)


@pytest.mark.parametrize(
    ("command", "text", "shown"),
    [
        ("audit", "give --triton-values=FILE or NAME=V", "give --values=FILE or NAME=V"),
        ("audit", "(--triton-image) x", "(pytest's --triton-image) x"),
        ("predict", "--triton-gpus=none --triton-gpus=2", "--gpus=none --gpus=2"),
        (
            "plan",
            "--triton-gpus=none --triton-values=x",
            "pytest's --triton-gpus=none --triton-values=x",
        ),
        ("predict", "run pytest -q --triton-values=x models/a --triton-gpus=2", None),
        ("merge", "file that pytest --triton-ledger=FILE.json has written", None),
        ("audit", "name it: --triton-own-backends=x.", "name it: --own-backend=x."),
        ("audit", "nothing", None),
    ],
)
def test_options_of_pytest_become_those_of_the_command(
    command: str, text: str, shown: str | None
) -> None:
    once = with_own_options(command, text)
    assert once == (shown or text)
    assert with_own_options(command, once) == once
