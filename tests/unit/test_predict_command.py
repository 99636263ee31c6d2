"""`pytest-triton predict`: whole outputs, errors, JSON, exit codes. No server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pytest_triton.__main__ import main
from pytest_triton.placement.releases import NEWEST_KNOWN, NEWEST_RELEASE, shown_version
from pytest_triton.testing.repository_builder import TENSORS
from support.builders import RepositoryBuilder
from support.corpora import OWN, OWN_BACKENDS, ROOT, all_repositories, repositories_in

NEWEST = shown_version(NEWEST_RELEASE)
RULES = f"predicted by Triton's rules for release {NEWEST_KNOWN}; no server was asked"


class Said(NamedTuple):
    code: int
    out: str
    err: str


Predict = Callable[..., Said]


@pytest.fixture
def predict(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Predict:
    """Run the command where the repository `models` is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def predict(*arguments: object) -> Said:
        try:
            code = main(["predict", *map(str, arguments)])
        except SystemExit as stopped:
            code = int(str(stopped.code))
        return Said(code, *capsys.readouterr())

    return predict


@pytest.fixture
def three_models(repository: RepositoryBuilder) -> None:
    repository.add("detector", "{ kind: KIND_GPU }", backend="onnxruntime")
    repository.add("ranker", "{ kind: KIND_GPU }, { kind: KIND_CPU count: 2 }")
    repository.add("tagger", backend="onnxruntime")


TYPO = """\
backend: "python"
instance_group [ { kind: KIND_GPU gpu: [ 0 ] } ]
"""


@pytest.mark.usefixtures("three_models")
def test_table(predict: Predict) -> None:
    assert predict("models", "--gpus", "0", "1", "4") == Said(
        0,
        f"""\
{RULES}

model      declared       no GPU                1 GPU            4 GPUs
detector   GPU            refused: no GPU       GPU 0            GPU 0 · GPU 1 · GPU 2 · GPU 3
ranker     GPU + CPU x2   refused: no GPU       GPU 0 · CPU x2   GPU 0 · GPU 1 · GPU 2 · GPU 3 ·
                                                                 CPU x2
tagger     nothing        CPU x2  <- fallback   GPU 0            GPU 0 · GPU 1 · GPU 2 · GPU 3

no GPU: 1 ready (1 fallback to the CPU), 2 refused
1 GPU: 3 ready (0 fallbacks to the CPU), 0 refused
4 GPUs: 3 ready (0 fallbacks to the CPU), 0 refused
""",
        "",
    )


@pytest.mark.usefixtures("three_models")
def test_hardware_of_a_kind_and_another_release(predict: Predict) -> None:
    asked = ("none", "sim:2@5.2", "sim:1", "0", "00", "none", "sim:1")
    said = predict("models", "--release", "2.36", "--gpus", *asked)
    assert said == Said(
        0,
        """\
predicted by Triton's rules for release 2.36.0 (23.07), --release; no server was asked

model      declared       no GPU                2 GPUs (simulated, 5.2)   1 GPU (simulated)
detector   GPU            refused: no GPU       refused: no GPU           GPU 0
ranker     GPU + CPU x2   refused: no GPU       refused: no GPU           GPU 0 · CPU x2
tagger     nothing        CPU x2  <- fallback   CPU x2  <- fallback       GPU 0

no GPU: 1 ready (1 fallback to the CPU), 2 refused
2 GPUs (simulated, 5.2): 1 ready (1 fallback to the CPU), 2 refused
1 GPU (simulated): 3 ready (0 fallbacks to the CPU), 0 refused
""",
        "",
    )


@pytest.mark.usefixtures("three_models")
def test_ngc_release_is_understood(predict: Predict) -> None:
    assert "for release 2.42.0 (24.01), --release;" in predict("models", "--release", "24.01").out


