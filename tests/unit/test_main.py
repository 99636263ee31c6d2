"""`pytest-triton`: choosing a command, errors, exit codes. No server, no network."""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

import pytest

import pytest_triton
from pytest_triton import __main__ as program
from pytest_triton._version import __version__
from pytest_triton.errors import OptionError, PytestTritonError
from support.builders import RepositoryBuilder

SOURCES = str(Path(pytest_triton.__file__).parents[1])


def run(
    *arguments: str, python: tuple[str, ...] = ("-m", "pytest_triton"), **environ: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *python, *arguments],
        env={**os.environ, "PYTHONPATH": SOURCES, **environ},
        capture_output=True,
        text=True,
    )


def test_help_names_every_command_and_imports_none() -> None:
    script = (
        "import sys; from pytest_triton.__main__ import main\n"
        "try: main(['--help'])\n"
        "finally: print([name for name in sys.modules if name.startswith('pytest_triton.')])"
    )
    done = run(python=("-c", script))
    assert done.returncode == 0
    assert all(name in done.stdout for name in program.COMMANDS)
    assert done.stdout.splitlines()[-1] == (
        "['pytest_triton._version', 'pytest_triton.text', 'pytest_triton.text.shown_text', "
        "'pytest_triton.errors', 'pytest_triton.__main__']"
    )


@pytest.mark.parametrize("name", sorted(program.COMMANDS))
def test_every_command_explains_itself(name: str) -> None:
    done = run(name, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: pytest-triton {name}")


def test_command_that_is_installed_is_the_module() -> None:
    (found,) = entry_points(group="console_scripts", name="pytest-triton")
    assert found.load() is program.main
    assert found.name == program.PROGRAM


@pytest.mark.parametrize("name", sorted(program.COMMANDS.keys() - {"report"}))
def test_every_command_that_says_something_has_json(name: str) -> None:
    command = importlib.import_module(f"pytest_triton.cli.{name}")
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert "--json" in {flag for one in parser._actions for flag in one.option_strings}
    assert "--json" in (command.__doc__ or ""), "the reference lists its keys"


def test_version() -> None:
    assert run("--version").stdout == f"pytest-triton {__version__}\n"


def test_without_a_command_it_shows_help() -> None:
    done = run()
    assert done.returncode == 2
    assert "commands:" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["instal"], "install"),
        (["install", "--nonsense"], "--nonsense"),
        (["install", "--list", "--remove", "2.51.0"], "not allowed with"),
        (["install", "2.51.0", "2.42.0"], "unrecognized arguments: 2.42.0"),
    ],
)
def test_wrong_usage_is_an_error(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("audit --explain TRT999", "there is no rule 'TRT999'"),
        ("audit --explain mixed", "Did you mean "),
        ("audit models --select TRT999", "there is no rule 'TRT999'"),
        ("audit models --ignore nope", "there is no rule 'nope'"),
        ("predict models --explain rankr", "did you mean 'ranker'?"),
        ("install 2.99.0", "There is no tritonserver release '2.99.0'"),
        ("install --remove 2.99.0", "There is no tritonserver release '2.99.0'"),
        ("report ledger.json --format htm", "invalid choice: 'htm'"),
        ("report ledger.json -o page.htmx", "doesn't say which report it is to be"),
        ("doctor --require=contaner", "Did you mean container?"),
        ("doctor --require=GPU", "Did you mean gpus?"),
        ("doctor --require=luck", "real-backends, gpus, container, container-gpus, or gpus=2"),
        ("diff --deployment compose.yaml::trition compose.yaml", "did you mean triton?"),
        *(
            (f"{command} {argument}", message)
            for command in ("audit", "predict", "plan")
            for argument, message in (
                ("models --values bacth=1", "bacth"),
                ("models --release 24.1x", "24.1x"),
                ("models --server-args=--stric-readiness=1", "did you mean --strict-readiness?"),
                ("models --server-args='--model-control-mode=explicit --load-model=x'", "x"),
                ("models --release 2.33.0 --server-args=--model-config-name=x", "2.46.0"),
                ("nowhere", "nowhere"),
            )
        ),
        *(
            (f"{command} --deployment compose.yaml::trition", "did you mean triton?")
            for command in ("audit", "plan")
        ),
    ],
)
def test_name_that_is_not_known_is_wrong_usage_of_every_command(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    repository: RepositoryBuilder,
    arguments: str,
    message: str,
) -> None:
    repository.add("ranker", "{ kind: KIND_CPU }")
    compose = "services:\n  triton:\n    image: nvcr.io/nvidia/tritonserver:24.10-py3\n"
    (repository.path.parent / "compose.yaml").write_text(compose)
    monkeypatch.chdir(repository.path.parent)
    arguments = arguments.replace("models", repository.path.name)
    try:
        code = program.main(shlex.split(arguments))
    except SystemExit as ended:
        code = ended.code  # type: ignore[assignment]
    captured = capsys.readouterr()
    assert message in captured.err
    assert code == 2
    assert captured.out == ""


def test_error_is_reported_without_a_traceback() -> None:
    done = run("install", "1.0")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: There is no tritonserver release '1.0'")
    assert "What to do: name one of these" in done.stderr
    assert "Traceback" not in done.stderr


def test_install_needs_only_the_standard_library(tmp_path: Path) -> None:
    done = run(
        *("install", "--list"),
        python=("-S", "-m", "pytest_triton"),
        PYTEST_TRITON_CACHE=str(tmp_path / "cache"),
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 6
    assert not (tmp_path / "cache").exists()


class _Command(ModuleType):
    """A command that raises."""

    def __init__(self, error: BaseException) -> None:
        super().__init__("pytest_triton.cli.raising")
        self.error = error

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--flag", action="store_true")

    def run(self, arguments: argparse.Namespace) -> int:
        assert arguments.flag
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (
            PytestTritonError("It broke.", tried=["a", "b"], fix="fix it."),
            1,
            "error: It broke.\nTried:\n  - a\n  - b\nWhat to do: fix it.\n",
        ),
        (OptionError("no such thing"), 2, "error: no such thing\n"),
    ],
)
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    said: str,
) -> None:
    monkeypatch.setitem(program.COMMANDS, "raising", "raise")
    monkeypatch.setitem(sys.modules, "pytest_triton.cli.raising", _Command(error))
    assert program.main(["raising", "--flag"]) == code
    assert capsys.readouterr().err == said


def test_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "pytest_triton", "install", "--list"],
        env={**os.environ, "PYTHONPATH": SOURCES, "PYTEST_TRITON_CACHE": str(tmp_path)},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("command", ["audit", "predict", "plan"])
def test_reading_command_imports_neither_servers_nor_clients(command: str, tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "model.onnx").write_text("weights")
    config = 'backend: "onnxruntime" instance_group [ { kind: KIND_GPU } ]'
    (tmp_path / "m" / "config.pbtxt").write_text(config)
    code = (
        "import sys; from pytest_triton.__main__ import main; "
        f"assert main([{command!r}, {str(tmp_path)!r}]) == 0; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    unneeded = [
        *(["subprocess"] if sys.version_info >= (3, 11) else []),  # of the standard library's own
        "socket",
        "pytest",
        "grpc",
        "numpy",
        "pytest_triton.servers",
        "pytest_triton.audit.model_code",
        "pytest_triton.checks.result",
        # `audit` reads pytest's ini file, by the table of options.
        *(["pytest_triton.client", "pytest_triton.options.settings"] if command != "audit" else []),
    ]
    loaded = done.stdout.splitlines()[-1].split()
    assert [name for name in unneeded if name in loaded] == []
