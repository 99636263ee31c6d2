"""What a proof is for: the identity of a model changes with all that decides where it runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pytest_triton.checks.checked_deployment import CheckedDeployment
from pytest_triton.options.values import Deployment
from pytest_triton.plan.identity import config_hash
from pytest_triton.repository import read_repository
from support.builders import RepositoryBuilder


def identities(path: Path) -> Mapping[str, str]:
    checked = CheckedDeployment(Deployment(str(path), (path,)), read_repository([path]))
    return checked.identities


ENSEMBLE = """platform: "ensemble"
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
ensemble_scheduling { step [
  { model_name: "part" model_version: -1
    input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" } }
] }
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    builder = RepositoryBuilder(tmp_path / "models")
    builder.add("part", "{ kind: KIND_GPU }")
    builder.add("other", "{ kind: KIND_CPU }")
    builder.add_config("whole", ENSEMBLE)
    (builder.path / "part" / "1" / "model.py").write_text("one = 1\n")
    return builder.path


def _config(models: Path) -> None:
    config = models / "part" / "config.pbtxt"
    config.write_text(config.read_text().replace("KIND_GPU", "KIND_CPU"))


def _version(models: Path) -> None:
    (models / "part" / "2").mkdir()


def _no_version(models: Path) -> None:
    shutil.rmtree(models / "part" / "1")


def _code(models: Path) -> None:
    (models / "part" / "1" / "model.py").write_text("one = 2\n")


def _more_code(models: Path) -> None:
    (models / "part" / "1" / "helper").mkdir()
    (models / "part" / "1" / "helper" / "more.py").write_text("")


def _gone(models: Path) -> None:
    shutil.rmtree(models / "part")


CHANGES: tuple[Callable[[Path], None], ...] = (
    _config,
    _version,
    _no_version,
    _code,
    _more_code,
    _gone,
)


@pytest.mark.parametrize("change", CHANGES)
def test_identity_changes_with_the_model_and_all_that_are_made_of_it(
    change: Callable[[Path], None], models: Path
) -> None:
    before = identities(models)
    change(models)
    after = identities(models)
    assert after.get("part") != before["part"]
    assert after["whole"] != before["whole"]
    assert after["other"] == before["other"]


def test_identity_is_the_same_elsewhere_and_for_another_layout(
    models: Path, tmp_path: Path
) -> None:
    before = identities(models)
    moved = tmp_path / "elsewhere" / "store"
    shutil.copytree(models, moved)
    config = moved / "part" / "config.pbtxt"
    config.write_text("# a comment\n" + config.read_text())
    (moved / "part" / "1" / "weights.bin").write_bytes(b"fetched where it is needed")
    assert identities(moved) == before


def test_config_that_cannot_be_read_has_an_identity_of_its_text(models: Path) -> None:
    config = models / "part" / "config.pbtxt"
    found = []
    for text in ('backend: "', 'backend: "p', ""):
        config.write_text(text)
        (part,) = (one for one in read_repository([models]).models if one.name == "part")
        assert config_hash(part).startswith("unreadable-") == bool(text)
        found.append(identities(models)["part"])
    assert len(set(found)) == 3


def test_links_in_circles_and_pipes_are_no_trouble(models: Path) -> None:
    (models / "part" / "1" / "self").symlink_to(models / "part")
    os.mkfifo(models / "part" / "1" / "pipe.py")
    (models / "part" / "1" / "gone.py").symlink_to("nowhere.py")
    assert len(identities(models)) == 3
