"""Every option from every source, and what is said of values that can't be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_triton.audit import Ignored
from pytest_triton.options.option import Option
from pytest_triton.options.resolving import read_settings
from pytest_triton.options.settings import CONTAINER_OPTIONS, RUN_OPTIONS
from pytest_triton.options.values import (
    Deployment,
    DeploymentFile,
    Expectation,
    GivenValues,
    LogPlace,
    OptionError,
    Requirement,
)
from pytest_triton.placement.hardware import HardwareRequest, target_hardware
from pytest_triton.plan.sharding import Shard

# option -> the text given, and the value expected for the directory that relative paths start from
VALUES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "repo": ("one:two", lambda start: (Deployment("one:two", (start / "one", start / "two")),)),
    "weights": ("elsewhere", lambda start: "elsewhere"),
    "config_name": ("gpu", lambda start: "gpu"),
    "values": ("batch=8", lambda start: (GivenValues("batch", "", '{"batch": 8}'),)),
    "server": ("container", lambda start: "container"),
    "image": ("registry:5000/triton:1", lambda start: "registry:5000/triton:1"),
    "gpu_driver": ("cdi", lambda start: "cdi"),
    "shm_size": ("512m", lambda start: 512 << 20),
    "memory": ("8GiB", lambda start: 8 << 30),
    "pids": ("300", lambda start: 300),
    "user": ("1000:1000", lambda start: "1000:1000"),
    "read_only": ("on", lambda start: True),
    "mount": ("weights", lambda start: (start / "weights",)),
    "transfer": ("copy", lambda start: "copy"),
    "pull": ("never", lambda start: "never"),
    "pull_timeout": ("60", lambda start: 60.0),
    "reuse": ("yes", lambda start: True),
    "binary": ("bin/tritonserver", lambda start: start / "bin/tritonserver"),
    "version": ("2.42.0", lambda start: "2.42.0"),
    "release": ("26.06", lambda start: (2, 70, 0)),
    "python": ("/usr/bin/python3", lambda start: Path("/usr/bin/python3")),
    "gpus": ("sim:3@7.5", lambda start: (HardwareRequest.parse("sim:3@7.5"),)),
    "backends": ("real", lambda start: "real"),
    "timeout": ("2.5", lambda start: 2.5),
    "allow_fallback": ("tok*", lambda start: ("tok*",)),
    "expect": ("a: gpu+cpu", lambda start: (Expectation("a", frozenset({"GPU", "CPU"})),)),
    "tls_ca": ("ca.pem", lambda start: start / "ca.pem"),
    "tls_cert": ("client.pem", lambda start: start / "client.pem"),
    "tls_key": ("client.key", lambda start: start / "client.key"),
    "header": ("Authorization=env:TOKEN", lambda start: (("Authorization", "TOKEN"),)),
    "server_args": (
        "--strict-readiness=false --load-model=a --model-control-mode=explicit",
        lambda start: (
            ("--strict-readiness=false", "--load-model=a", "--model-control-mode=explicit"),
        ),
    ),
    "deployment": ("c.yaml::t", lambda start: (DeploymentFile("c.yaml::t", start),)),
    "deployment_repo": ("/models=m", lambda start: (("/models", start / "m"),)),
    "on_gpu_loss": ("not-ready", lambda start: "not-ready"),
    "metrics": ("http://there/metrics", lambda start: "http://there:8002/metrics"),
    "log": ("logs/triton.log", lambda start: LogPlace(path=start / "logs/triton.log")),
    "allow_changes": ("on", lambda start: True),
    "update_golden": ("off", lambda start: False),
    "own_backends": ("ours", lambda start: ("ours",)),
    "target": ("2", lambda start: target_hardware("2")),
    "audit_select": ("TRT1", lambda start: (("TRT1",),)),
    "audit_ignore": ("TRT101: tok*", lambda start: (Ignored(("TRT101",), ("tok*",)),)),
    "require": ("gpus=2", lambda start: (Requirement("gpus=2", "gpus", 2),)),
    "ledger": ("ledger.json", lambda start: start / "ledger.json"),
    "job": ("nightly", lambda start: "nightly"),
    "shard": ("2/5", lambda start: Shard(2, 5)),
    "html": ("report.html", lambda start: start / "report.html"),
    "markdown": ("report.md", lambda start: start / "report.md"),
    "gitlab": ("quality.json", lambda start: start / "quality.json"),
    "github": ("off", lambda start: False),
    "copy_checks": ("on", lambda start: True),
}


def test_every_option_is_tested_here() -> None:
    assert {option.name for option in RUN_OPTIONS} == set(VALUES)


@pytest.mark.parametrize("option", RUN_OPTIONS, ids=lambda option: option.name)
@pytest.mark.parametrize("source", ["command line", "ini file", "TOML", "environment"])
def test_each_option_from_each_source(
    pytester: pytest.Pytester, option: Option, source: str
) -> None:
    text, expected = VALUES[option.name]
    arguments = ["--triton-server=grpc://there"] if option.name in ("metrics", "log") else []
    environ: dict[str, str] = {}
    start = pytester.path
    if source == "command line":
        arguments.append(f"{option.flag}={text}")
    elif source == "environment":
        environ[option.environment] = f"'{text}'" if option.repeatable else text
    else:
        start = pytester.mkdir("project")
        if source == "ini file":
            (start / "pytest.ini").write_text(f"[pytest]\n{option.ini} = {text}\n")
            arguments += ["-c", "project/pytest.ini"]
        else:
            value = f"['{text}']" if option.repeatable else f"'{text}'"
            table = "[tool.pytest.ini_options]"
            (start / "pyproject.toml").write_text(f"{table}\n{option.ini} = {value}\n")
            arguments += ["-c", "project/pyproject.toml"]
    settings = read_settings(pytester.parseconfig(*arguments), environ)
    holder = settings.container if option in CONTAINER_OPTIONS else settings
    assert getattr(holder, option.name) == expected(start)
    assert settings.sources[option.name] == {"TOML": "ini file"}.get(source, source)


def test_native_table_of_pytest_9(pytester: pytest.Pytester) -> None:
    """`[tool.pytest]`; older versions of pytest don't look there, and nothing is read then."""
    pytester.makepyprojecttoml("[tool.pytest]\ntriton_repo = ['models']\ntriton_timeout = '7'\n")
    settings = read_settings(pytester.parseconfig(), {})
    known = pytest.version_tuple >= (9,)
    assert [deployment.text for deployment in settings.repo] == (["models"] if known else [])
    assert settings.timeout == (7 if known else 120)


