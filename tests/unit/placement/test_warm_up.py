"""Texts about warm-up samples that lack inputs; the table of refusals has one of each kind."""

from __future__ import annotations

import pytest

from pytest_triton.placement.warm_up import warm_up_flaws
from support.short_configs import config

INPUTS = """
input { name: "A" data_type: TYPE_FP32 dims: [ 1 ] }
input { name: "B" data_type: TYPE_FP32 dims: [ 1 ] }
output { name: "O" data_type: TYPE_FP32 dims: [ 1 ] }
"""
OPTIONAL = INPUTS.replace('name: "B"', 'name: "B" optional: true')


def sample(*keys: str) -> str:
    inputs = "".join(
        f'inputs {{ key: "{key}" value {{ data_type: TYPE_FP32 dims: [ 1 ] zero_data: true }} }}'
        for key in keys
    )
    return f'model_warmup {{ name: "s" batch_size: 1 {inputs} }}'


@pytest.mark.parametrize(
    ("tensors", "keys", "expected"),
    [
        (
            INPUTS,
            "A",
            "expected 2 inputs but got 1 inputs for model 'm'. Got input(s) ['A'], but missing "
            "required input(s) ['B'].",
        ),
        (
            INPUTS,
            "",
            "expected 2 inputs but got 0 inputs for model 'm'. Got input(s) [], but missing "
            "required input(s) ['A','B'].",
        ),
        (
            OPTIONAL,
            "C",
            "expected number of inputs between 1 and 2 but got 0 inputs for model 'm'. Got "
            "input(s) [], but missing required input(s) ['A'].",
        ),
    ],
)
def test_sample_without_an_input_is_refused_with_a_list_from_2_44_on(
    tensors: str, keys: str, expected: str
) -> None:
    flaws = list(warm_up_flaws(config(tensors + sample(*keys)), "m"))
    old, new = ([one for one in flaws if one.holds(at)] for at in ((2, 43, 0), (2, 44, 0)))
    head = f"[request id: <id_unknown>] {expected.partition('.')[0]}"
    assert [one.triton for one in old] == [head]
    text = f"[request id: <id_unknown>] {expected} Please provide all required input(s)."
    assert [one.triton for one in new] == [text]
    assert "lacks the model's input" in new[0].message
    assert ("is no input of it" in new[0].message) == (keys == "C")


@pytest.mark.parametrize(("tensors", "keys"), [(INPUTS, "AB"), (OPTIONAL, "A"), (OPTIONAL, "AB")])
def test_sample_with_all_required_inputs_is_taken(tensors: str, keys: str) -> None:
    assert list(warm_up_flaws(config(tensors + sample(*keys)), "m")) == []
