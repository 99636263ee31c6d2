"""Repositories of Model Analyzer, whose variants link to the first one, on real servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.builders import RepositoryBuilder
from support.docker_daemon import IMAGE
from support.model_analyzer import write_variants

GROUPS = {
    "default": "{ kind: KIND_GPU count: 2 }",
    "2": "{ kind: KIND_CPU }",
    "10": "{ kind: KIND_GPU }, { kind: KIND_CPU count: 2 }",
}
WHERE = {
    "process": (),
    "container": ("--triton-server=container", f"--triton-image={IMAGE}"),
}


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.usefixtures("docker_image")
def test_variants_that_link_to_the_first_are_placed_as_declared(
    pytester: pytest.Pytester, repository: RepositoryBuilder, tmp_path: Path, where: str
) -> None:
    model = repository.add("add").parent
    (model / "2").mkdir()
    (model / "2" / "model.py").write_text((model / "1" / "model.py").read_text())
    written = tmp_path / "written"
    write_variants(model, written, GROUPS)
    before = sorted(written.rglob("*"))
    result = pytester.runpytest(
        *("-p", "no:cacheprovider", "-p", "no:randomly", f"--triton-repo={written}"),
        *("--triton-gpus=none", "--triton-gpus=sim:1", "--triton-backends=stand-in"),
        *WHERE[where],
    )
    result.stdout.fnmatch_lines(
        [
            "add_config_10 *refused: no GPU *GPU 0 · CPU x2*",
            "add_config_2 *CPU *CPU",
            "add_config_default *refused: no GPU *GPU 0 x2",
        ]
    )
    result.assert_outcomes(passed=15)
    assert sorted(written.rglob("*")) == before


@pytest.mark.server
def test_variants_with_their_models_name_fail_with_what_to_do(
    pytester: pytest.Pytester, repository: RepositoryBuilder, tmp_path: Path
) -> None:
    model = repository.add("add").parent
    written = tmp_path / "written"
    write_variants(model, written, GROUPS, own_names=False)
    result = pytester.runpytest("-p", "no:cacheprovider", f"--triton-repo={written}")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*Model Analyzer writes variants so*"])