def test_native_table_takes_values_of_all_types(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml(
        """
        [tool.pytest]
        triton_repo = "models"
        triton_gpus = ["none", 2, "sim:2"]
        triton_timeout = 2.5
        triton_pids = 300
        triton_reuse = true
        triton_target = 4
        triton_allow_fallback = '''
          tok*
          clean*
        '''
        """
    )
    if pytest.version_tuple < (9,):
        pytest.skip("native TOML is read by pytest 9 and newer")
    settings = read_settings(pytester.parseconfig(), {})
    assert [deployment.text for deployment in settings.repo] == ["models"]
    assert [str(request) for request in settings.gpus] == ["none", "2", "sim:2"]
    assert (settings.timeout, settings.container.pids, settings.container.reuse) == (2.5, 300, True)
    assert settings.target is not None
    assert settings.target.count == 4
    assert settings.allow_fallback == ("tok*", "clean*")
    overridden = read_settings(pytester.parseconfig("-o", "triton_timeout=7"), {})
    assert overridden.timeout == 7


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("triton_timeout = [30]", "triton_timeout=[30] (ini file): expected a number of seconds"),
        ("triton_version = 2.42", "triton_version=2.42 (ini file): expected a text, not a float"),
        ("triton_reuse = 1", "triton_reuse=1 (ini file): expected on or off"),
        ("triton_repo = { a = 1 }", "(ini file): expected a directory, not a dict"),
    ],
)
def test_native_table_with_a_value_of_a_wrong_type_is_named(
    pytester: pytest.Pytester, line: str, message: str
) -> None:
    if pytest.version_tuple < (9,):
        pytest.skip("native TOML is read by pytest 9 and newer")
    pytester.makepyprojecttoml(f"[tool.pytest]\n{line}\n")
    with pytest.raises(OptionError) as raised:
        read_settings(pytester.parseconfig(), {})
    assert message in str(raised.value)


