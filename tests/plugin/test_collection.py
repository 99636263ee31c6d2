"""Which nodes a repository becomes, how they are selected, and what can't get lost."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from support.builders import RepositoryBuilder

pytestmark = pytest.mark.server


def node_ids(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if "::" in line]


@pytest.fixture
def models(pytester: pytest.Pytester) -> RepositoryBuilder:
    repository = RepositoryBuilder(pytester.path / "models")
    repository.add("a", "{ kind: KIND_CPU }")
    repository.add("b", "{ kind: KIND_GPU }")
    return repository


def collect(pytester: pytest.Pytester, *arguments: str | Path) -> list[str]:
    result = pytester.runpytest("--collect-only", "-q", "-p", "no:randomly", *arguments)
    assert result.ret in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED), result.errlines
    return node_ids(result)


ALL = [
    f"models/{model}/config.pbtxt::{check}"
    for model in "ab"
    for check in (
        "test_config",
        "test_explicit_placement",
        "test_audit",
        "test_placement[no-gpu]",
        "test_placement[sim-2]",
    )
]


def test_node_ids(pytester: pytest.Pytester, models: RepositoryBuilder) -> None:
    assert collect(pytester, "--triton-repo=models") == ALL


@pytest.mark.parametrize("selected", [ALL[4], ALL[5]])
def test_node_id_selects_that_test(
    pytester: pytest.Pytester, models: RepositoryBuilder, selected: str
) -> None:
    assert collect(pytester, "--triton-repo=models", selected) == [selected]


def test_directory_selects_its_models(pytester: pytest.Pytester, models: RepositoryBuilder) -> None:
    assert collect(pytester, "--triton-repo=models", "models/b") == ALL[5:]


def test_keywords_and_lf_select(pytester: pytest.Pytester, models: RepositoryBuilder) -> None:
    assert collect(pytester, "--triton-repo=models", "-k", "explicit") == [ALL[1], ALL[6]]
    models.add("c")
    pytester.runpytest("--triton-repo=models", "--triton-gpus=none").assert_outcomes(
        passed=11, failed=1
    )
    assert collect(pytester, "--triton-repo=models", "--triton-gpus=none", "--lf") == [
        "models/c/config.pbtxt::test_explicit_placement"
    ]


def test_users_names_for_tests_do_not_switch_the_checks_off(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    pytester.makeini("[pytest]\npython_functions = check_*\npython_files = check_*.py\n")
    assert collect(pytester, "--triton-repo=models") == ALL


def test_explicit_arguments_and_the_repository(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    pytester.mkdir("tests").joinpath("test_own.py").write_text("def test_own(): pass\n")
    own = "tests/test_own.py::test_own"
    assert collect(pytester, "--triton-repo=models", "tests") == [own, *ALL]
    assert collect(pytester, "--triton-repo=models", ".") == [*ALL, own]
    assert collect(pytester, "--triton-repo=models", "models", "tests") == [*ALL, own]
    pytester.makeini("[pytest]\ntriton_repo = models\ntestpaths = tests\n")
    assert collect(pytester) == [own, *ALL], "testpaths don't keep the repository out"
    assert collect(pytester, "tests") == [own], "the ini file must not add to what was asked for"


def test_repositories_outside_rootdir_have_ids_of_their_own(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    pytester.makeini("[pytest]\n")
    for name in ("one", "two"):
        RepositoryBuilder(tmp_path / name).add("same", "{ kind: KIND_CPU }")
    ids = collect(
        pytester, f"--triton-repo={tmp_path / 'one'}", f"--triton-repo={tmp_path / 'two'}"
    )
    assert len(ids) == len(set(ids)) == 10
    shown = os.path.relpath(tmp_path / "two", pytester.path)
    selected = f"{shown}/same/config.pbtxt::test_config"
    assert selected in ids
    arguments = [f"--triton-repo={tmp_path / name}" for name in ("one", "two")]
    arguments += ["--rootdir", str(pytester.path)]  # an argument outside would move it
    assert collect(pytester, *arguments, selected) == [selected]


def test_model_without_config_hangs_on_its_model_file(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    (models.path / "c" / "1").mkdir(parents=True)
    (models.path / "c" / "1" / "model.onnx").touch()
    selected = "models/c/1/model.onnx::test_config"
    assert selected in collect(pytester, "--triton-repo=models")
    assert collect(pytester, "--triton-repo=models", selected) == [selected]


def test_what_a_plugin_makes_of_one_models_checks_the_others_get_too(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture(autouse=True)
        def time(request):
            print("time", request.param, "of", request.node.nodeid)

        def pytest_generate_tests(metafunc):
            metafunc.parametrize("time", [1, 2], indirect=True)
        """
    )
    copies = "--triton-copy-checks=on"
    arguments = ("--triton-repo=models", "--triton-gpus=none", "-k", "config", copies)
    twice = [f"models/{model}/config.pbtxt::test_config[{time}]" for model in "ab" for time in "12"]
    assert [id for id in collect(pytester, *arguments) if "test_config" in id] == twice
    result = pytester.runpytest(*arguments, "-s", "-p", "no:randomly")
    result.assert_outcomes(passed=16)
    reported = [line[line.index("time ") :] for line in result.outlines if "test_config" in line]
    assert reported == [f"time {time} of {id}" for id, time in zip(twice, "1212", strict=True)]


