"""`predict` on repositories of Model Analyzer, and `predict --measured` with its results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_triton.__main__ import main
from pytest_triton.repository.measured_results import ResultsUnreadable, read_results
from support.builders import RepositoryBuilder
from support.model_analyzer import HEADER, write_variants

Predict = Callable[..., tuple[int, str, str]]

GROUPS = {
    "default": "",
    "9": "{ count: 2 kind: KIND_GPU }",
    "10": "{ count: 1 kind: KIND_GPU }, { count: 2 kind: KIND_CPU }",
}


@pytest.fixture
def predict(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Predict:
    """Run the command where the repositories are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def predict(*arguments: str) -> tuple[int, str, str]:
        code = main(["predict", *arguments])
        return (code, *capsys.readouterr())

    return predict


@pytest.fixture
def model(repository: RepositoryBuilder) -> Path:
    return repository.add("add_sub", backend="onnxruntime").parent


@pytest.fixture
def written(model: Path, tmp_path: Path) -> Path:
    """What Model Analyzer's c_api mode writes."""
    write_variants(model, tmp_path / "out", GROUPS)
    return tmp_path / "out"


def results(tmp_path: Path, *rows: str) -> str:
    path = tmp_path / "results.csv"
    path.write_text(HEADER + "\n".join(rows) + "\n")
    return str(path)


def row(variants: str, groups: str) -> str:
    return f'any,1,4,"{variants}","{groups}",8,Yes,100.5,"6.5, [7.0,6.0]"'


@pytest.mark.usefixtures("written")
def test_variants_of_a_model_stand_together_in_natural_order(
    predict: Predict, repository: RepositoryBuilder, tmp_path: Path
) -> None:
    model = repository.add("add", "{ kind: KIND_CPU }").parent
    write_variants(model, tmp_path / "out", {"0": ""})
    model.rename(tmp_path / "out" / "add")
    code, out, _ = predict("out", "--gpus", "2")
    assert code == 0
    assert out.splitlines()[2:9] == [
        "model                      declared       2 GPUs",
        "add                        CPU            CPU",
        "  add_config_0             CPU            CPU",
        "add_sub",
        "  add_sub_config_default   nothing        GPU 0 · GPU 1",
        "  add_sub_config_9         GPU x2         GPU 0 x2 · GPU 1 x2",
        "  add_sub_config_10        GPU + CPU x2   GPU 0 · GPU 1 · CPU x2",
    ]


def test_variants_with_their_models_name_are_refused_and_shown_as_they_are_loaded(
    predict: Predict, model: Path, tmp_path: Path
) -> None:
    write_variants(model, tmp_path / "out", GROUPS, own_names=False)
    code, out, err = predict("out", "--gpus", "0", "1")
    assert code == 1
    assert "  add_sub_config_9         GPU x2         refused: name   refused: name" in out
    assert (
        """\
Model Analyzer loads each variant under its model's name; there it is placed on:
variant                  no GPU                1 GPU
add_sub_config_default   CPU x2  <- fallback   GPU 0
add_sub_config_9         refused: no GPU       GPU 0 x2
add_sub_config_10        refused: no GPU       GPU 0 · CPU x2
"""
        in out
    )
    assert "To serve this one as `add_sub`, copy its directory with links followed (cp -rL)" in out
    assert "error: ready on none of this hardware: add_sub_config_default" in err


def test_measured_variants_on_the_measured_hardware_are_as_measured(
    predict: Predict, written: Path, tmp_path: Path
) -> None:
    file = results(
        tmp_path,
        row("add_sub_config_9", "2:GPU"),
        row("add_sub_config_10,elsewhere_config_4", "1:GPU + 2:CPU,1:GPU"),
        row("ensemble_config_1: add_sub_config_default, other_config_1", "1:GPU,2:GPU"),
        row("add_sub_config_9", "2:GPU"),
    )
    code, out, err = predict("out", "--measured", file, "--gpus", "0", "1")
    assert (code, err) == (0, "")
    assert (
        """\
measured                 on              no GPU                1 GPU
add_sub_config_default   1:GPU           CPU x2  <- fallback   GPU 0 (as measured)
add_sub_config_9         2:GPU           refused: no GPU       GPU 0 x2 (as measured)
add_sub_config_10        1:GPU + 2:CPU   refused: no GPU       GPU 0 · CPU x2 (as measured)
"""
        in out
    )


def test_measured_variants_elsewhere_name_the_hardware_or_the_change(
    predict: Predict, written: Path, tmp_path: Path
) -> None:
    file = results(
        tmp_path,
        row("add_sub_config_9", "6:GPU"),
        row("add_sub_config_10", "1:GPU + 3:CPU"),
        row("add_sub_config_default", "1:GPU + 1:CPU"),
    )
    code, _, err = predict("out", "--measured", file)
    assert code == 1
    assert (
        err
        == """\
error: not placed as measured on any of this hardware: \
add_sub_config_default, add_sub_config_9, add_sub_config_10
  as measured on 3 GPUs (--gpus 0 3): add_sub_config_9
  add_sub_config_default gets 1:GPU + 1:CPU on no number of GPUs: it declares no kind, which Model \
Analyzer counts as GPU wherever there is one, whatever the backend does
  add_sub_config_10 gets 1:GPU + 3:CPU on no number of GPUs: its config isn't the one that was \
measured
"""
    )


