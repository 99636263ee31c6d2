"""Plain configs, read without google.protobuf's parser: which are, and which are left to it.

That both read the same is held by test_properties.py, too.
"""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from pytest_triton.repository import model_config_type
from pytest_triton.repository.plain_text import read_plain
from support.corpora import all_repositories

PLAIN = {
    "nothing": "",
    "only a comment": "# nothing\n",
    "no space at all": "name:\"a\"backend:'b'max_batch_size:8",
    "commas and semicolons": 'name: "a", backend: "b"; max_batch_size: -8,',
    "a list and its elements": "input { dims: [ 1, -1 ] dims: 2 dims: [] } input [ { }, { } ]",
    "an enum and a comment": "instance_group [ { kind: KIND_GPU # here\n gpus: [ 0 ] } ]",
    "true and false": "model_transaction_policy { decoupled: True } dynamic_batching { "
    "preserve_ordering: false }",
    "a map": 'parameters { key: "x" value: { string_value: "1" } } '
    'parameters: { key: "y" value { } }',
    "a map of texts": 'metric_tags { key: "a" value: "b" }',
    "decimal numbers": "sequence_batching { control_input { control { "
    "fp32_false_true: [ -0.5, 12.25, 3 ] } } }",
    "an empty message": "dynamic_batching { }",
    "other scripts": 'name: "modèle ٣ 模型"',
}

LEFT = {
    "an escape": r'name: "a\n"',
    "two strings for one": 'name: "a" "b"',
    "a hexadecimal number": "max_batch_size: 0x10",
    "an octal number": "max_batch_size: 010",
    "underscores in a number": "max_batch_size: 1_0",
    "a number and a name in one": 'max_batch_size: 5name: "a"',
    "digits of other scripts": "max_batch_size: ٣",
    "a minus on its own": "max_batch_size: - 5",
    "too large a number": "max_batch_size: 4294967296",
    "pointy brackets": "dynamic_batching < >",
    "no colon": "max_batch_size 8",
    "an unknown field": "max_batch: 8",
    "an unknown enum value": "instance_group { kind: GPU }",
    "an enum value as a number": "instance_group { kind: 1 }",
    "a field twice": 'name: "a" name: "a"',
    "a message twice": "dynamic_batching { } dynamic_batching { }",
    "two of a oneof": "dynamic_batching { } sequence_batching { }",
    "a list for one value": "max_batch_size: [ 8 ]",
    "a comma before the end": "input { dims: [ 1, ] }",
    "no comma": "input { dims: [ 1 2 ] }",
    "text for a number": 'max_batch_size: "8"',
    "a number for text": "name: 8",
    "a name for text": "name: a",
    "a name for true": "dynamic_batching { preserve_ordering: yes }",
    "infinity": "sequence_batching { direct { minimum_slot_utilization: inf } }",
    "an exponent": "sequence_batching { direct { minimum_slot_utilization: 1e-3 } }",
    "an open string": 'name: "a',
    "an open message": "dynamic_batching {",
    "an open list": "input [ { }",
    "a bracket too many": "dynamic_batching { } }",
    "the end after a name": "name",
    "the end after a colon": "name:",
    "a map entry without a key": "parameters { value: { } }",
    "a NUL": 'name: "a" \0',
    "a byte order mark": '\ufeffname: "a"',
}


@pytest.mark.parametrize("text", PLAIN.values(), ids=PLAIN.keys())
def test_plain(text: str) -> None:
    config = read_plain(text, model_config_type())
    assert config is not None
    assert config == text_format.Parse(text, model_config_type()())


@pytest.mark.parametrize("text", LEFT.values(), ids=LEFT.keys())
def test_left_to_protobuf(text: str) -> None:
    assert read_plain(text, model_config_type()) is None


def test_configs_of_real_repositories_are_plain() -> None:
    texts = [
        (model / "config.pbtxt").read_text(encoding="utf-8")
        for repository in all_repositories()
        for model in repository.iterdir()
        if (model / "config.pbtxt").is_file()
    ]
    read = [read_plain(text, model_config_type()) for text in texts]
    assert sum(config is not None for config in read) >= 0.9 * len(texts) > 0
    for text, config in zip(texts, read, strict=True):
        if config is not None:
            assert config == text_format.Parse(text, model_config_type()())
