"""Flaws of the config's text; the drawn configs of tests/rehearsal ask core about them."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from pytest_triton.placement.core_completion import complete
from pytest_triton.placement.ensembles import circle
from pytest_triton.placement.polling import version_flaw
from support.short_configs import declared, ensemble

CONTROL = "sequence_batching { control_input { name: 'C' control { kind: CONTROL_SEQUENCE_START "


@pytest.mark.parametrize(
    ("text", "expected_text"),
    [
        ("max_batch_size: -1", "'max_batch_size' must be non-negative value for m"),
        ('platform: "nowhere"', "unexpected platform type 'nowhere' for m"),
        (
            'backend: "tensorrt" platform: "onnxruntime_onnx"',
            "unexpected 'platform' and 'backend' pair, got:onnxruntime_onnx, tensorrt",
        ),
        (
            'backend: "mine" platform: "ensemble"',
            "Ensemble model 'm' must have platform type 'ensemble' and empty backend type",
        ),
        (
            'platform: "ensemble"',
            "ensemble scheduling must be set for ensemble m whose platform is ensemble",
        ),
        (
            "max_batch_size: 4 dynamic_batching { preferred_batch_size: [ 8 ] }",
            "dynamic batching preferred size must be <= max batch size for m",
        ),
        (
            "dynamic_batching { preferred_batch_size: [ 0 ] }",
            "dynamic batching preferred size must be positive for m",
        ),
        (
            "dynamic_batching { priority_levels: 2 }",
            "default priority level must be in range [1, 2] for m",
        ),
        (
            "dynamic_batching { priority_levels: 2 default_priority_level: 1 "
            "preserve_ordering: true }",
            "Only one priority level is allowed when 'preserve_ordering' is true for m",
        ),
        (
            "dynamic_batching { preserve_ordering: true default_queue_policy { "
            "timeout_action: DELAY default_timeout_microseconds: 1 } }",
            "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true "
            "for m",
        ),
        (
            CONTROL + "} } }",
            "sequence batching must specify either 'int32_false_true', 'fp32_false_true' or "
            "'bool_false_true' for CONTROL_SEQUENCE_START for m",
        ),
        (
            CONTROL + "int32_false_true: [ 0 ] } } }",
            "sequence batching control 'int32_false_true' must have exactly 2 entries for "
            "CONTROL_SEQUENCE_START for m",
        ),
        (
            "sequence_batching { direct { minimum_slot_utilization: 1.5 } }",
            "sequence batching minimum slot utilization must be in range (0.0, 1.0] for m",
        ),
        (
            ensemble("a") + "optimization { }",
            "optimization should not be specified for ensemble 'm'",
        ),
        (
            ensemble("a", "b").replace('"T1"', '"T9"', 1),
            "output 'OUT' for ensemble 'm' is not written: at least one of its depending tensors, "
            "'T1', is not connected",
        ),
        (
            "model_transaction_policy { decoupled: true } response_cache { enable: true }",
            "Response Cache does not currently support model m with 'decoupled' transaction "
            "policy. Please disable the response cache.",
        ),
    ],
)
def test_polling_stops_at(text: str, expected_text: str) -> None:
    first = declared(text).flaws[0]
    assert first.triton == expected_text
    assert first.message
    assert first.fix


@pytest.mark.parametrize(
    "text",
    [
        "sequence_batching { control_input { control { } } }",
        ensemble("").replace("T0", "T9", 1),
    ],
)
def test_what_follows_from_a_flaw_is_not_reported(text: str) -> None:
    assert len(declared(text).flaws) == 1


@pytest.mark.parametrize(
    ("right", "swapped", "field"),
    [
        ('{ key: "IN" value: "IN" }', '{ key: "IN" value: "X" }', "input_map"),
        ('{ key: "OUT" value: "OUT" }', '{ key: "OUT" value: "Y" }', "output_map"),
    ],
)
def test_ensemble_with_swapped_maps_says_what_to_write(
    right: str, swapped: str, field: str
) -> None:
    (flaw,) = declared(ensemble("a").replace(right, swapped)).flaws
    tensor, other = right.split('"')[1], swapped.split('"')[3]
    assert f'Write {field} {{ key: "{other}" value: "{tensor}" }}' in flaw.fix


@pytest.mark.parametrize(
    ("steps", "way"),
    [
        ({"a": ["a"]}, ("a", "a")),
        ({"a": ["x", "b"], "b": ["c"], "c": ["a"]}, ("a", "b", "c", "a")),
        ({"a": ["b"], "b": ["b"]}, ()),
        ({"a": ["b", "c"], "b": ["d"], "c": ["a"], "d": ["a"]}, ("a", "c", "a")),
    ],
)
def test_circle_of_an_ensemble_is_the_shortest_way_back(
    steps: dict[str, list[str]], way: tuple[str, ...]
) -> None:
    assert circle("a", lambda name: steps.get(name, ())) == way


def test_scheduling_without_platform_and_backend_asks_for_the_platform() -> None:
    text = ensemble("a").replace('platform: "ensemble"', "")
    flaw = complete(text_format.Parse(text, ModelConfig()), "m", ["model.onnx"]).flaw
    assert flaw is None  # core goes by the file
    flaw = complete(text_format.Parse(text, ModelConfig()), "m", []).flaw
    assert flaw is not None
    assert (flaw.field, flaw.fix) == ("ensemble_scheduling", 'Write platform: "ensemble".')


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ("latest { num_versions: 0 }", "version_policy.latest"),
        ("latest { }", "version_policy.latest"),
        ("specific { versions: [ 7 ] }", "version_policy"),
    ],
)
def test_policy_that_chooses_no_version_says_why(policy: str, field: str) -> None:
    read = text_format.Parse(f"version_policy {{ {policy} }}", ModelConfig())
    flaw = version_flaw(read, "m", [1, 2])
    assert flaw is not None
    assert flaw.field == field
    assert ("num_versions: 1" in flaw.fix) == (field != "version_policy")


def test_scheduling_of_an_ensemble_without_its_platform() -> None:
    text = ensemble("a").replace('platform: "ensemble"', 'backend: "mine"')
    assert [flaw.triton for flaw in declared(text).flaws] == [
        "ensemble scheduling cannot be set for model 'm' whose platform is not ensemble"
    ]


@pytest.mark.parametrize(
    ("fields", "place", "expected_text"),
    [
        ("", "", "model input must specify 'name' for m"),
        ("name: 'I'", "", "model input 'I' must specify 'data_type' for m"),
        ("name: 'I' data_type: TYPE_FP32", "", "model input 'I' must specify 'dims' for m"),
        (
            "name: 'I' data_type: TYPE_FP32 dims: [ 0 ]",
            ".dims[0]",
            "model input 'I' dimension must be integer >= 1, or -1 to indicate a variable-size "
            "dimension for m",
        ),
        (
            "name: 'I' data_type: TYPE_FP32 dims: [ 4 ] reshape { shape: [ 3 ] }",
            ".reshape",
            "model input 'I' has different size for dims and reshape for m",
        ),
        (
            "name: 'I' data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] }",
            ".reshape",
            "model input 'I' cannot have empty reshape for non-batching model as scalar tensors "
            "are not supported for m",
        ),
        (
            "name: 'I' data_type: TYPE_FP32 dims: [ 4 ] is_shape_tensor: true",
            ".is_shape_tensor",
            "shape tensors are only supported for TensorRT platform for m",
        ),
        (
            "name: 'I' data_type: TYPE_FP32 dims: [ 4 ] format: FORMAT_NCHW",
            ".format",
            "model input NHWC/NCHW require 3 dims for m",
        ),
    ],
)
def test_inputs(fields: str, place: str, expected_text: str) -> None:
    output = 'output { name: "O" data_type: TYPE_FP32 dims: [ 1 ] }'
    read = declared(f"input {{ {fields} }} {output}")
    assert [flaw.triton for flaw in read.io_flaws if flaw.holds((2, 51, 0))] == [expected_text]
    assert {flaw.field for flaw in read.io_flaws} == {f"input[0]{place}"}
    assert not read.flaws


@pytest.mark.parametrize(
    ("dims", "shape", "fits"),
    [
        ("4294967296, 4294967296", "4294967296, 4294967296", False),
        ("4294967296, 2147483648", "4294967296, 2147483648", False),  # 2 ** 63
        ("4294967296, 1073741824", "4294967296, 1073741824", True),
        ("-1, -1, 4294967296, 4294967296", "-1, -1, 4294967296, 4294967296", True),
    ],
)
def test_number_of_elements_is_bounded_where_it_is_known(dims: str, shape: str, fits: bool) -> None:
    fields = f"data_type: TYPE_FP32 dims: [ {dims} ] reshape {{ shape: [ {shape} ] }}"
    read = declared(f'input {{ name: "I" {fields} }} output {{ name: "O" {fields} }}')
    found = [flaw for flaw in read.io_flaws if flaw.holds((2, 67, 0))]
    assert any("exceeds maximum size" in flaw.triton for flaw in found) != fits
    assert not any("exceeds" in one.triton for one in read.io_flaws if one.holds((2, 66, 0)))


@pytest.mark.parametrize(
    ("dims", "shape", "fits"),
    [
        ("2, 4, -1, 6", "8, -1, 1, 6", True),
        ("2, -1", "-1, 2", False),
        ("-1, -1", "-1", False),
        ("4", "2, 2", True),
    ],
)
def test_reshapes_with_variable_dimensions(dims: str, shape: str, fits: bool) -> None:
    fields = f"data_type: TYPE_FP32 dims: [ {dims} ] reshape {{ shape: [ {shape} ] }}"
    read = declared(f'input {{ name: "I" {fields} }} output {{ name: "O" {fields} }}')
    assert bool(read.io_flaws) != fits


@pytest.mark.parametrize(
    ("state", "first", "fault"),
    [
        ("4", "4", ""),
        ("-1", "4", ""),
        ("-1, 2", "4, 2", ""),
        ("4", "3", "doesn't match 'state' dim description. 3 != 4"),
        ("4", "-1", "contains variable dimensions"),
        ("4", "4, 4", "doesn't match the size of 'state' dimensions"),
    ],
)
def test_dimensions_of_a_first_state_fit_the_state(state: str, first: str, fault: str) -> None:
    initial = f'name: "first" data_type: TYPE_FP32 dims: [ {first} ] zero_data: true'
    text = f"""sequence_batching {{ state {{
        input_name: "SI" output_name: "SO" data_type: TYPE_FP32 dims: [ {state} ]
        initial_state {{ {initial} }} }} }}"""
    read = declared(text)
    every = (*read.flaws, *read.io_flaws, *read.instance_flaws, *read.scheduler_flaws)
    assert len(every) == bool(fault)
    assert all(fault in one.triton for one in every)
