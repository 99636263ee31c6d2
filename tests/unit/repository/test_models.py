"""Finding models: what counts as one, what is wrong with it, and roots that are no repository."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_triton.diagnostics.diagnostic import Diagnostic, Effect
from pytest_triton.repository import (
    Model,
    RepositoryEmpty,
    RepositoryError,
    RepositoryNotFound,
    RepositoryUnreadable,
    model_config_type,
    read_repository,
)
from support.corpora import all_repositories
from support.trees import PYTHON, model


def only(root: Path) -> Model:
    (found,) = read_repository([root]).models
    return found


def effects(found: Model) -> list[Effect]:
    return [problem.effect for problem in found.problems]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of the machine may enter, unlike tmp_path."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for parent, folders, _ in os.walk(folder):
        for name in folders:
            (Path(parent) / name).chmod(0o755)
    shutil.rmtree(folder)


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to read everything, where tests run as root."""
    model_config_type()()  # its modules may lie where nobody can't read
    read_repository([_sample()])
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def _sample() -> Path:
    root = Path(tempfile.mkdtemp())
    model(root, "a")
    return root


# What is found


def test_models_are_sorted_and_know_their_place(tmp_path: Path) -> None:
    model(tmp_path, "b", folders=("1", "3", "configs"), files=("configs/fast.pbtxt", "configs/x"))
    model(tmp_path, "a", 'name: "a"\nbackend: "onnxruntime"\n')
    (tmp_path / "README.md").touch()
    repository = read_repository([tmp_path])
    assert repository.paths == (tmp_path,)
    assert not repository.problems
    first, second = repository.models
    assert (first.name, second.name) == ("a", "b")
    assert (second.directory, second.repository) == (tmp_path / "b", tmp_path)
    assert (second.versions, second.versions_to_load) == ((1, 3), (3,))
    assert (first.variants, second.variants) == ((), ("fast",))
    assert (first.backend, first.config.platform) == ("onnxruntime", "onnxruntime_onnx")
    assert second.config.name == "b"
    assert second.anchor == tmp_path / "b" / "config.pbtxt"
    assert first.problems == second.problems == ()
    assert first.readable
    assert first.refusal is None


def test_file_keeps_what_was_written(tmp_path: Path) -> None:
    model(tmp_path, "a", PYTHON)
    found = only(tmp_path)
    assert found.config_file is not None
    assert found.config_file.config is not None
    assert found.config_file.config.name == ""
    assert found.config.name == "a"


def test_model_without_config_belongs_to_its_file(tmp_path: Path) -> None:
    model(tmp_path, "a", None, files=("1/model.py",))
    found = only(tmp_path)
    assert found.config_file is None
    assert found.backend == "python"
    assert found.anchor == tmp_path / "a" / "1" / "model.py"
    assert found.problems == ()


def test_model_stored_as_a_directory_belongs_to_it(tmp_path: Path) -> None:
    model(tmp_path, "a", None, files=("1/model.onnx/weights",))
    assert only(tmp_path).anchor == tmp_path / "a" / "1" / "model.onnx"


def test_model_without_anything_is_its_own_anchor(tmp_path: Path) -> None:
    model(tmp_path, "a", None)
    assert only(tmp_path).anchor == tmp_path / "a"


def test_relative_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model(tmp_path / "models", "a")
    monkeypatch.chdir(tmp_path)
    assert read_repository(["models", "./models"]).paths == (tmp_path / "models",)


def test_same_name_in_two_directories(tmp_path: Path) -> None:
    model(tmp_path / "one", "a")
    model(tmp_path / "two", "a")
    model(tmp_path / "two", "b")
    repository = read_repository([tmp_path / "one", tmp_path / "two"])
    assert [(one.name, one.repository.name) for one in repository.models] == [
        ("a", "one"),
        ("a", "two"),
        ("b", "two"),
    ]
    duplicates = [problem for one in repository.models for problem in one.problems]
    assert [problem.effect for problem in duplicates] == [Effect.POLL_FAILED] * 2
    assert f"stands in {tmp_path}/two too" in duplicates[0].message
    assert f"stands in {tmp_path}/one too" in duplicates[1].message


ODD_NAMES = ("with space", "br[0]::x", "new\nline", "-dash", "ünï", "#hash", "100%", "a" * 255)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names(name: str, tmp_path: Path) -> None:
    model(tmp_path, name, f'name: "{name}" backend: ""'.replace("\n", "\\n"))
    found = only(tmp_path)
    assert found.name == name
    assert [p.message for p in found.problems] == [
        "nothing names a backend, neither config.pbtxt nor a file that Triton knows"
    ]
    assert "\n" not in str(found.problems[0]).partition(": ")[0]


