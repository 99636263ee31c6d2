"""What a checkout lacks is named as what it is, with the command that fetches it: with real git."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_triton.audit import audit
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.errors import RepositoryError
from pytest_triton.repository import read_repository
from support.trees import model

CONFIG = 'backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU } ]\n'
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"

Git = Callable[..., None]


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Git:
    """Run git, with a configuration of its own."""
    config = tmp_path_factory.mktemp("git") / "gitconfig"
    config.write_text(
        "[user]\nname = a\nemail = a@localhost\n[init]\ndefaultBranch = main\n"
        '[protocol "file"]\nallow = always\n'
    )
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": str(config), "GIT_CONFIG_SYSTEM": "/dev/null"}

    def git(directory: Path, *arguments: str) -> None:
        command = ["git", "-C", str(directory), *arguments]
        subprocess.run(command, env=environment, check=True, capture_output=True)

    return git


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, git: Git) -> Path:
    """A git repository with models, some of them in submodules."""
    root = tmp_path_factory.mktemp("projects")
    parts = root / "parts"
    weights = model(parts, "weights", None, folders=(), files=("model.onnx",))
    one = model(parts, "one", CONFIG, files=("1/model.onnx",))
    several = parts / "several"
    model(several, "x", CONFIG, files=("1/model.onnx",))
    (weights / "model.onnx").write_text("weights")
    project = root / "project"
    for name in ("a", "b"):
        model(project / "models", name, CONFIG, folders=(), files=("1/model.onnx",))
        (project / "models" / name / "1" / "model.onnx").write_text("weights")
    model(project / "models", "c", CONFIG, folders=())
    for directory in (weights, one, several, project):
        git(directory, "init")
    for directory in (weights, one, several):
        git(directory, "add", ".")
        git(directory, "commit", "-m", "first")
    git(project, "submodule", "add", str(weights), "models/c/1")
    git(project, "submodule", "add", str(one), "models/det")
    git(project, "submodule", "add", str(several), "all")
    git(project, "submodule", "add", str(several), "models/group")
    git(project, "add", ".")
    git(project, "commit", "-m", "first")
    return project


@pytest.fixture
def clone(tmp_path: Path, project: Path, git: Git, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone without its submodules, the current directory."""
    git(tmp_path, "clone", str(project), "clone")
    monkeypatch.chdir(tmp_path / "clone")
    return tmp_path / "clone"


def found_of(name: str, repository: Path) -> Diagnostic:
    [found] = [one for one in audit(read_repository([repository])) if one.model == name]
    return found


def test_submodule_that_is_a_model_and_not_fetched_is_named(clone: Path) -> None:
    found = found_of("det", clone / "models")
    assert found.rule == "TRT507"
    assert "is in the git submodule `models/det`, which isn't fetched" in found.message
    assert "git submodule update --init models/det" in found.message


def test_submodule_that_is_a_version_and_not_fetched_is_named(clone: Path) -> None:
    found = found_of("c", clone / "models")
    assert (found.rule, found.path) == ("TRT522", clone / "models" / "c" / "1")
    assert "git submodule update --init models/c/1" in found.message


@pytest.mark.parametrize("below", ["", "inner"])
def test_repository_in_a_submodule_that_is_not_fetched_is_an_error(clone: Path, below: str) -> None:
    with pytest.raises(RepositoryError, match="git submodule `all`, which isn't fetched") as caught:
        read_repository([clone / "all" / below])
    assert "git submodule update --init all" in str(caught.value)


def test_command_for_a_checkout_elsewhere_names_it(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clone.parent)
    found = found_of("det", clone / "models")
    assert "git -C clone submodule update --init models/det" in found.message


def test_submodules_once_fetched_are_models_and_repositories(clone: Path, git: Git) -> None:
    git(clone, "submodule", "update", "--init")
    repository = read_repository([clone / "models"])
    assert [one.name for one in repository.models if not one.refusal] == ["a", "b", "c", "det"]
    group = found_of("group", clone / "models")
    assert "It holds models itself (a git submodule)" in group.message
    assert "models/group" in group.message
    assert [one.name for one in read_repository([clone / "all"]).models] == ["x"]


def test_the_command_that_is_named_fetches(clone: Path, git: Git) -> None:
    git(clone, "submodule", "update", "--init", "models/c/1")
    assert "c" not in {one.model for one in audit(read_repository([clone / "models"]))}


