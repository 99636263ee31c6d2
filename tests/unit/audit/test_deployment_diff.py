"""`diff --deployment`: what a new version of a deployment file changes, before it is rolled out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_triton.__main__ import main

FILE = """services:
  triton:
    image: nvcr.io/nvidia/tritonserver:24.10-py3
    command: tritonserver --model-repository=/models
    volumes: [./models:/models]
    gpus: [{ count: 2 }]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, group in (("both", "kind: KIND_GPU"), ("second", "kind: KIND_GPU gpus: [ 1 ]")):
        model = tmp_path / "models" / name
        (model / "1").mkdir(parents=True)
        config = f'backend: "onnxruntime"\ninstance_group [ {{ {group} }} ]\n'
        (model / "config.pbtxt").write_text(config)
    (tmp_path / "old.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def diff(*arguments: str) -> int:
    return main(["diff", "--deployment", "old.yaml", "new.yaml", *arguments])


@pytest.mark.parametrize(
    ("old", "new", "settings", "changes"),
    [
        (
            "gpus: [{ count: 2 }]",
            "gpus: [{ count: 1 }]",
            ["GPUs: 2 GPUs -> 1 GPU"],
            [
                ("", "its own GPUs", "unaffected", "stops"),
                ("both", "its own GPUs", "GPU 0 · GPU 1", "GPU 0"),
                ("second", "its own GPUs", "GPU 1", "refused: no such GPU"),
            ],
        ),
        (
            "=/models\n",
            "=/models --exit-on-error=false\n",
            ["with --exit-on-error=false"],
            [("", "GPUs lost", "stops", "not ready")],
        ),
        (
            "=/models\n",
            "=/models --model-control-mode=explicit --load-model=both\n",
            ["with --model-control-mode=explicit", "with --load-model=both"],
            [
                ("second", "GPUs lost", "refused: no such GPU", "-"),
                ("second", "its own GPUs", "GPU 1", "-"),
            ],
        ),
        ("24.10", "24.09", ["image: nvcr.io/nvidia/tritonserver:24.10-py3 -> "], []),
        ("triton:\n", "other:\n", [], []),
    ],
)
def test_changed_file_changes_what_is_predicted(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    old: str,
    new: str,
    settings: list[str],
    changes: list[tuple[str, ...]],
) -> None:
    (folder / "new.yaml").write_text(FILE.replace(old, new, 1))
    assert diff("--json") == bool(changes)
    (server,) = json.loads(capsys.readouterr().out)["servers"]
    assert [tuple(one.values()) for one in server["changes"]] == changes
    assert len(server["settings"]) == len(settings)
    assert all(said.startswith(one) for said, one in zip(server["settings"], settings, strict=True))
    diff()
    shown = capsys.readouterr().out
    assert f"{len(changes)} prediction{'' if len(changes) == 1 else 's'} changed" in shown


def test_server_that_is_new_or_gone_is_a_change(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = FILE.partition("\n")[2].replace("triton:\n", "second:\n", 1)
    (folder / "new.yaml").write_text(FILE + more)
    assert diff() == 1
    assert "second: not in the first file" in capsys.readouterr().out


def test_unreadable_model_counts_as_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "models" / "both" / "config.pbtxt").write_text("nonsense")
    (folder / "new.yaml").write_text(FILE.replace("=/models\n", "=/models --exit-on-error=false\n"))
    assert diff("--json") == 1
    (server,) = json.loads(capsys.readouterr().out)["servers"]
    assert {tuple(one.values()) for one in server["changes"]} == {
        ("", "GPUs lost", "stops", "not ready"),
        ("", "its own GPUs", "stops", "degraded"),
    }


@pytest.mark.server
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("gpus: [{ count: 2 }]", "gpus: [{ count: 1 }]"),
        (
            "gpus: [{ count: 2 }]",
            'gpus: [{ count: 2 }]\n    environment: { CUDA_VISIBLE_DEVICES: "1" }',
        ),
        ("=/models\n", "=/models --exit-on-error=false\n"),
        ("=/models\n", "=/models --model-control-mode=explicit --load-model=both\n"),
        ("=/models\n", "=/models --min-supported-compute-capability=9.0\n"),
        ("24.10", "24.11"),
    ],
)
def test_rehearsed_changes_are_those_that_were_predicted(
    folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str
) -> None:
    (folder / "models" / "new-field").mkdir()
    text = 'backend: "onnxruntime"\ninstance_group [ { kind: KIND_CPU } ]\n'
    (folder / "models" / "new-field" / "config.pbtxt").write_text(text)
    (folder / "models" / "new-field" / "1").mkdir()
    (folder / "new.yaml").write_text(FILE.replace(old, new, 1))
    predicted = diff("--json")
    (expected,) = json.loads(capsys.readouterr().out)["servers"]
    assert diff("--json", "--rehearse") == predicted
    found = json.loads(capsys.readouterr().out)
    (server,) = found["servers"]
    assert found["source"] == "rehearsed"
    assert server["changes"] == expected["changes"]
    assert server["settings"] == expected["settings"]
    assert server["rehearsed_on"].startswith("tritonserver 2.51.0")
    assert ("in place of 2.52.0" in server["rehearsed_on"]) == (new == "24.11")
    diff("--rehearse")
    assert "as a real core showed with simulated GPUs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("./models:/models", "x:/models", "isn't on this machine"),
        ("tritonserver --model", "sleep --model", "No Triton server is started"),
        ("=/models\n", "=/models --no-such\n", "no tritonserver up to"),
        ("=/models\n", "=/models --allow-client-shm=1\n", "tritonserver 2.51.0 doesn't know"),
    ],
)
def test_what_can_not_be_compared_is_error(
    folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, words: str
) -> None:
    text = FILE.replace(old, new, 1)
    (folder / "new.yaml").write_text(text)
    assert diff() == 2
    assert words in capsys.readouterr().err