@pytest.mark.parametrize("copies", ["on", "off"])
@pytest.mark.parametrize("owner", ["a", "b"])
def test_models_own_conftest_is_for_its_checks_only(
    pytester: pytest.Pytester, models: RepositoryBuilder, owner: str, copies: str
) -> None:
    (models.path / owner / "conftest.py").write_text(
        "import pytest\n"
        "@pytest.fixture(autouse=True)\n"
        "def own(request): print('own of', request.node.nodeid)\n"
    )
    arguments = ("--triton-repo=models", "--triton-gpus=none", f"--triton-copy-checks={copies}")
    result = pytester.runpytest(*arguments, "-s", "-p", "no:randomly")
    result.assert_outcomes(passed=8)
    reported = [line.partition("own of ")[2] for line in result.outlines if "own of " in line]
    checks = [id for id in ALL if f"models/{owner}/" in id and "sim-2" not in id]
    assert reported == checks


def test_fixture_added_to_one_check_is_not_added_to_others(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    models.add("c", "{ kind: KIND_CPU }")
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture
        def extra(request):
            print("extra for", request.node.nodeid)

        def pytest_collection_modifyitems(items):
            for item in items:
                if "models/b/" in item.nodeid:
                    item.fixturenames.append("extra")
        """
    )
    arguments = ("--triton-repo=models", "--triton-copy-checks=on")
    result = pytester.runpytest(*arguments, "-s", "-p", "no:randomly")
    result.assert_outcomes(passed=15)
    reported = [line.partition("extra for ")[2] for line in result.outlines if "extra for " in line]
    assert reported == [id for id in ALL if "models/b/" in id]


def test_hook_is_asked_about_each_model_in_a_small_repository(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    pytester.makeconftest(
        """
        def pytest_generate_tests(metafunc):
            if "models/b/" in metafunc.definition.nodeid and "config" in metafunc.function.__name__:
                metafunc.fixturenames.append("time")
                metafunc.parametrize("time", [1, 2])
        """
    )
    found = collect(pytester, "--triton-repo=models", "-k", "test_config")
    assert found == [ALL[0], f"{ALL[5]}[1]", f"{ALL[5]}[2]"]


def test_copied_checks_have_the_same_results_as_collected_ones(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    models.add("c")
    models.add("d", "{ kind: KIND_TPU }")
    shown, entries = [], []
    for copies in ("on", "off"):
        result = pytester.runpytest(
            "--triton-repo=models",
            f"--triton-copy-checks={copies}",
            "--triton-ledger=ledger.json",
            "--junitxml=junit.xml",
            "-v",
            "-rA",
            "-p",
            "no:randomly",
        )
        shown.append([line for line in result.outlines if "::" in line or "GPU" in line])
        ledger = json.loads((pytester.path / "ledger.json").read_text())
        entries.append(ledger["entries"])
        junit = (pytester.path / "junit.xml").read_text()
        entries[-1].append(re.sub(r' (time|timestamp|hostname)="[^"]*"', "", junit))
        (pytester.path / "ledger.json").unlink()
    assert len(shown[0]) > 20
    assert shown[0] == shown[1]
    assert entries[0] == entries[1]


def test_own_tests_inside_a_repository_are_kept(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    (models.path / "a" / "test_a.py").write_text("def test_it(): pass\n")
    (models.path / "test_all.py").write_text("def test_it(): pass\n")
    ids = collect(pytester, "--triton-repo=models")
    assert {"models/a/test_a.py::test_it", "models/test_all.py::test_it", *ALL} == set(ids)


def test_links_in_circles_and_odd_names(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    (models.path / "a" / "loop").symlink_to(models.path)
    models.add("with space", "{ kind: KIND_CPU }")
    models.add("with[bracket]", "{ kind: KIND_CPU }")
    result = pytester.runpytest("--triton-repo=models")
    result.assert_outcomes(passed=17, failed=1, skipped=2)
    result.stdout.fnmatch_lines(["*a/loop: is a link back to the directory it stands in*"])
    result.stdout.fnmatch_lines(["with space *CPU *CPU*"])


def test_what_breaks_the_whole_repository_is_a_failure_and_stops_nobody(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    (models.path / "gone").symlink_to("nowhere")
    result = pytester.runpytest("--triton-repo=models", "--triton-gpus=none")
    result.assert_outcomes(passed=8, failed=1, skipped=3)
    result.stdout.fnmatch_lines(["models/gone: is a link to nowhere, which leads nowhere*"])


def test_repository_in_an_ignored_directory_is_not_lost_silently(
    pytester: pytest.Pytester,
) -> None:
    RepositoryBuilder(pytester.path / "build" / "models").add("a", "{ kind: KIND_CPU }")
    repo = "--triton-repo=build/models"
    for arguments in ([], ["."], ["build/models"]):
        assert len(collect(pytester, repo, *arguments)) == 5
    (pytester.path / "build" / "test_built.py").write_text("def test_it(): pass")
    assert len(collect(pytester, repo)) == 5, "what else is ignored stays so"


@pytest.mark.parametrize("name", ["build", ".hidden", "venv", "CVS"])
def test_models_with_names_that_pytest_ignores(
    pytester: pytest.Pytester, models: RepositoryBuilder, name: str
) -> None:
    models.add(name, "{ kind: KIND_CPU }")
    ids = collect(pytester, "--triton-repo=models")
    assert f"models/{name}/config.pbtxt::test_config" in ids


def test_collecting_starts_no_server(
    pytester: pytest.Pytester, models: RepositoryBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_server(*arguments: object) -> None:
        raise AssertionError("a server was started")

    monkeypatch.setattr("pytest_triton.servers.process.server.ProcessServer.__init__", no_server)
    assert collect(pytester, "--triton-repo=models") == ALL
    pytester.runpytest("--triton-repo=models", "-k", "explicit").assert_outcomes(passed=2)


def test_two_deployments_each_have_a_server_and_a_pair_has_one(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    other = RepositoryBuilder(pytester.path / "other")
    other.add("a", "{ kind: KIND_CPU count: 2 }")
    apart = pytester.runpytest("--triton-repo=models", "--triton-repo=other")
    apart.assert_outcomes(passed=15)
    apart.stdout.fnmatch_lines(["models: a *CPU *CPU*", "other: a *CPU x2*CPU x2*"])
    together = pytester.runpytest("--triton-repo=models:other", "--triton-gpus=none")
    together.assert_outcomes(passed=8, failed=2, skipped=2)
    together.stdout.fnmatch_lines(["*a model `a` stands in * too; Triton loads neither*"])


def test_many_deployments_run_with_few_servers(pytester: pytest.Pytester) -> None:
    arguments = []
    for number in range(12):
        RepositoryBuilder(pytester.path / f"repo_{number}").add("m", "{ kind: KIND_GPU }")
        arguments.append(f"--triton-repo=repo_{number}")
    pytester.runpytest(*arguments).assert_outcomes(passed=60)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--triton-repo=missing", "There is no model repository *missing"),
        ("--triton-repo=models/a", "*models/a is a model, not a model repository"),
        ("--triton-repo=models/a/config.pbtxt", "*config.pbtxt is not a directory"),
        ("--triton-repo=empty", "*empty is empty"),
    ],
)
def test_repository_that_is_none_is_a_usage_error(
    pytester: pytest.Pytester, models: RepositoryBuilder, argument: str, message: str
) -> None:
    pytester.mkdir("empty")
    result = pytester.runpytest(argument)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *{message}*"])
    result.stderr.fnmatch_lines(["What to do: *"])


def test_same_repository_twice_is_a_usage_error(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    result = pytester.runpytest("--triton-repo=models", "--triton-repo=./models:other")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --triton-repo=./models:other names * again*"])


@pytest.mark.parametrize("option", ["--triton-allow-fallback=nobody", "--triton-expect=nobody:gpu"])
def test_pattern_that_fits_no_model_is_an_error(
    pytester: pytest.Pytester, models: RepositoryBuilder, option: str
) -> None:
    result = pytester.runpytest("--triton-repo=models", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*no model is called 'nobody'*", "*the models that there are: a, b"]
    )


def test_patterns_count_for_the_ini_files_own_repository_named_again(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    pytester.makeini("[pytest]\ntriton_repo = models\ntriton_allow_fallback = nobody\n")
    result = pytester.runpytest("--triton-repo=models")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no model is called 'nobody'*"])


@pytest.mark.parametrize("argument", ["--triton-repo=", "--triton-binary=nowhere/tritonserver"])
def test_what_cannot_be_used_is_a_usage_error(
    pytester: pytest.Pytester, models: RepositoryBuilder, argument: str
) -> None:
    pytester.makeini("[pytest]\ntriton_repo = models\n")
    assert pytester.runpytest(argument).ret == pytest.ExitCode.USAGE_ERROR


def test_patterns_for_other_repositories_do_not_count(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    pytester.makeini("[pytest]\ntriton_repo = elsewhere\ntriton_allow_fallback = nobody\n")
    assert collect(pytester, "--triton-repo=models") == ALL


def test_space_form_that_moves_rootdir_is_warned_about(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    RepositoryBuilder(tmp_path / "store").add("a", "{ kind: KIND_CPU }")
    pytester.makeini("[pytest]\n")
    moved = pytester.runpytest("--triton-repo", tmp_path / "store", "-k", "explicit")
    moved.stdout.fnmatch_lines(["*PytestTritonWarning: Write --triton-repo=DIR, with '='*"])
    result = pytester.runpytest(f"--triton-repo={tmp_path / 'store'}", "-k", "explicit")
    result.stdout.no_fnmatch_line("*PytestTritonWarning*")


@pytest.mark.parametrize("copies", ["on", "off"])
def test_marker_triton_checks_selects_the_bundled_checks(
    pytester: pytest.Pytester, copies: str
) -> None:
    repository = RepositoryBuilder(pytester.path / "models")
    for name in ("a", "b", "c"):
        repository.add(name, "{ kind: KIND_CPU }")
    pytester.makepyfile("def test_own(): pass")
    options = ["--triton-repo=models", f"--triton-copy-checks={copies}", "--strict-markers"]
    collect = [*options, "--collect-only", "-q", "."]
    every = pytester.runpytest(*collect)
    chosen = pytester.runpytest(*collect, "-m", "triton_checks")
    others = pytester.runpytest(*collect, "-m", "not triton_checks")
    assert [line for line in every.outlines if "::" in line][-1] == (
        "test_marker_triton_checks_selects_the_bundled_checks.py::test_own"
    )
    chosen.stdout.fnmatch_lines(["15/16 tests collected (1 deselected)*"])
    others.stdout.fnmatch_lines(["1/16 tests collected (15 deselected)*"])
    some = pytester.runpytest(*collect, "-m", "triton_checks", "-k", "b and placement")
    some.stdout.fnmatch_lines(["*/16 tests collected*"])
    assert "test_own" not in some.stdout.str()


@pytest.mark.parametrize(("copies", "frozen"), [("on", True), ("off", False)])
def test_copied_checks_are_not_looked_through_for_garbage(
    pytester: pytest.Pytester, models: RepositoryBuilder, copies: str, frozen: bool
) -> None:
    pytester.makeconftest(
        "import atexit, gc\n"
        "count = gc.get_freeze_count\n"
        "atexit.register(lambda: print('at exit:', count() > seen))\n"
        "def pytest_runtestloop():\n"
        "    global seen\n"
        "    seen = count()\n"
        "    print('before the tests:', seen > 1000)\n"
    )
    arguments = ("--triton-repo=models", "-k", "config", f"--triton-copy-checks={copies}")
    result = pytester.runpytest_subprocess("-s", *arguments)
    assert models.path.is_dir()
    result.stdout.fnmatch_lines([f"*before the tests: {frozen}", f"at exit: {frozen}"])


def test_process_that_goes_on_has_its_garbage_collected_after_a_run(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    code = (
        "import gc, pytest\n"
        f"options = ['--triton-repo={models.path}', '--triton-copy-checks=on', '-q']\n"
        "class Seen:\n"
        "    def pytest_runtestloop(self):\n"
        "        print('in it:', gc.get_freeze_count() > 1000)\n"
        "pytest.main([*options, '-s', '-k', 'config'], plugins=[Seen()])\n"
        "print('after it:', gc.get_freeze_count() > 1000)\n"
    )
    result = pytester.run(sys.executable, "-c", code)
    result.stdout.fnmatch_lines(["*in it: True", "after it: False"])


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can give up its rights"
)
def test_model_whose_directory_is_closed_fails_its_own_check(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    models.add("closed", "{ kind: KIND_CPU }").parent.chmod(0o444)
    rights = "--bounding-set=-dac_override,-dac_read_search"
    arguments = ("--triton-repo=models", "-k", "test_config", "-p", "no:cacheprovider")
    result = pytester.run("setpriv", rights, sys.executable, "-m", "pytest", *arguments)
    result.stdout.fnmatch_lines(["*chmod a+rx models/closed", "FAILED models/closed::test_config*"])
    assert result.parseoutcomes()["failed"] == 1