def test_versions_that_a_sparse_checkout_leaves_out_are_named(clone: Path, git: Git) -> None:
    git(clone, "sparse-checkout", "set", "--no-cone", "/models/*/config.pbtxt")
    found = found_of("a", clone / "models")
    assert found.rule == "TRT503"
    assert "it may be left out by the checkout, which is sparse" in found.message
    assert "git sparse-checkout add models/a/1" in found.message
    git(clone, "sparse-checkout", "add", "models/a/1")
    assert read_repository([clone / "models"]).models[0].refusal is None


def test_repository_that_a_sparse_checkout_leaves_out_is_an_error(clone: Path, git: Git) -> None:
    git(clone, "sparse-checkout", "set", "--cone", "docs")
    with pytest.raises(RepositoryError, match="git sparse-checkout add models"):
        read_repository([clone / "models"])


def test_what_a_sparse_checkout_has_as_a_whole_is_not_left_out_by_it(clone: Path, git: Git) -> None:
    git(clone, "sparse-checkout", "set", "--cone", "models/a")
    shutil.rmtree(clone / "models" / "a" / "1")
    assert "sparse" not in found_of("a", clone / "models").message


def test_checkout_that_is_sparse_no_more_is_not_called_so(clone: Path, git: Git) -> None:
    git(clone, "sparse-checkout", "set", "--cone", "docs")
    git(clone, "sparse-checkout", "disable")
    with pytest.raises(RepositoryError) as caught:
        read_repository([clone / "gone"])
    assert "sparse-checkout" not in str(caught.value)


def test_worktree_of_a_checkout_has_its_submodules_too(clone: Path, git: Git) -> None:
    git(clone, "worktree", "add", "../worktree")
    found = found_of("det", clone.parent / "worktree" / "models")
    assert "worktree submodule update --init models/det" in found.message


# Without git


def test_version_that_dvc_keeps_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model(tmp_path / "models", "m", CONFIG, folders=(), files=("3.dvc",))
    found = found_of("m", tmp_path / "models")
    assert found.rule == "TRT503"
    assert "Fetch it: dvc pull models/m/3.dvc" in found.message


@pytest.mark.parametrize("below", ["", "inner"])
def test_repository_that_dvc_keeps_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models.dvc").write_text("outs:\n- path: models\n")
    with pytest.raises(RepositoryError, match=r"dvc pull models\.dvc"):
        read_repository([tmp_path / "models" / below])


def test_repository_whose_models_dvc_keeps_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    for name in ("a", "b"):
        (tmp_path / "models" / f"{name}.dvc").write_text(f"outs:\n- path: {name}\n")
    with pytest.raises(RepositoryError, match=r"dvc pull .*models/a\.dvc .*models/b\.dvc"):
        read_repository([tmp_path / "models"])


def test_pointers_at_any_depth_and_of_named_files_are_named(tmp_path: Path) -> None:
    named = CONFIG + (
        'input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
        'output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] label_filename: "labels.txt" } ]\n'
    )
    deep = "1/a/b/c/d/e/f/g/h.bin"
    directory = model(tmp_path, "m", named, files=("1/model.onnx", deep, "labels.txt", "notes"))
    (directory / "1" / "model.onnx").write_text("weights")
    for name in (deep, "labels.txt", "notes"):
        (directory / name).write_text(POINTER)
    found = audit(read_repository([tmp_path]))
    assert {(one.rule, one.path) for one in found} == {
        ("TRT522", directory / deep),
        ("TRT522", directory / "labels.txt"),
    }


def test_link_of_git_annex_is_named(tmp_path: Path) -> None:
    directory = model(tmp_path, "m", CONFIG)
    (directory / "labels.txt").symlink_to("../.git/annex/objects/xx/yy/SHA256E-s9--0.txt")
    assert "git annex get" in found_of("m", tmp_path).message


def test_repository_some_levels_below_is_named(tmp_path: Path) -> None:
    model(tmp_path, "m", CONFIG, files=("1/model.onnx",))
    (tmp_path / "m" / "1" / "model.onnx").write_text("weights")
    model(tmp_path / "group" / "deploy" / "models", "x", CONFIG)
    found = found_of("group", tmp_path)
    assert f"name it as a repository of its own, {tmp_path}/group/deploy/models" in found.message
    with pytest.raises(RepositoryError, match=r"Did you mean .*group/deploy/models"):
        read_repository([tmp_path / "group"])