CHECK = "    healthcheck: { test: curl -f http://localhost:8000/v2/health/ready }\n"


@pytest.mark.parametrize(
    ("old", "new", "settings"),
    [
        (
            CHECK,
            "",
            "healthcheck: http /v2/health/ready on port 8000 (after 0 s, every 30 s, 3 times) -> "
            "none",
        ),
        ("ready }", "live }", "healthcheck: http /v2/health/ready on port 8000 (after 0 s, "),
        ("curl -f", "curl", "healthcheck: http /v2/health/ready on port 8000 (after 0 s, "),
        (
            CHECK,
            f"{CHECK}    environment: {{ NVIDIA_DRIVER_CAPABILITIES: 'compute,utility' }}\n",
            "NVIDIA_DRIVER_CAPABILITIES: not set -> compute,utility",
        ),
        (
            "count: 2",
            "count: 2, capabilities: [gpu, utility]",
            "GPUs: 2 GPUs -> 2 GPUs, but capabilities: [gpu, utility] has no `compute`",
        ),
        (CHECK, f"{CHECK}    restart: always\n", "restarted when it ends: no -> yes"),
        (CHECK, f"{CHECK}    shm_size: 1g\n", "shared memory: 64 MB -> 1024 MB"),
    ],
)
def test_setting_that_changes_no_prediction_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, settings: str
) -> None:
    (folder / "old.yaml").write_text(FILE + CHECK)
    (folder / "new.yaml").write_text((FILE + CHECK).replace(old, new))
    assert diff("--json") == 0
    (server,) = json.loads(capsys.readouterr().out)["servers"]
    (one,) = server["settings"]
    assert one.startswith(settings)
    assert server["changes"] == []


@pytest.mark.parametrize("before", [True, False])
def test_probe_that_fails_always_from_now_on_is_a_change(
    folder: Path, capsys: pytest.CaptureFixture[str], before: bool
) -> None:
    (folder / "old.yaml").write_text(FILE + (CHECK if before else ""))
    (folder / "new.yaml").write_text(
        (FILE + CHECK).replace("=/models\n", "=/models --http-port=8080\n")
    )
    assert diff("--json") == 1
    (server,) = json.loads(capsys.readouterr().out)["servers"]
    (one,) = server["changes"]
    was = "may succeed" if before else "-"
    assert tuple(one.values()) == ("", "healthcheck", was, "fails always")
    assert diff() == 1
    assert "(the service)   healthcheck" in capsys.readouterr().out
