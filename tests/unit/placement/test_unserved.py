"""What a model needs that is READY on none of some hardware, and where it would be READY."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from tritonclient.grpc.model_config_pb2 import ModelConfig

from pytest_triton.placement import instances, unserved
from pytest_triton.placement.declared import Declared
from pytest_triton.placement.hardware import Gpu, Hardware, HardwareRequest
from pytest_triton.placement.instances import Instances, Placement
from pytest_triton.placement.predict import ServerTraits, predict_all
from pytest_triton.placement.unserved import deciding, fewest_gpus, needs, options_for
from support.short_configs import config, ensemble, groups
from support.strategies import model_configs


def models(**texts: str) -> dict[str, Declared]:
    return {name: Declared.of(config(text, name=name)) for name, text in texts.items()}


def requests(*specs: str) -> list[HardwareRequest]:
    return [HardwareRequest.parse(spec) for spec in specs]


@pytest.mark.parametrize(
    ("groups_", "backend", "fewest", "message"),
    [
        ("kind: KIND_GPU", "python", 1, "a GPU"),
        ("kind: KIND_GPU gpus: [0]", "python", 1, "GPU 0"),
        ("kind: KIND_GPU gpus: [6]", "python", 7, "GPU 6, so 7 GPUs"),
        ("gpus: [6]", "onnxruntime", 7, "GPU 6, so 7 GPUs"),
        ("kind: KIND_GPU gpus: [3, 0, 6]", "python", 7, "GPUs 0, 3 and 6, so 7 GPUs"),
        ("kind: KIND_GPU gpus: [2147483646]", "python", 2147483647, "GPU 2147483646, so"),
        ("", "openvino", 0, "a server without GPUs"),
        ("kind: KIND_CPU gpus: [6]", "python", None, ""),
    ],
)
def test_needs_of_a_model_are_the_ids_and_the_fewest_gpus(
    groups_: str, backend: str, fewest: int | None, message: str
) -> None:
    found = models(m=f'backend: "{backend}" {groups(groups_)}')
    assert fewest_gpus("m", found) == fewest
    if fewest is not None:
        assert needs("m", found, fewest).startswith(message)


def test_needs_of_an_ensemble_are_those_of_its_models() -> None:
    found = models(
        e=ensemble("i", "a"),
        i=ensemble("b"),
        a=groups("kind: KIND_GPU gpus: [1]"),
        b=groups("kind: KIND_GPU gpus: [4]"),
    )
    assert fewest_gpus("e", found) == 5
    assert needs("e", found, 5) == "GPUs 1 and 4, so 5 GPUs"


def test_needs_on_a_server_without_gpu_support_are_met_by_no_hardware() -> None:
    found = models(m=groups("kind: KIND_GPU"))
    assert fewest_gpus("m", found, ServerTraits(gpu_support=False)) is None


@given(model_configs())
def test_fewest_gpus_serve_the_model_and_one_less_does_not(any_config: ModelConfig) -> None:
    found = {"m": Declared.of(any_config)}
    fewest = fewest_gpus("m", found)
    if fewest is None or fewest > 100:
        return
    for count, ready in ((fewest, True), (fewest - 1, False)):
        if count >= 0:
            gpus = Hardware(tuple(Gpu(i, (99, 0)) for i in range(count)), simulated=False)
            assert predict_all(found, gpus)["m"].ready is ready


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (["none"], None),
        (["none", "sim:0"], None),
        (["none", "sim:2"], "sim:2"),
        (["sim:4", "none", "sim:2"], "sim:4"),
        (["sim:4@5.2", "sim:1"], "sim:1"),
        (["none", "sim:2@5.2"], "sim:2@5.2"),
        (["2", "all", "sim:16"], "all"),
        (["0,", "1,"], "0,"),
        (["own"], "own"),
    ],
)
def test_deciding_hardware_is_that_with_the_most_usable_gpus(
    run: list[str], expected: str | None
) -> None:
    found = deciding(requests(*run))
    assert (str(found) if found is not None else None) == expected


@pytest.mark.parametrize(
    ("fewest", "run", "expected"),
    [
        (7, ["none", "sim:2"], "none sim:7"),
        (7, ["sim:1"], "none sim:7"),
        (1, ["sim:4@5.2"], "none sim:4"),
        (21, ["none", "sim:2"], "none 21"),
        (0, ["sim:2"], "none sim:2"),
        (2, ["1"], "none sim:2"),
    ],
)
def test_options_for_a_model_are_a_run_that_shows_it_ready(
    fewest: int, run: list[str], expected: str
) -> None:
    options = options_for(fewest, requests(*run))
    assert options == " ".join(f"--triton-gpus={one}" for one in expected.split())


def test_fewest_gpus_of_a_hundred_thousand_ids_takes_three_predictions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It took one for each id, so a minute."""
    ids = ", ".join(map(str, range(100_000)))
    found = models(m=groups(f"kind: KIND_GPU gpus: [{ids}]"))
    asked: list[int] = []

    def counted(declared: dict[str, Declared], gpus: Hardware, **how: Any) -> Any:
        asked.append(gpus.count)
        return predict_all(declared, gpus, **how)

    monkeypatch.setattr(unserved, "predict_all", counted)
    assert fewest_gpus("m", found) == 100_000
    assert asked == [0, 1, 100_000]
    assert needs("m", found, 100_000) == (
        "GPUs 0, 1, 2, 3, 4, 5, 6, 7, ... (99,999 ids) and 99999, so 100000 GPUs"
    )
    assert found["m"].summary == "GPU 0,1,2,3,4,5,6,7,... (100,000 ids)"


def test_fewest_gpus_of_many_equal_groups_makes_their_instances_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []

    def counted(*arguments: Any) -> Instances:
        made.append(1)
        return Instances(*arguments)

    monkeypatch.setattr(instances, "Instances", counted)
    instances.placed.cache_clear()
    ids = ", ".join(map(str, range(100)))
    group = "instance_group { kind: KIND_GPU }\n"
    text = group * 500 + f"instance_group {{ kind: KIND_GPU gpus: [{ids}] }}"
    assert fewest_gpus("m", models(m=text)) == 100
    assert len(made) == 100
    everything = Hardware(tuple(Gpu(index, (9, 0)) for index in range(100)), simulated=True)
    placement = predict_all(models(m=text), everything)["m"].placement
    assert placement == Placement(Instances("GPU", index, 501) for index in range(100))