def test_name_that_is_not_utf8(tmp_path: Path) -> None:
    model(tmp_path, os.fsdecode(b"caf\xe9"))
    found = only(tmp_path)
    assert os.fsencode(found.name) == b"caf\xe9"
    assert found.breaks_server
    assert str(found.problems[0]).encode()
    assert found.config.name == "caf\ufffd"


# Versions

VERSIONS = {
    ("1",): (1,),
    ("1", "2", "10"): (1, 2, 10),
    ("0",): (0,),
    ("-1",): (-1,),
    ("9223372036854775807",): (9223372036854775807,),
    ("01",): (),
    ("v1",): (),
    ("latest",): (),
    ("configs", "warmup", "initial_state"): (),
    ("1.0",): (1,),
    ("1abc", "2"): (1, 2),
    ("+2",): (2,),
    (" 3",): (3,),
    ("00000000000000000000000",): (),
}


@pytest.mark.parametrize("folders", VERSIONS, ids=" ".join)
def test_versions(folders: tuple[str, ...], tmp_path: Path) -> None:
    model(tmp_path, "a", folders=folders)
    found = only(tmp_path)
    assert found.versions == VERSIONS[folders]
    assert (Effect.LOAD_FAILED in effects(found)) == (not found.versions)


@pytest.mark.parametrize("name", ["9223372036854775808", "-9223372036854775809", "9" * 200])
def test_version_beyond_64_bits(name: str, tmp_path: Path) -> None:
    model(tmp_path, "a", folders=("1", name))
    found = only(tmp_path)
    assert found.versions == (1,)
    assert found.breaks_server


POLICIES = {
    "": (3,),
    "latest { num_versions: 2 }": (2, 3),
    "latest { num_versions: 9 }": (1, 2, 3),
    "latest { num_versions: 0 }": (),
    "all { }": (1, 2, 3),
    "specific { versions: [ 1, 3 ] }": (1, 3),
    "specific { versions: [ 1, 4 ] }": (1,),
    "specific { versions: [ 4 ] }": (),
    "specific { }": (),
}


@pytest.mark.parametrize("policy", POLICIES)
def test_version_policy(policy: str, tmp_path: Path) -> None:
    text = PYTHON + (f"version_policy {{ {policy} }}" if policy else "")
    model(tmp_path, "a", text, folders=("1", "2", "3"))
    found = only(tmp_path)
    assert found.versions_to_load == POLICIES[policy]
    assert effects(found) == ([] if POLICIES[policy] else [Effect.LOAD_FAILED])


@pytest.mark.parametrize(
    ("folders", "fix"),
    [
        ((), "mkdir"),
        (("01",), "`01` is ignored for its leading zero: rename it to 1."),
        (("v2",), "`v2` is not a number: rename it to 2."),
    ],
)
def test_fix_for_a_missing_version(folders: tuple[str, ...], fix: str, tmp_path: Path) -> None:
    model(tmp_path, "a", folders=folders)
    (problem,) = only(tmp_path).problems
    assert fix in problem.fix


@pytest.mark.parametrize(
    ("entry", "said"),
    [("link", "`1` is a link to /nonexistent, which leads nowhere"), ("file", "`1` is a file")],
)
def test_fix_for_a_version_whose_name_is_taken_makes_place_for_it(
    entry: str, said: str, tmp_path: Path
) -> None:
    place = model(tmp_path, "a", folders=()) / "1"
    if entry == "link":
        place.symlink_to("/nonexistent")
    else:
        place.write_text("x")
    found = [one for one in only(tmp_path).problems if "no version directory" in one.message]
    assert said in found[0].message
    fix = found[0].fix
    assert fix.startswith(("Correct or remove the link", "Move the file away")), fix


@pytest.mark.parametrize(
    ("file", "fix"),
    [
        ("model.onnx", 'The model\'s file is for onnxruntime: write backend: "onnxruntime".'),
        ("model.pt", "Delete the platform: the backend says enough."),
        (
            "weights.bin",
            "Delete the platform if the model is for pytorch. If not, write backend: "
            '"onnxruntime".',
        ),
    ],
)
def test_fix_for_platform_and_backend_keeps_the_one_that_the_file_is_for(
    file: str, fix: str, tmp_path: Path
) -> None:
    config = 'platform: "onnxruntime_onnx" backend: "pytorch"'
    model(tmp_path, "a", config, files=(f"1/{file}",))
    found = [one for one in only(tmp_path).problems if "don't belong" in one.message]
    assert [one.fix for one in found] == [fix]


