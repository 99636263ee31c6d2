from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_triton.errors import OptionError
from pytest_triton.placement.hardware import (
    NO_GPU,
    Gpu,
    Hardware,
    HardwareRequest,
    simulated_gpus,
)


@pytest.mark.parametrize(
    ("spec", "canonical", "id", "label"),
    [
        ("none", "none", "no-gpu", "no GPU"),
        ("NONE", "none", "no-gpu", "no GPU"),
        ("all", "all", "all-gpus", "all GPUs"),
        ("1", "1", "1-gpu", "1 GPU"),
        ("2", "2", "2-gpus", "2 GPUs"),
        ("0,", "0,", "gpus-0", "GPU 0"),
        ("0,1", "0,1", "gpus-0,1", "GPUs 0, 1"),
        (" 3 , 1 ", "3,1", "gpus-3,1", "GPUs 3, 1"),
        ("GPU-5a-b", "GPU-5a-b", "gpus-GPU-5a-b", "GPU-5a-b"),
        ("GPU-1,MIG-2", "GPU-1,MIG-2", "gpus-GPU-1,MIG-2", "GPU-1, MIG-2"),
        ("sim:0", "sim:0", "sim-0", "no GPU (simulated)"),
        ("sim:1", "sim:1", "sim-1", "1 GPU (simulated)"),
        ("sim:2", "sim:2", "sim-2", "2 GPUs (simulated)"),
        ("SIM:16", "sim:16", "sim-16", "16 GPUs (simulated)"),
        ("sim:2@7.5", "sim:2@7.5", "sim-2@7.5", "2 GPUs (simulated, 7.5)"),
        ("sim:2@12", "sim:2@12.0", "sim-2@12.0", "2 GPUs (simulated, 12.0)"),
    ],
)
def test_forms(spec: str, canonical: str, id: str, label: str) -> None:
    request = HardwareRequest.parse(spec)
    assert str(request) == canonical
    assert request.id == id
    assert request.label == label
    assert request.simulated == canonical.startswith("sim:")
    assert HardwareRequest.parse(str(request)) == request


@pytest.mark.parametrize(
    "spec",
    [
        "", " ", "0", "-1", "1.5", "two", "sim", "sim:", "sim:x", "sim:-1", "sim:17", "sim:2@",
        "sim:2@x", "sim:2@7.55", "sim:2@7.", "sim:2 @7.5", "0,0", "0,00", "0,GPU-1", "GPU", ",",
        "0,,1", "gpu:0", "none,all", "٢", "sim:٢", "99999,1", "GPU-1,GPU-1", "0;1", "all,",
    ],
)  # fmt: skip
def test_malformed(spec: str) -> None:
    with pytest.raises(OptionError, match="names no hardware") as caught:
        HardwareRequest.parse(spec)
    for form in ("none", "all", "0,1", "GPU-uuid", "sim:2", "sim:2@7.5"):
        assert form in str(caught.value)


@given(st.text(max_size=12) | st.text("0123456789,:@.simGPU-", max_size=12))
def test_any_text_parses_or_says_how(spec: str) -> None:
    try:
        request = HardwareRequest.parse(spec)
    except OptionError:
        return  # test_malformed looks at the text
    assert HardwareRequest.parse(str(request)) == request
    assert request.id
    assert request.label


def test_zero_is_explained() -> None:
    with pytest.raises(OptionError, match='0 GPUs is "none", the GPU with id 0 is "0,"'):
        HardwareRequest.parse("0")


def test_hardware_that_is_known_beforehand() -> None:
    def hardware(spec: str) -> Hardware | None:
        return HardwareRequest.parse(spec).hardware()

    assert hardware("none") == NO_GPU
    assert hardware("sim:2@7.5") == simulated_gpus(2, (7, 5))
    assert hardware("sim:0") == simulated_gpus(0)
    assert hardware("all") is hardware("2") is hardware("0,1") is hardware("GPU-1") is None


def test_labels_of_hardware() -> None:
    assert NO_GPU.label == "no GPU"
    assert Hardware((Gpu(0, (8, 0)),), simulated=False).label == "1 GPU"
    assert simulated_gpus(2).label == "2 GPUs (simulated)"
    assert NO_GPU.count == 0
    assert [gpu.index for gpu in simulated_gpus(3).gpus] == [0, 1, 2]


@pytest.mark.parametrize("number", [-1, 17])
def test_limits_of_simulation(number: int) -> None:
    with pytest.raises(OptionError, match="0 to 16"):
        simulated_gpus(number)


@pytest.mark.parametrize(
    ("text", "visible", "count"),
    [("2", ("0", "1"), 2), ("1", ("0",), 1), ("3,1", ("3", "1"), 2), ("none", (), 0)],
)
def test_gpus_that_a_server_may_see_are_those_asked_for(
    text: str, visible: tuple[str, ...], count: int
) -> None:
    found = HardwareRequest.parse(text)
    assert (found.visible, found.count) == (visible, count)


def test_hardware_prints_as_its_label() -> None:
    assert [str(NO_GPU), str(simulated_gpus(2))] == ["no GPU", "2 GPUs (simulated)"]


def test_hardware_of_which_only_some_gpus_are_known_prints_so() -> None:
    some = Hardware(simulated_gpus(2).gpus, False, at_least=True)
    assert [str(some), str(Hardware((), False, at_least=True))] == [
        "at least 2 GPUs",
        "GPUs unknown",
    ]