def test_release_that_is_newer_than_the_known_ones_is_predicted_by_the_newest(
    repository: RepositoryBuilder, predict: Predict
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    said = predict("models", "--release", "2.99").out
    assert f"newer than those known here: by those of {shown_version(NEWEST_RELEASE)}" in said
    assert "newer than" not in predict("models", "--release", shown_version(NEWEST_RELEASE)).out


def test_release_decides(repository: RepositoryBuilder, predict: Predict) -> None:
    repository.add("undeclared")
    assert "CPU  <- fallback" in predict("models", "--gpus", "0", "--release", "2.36.0").out
    old = predict("models", "--gpus", "0", "--release", "2.33.0")
    assert "refused: no GPU" in old.out
    assert (old.code, old.err) == (
        1,
        "error: ready on none of this hardware: undeclared\n  undeclared needs a GPU: --gpus 0 1\n",
    )


def test_broken_models_are_rows_and_reported_below(
    repository: RepositoryBuilder, predict: Predict
) -> None:
    repository.add("good", "{ kind: KIND_CPU }")
    repository.add("misnamed", "{ kind: KIND_CPU }", more='name: "other"\n')
    repository.add("pinned", "{ kind: KIND_GPU gpus: [ 5 ] }")
    repository.add_config("typo", TYPO)
    (repository.path / "folder" / "config.pbtxt").mkdir(parents=True)
    (repository.path / "folder" / "1").mkdir()
    said = predict("models")
    assert (
        said.out
        == f"""\
{RULES}

model      declared     no GPU                 2 GPUs
folder     unreadable   refused: config        refused: config
good       CPU          CPU                    CPU
misnamed   CPU          refused: name          refused: name
pinned     GPU 5        refused: no such GPU   refused: no such GPU
typo       unreadable   refused: config        refused: config

no GPU: 1 ready (0 fallbacks to the CPU), 4 refused
2 GPUs: 1 ready (0 fallbacks to the CPU), 4 refused

models/folder/config.pbtxt: is a directory, not a file
  Put a text file in its place, or remove it: without a config.pbtxt Triton completes the \
configuration where the backend can.

models/misnamed/config.pbtxt:6:1: the model is called `other`, its directory `misnamed`
  6 | name: "other"
    | ^
  Write name: "misnamed", leave the name out, or rename the directory.

models/typo/config.pbtxt:2:35: `gpu` is not a field of instance_group
  2 | instance_group [ {{ kind: KIND_GPU gpu: [ 0 ] }} ]
    |                                   ^
  Did you mean `gpus`?
"""
    )
    assert said.err == (
        "error: ready on none of this hardware: folder, misnamed, pinned, typo\n"
        "  pinned needs GPU 5, so 6 GPUs: --gpus 0 6\n"
    )
    assert said.code == 1


def test_only_broken_models(repository: RepositoryBuilder, predict: Predict) -> None:
    repository.add_config("typo", TYPO)
    said = predict("models", "--gpus", "1")
    assert said.code == 1
    assert "typo    unreadable   refused: config" in said.out


def test_unreadable_model_takes_its_ensemble_along(
    repository: RepositoryBuilder, predict: Predict
) -> None:
    repository.add_config("typo", TYPO)
    repository.add_config(
        "both",
        'platform: "ensemble" input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
        'output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
        'ensemble_scheduling { step [ { model_name: "typo" model_version: -1 '
        'input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" } } ] }\n',
    )
    said = predict("models", "--explain", "both", "--gpus", "1")
    assert (
        said.out
        == f"""\
{RULES}

both: models/both/config.pbtxt
declared: ensemble

models/both/config.pbtxt:3:32: step 0's model `typo` can't be loaded, and so the ensemble can't be
  3 | ensemble_scheduling {{ step [ {{ model_name: "typo" model_version: -1 input_map {{ key: \
"X" value: "X" }} output_map {{ key: {""}
    |                                ^
  Correct `typo` first.
  also models/typo/config.pbtxt:2:35: `gpu` is not a field of instance_group
    2 | instance_group [ {{ kind: KIND_GPU gpu: [ 0 ] }} ]
      |                                   ^
    Did you mean `gpus`?

1 GPU: refused: ensemble
  1. The server (Triton {NEWEST}) has 1 GPU; it can use: 0.
  2. The whole model is refused: ensemble both contains models that are not available or
     ambiguous: typo
  Its models: typo (not there)

  Step 0's model `typo` can't be loaded, and so the ensemble can't be. Correct `typo` first.
"""
    )


def test_broken_repository_is_an_error(repository: RepositoryBuilder, predict: Predict) -> None:
    repository.add("good", "{ kind: KIND_CPU }")
    (repository.path / "dangling").symlink_to("nowhere")
    said = predict("models")
    assert said.code == 1
    assert said.err.startswith(
        "error: models/dangling: is a link to nowhere, which leads nowhere; Triton refuses the "
        "whole repository for it\n"
    )
    assert json.loads(predict("models", "--json").out)["deployments"][0]["problems"][0][
        "place"
    ].endswith("models/dangling")


@pytest.mark.usefixtures("three_models")
def test_several_deployments(tmp_path: Path, predict: Predict) -> None:
    other = RepositoryBuilder(tmp_path / "other")
    other.add("lonely", "{ kind: KIND_GPU }")
    third = RepositoryBuilder(tmp_path / "third")
    third.add("detector", "{ kind: KIND_CPU }")
    said = predict("other", "models:third", "--gpus", "0")
    assert (
        said.out
        == f"""\
{RULES}

other:
model    declared   no GPU
lonely   GPU        refused: no GPU

models:third:
model      declared       no GPU
detector   GPU            refused: duplicate
detector   CPU            refused: duplicate
ranker     GPU + CPU x2   refused: no GPU
tagger     nothing        CPU x2  <- fallback

no GPU: 1 ready (1 fallback to the CPU), 4 refused

models/detector/config.pbtxt: a model `detector` stands in third too; Triton loads neither
  Rename one, or name the repositories one by one, not joined by ':'.

third/detector/config.pbtxt: a model `detector` stands in models too; Triton loads neither
  Rename one, or name the repositories one by one, not joined by ':'.
"""
    )
    assert said.err == (
        "error: ready on none of this hardware (other): lonely\n"
        "  lonely needs a GPU: --gpus 0 1\n"
        "error: ready on none of this hardware (models:third): detector, detector, ranker\n"
        "  ranker needs a GPU: --gpus 0 1\n"
    )
    assert said.code == 1


EXPLAINED = f"""\
{RULES}

ranker: models/ranker/config.pbtxt:5
declared: GPU + CPU x2

no GPU: refused: no GPU
  1. The server (Triton {NEWEST}) has no GPU.
  2. Group ranker_0: KIND_GPU; 1 instance.
  3. Group ranker_1: KIND_CPU; 2 instances.
  4. The whole model is refused: Invalid argument: instance group ranker_0 of model ranker
     has kind KIND_GPU but no GPUs are available

  The server sees no GPU. On a host without one, the refusal is what KIND_GPU is for. Else:
  no --gpus for the container, an empty CUDA_VISIBLE_DEVICES, a driver that is too old or a
  device that is lost. One group that can't be had is enough: the whole model is refused.
  For hosts without a GPU a variant of the config would say:

      instance_group [
        {{
          kind: KIND_CPU
          count: 2
        }}
      ]

2 GPUs: GPU 0 · GPU 1 · CPU x2
  1. The server (Triton {NEWEST}) has 2 GPUs; it can use: 0, 1.
  2. Group ranker_0: KIND_GPU; no gpus are listed, so it takes all: 0, 1; 1 instance on each
     GPU.
  3. Group ranker_1: KIND_CPU; 2 instances.
  4. The model is ready on GPU 0 · GPU 1 · CPU x2.
  5. Of the python backend: kind and device are only handed to model.py; whether it obeys is
     up to the code.
"""


@pytest.mark.usefixtures("three_models")
def test_explain(predict: Predict) -> None:
    assert predict("models", "--explain", "ranker") == Said(0, EXPLAINED, "")


def test_explain_an_unreadable_model(repository: RepositoryBuilder, predict: Predict) -> None:
    repository.add_config("typo", TYPO)
    said = predict("models", "--explain", "typo")
    assert said.code == 1
    assert (
        said.out
        == f"""\
{RULES}

typo: models/typo/config.pbtxt:2
declared: unreadable

models/typo/config.pbtxt:2:35: `gpu` is not a field of instance_group
  2 | instance_group [ {{ kind: KIND_GPU gpu: [ 0 ] }} ]
    |                                   ^
  Did you mean `gpus`?
"""
    )


@pytest.mark.usefixtures("three_models")
def test_explain_judges_by_that_model_alone(predict: Predict) -> None:
    assert predict("models", "--gpus", "0").code == 1
    assert predict("models", "--gpus", "0", "--explain", "tagger").code == 0
    assert predict("models", "--gpus", "0", "--explain", "ranker").code == 1


@pytest.mark.usefixtures("three_models")
def test_json(predict: Predict, tmp_path: Path) -> None:
    said = predict("models", "--gpus", "0", "2", "--json")
    assert (said.code, said.err) == (0, "")
    found = json.loads(said.out)
    models = found["deployments"][0].pop("models")
    assert found == {
        "format": 1,
        "source": "predicted",
        "release": NEWEST,
        "hardware": [
            {
                "spec": "none",
                "label": "no GPU",
                "gpus": 0,
                "ready": 1,
                "fallbacks": 1,
                "refused": 2,
            },
            {"spec": "2", "label": "2 GPUs", "gpus": 2, "ready": 3, "fallbacks": 0, "refused": 0},
        ],
        "deployments": [
            {
                "text": "models",
                "paths": [str(tmp_path / "models")],
                "problems": [],
                "not_loaded": [],
            }
        ],
        "unserved": [],
    }
    assert [model["name"] for model in models] == ["detector", "ranker", "tagger"]
    assert models[1] == {
        "name": "ranker",
        "repository": str(tmp_path / "models"),
        "config": str(tmp_path / "models" / "ranker" / "config.pbtxt"),
        "readable": True,
        "declared": "GPU + CPU x2",
        "assumed": [],
        "variant_of": None,
        "problems": [],
        "predictions": [
            {
                "hardware": "none",
                "ready": False,
                "placement": "",
                "instances": [],
                "fallback": False,
                "refusal": {
                    "reason": "no-gpu",
                    "stage": "load",
                    "text": "Invalid argument: instance group ranker_0 of model ranker has kind "
                    "KIND_GPU but no GPUs are available",
                },
            },
            {
                "hardware": "2",
                "ready": True,
                "placement": "GPU 0 · GPU 1 · CPU x2",
                "instances": [
                    {"kind": "GPU", "device": 0, "count": 1},
                    {"kind": "GPU", "device": 1, "count": 1},
                    {"kind": "CPU", "device": None, "count": 2},
                ],
                "fallback": False,
                "refusal": None,
            },
        ],
    }


def test_json_of_a_broken_model(repository: RepositoryBuilder, predict: Predict) -> None:
    repository.add_config("typo", TYPO)
    said = predict("models", "--json", "--explain", "typo", "--gpus", "1")
    found = json.loads(said.out)
    assert said.code == 1
    assert found["unserved"] == [{"deployment": "models", "model": "typo", "ready_on": None}]
    model = found["deployments"][0]["models"][0]
    message = f"failed to read text proto from {model['config']}"
    assert model["readable"] is False
    assert model["problems"] == [
        {
            "place": "models/typo/config.pbtxt:2:35",
            "message": "`gpu` is not a field of instance_group",
            "fix": "Did you mean `gpus`?",
            "triton": message,
        }
    ]
    assert model["predictions"] == [
        {
            "hardware": "1",
            "ready": False,
            "placement": "",
            "instances": [],
            "fallback": False,
            "refusal": {"reason": "config", "stage": "poll", "text": message},
            "steps": [],
            "advice": None,
        }
    ]


@pytest.mark.usefixtures("three_models")
def test_json_explains_the_one_model(predict: Predict) -> None:
    found = json.loads(predict("models", "--json", "--explain", "tagger").out)
    (model,) = found["deployments"][0]["models"]
    on_cpu, on_gpus = model["predictions"]
    assert on_cpu["steps"][0] == f"The server (Triton {NEWEST}) has no GPU."
    assert on_cpu["advice"]["lines"].split() == [
        "instance_group",
        "[",
        "{",
        "kind:",
        "KIND_GPU",
        "}",
        "]",
    ]
    assert on_gpus["advice"] is None
    assert found["hardware"][0]["fallbacks"] == 1


@pytest.mark.usefixtures("three_models")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: DIR"),
        (["models", "--gpus"], "argument --gpus: expected at least one argument"),
        (["models", "--gpus", "all"], "'all' is known only on the machine that has it"),
        (["models", "--gpus", "0,1"], "'0,1' is known only on the machine that has it"),
        (["models", "--gpus", "GPU-1"], "'GPU-1' is known only on the machine that has it"),
        (["models", "--gpus", "two"], "'two' is no hardware: give a number of GPUs (0, 1, 4)"),
        (["models", "--gpus", "-1"], "'-1' is no hardware"),
        (["models", "--gpus", "sim:17"], "'sim:17' is no hardware"),
        (["models", "--gpus", "1001"], "more than 1000 GPUs"),
        (["--gpus", "0", "models"], "directories stand before --gpus"),
        (
            ["models", "--release", "2.26.0"],
            "Triton's rules are known from release 2.33.0",
        ),
        (["models", "--release", "new"], "'new' is no release of Triton"),
        (["models:", "--gpus", "0"], "'models:' names no directory"),
    ],
)
def test_wrong_usage_is_an_error(arguments: list[str], message: str, predict: Predict) -> None:
    said = predict(*arguments)
    assert said.code == 2
    assert said.out == ""
    assert message in said.err