# What polling refuses: text, with the place marked by ~ ; message; fix (parts of them)

BATCHING = "max_batch_size: 4 dynamic_batching { "
SEQUENCE = "sequence_batching { "
STEP = 'step { model_name: "b" input_map { key: "I" value: "X" } '
STEP += '~output_map { key: "O" value: "Y" } }'
ENSEMBLE = 'platform: "ensemble" '
X = 'input { name: "X" data_type: TYPE_FP32 dims: 1 } '
REFUSED = {
    "batch size": (PYTHON + "~max_batch_size: -1", "is -1", "Write 0"),
    "platform": ('~platform: "foo"', "`foo` doesn't stand for one", "Write backend:"),
    "file": ('~default_model_filename: "x"', "no backend is named", "Write backend:"),
    "name": (PYTHON + '~name: "b"', "is called `b`, its directory `a`", 'Write name: "a"'),
    "pair": ('backend: "pytorch"\n~platform: "foo"', "don't belong", "Platforms of pytorch: py"),
    "format for a platform": (
        '~platform: "onnx"',
        "`onnx` doesn't stand for one",
        'Write backend: "onnxruntime" in place of the platform.',
    ),
    "pair of a format": (
        'backend: "onnxruntime" ~platform: "onnx"',
        "don't belong",
        "Platforms of onnxruntime: onnxruntime_onnx; or delete the platform.",
    ),
    "pair of another format": (
        'backend: "pytorch" ~platform: "onnx"',
        "don't belong",
        'write backend: "onnxruntime" and delete the platform.',
    ),
    "foreign pair": ('backend: "pytorch" ~platform: "tensorrt_plan"', "don't", "Delete the plat"),
    "preferred size": (
        PYTHON + BATCHING + "preferred_batch_size: [ 2, ~8 ] }",
        "size of 8, with max_batch_size 4",
        "from 1 to max_batch_size, or raise that.",
    ),
    "no default level": (
        PYTHON + BATCHING + "~priority_levels: 2 }",
        "default_priority_level is 0, of 2 levels",
        "from 1 to 2.",
    ),
    "ordered levels": (
        PYTHON
        + BATCHING
        + "priority_levels: 2 default_priority_level: 1 ~preserve_ordering: true}",
        "no room for several priority levels",
        "Delete one",
    ),
    "cache": (
        PYTHON + SEQUENCE + "}\n~response_cache { enable: true }",
        "can't use the response cache",
        "Delete response_cache.",
    ),
    "oldest": (PYTHON + SEQUENCE + "oldest { preferred_batch_size: ~0 } }", "size of 0", "1 to"),
    "slots": (
        PYTHON + SEQUENCE + "direct { ~minimum_slot_utilization: 2 } }",
        "minimum_slot_utilization is 2",
        "from 0.0 to 1.0",
    ),
    "nameless control": (
        PYTHON + SEQUENCE + "control_input [ { name: 'C' }, ~{ } ] }",
        "control_input without a name",
        "Write the name",
    ),
    "control twice": (
        PYTHON + SEQUENCE + "control_input [ { name: 'C' }, { ~name: 'C' } ] }",
        "`C` is a control_input twice",
        "name of its own",
    ),
    "control without values": (
        PYTHON + SEQUENCE + "control_input { name: 'C' control [ ~{ kind: 1 } ] } }",
        "CONTROL_SEQUENCE_READY",
        "int32_false_true: [ 0, 1 ]",
    ),
    "ensemble with backend": ('~backend: "b" platform: "ensemble"', "has no backend", "Delete"),
    "no scheduling": ('~platform: "ensemble"', "without ensemble_scheduling", "Write ensemble_sch"),
    "scheduling": (PYTHON + "~ensemble_scheduling { }", "is no ensemble", 'Write platform: "ens'),
    "no step": (ENSEMBLE + "~ensemble_scheduling { }", "without a step", "Write step"),
    "group": (ENSEMBLE + "~instance_group { } ensemble_scheduling { }", "with instance_", "Delete"),
    "no maps": (
        ENSEMBLE + 'ensemble_scheduling { step [ ~{ model_name: "b" } ] }',
        "step 0 has no input_map",
        "Write input_map.",
    ),
    "tensor unused": (
        ENSEMBLE + X + f"ensemble_scheduling {{ {STEP} }}",
        "the tensor `Y` is used by nothing",
        "Check the names",
    ),
    "input unused": (
        ENSEMBLE + X.replace("name", "~name").replace("X", "Z") + "ensemble_scheduling { "
        f"{STEP.replace('~', '')} }}",
        "no step reads the ensemble's input `Z`",
        "Read: X.",
    ),
    "output unused": (
        ENSEMBLE
        + X
        + X.replace("input { name", "output { ~name").replace("X", "Z")
        + f"ensemble_scheduling {{ {STEP.replace('~', '')} }}",
        "no step writes the ensemble's output `Z`",
        "Written: Y.",
    ),
    "output not written": (
        ENSEMBLE + X.replace("input", "output").replace("X", "Y") + "ensemble_scheduling { "
        f"{STEP.replace('~', '').replace('input_map', '~input_map')} }}",
        "output `Y` is never written, for nothing writes `X`",
        "Check the names",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_polling_refuses_is_pointed_at(case: str, tmp_path: Path) -> None:
    marked, message, fix = REFUSED[case]
    before, _, after = marked.partition("~")
    model(tmp_path, "a", before + after)
    problem = only(tmp_path).problems[0]
    assert message in problem.message
    assert fix in problem.fix
    line = before.count("\n") + 1
    assert (problem.line, problem.column) == (line, len(before.rpartition("\n")[2]) + 1)
    assert problem.effect is Effect.POLL_FAILED


def test_what_only_old_releases_refuse_is_no_problem(tmp_path: Path) -> None:
    model(tmp_path, "a", 'backend: "mine" platform: "tensorrt_plan"')
    model(tmp_path, "b", 'platform: "torch_aoti"')
    assert [one.problems for one in read_repository([tmp_path]).models] == [(), ()]


# Links, pipes, rights


def problem_of(root: Path, name: str = "a") -> Diagnostic:
    found = next(one for one in read_repository([root]).models if one.name == name)
    return found.problems[0]


@pytest.mark.parametrize(
    ("target", "expected_text"), [("gone", "leads nowhere"), ("config.pbtxt", "in a circle")]
)
def test_config_that_is_a_broken_link(target: str, expected_text: str, tmp_path: Path) -> None:
    directory = model(tmp_path, "a", None)
    (directory / "config.pbtxt").symlink_to(target)
    problem = problem_of(tmp_path)
    assert expected_text in problem.message
    assert problem.effect is Effect.POLL_FAILED


def test_config_that_is_a_good_link(tmp_path: Path) -> None:
    directory = model(tmp_path, "a", None)
    (tmp_path / "common.pbtxt").write_text(PYTHON)
    (directory / "config.pbtxt").symlink_to("../common.pbtxt")
    assert only(tmp_path).problems == ()


def test_configs_that_are_no_files(tmp_path: Path) -> None:
    (model(tmp_path, "directory", None) / "config.pbtxt").mkdir()
    os.mkfifo(model(tmp_path, "pipe", None) / "config.pbtxt")
    (model(tmp_path, "device", None) / "config.pbtxt").symlink_to("/dev/zero")
    model(tmp_path, "good")
    found = {one.name: one for one in read_repository([tmp_path]).models}
    assert {name for name, one in found.items() if one.breaks_server} == {
        "directory",
        "pipe",
        "device",
    }
    assert "is a named pipe, not a file" in found["pipe"].problems[0].message
    assert "is a directory, not a file" in found["directory"].problems[0].message


def test_dangling_link_beside_a_model_breaks_the_repository(tmp_path: Path) -> None:
    model(tmp_path, "a")
    (tmp_path / "x").symlink_to("gone")
    (problem,) = read_repository([tmp_path]).problems
    assert problem.path == tmp_path / "x"
    assert problem.effect is Effect.BREAKS_SERVER


def test_dangling_link_within_a_model_fails_the_model(tmp_path: Path) -> None:
    (model(tmp_path, "a") / "labels.txt").symlink_to("gone")
    problem = problem_of(tmp_path)
    assert problem.path == tmp_path / "a" / "labels.txt"
    assert problem.effect is Effect.POLL_FAILED


def test_links_in_circles(tmp_path: Path) -> None:
    for name in ("one", "two", "up"):
        model(tmp_path, name)
    (tmp_path / "one" / "self").symlink_to(".")
    (tmp_path / "two" / "self").symlink_to(".")
    (tmp_path / "two" / "again").symlink_to("../two")
    (tmp_path / "up" / "all").symlink_to("..")
    (tmp_path / "up" / "fine").symlink_to("1")
    found = {one.name: effects(one) for one in read_repository([tmp_path]).models}
    assert found["one"] == [Effect.ACCEPTED]
    assert found["two"] == [Effect.BREAKS_SERVER] * 2
    assert found["up"] == [Effect.BREAKS_SERVER]


def test_what_may_not_be_read(open_folder: Path) -> None:
    model(open_folder, "config")
    (open_folder / "config" / "config.pbtxt").chmod(0)
    model(open_folder, "directory").chmod(0)
    model(open_folder, "version", "", files=("1/model.py",))
    (open_folder / "version" / "1").chmod(0)
    model(open_folder, "good")
    with as_nobody():
        found = {one.name: one for one in read_repository([open_folder]).models}
    assert found["good"].problems == ()
    assert "can't be read: Permission denied" in found["config"].problems[0].message
    assert "chmod a+r" in found["config"].problems[0].fix
    for name in ("directory", "version"):
        assert "can't be listed: Permission denied" in found[name].problems[0].message
        assert found[name].problems[0].effect is Effect.POLL_FAILED


# Roots


def refused(root: Path, error: type[RepositoryError]) -> str:
    with pytest.raises(error) as caught:
        read_repository([root])
    return str(caught.value)


def test_no_such_directory(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    text = refused(tmp_path / "model" / "x", RepositoryNotFound)
    assert f"There is no model repository {tmp_path}/model/x" in text
    assert f"{tmp_path} is there, and has no `model`" in text
    assert "its directories: models" in text


def test_file_for_a_repository(tmp_path: Path) -> None:
    directory = model(tmp_path / "models", "a")
    text = refused(directory / "config.pbtxt", RepositoryNotFound)
    assert f"Name the repository: {tmp_path}/models" in text


def test_links_for_a_repository(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    assert "leads nowhere" in refused(tmp_path / "gone", RepositoryNotFound)
    assert "leads in a circle" in refused(tmp_path / "circle", RepositoryNotFound)


def test_closed_repository(open_folder: Path) -> None:
    model(open_folder / "models", "a")
    (open_folder / "models").chmod(0)
    with as_nobody():
        text = refused(open_folder / "models", RepositoryUnreadable)
    assert "can't be listed: Permission denied" in text


@pytest.mark.parametrize("config", [PYTHON, None])
def test_model_for_a_repository(config: str | None, tmp_path: Path) -> None:
    directory = model(tmp_path / "models", "a", config, files=("1/model.py",))
    text = refused(directory, RepositoryEmpty)
    assert "is a model, not a model repository" in text
    assert f"Did you mean its parent? {tmp_path}/models" in text


def test_parent_of_a_repository(tmp_path: Path) -> None:
    model(tmp_path / "models", "a")
    (tmp_path / "docs").mkdir()
    text = refused(tmp_path, RepositoryEmpty)
    assert "holds no model" in text
    assert f"Did you mean {tmp_path}/models?" in text


def test_hidden_directories_below_a_repository_without_models_are_not_proposed(
    tmp_path: Path,
) -> None:
    model(tmp_path / "..2024_05_01_01", "a")  # a ConfigMap's, whose links were lost
    assert "Did you mean" not in refused(tmp_path, RepositoryEmpty)


def test_empty_repository(tmp_path: Path) -> None:
    assert "is empty" in refused(tmp_path, RepositoryEmpty)
    (tmp_path / "a").mkdir()
    assert "holds no model" in refused(tmp_path, RepositoryEmpty)


def test_directory_that_is_no_model_is_one_to_triton(tmp_path: Path) -> None:
    model(tmp_path, "a")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").touch()
    repository = read_repository([tmp_path])
    assert [one.name for one in repository.models] == [".git", "a"]
    assert "is not a model" in repository.models[0].problems[0].message


# Real ones


def test_whole_repositories_can_be_read() -> None:
    models = [one for root in all_repositories() for one in read_repository([root]).models]
    assert len(models) >= 50
    broken = {"field_name", "template_number"}
    assert all(one.readable for one in models if one.name not in broken)
    assert not any(one.breaks_server for one in models)
