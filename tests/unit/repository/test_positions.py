"""Flaws' fields, found in a config's text."""

from __future__ import annotations

import pytest

from pytest_triton.repository.positions import locate

TEXT = """\
backend: "python"
input [ { name: "X" dims: [ 4, 0 ] } ]
ensemble_scheduling {
  step [ {
    model_name: "a"
    input_map { key: "A" value: "x" }
    input_map { key: "B\\"C" value: "y" }
  } ]
}
parameters: { key: "p" value: { string_value: "v" } }
"""


@pytest.mark.parametrize(
    ("field", "place"),
    [
        ("backend", (1, 1)),
        ("input[0].dims[1]", (2, 32)),
        ("input[0].data_type", (2, 9)),
        ("input[0].reshape.shape[0]", (2, 9)),
        ('ensemble_scheduling.step[0].input_map["A"]', (6, 15)),
        ('ensemble_scheduling.step[0].input_map["A"].value', (6, 26)),
        ('ensemble_scheduling.step[0].input_map["nothing"]', (6, 5)),
        ("ensemble_scheduling.step[0].model_version", (4, 10)),
        ("ensemble_scheduling.step[3].model_name", (4, 3)),
        ('parameters["p"].value.string_value', (10, 33)),
        ("output[0].name", None),
    ],
)
def test_field_or_the_nearest_around_it_is_found(field: str, place: tuple[int, int] | None) -> None:
    assert locate(TEXT, field) == place
