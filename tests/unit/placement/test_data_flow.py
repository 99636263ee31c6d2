"""An ensemble's maps against the tensors of its models."""

from __future__ import annotations

import pytest

from pytest_triton.placement.data_flow import DataFlow, Signature, check_data_flow
from support.short_configs import config, ensemble


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'key: "IN" value: "IN"',
            'key: "X" value: "IN"',
            "in ensemble e, ensemble tensor IN is mapping to non-existing input X in model a",
        ),
        (
            'key: "OUT" value: "OUT"',
            'key: "Y" value: "OUT"',
            "in ensemble e, ensemble tensor OUT is mapped from non-existing output Y in model a",
        ),
    ],
)
def test_name_that_the_model_lacks_is_reported_and_not_what_follows_from_it(
    old: str, new: str, said: str
) -> None:
    models = {"a": Signature.of(config("", name="a"))}
    text = ensemble("a")
    assert check_data_flow("e", DataFlow.of(config(text, name="e")), models).flaws == ()
    wrong = DataFlow.of(config(text.replace(old, new), name="e"))
    assert [one.triton for one in check_data_flow("e", wrong, models).flaws] == [said]


def test_input_that_a_backend_may_add_is_not_reported() -> None:
    flow = DataFlow.of(config(ensemble("a").replace('key: "IN"', 'key: "X"'), name="e"))
    read = config("", name="a")
    del read.input[:]
    models = {"a": Signature.of(read, open_inputs=True)}
    assert check_data_flow("e", flow, models).flaws == ()
