from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_triton.errors import OptionError
from pytest_triton.placement.instances import NOTHING, Instances, Placement, cpu, gpu, on_model

placements = st.lists(
    st.builds(Instances, st.just("GPU"), st.integers(0, 9), st.integers(1, 5))
    | st.builds(Instances, st.sampled_from(["CPU", "MODEL"]), st.none(), st.integers(1, 5)),
    max_size=6,
).map(Placement)


def test_prints_as_triton_counts() -> None:
    placement = cpu(count=2) + gpu(1, count=2) + gpu(0)
    assert str(placement) == "GPU 0 · GPU 1 x2 · CPU x2"
    assert repr(placement) == "gpu(0) + gpu(1, count=2) + cpu(count=2)"
    assert str(on_model()) == "MODEL"
    assert repr(on_model(count=3)) == "on_model(count=3)"
    assert str(NOTHING) == "nothing"
    assert repr(NOTHING) == "NOTHING"


def test_gpus_are_ordered_by_number_not_by_text() -> None:
    assert str(gpu(10) + gpu(9)) == "GPU 9 · GPU 10"


def test_equal_instances_merge() -> None:
    assert gpu(0) + gpu(0) == gpu(0, count=2)
    assert gpu(0) != gpu(0, count=2)
    assert gpu(0) != cpu()
    assert cpu() != on_model()


def test_counts_and_devices() -> None:
    placement = gpu(3) + gpu(1, count=2) + cpu(count=4)
    assert placement.devices == (1, 3)
    assert placement.total == 7
    assert [(i.kind, i.device, i.count) for i in placement] == [
        ("GPU", 1, 2),
        ("GPU", 3, 1),
        ("CPU", None, 4),
    ]
    assert not NOTHING
    assert Placement() == NOTHING
    assert placement


@given(placements, placements, placements)
def test_adding_is_what_adding_is(a: Placement, b: Placement, c: Placement) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + NOTHING == a
    assert (a + b).total == a.total + b.total
    assert hash(a + b) == hash(b + a)


@given(placements)
def test_repr_makes_the_same_placement(placement: Placement) -> None:
    names = {"gpu": gpu, "cpu": cpu, "on_model": on_model, "NOTHING": NOTHING}
    assert eval(repr(placement), names) == placement


@given(placements)
def test_survives_pickling_and_copying(placement: Placement) -> None:
    assert pickle.loads(pickle.dumps(placement)) == placement
    assert copy.deepcopy(placement) == placement


@given(placements, placements)
def test_equality_is_of_instances(a: Placement, b: Placement) -> None:
    assert (a == b) == (list(a) == list(b))
    assert (str(a) == str(b)) == (a == b)


def test_cannot_be_changed() -> None:
    placement = gpu(0)
    with pytest.raises(AttributeError, match="can't be changed"):
        placement._instances = ()
    with pytest.raises(AttributeError, match="can't be changed"):
        del placement._instances


@pytest.mark.parametrize("wrong", ["0", 1.0, None, True])
def test_gpu_wants_a_number(wrong: object) -> None:
    with pytest.raises(OptionError, match="the id of a GPU"):
        gpu(wrong)  # type: ignore[arg-type]


def test_gpu_ids_start_at_0() -> None:
    with pytest.raises(OptionError, match="0 or more"):
        gpu(-1)


@pytest.mark.parametrize("make", [gpu, cpu, on_model])
@pytest.mark.parametrize("count", [0, -1])
def test_count_is_at_least_1(make: type[Placement], count: int) -> None:
    with pytest.raises(OptionError, match="1 or more"):
        make(count=count)  # type: ignore[call-arg]


@pytest.mark.parametrize("make", [gpu, cpu, on_model])
@pytest.mark.parametrize("count", ["2", 1.5, True, None])
def test_count_is_a_number(make: type[Placement], count: object) -> None:
    with pytest.raises(OptionError, match="a number of instances"):
        make(count=count)  # type: ignore[call-arg]


def test_adds_and_compares_with_placements_only() -> None:
    with pytest.raises(TypeError):
        gpu(0) + 1
    assert gpu(0) != "GPU 0"
