"""The repository's config against the one that a server reports, with completed fields."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from pytest_triton.placement.config_drift import config_drift
from pytest_triton.repository import model_config_type

TENSORS = """
input [{ name: "X" data_type: TYPE_FP32 dims: [ 4 ] }]
output [{ name: "Y" data_type: TYPE_FP32 dims: [ 4 ] }]
"""
COMPLETED = """
name: "m" platform: "onnxruntime_onnx" default_model_filename: "model.onnx"
version_policy { latest { num_versions: 1 } }
optimization { input_pinned_memory { enable: true } output_pinned_memory { enable: true } }
"""


def drift(repository: str, deployed: str) -> dict[str, tuple[str, str]]:
    """The fields that differ, with the repository's and the deployed value."""
    found = config_drift(
        text_format.Parse(repository, model_config_type()()),
        text_format.Parse(deployed, model_config_type()()),
    )
    return {one.field: (one.repository, one.deployed) for one in found}


def onnx(text: str = "") -> str:
    return f'backend: "onnxruntime" {TENSORS} {text}'


@pytest.mark.parametrize(
    ("repository", "deployed"),
    [
        ("", 'instance_group { name: "m" kind: KIND_GPU count: 1 gpus: [ 0, 1 ] }'),
        ("", 'instance_group { name: "m" kind: KIND_CPU count: 2 }'),
        (
            "instance_group [{ kind: KIND_GPU }, { kind: KIND_CPU count: 3 }]",
            'instance_group [{ name: "m_0" kind: KIND_GPU count: 1 gpus: 0 }, '
            '{ name: "m_1" kind: KIND_CPU count: 3 }]',
        ),
        ("", "dynamic_batching { preferred_batch_size: 8 default_queue_policy {} }"),
        ("dynamic_batching {}", "dynamic_batching { preferred_batch_size: 8 }"),
        (
            "sequence_batching {}",
            "sequence_batching { direct {} max_sequence_idle_microseconds: 1000000 }",
        ),
        ("", "model_transaction_policy { decoupled: false }"),
        ("", "response_cache { enable: false }"),
    ],
)
def test_config_drift_completed_fields_are_none(repository: str, deployed: str) -> None:
    group = "" if "instance_group" in deployed else "instance_group { kind: KIND_CPU count: 2 }"
    found = drift(
        onnx(f"max_batch_size: 8 {repository}"),
        onnx(f"max_batch_size: 8 {COMPLETED} {deployed} {group}"),
    )
    assert found == {}


def test_config_drift_tensors_that_a_backend_completes_are_none() -> None:
    deployed = onnx(f"max_batch_size: 4 {COMPLETED}")
    assert drift('backend: "onnxruntime"', deployed) == {}
    assert drift("", deployed) == {}
    partly = 'backend: "onnxruntime" input { name: "X" dims: [ 4 ] }'
    assert drift(partly, deployed) == {}
    other = 'backend: "onnxruntime" input { name: "Z" dims: [ 4 ] }'
    assert list(drift(other, deployed)) == ['input["Z"]', 'input["X"]']
    nobody = deployed.replace("onnxruntime", "pytorch")  # completes nothing
    assert {"max_batch_size", 'input["X"]'} <= drift('backend: "pytorch"', nobody).keys()


@pytest.mark.parametrize(
    ("repository", "deployed", "expected"),
    [
        ("max_batch_size: 8", "max_batch_size: 4", {"max_batch_size": ("8", "4")}),
        (
            "instance_group { kind: KIND_GPU gpus: 0 }",
            "instance_group { kind: KIND_GPU count: 1 gpus: 1 }",
            {"instance_group[0].gpus": ("[ 0 ]", "[ 1 ]")},
        ),
        (
            "",
            "instance_group { kind: KIND_CPU count: 4 }",
            {"instance_group[0].count": ("2", "4")},
        ),
        (
            "instance_group { kind: KIND_CPU count: 1 }",
            "instance_group [{ kind: KIND_CPU count: 1 }, { kind: KIND_GPU }]",
            {"instance_group[1]": ("", "{ kind: KIND_GPU }")},
        ),
        (
            'parameters { key: "a" value { string_value: "b" } }',
            'parameters { key: "c" value { string_value: "d" } }',
            {
                'parameters["a"]': ('{ string_value: "b" }', ""),
                'parameters["c"]': ("", '{ string_value: "d" }'),
            },
        ),
        (
            "version_policy { all {} }",
            "version_policy { specific { versions: [ 1, 3 ] } }",
            {
                "version_policy.all": ("{ }", ""),
                "version_policy.specific": ("", "{ versions: 1 versions: 3 }"),
            },
        ),
        (
            "",
            "dynamic_batching { max_queue_delay_microseconds: 100 }",
            {"dynamic_batching": ("", "{ max_queue_delay_microseconds: 100 }")},
        ),
        ('runtime: "a"', 'runtime: "b"', {"runtime": ('"a"', '"b"')}),
        ("", 'runtime: "b"', {"runtime": ("", '"b"')}),
        (
            "response_cache { enable: true }",
            "",
            {"response_cache.enable": ("true", "false")},
        ),
    ],
)
def test_config_drift_other_value_is_named_with_both(
    repository: str, deployed: str, expected: dict[str, tuple[str, str]]
) -> None:
    group = "" if "instance_group" in deployed else "instance_group { kind: KIND_CPU count: 2 }"
    completed = COMPLETED
    if "version_policy" in deployed:
        completed = completed.replace("version_policy { latest { num_versions: 1 } }", "")
    assert drift(onnx(repository), onnx(f"{completed} {deployed} {group}")) == expected


def test_config_drift_changes_neither_config() -> None:
    one = text_format.Parse(onnx(), model_config_type()())
    other = text_format.Parse(onnx(COMPLETED), model_config_type()())
    before = (one.SerializeToString(), other.SerializeToString())
    config_drift(one, other)
    assert (one.SerializeToString(), other.SerializeToString()) == before