def test_variants_with_their_models_name_are_compared_as_they_were_loaded(
    predict: Predict, model: Path, tmp_path: Path
) -> None:
    write_variants(model, tmp_path / "out", GROUPS, own_names=False)
    file = results(tmp_path, row("add_sub_config_9", "2:GPU"))
    _, out, err = predict("out", "--measured", file, "--gpus", "1")
    assert "add_sub_config_9   2:GPU   GPU 0 x2 (as measured)" in out
    assert "not placed as measured" not in err


@pytest.mark.parametrize(
    ("groups", "code", "shown"),
    [
        ("{ kind: KIND_GPU count: 2 }", 0, "GPU 0 x2 (as add_sub_config_9)"),
        ("{ kind: KIND_GPU count: 5 }", 1, "GPU 0 x5"),
    ],
)
def test_chosen_config_under_the_models_name_is_compared_with_all_its_variants(
    predict: Predict,
    repository: RepositoryBuilder,
    tmp_path: Path,
    groups: str,
    code: int,
    shown: str,
) -> None:
    repository.add("add_sub", groups)
    file = results(
        tmp_path, row("add_sub_config_9", "2:GPU"), row("add_sub_config_10", "1:GPU + 2:CPU")
    )
    found, out, err = predict("models", "--measured", file, "--gpus", "1")
    assert found == code
    assert f"add_sub    2:GPU or 1:GPU + 2:CPU   {shown}\n" in out
    assert ("its config is that of none of the measured variants" in err) == bool(code)


def test_instances_of_which_no_number_is_written_count_as_model_analyzer_counts_them(
    predict: Predict, repository: RepositoryBuilder, tmp_path: Path
) -> None:
    repository.add("a_config_0", "{ kind: KIND_CPU }", backend="onnxruntime")  # Triton makes two
    repository.add("a_config_1", backend="onnxruntime")
    file = results(tmp_path, row("a_config_0,a_config_1", "1:CPU,1:CPU"))
    assert predict("models", "--measured", file, "--gpus", "0")[0] == 0


def test_unknown_number_of_gpus_matches_any(
    predict: Predict, repository: RepositoryBuilder, tmp_path: Path
) -> None:
    repository.add("a_config_0", "{ kind: KIND_GPU count: 3 }")
    file = results(tmp_path, row("a_config_0", "0:GPU"))  # of a remote server
    assert predict("models", "--measured", file, "--gpus", "2")[0] == 0
    assert predict("models", "--measured", file, "--gpus", "0")[0] == 1


@pytest.mark.usefixtures("written")
def test_json_has_measurements_and_the_models_of_variants(predict: Predict, tmp_path: Path) -> None:
    file = results(tmp_path, row("add_sub_config_9", "2:GPU"))
    code, out, _ = predict("out", "--measured", file, "--gpus", "0", "1", "--json")
    (deployment,) = json.loads(out)["deployments"]
    assert code == 0
    assert [one["variant_of"] for one in deployment["models"]] == ["add_sub"] * 3
    assert deployment["measured"] == [
        {
            "name": "add_sub_config_9",
            "measured": [{"variant": "add_sub_config_9", "text": "2:GPU", "instances": {"GPU": 2}}],
            "as_measured": [
                {"hardware": "none", "variants": []},
                {"hardware": "1", "variants": ["add_sub_config_9"]},
            ],
            "fewest_gpus": 1,
        }
    ]


@pytest.mark.usefixtures("written")
def test_results_of_other_models_are_an_error(predict: Predict, tmp_path: Path) -> None:
    code, out, err = predict("out", "--measured", results(tmp_path, row("b_config_1", "1:GPU")))
    assert (code, out) == (1, "")
    assert "has measurements, and none of a model of these repositories" in err
    assert "b_config_1" in err


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "has no column `Model Config Path` and `Instance Group`"),
        (b"Models (Inference):\nModel  Batch\n", "has no column"),
        (b"Model,GPU UUID,GPU Memory Usage (MB)\ntriton-server,GPU-1,870.0\n", "has no column"),
        (HEADER.encode(), "has no measurement, only a header"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (HEADER.encode() + b"a,1,2\n", "results.csv:2 has 3 cells, the header has 9"),
        (HEADER.encode() + row("a_config_1", "two GPUs").encode(), "`two GPUs` is no instance"),
        (HEADER.encode() + row("a_config_1", "").encode(), "`` is no instance group"),
        (HEADER.encode() + row("a_config_1", "1:GPU,2:GPU").encode(), "names 1 models"),
        (HEADER.encode() + row("", "1:GPU").encode(), "names no model"),
        (HEADER.encode() + b'"a,1,2\n', "is no CSV file"),
        (HEADER.encode() + b"a,1,\x002\n", ""),
        (HEADER.encode() + b"a" * 200_000, "is no CSV file"),
    ],
)
def test_results_that_are_broken_are_an_error(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "results.csv"
    path.write_bytes(data)
    with pytest.raises(ResultsUnreadable, match=r"results\.csv") as caught:
        read_results(path)
    assert said in str(caught.value)


def test_results_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(ResultsUnreadable, match="can't be read"):
            read_results(path)


def test_results_saved_by_a_spreadsheet_are_read(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text(
        "\ufeffModel;Model Config Path;Instance Group\r\na;a_config_1;2:GPU + 1:CPU\r\n;;\r\n"
    )
    (measured,) = read_results(path)["a_config_1"]
    assert measured.counts == {"GPU": 2, "CPU": 1}
