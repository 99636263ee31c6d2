"""Fields that only newer releases know: found in a text and in a message alike."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
from tritonclient.grpc.model_config_pb2 import ModelEnsembling

import pytest_triton.placement
from pytest_triton.diagnostics.diagnostic import NEVER
from pytest_triton.placement.fields import (
    NEWER_FIELDS,
    field_flaws,
    names_newer_field,
    set_fields,
    written_fields,
)
from pytest_triton.placement.releases import RELEASES
from support.short_configs import config

INFLIGHT = "ensemble_scheduling.max_inflight_requests"  # the lowest tritonclient hasn't got it
# By field: its path in a config, and the config.
CONFIGS = {
    "sequence_batching.oldest.preserve_ordering": (
        "sequence_batching.oldest.preserve_ordering",
        "sequence_batching { oldest { preserve_ordering: true } }",
    ),
    "sequence_batching.state.use_same_buffer_for_input_output": (
        "sequence_batching.state[1].use_same_buffer_for_input_output",
        "sequence_batching { state { } state { use_same_buffer_for_input_output: true } }",
    ),
    "sequence_batching.state.use_growable_memory": (
        "sequence_batching.state[0].use_growable_memory",
        "sequence_batching { state { use_growable_memory: true } }",
    ),
    "sequence_batching.iterative_sequence": (
        "sequence_batching.iterative_sequence",
        "sequence_batching { iterative_sequence: true }",
    ),
    "runtime": ("runtime", 'runtime: "model.py"'),
    "input.is_non_linear_format_io": (
        "input[1].is_non_linear_format_io",
        "input { } input { is_non_linear_format_io: true } output { }",
    ),
    "output.is_non_linear_format_io": (
        "output[0].is_non_linear_format_io",
        "input { } output { is_non_linear_format_io: true }",
    ),
    "model_metrics": ("model_metrics", "model_metrics { }"),
    INFLIGHT: (
        "ensemble_scheduling.max_inflight_requests",
        "ensemble_scheduling { max_inflight_requests: 4 }",
    ),
}


def test_each_newer_field_is_in_a_config_here() -> None:
    assert [row.path for row in NEWER_FIELDS] == list(CONFIGS)


@pytest.mark.parametrize("field", CONFIGS)
def test_newer_field_is_found_in_a_message_a_text_and_by_its_path(field: str) -> None:
    path, text = CONFIGS[field]
    if field != INFLIGHT or hasattr(ModelEnsembling(), "max_inflight_requests"):
        assert tuple(set_fields(config(text))) == (path,)
    assert names_newer_field(text)
    assert not names_newer_field(text.replace(field.rpartition(".")[2], "x_"))
    assert written_fields({"name": 3, path: 2, f"{path}[0]": 1}) == (path,)


def test_config_without_newer_fields_has_none() -> None:
    assert tuple(set_fields(config("sequence_batching { oldest { } state { } }"))) == ()
    assert written_fields({"max_batch_size": 1, "input[0].name": 2}) == ()


def test_newer_fields_are_in_the_order_of_the_text() -> None:
    assert written_fields({"runtime": 9, "model_metrics": 4}) == ("model_metrics", "runtime")


def test_refusal_names_the_newest_field_first() -> None:
    found = list(field_flaws(("runtime", "model_metrics", "name"), "m"))
    assert [one.field for one in found] == ["model_metrics", "runtime"]
    assert [one.until for one in found] == [(2, 52, 0), (2, 42, 0)]
    assert found[0].triton == "failed to read text proto from m/config.pbtxt"
    assert "Take release 24.11 or newer" in found[0].fix
    assert found[0].reason == "config"


def test_releases_that_rules_name_are_in_the_table() -> None:
    """A rule that holds from a release on that there never was is a slip of the pen."""
    folder = pytest_triton.placement
    modules = [
        importlib.import_module(one.name)
        for one in pkgutil.iter_modules(folder.__path__, f"{folder.__name__}.")
    ]
    known = {*RELEASES.values(), NEVER, (0, 0, 0)}
    found = {
        f"{module.__name__}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, tuple) and [type(one) for one in value] == [int, int, int]
    }
    assert len(found) > 10
    assert {name: value for name, value in found.items() if value not in known} == {}