@pytest.mark.parametrize("text", ["none, sim:2", "none sim:2", "none;sim:2"])
@pytest.mark.parametrize(
    ("source", "fix"),
    [
        ("command line", "repeat the option: --triton-gpus=none --triton-gpus=sim:2"),
        ("ini file", "a line each, or a list in TOML: triton_gpus = ['none', 'sim:2']"),
        ("environment", "a line each, or words as for a shell: PYTEST_TRITON_GPUS='none sim:2'"),
    ],
)
def test_several_values_given_as_one_say_how_they_are_separated(
    pytester: pytest.Pytester, source: str, fix: str, text: str
) -> None:
    arguments = [f"--triton-gpus={text}"] if source == "command line" else []
    environ = {"PYTEST_TRITON_GPUS": f"'{text}'"} if source == "environment" else {}
    if source == "ini file":
        pytester.makeini(f"[pytest]\ntriton_gpus = {text}\n")
    with pytest.raises(OptionError) as raised:
        read_settings(pytester.parseconfig(*arguments), environ)
    assert raised.value.fix == f"several values: {fix}"


def test_several_paths_given_as_one_say_how_they_are_separated(
    pytester: pytest.Pytester,
) -> None:
    pytester.mkdir("one")
    pytester.mkdir("two")
    with pytest.raises(OptionError, match="no such path, and one and two are there") as raised:
        read_settings(pytester.parseconfig("--triton-repo=one,two"), {})
    assert (
        raised.value.fix == "several values: repeat the option: --triton-repo=one --triton-repo=two"
    )
    pytester.mkdir("one,two")
    assert len(read_settings(pytester.parseconfig("--triton-repo=one,two"), {}).repo) == 1


def test_lines_of_the_environment_are_several_values(pytester: pytest.Pytester) -> None:
    environ = {"PYTEST_TRITON_EXPECT": "a: gpu\n  b_*: gpu + cpu\n"}
    settings = read_settings(pytester.parseconfig(), environ)
    assert [expectation.pattern for expectation in settings.expect] == ["a", "b_*"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("PYTEST_TRITON_GPU", "Did you mean PYTEST_TRITON_GPUS?"),
        ("PYTEST_TRITON_ALOW_FALLBACK", "Did you mean PYTEST_TRITON_ALLOW_FALLBACK?"),
        ("Pytest_Triton_Repo", "Did you mean PYTEST_TRITON_REPO?"),
        ("PYTEST_TRITON_QQQQ", "pytest --help lists the options."),
        ("PYTEST_TRITN_GPUS", "Did you mean PYTEST_TRITON_GPUS?"),
        ("PYTETS_TRITON_REPO", "Did you mean PYTEST_TRITON_REPO?"),
    ],
)
def test_misspelt_variable_of_the_environment_is_warned_about(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "x")
    pytester.makepyfile("def test_a(): pass")
    result = pytester.runpytest_subprocess("-n2")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(
        [f"*VariableUnknown: The environment variable {name} is no *{meant}"]
    )
    monkeypatch.delenv(name)
    monkeypatch.setenv("PYTEST_TRITON_TIMEOUT", "5")
    monkeypatch.setenv("PYTEST_TIMEOUT", "500")  # another plugin's
    pytester.runpytest_subprocess().assert_outcomes(passed=1, warnings=0)