@pytest.mark.usefixtures("three_models")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["modles"], "error: There is no model repository modles\n"),
        (["models/ranker"], "error: models/ranker is a model, not a model repository\n"),
        (
            ["models", "--explain", "rankr"],
            "error: There is no model 'rankr' in models\nTried:\n"
            "  - the models that there are: detector, ranker, tagger\n"
            "What to do: did you mean 'ranker'?\n",
        ),
        (["models", "--explain", "zzz"], "What to do: name one of these\n"),
    ],
)
def test_errors(arguments: list[str], message: str, predict: Predict) -> None:
    said = predict(*arguments)
    assert said.code == 2
    assert said.out == ""
    assert message in said.err


def test_names_that_no_terminal_can_show(repository: RepositoryBuilder, predict: Predict) -> None:
    repository.add("two\nlines", "{ kind: KIND_CPU }")
    assert "two\\nlines   CPU        CPU" in predict("models").out


def test_terminal_without_the_dot(repository: RepositoryBuilder) -> None:
    repository.add("pinned", "{ kind: KIND_GPU }")
    done = subprocess.run(
        [sys.executable, "-m", "pytest_triton", "predict", str(repository.path)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "GPU 0 \\xb7 GPU 1" in done.stdout


def test_no_server_and_no_pytest_is_needed(repository: RepositoryBuilder) -> None:
    """Neither is imported, nor is any client."""
    repository.add("pinned", "{ kind: KIND_GPU }")
    script = (
        "import sys; from pytest_triton.__main__ import main\n"
        f"main(['predict', {str(repository.path)!r}])\n"
        "print([n for n in ('pytest', 'tritonclient.http', 'grpc', 'docker') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_thousand_models(repository: RepositoryBuilder, predict: Predict) -> None:
    kinds = ["{ kind: KIND_GPU }", "{ kind: KIND_CPU }", "", "{ count: 2 }"]
    for number in range(1000):
        directory = repository.path / f"model_{number:04}"
        (directory / "1").mkdir(parents=True)
        group = f"instance_group [ {kinds[number % 4]} ]\n" if kinds[number % 4] else ""
        (directory / "config.pbtxt").write_text(f'backend: "pytorch"\n{TENSORS}{group}')
    said = predict("models", "--gpus", "0", "1", "4")
    lines = said.out.splitlines()
    assert said.code == 0
    assert lines[3] == (
        "model_0000   GPU        refused: no GPU       GPU 0      GPU 0 · GPU 1 · GPU 2 · GPU 3"
    )
    assert lines[1002:] == [
        "model_0999   AUTO x2    CPU x2  <- fallback   GPU 0 x2   "
        "GPU 0 x2 · GPU 1 x2 · GPU 2 x2 · GPU 3 x2",
        "",
        "no GPU: 750 ready (500 fallbacks to the CPU), 250 refused",
        "1 GPU: 1000 ready (0 fallbacks to the CPU), 0 refused",
        "4 GPUs: 1000 ready (0 fallbacks to the CPU), 0 refused",
    ]


def _rows_too_wide(out: str) -> list[str]:
    table = [line for line in out.splitlines() if " GPU" in line and "/" not in line]
    assert table
    return [line for line in table if len(line) > 100]


def test_usual_names_fit_into_100_columns(predict: Predict) -> None:
    for name in ("models", "broken_models"):
        out = predict(ROOT / "example_project" / name, "--gpus", "0", "1", "2", "4").out
        assert _rows_too_wide(out) == []


def test_whole_repositories_fit_into_100_columns(predict: Predict) -> None:
    out = predict(*all_repositories(), "--gpus", "0", "1", "2", "4").out
    assert _rows_too_wide(out) == []


def test_whole_repositories_are_counted(predict: Predict) -> None:
    own = [f"--own-backend={name}" for name in OWN_BACKENDS]
    assert json.loads(predict(*repositories_in(OWN), *own, "--json").out)["hardware"] == CORPUS


CORPUS: list[dict[str, Any]] = [
    {"spec": "none", "label": "no GPU", "gpus": 0, "ready": 39, "fallbacks": 14, "refused": 28},
    {"spec": "2", "label": "2 GPUs", "gpus": 2, "ready": 56, "fallbacks": 0, "refused": 11},
]