def test_misspelt_option_of_the_command_line_is_refused_with_what_was_meant(
    pytester: pytest.Pytester,
) -> None:
    result = pytester.runpytest_subprocess("--triton-gpu=2")
    result.stderr.fnmatch_lines(
        ["*unrecognized arguments: --triton-gpu=2", "*--triton-gpu: did you mean --triton-gpus[?]"]
    )
    other = pytester.runpytest_subprocess("--triton-xyz=2")
    assert "did you mean" not in other.stderr.str()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("pytest.ini", "[pytest]\ntriton_gpu = 2\ntriton_timeout = 5\ntriton_targets = 1\n"),
        (
            "pyproject.toml",
            "[tool.pytest.ini_options]\ntriton_gpu = '2'\ntriton_timeout = '5'\n"
            "triton_targets = '1'\n",
        ),
    ],
)
def test_misspelt_option_of_the_ini_file_is_warned_about_with_what_was_meant(
    pytester: pytest.Pytester, file: str, text: str
) -> None:
    (pytester.path / file).write_text(text)
    pytester.makeconftest(
        "def pytest_addoption(parser): parser.addini('triton_targets', 'of another plugin')"
    )
    pytester.makepyfile("def test_a(): pass")
    result = pytester.runpytest_subprocess("-n2")
    result.stdout.fnmatch_lines(
        [f"*OptionUnknown: triton_gpu in *{file} is no option. Did you mean triton_gpus[?]"]
    )
    assert result.stdout.str().count("OptionUnknown: triton") == 1


def test_option_of_another_tool_in_the_ini_file_is_not_warned_about(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyprojecttoml(
        "[tool.poetry.dependencies]\ntriton_images = '1'\n"
        "[tool.pytest.ini_options]\nfilterwarnings = ['error']\n"
    )
    pytester.makepyfile("def test_a(): pass")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("ini", "variable", "meant"),
    [("", "PYTEST_TRITON_GPU", "PYTEST_TRITON_GPUS"), ("triton_gpu = 1", "HOME", "triton_gpus")],
)
def test_misspelt_option_where_warnings_are_errors_ends_the_run_with_what_was_meant(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    ini: str,
    variable: str,
    meant: str,
) -> None:
    monkeypatch.setenv(variable, str(pytester.path))
    # Only this one: pytest's own warning about unknown options would be an error before it.
    pytester.makeini(f"[pytest]\n{ini}\nfilterwarnings = error:.*(is no option)")
    pytester.makepyfile("def test_a(): pass")
    result = pytester.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: * is no option*Did you mean {meant}[?]"])
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()


def test_command_line_beats_the_ini_file_which_beats_the_environment(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeini("[pytest]\ntriton_timeout = 2\ntriton_allow_fallback =\n")
    environ = {
        "PYTEST_TRITON_TIMEOUT": "3",
        "PYTEST_TRITON_VERSION": "2.42.0",
        "PYTEST_TRITON_ALLOW_FALLBACK": "all_of_them",
    }
    settings = read_settings(pytester.parseconfig("--triton-timeout=1"), environ)
    assert settings.timeout == 1
    assert settings.version == "2.42.0"
    assert settings.allow_fallback == (), "an empty value in the ini file counts as given"
    assert read_settings(pytester.parseconfig(), environ).timeout == 2


def test_repeatable_options_collect_in_order(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ntriton_expect =\n  a: gpu\n  b_*: cpu\n")
    config = pytester.parseconfig("--triton-repo=one", "--triton-repo=two:three")
    settings = read_settings(config, {"PYTEST_TRITON_GPUS": "sim:1 'sim:2@7.5'"})
    assert [deployment.text for deployment in settings.repo] == ["one", "two:three"]
    assert [expectation.pattern for expectation in settings.expect] == ["a", "b_*"]
    assert [str(request) for request in settings.gpus] == ["sim:1", "sim:2@7.5"]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--triton-gpus=two", "'two' names no hardware. Valid forms"),
        ("--triton-gpus=sim:99", "at most 16"),
        ("--triton-timeout=soon", "expected a number of seconds above zero"),
        ("--triton-timeout=-1", "expected a number of seconds above zero"),
        ("--triton-timeout=nan", "expected a number of seconds above zero"),
        ("--triton-backends=fake", "expected one of real, stand-in, auto"),
        ("--triton-server=there", "expected process, container, or the URL"),
        ("--triton-server=grpc://", "is not the URL of a Triton server"),
        ("--triton-shm-size=lots", "expected a size such as 512m or 8g"),
        ("--triton-memory=0", "expected a size such as 512m or 8g"),
        ("--triton-pids=-1", "expected a whole number above zero"),
        ("--triton-read-only=maybe", "expected on or off"),
        ("--triton-gpu-driver=amd", "expected one of nvidia, cdi"),
        ("--triton-transfer=", "expected one of auto, mount, copy"),
        ("--triton-pull=daily", "expected one of missing, always, never"),
        ("--triton-expect=gpu", "expected PATTERN: KINDS"),
        ("--triton-expect=a: tpu", "expected PATTERN: KINDS"),
        ("--triton-repo=", "expected a directory"),
        ("--triton-repo=a:", "expected a directory"),
        ("--triton-allow-fallback= ", "expected a name or pattern"),
        ("--triton-release=latest", "is no release of Triton: give its version (2.70.0)"),
        ("--triton-release=22.12", "rules are known from release 2.33.0 (23.04) on"),
    ],
)
def test_value_that_cannot_be_is_named_with_its_source(
    pytester: pytest.Pytester, argument: str, message: str
) -> None:
    with pytest.raises(OptionError) as raised:
        read_settings(pytester.parseconfig(argument), {})
    assert str(raised.value).startswith(f"{argument} (command line): ")
    assert message in str(raised.value)


def test_malformed_values_end_the_run_as_usage_errors(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_TRITON_TIMEOUT", "soon")
    pytester.mkdir("models")
    result = pytester.runpytest("--triton-repo=models")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: PYTEST_TRITON_TIMEOUT=soon (environment): expected *"])
    help_result = pytester.runpytest("--triton-repo=models", "--help")
    assert help_result.ret == 0, "a broken setting must not break --help"
    help_result.stdout.fnmatch_lines(["*--triton-gpus=SPEC*"])


def test_environment_that_is_no_shell_words(pytester: pytest.Pytester) -> None:
    with pytest.raises(OptionError, match=r"PYTEST_TRITON_GPUS=none 'sim:2.*shell words"):
        read_settings(pytester.parseconfig(), {"PYTEST_TRITON_GPUS": "none 'sim:2"})


def test_without_named_hardware_backends_decide(pytester: pytest.Pytester) -> None:
    def gpus_and_backends(*arguments: str) -> tuple[list[str], str]:
        settings = read_settings(pytester.parseconfig(*arguments), {})
        return [str(request) for request in settings.gpus], settings.backends

    assert gpus_and_backends() == (["none", "sim:2"], "stand-in")
    assert gpus_and_backends("--triton-backends=real") == (["none"], "real")
    assert gpus_and_backends("--triton-gpus=all") == (["all"], "real")
    assert gpus_and_backends("--triton-gpus=none") == (["none"], "stand-in")
    assert gpus_and_backends("--triton-gpus=2", "--triton-backends=stand-in") == (
        ["2"],
        "stand-in",
    )


@pytest.mark.parametrize(
    ("arguments", "server", "backends"),
    [
        ([], "process", "stand-in"),
        (["--triton-gpus=all"], "process", "real"),
        (["--triton-image=mine"], "container", "real"),
        (["--triton-image=mine", "--triton-backends=stand-in"], "container", "stand-in"),
        (["--triton-server=container"], "container", "real"),
        (["--triton-server=process", "--triton-image=mine"], "process", "stand-in"),
        (["--triton-server=grpcs://there:8001"], "grpcs://there:8001", "real"),
    ],
)
def test_where_a_server_is_and_what_it_has_follows_from_what_is_named(
    pytester: pytest.Pytester, arguments: list[str], server: str, backends: str
) -> None:
    settings = read_settings(pytester.parseconfig(*arguments), {})
    assert (settings.server, settings.backends) == (server, backends)
