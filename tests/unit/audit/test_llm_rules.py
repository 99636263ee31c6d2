"""vLLM's model.json, TensorRT-LLM's parameters, placeholders and execution environments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.audit_examples import audit_files, ids

TRTLLM = 'backend: "tensorrtllm"\ninstance_group [ { kind: KIND_MODEL count: 1 } ]\n'


def parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'


ENGINE = parameter("gpt_model_type", "inflight_fused_batching") + parameter("gpt_model_path", "/e")


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ('{ "model": "x", }', (1, 17), "is no JSON"),
        ("// engine\n{}", (1, 1), "is no JSON"),
        ("", (1, 1), "is no JSON"),
        ("[]", (None, None), "holds no JSON object"),
        ("{" * 100_000, (1, 2), "is no JSON"),
        ("[" * 100_000, (None, None), "is no JSON"),
        ("\ufeff{}", (1, 1), "is no JSON"),
        ('{ "tensor_parallel_size": "two" }', (None, None), "write a number"),
        ('{ "tensor_parallel_size": 0 }', (None, None), "write a number"),
        ('{ "pipeline_parallel_size": null }', (None, None), "write a number"),
    ],
)
def test_model_json_that_vllm_cannot_use_is_reported(
    tmp_path: Path, text: str, place: tuple[int | None, int | None], message: str
) -> None:
    config = 'backend: "vllm"\ninstance_group [ { kind: KIND_MODEL count: 1 } ]\n'
    (finding,) = audit_files(tmp_path, {"m/config.pbtxt": config, "m/1/model.json": text})
    assert finding.rule == "TRT244"
    assert finding.message.startswith(message) or message in finding.message
    assert (finding.line, finding.column) == place


def test_model_json_that_is_not_there_is_reported(tmp_path: Path) -> None:
    config = 'backend: "vllm"\ninstance_group [ { kind: KIND_MODEL count: 1 } ]\n'
    files = {"m/config.pbtxt": config, "m/1/models.json": "{}"}
    assert ids(audit_files(tmp_path / "other", files)) == ["TRT244"]
    assert ids(audit_files(tmp_path / "empty", {"m/config.pbtxt": config, "m/1/.keep": ""})) == []


@pytest.mark.parametrize(
    ("group", "engine", "target", "expected"),
    [
        ("kind: KIND_MODEL count: 4", {}, None, ["TRT245"]),
        ("kind: KIND_MODEL count: 2", {"gpu_memory_utilization": 0.4}, None, []),
        ("kind: KIND_MODEL count: 3", {"gpu_memory_utilization": 0.4}, None, ["TRT245"]),
        ("kind: KIND_GPU count: 2", {}, None, ["TRT245"]),
        ("kind: KIND_GPU count: 1 gpus: [ 0, 1 ]", {}, None, []),
        ("kind: KIND_GPU count: 1", {}, 4, []),
        ("kind: KIND_GPU count: 1", {"tensor_parallel_size": 2}, None, ["TRT212"]),
        ("kind: KIND_GPU count: 1", {"tensor_parallel_size": "2"}, None, ["TRT212"]),
        ("kind: KIND_GPU count: 1", {"pipeline_parallel_size": 2}, None, ["TRT212"]),
        ("kind: KIND_MODEL count: 1", {"tensor_parallel_size": 4}, 2, ["TRT246"]),
        ("kind: KIND_MODEL count: 1", {"tensor_parallel_size": 2}, 2, []),
        (
            "kind: KIND_MODEL count: 1",
            {"tensor_parallel_size": 2, "pipeline_parallel_size": 2},
            2,
            ["TRT246"],
        ),
        (
            "kind: KIND_MODEL count: 1",
            {"tensor_parallel_size": 8, "distributed_executor_backend": "ray"},
            2,
            [],
        ),
        ("kind: KIND_MODEL count: 1", {}, 0, ["TRT246"]),
    ],
)
def test_vllm_engine_against_kind_count_and_gpus(
    tmp_path: Path, group: str, engine: dict[str, object], target: int | None, expected: list[str]
) -> None:
    config = f'backend: "vllm"\ninstance_group [ {{ {group} }} ]\n'
    files = {"m/config.pbtxt": config, "m/1/model.json": json.dumps({"model": "x", **engine})}
    assert ids(audit_files(tmp_path, files, target)) == expected


def test_vllm_copies_on_one_gpu_before_model_json_is_there_are_reported(tmp_path: Path) -> None:
    config = 'backend: "vllm"\ninstance_group [ { kind: KIND_MODEL count: 4 } ]\n'
    assert ids(audit_files(tmp_path, {"m/config.pbtxt": config, "m/1/.keep": ""})) == ["TRT245"]


@pytest.mark.parametrize(
    ("more", "target", "expected"),
    [
        ("", None, []),
        (parameter("max_beam_width", "one"), None, ["TRT242"]),
        (parameter("max_beam_width", "4 beams"), None, ["TRT242"]),
        (parameter("max_beam_width", "1.5"), None, ["TRT242"]),
        (parameter("max_beam_width", ""), None, []),
        (parameter("max_beam_width", " 4 "), None, []),
        (parameter("kv_cache_free_gpu_mem_fraction", "0,9"), None, ["TRT242"]),
        (parameter("kv_cache_free_gpu_mem_fraction", "90%"), None, ["TRT242"]),
        (parameter("kv_cache_free_gpu_mem_fraction", ".9"), None, []),
        (parameter("enable_kv_cache_reuse", "yes"), None, ["TRT242"]),
        (parameter("enable_kv_cache_reuse", "TRUE"), None, []),
        (parameter("batch_scheduler_policy", "max"), None, ["TRT242"]),
        (parameter("decoding_mode", "beam"), None, ["TRT242"]),
        (parameter("max_attention_window_size", "512;1024"), None, ["TRT242"]),
        (parameter("max_attention_window_size", "512,1024"), None, []),
        (parameter("anything_else", "one"), None, []),
        (parameter("gpu_device_ids", "0,1"), None, []),
        (parameter("gpu_device_ids", "0;1"), None, ["TRT243"]),
        (parameter("gpu_device_ids", "0, 1"), 2, []),
        (parameter("gpu_device_ids", "0,2"), 2, ["TRT243"]),
        (parameter("gpu_device_ids", "0,1"), 0, ["TRT243"]),
        (parameter("gpu_device_ids", "all"), None, ["TRT243"]),
        (parameter("gpu_device_ids", "0-3"), None, ["TRT243"]),
        (parameter("gpu_device_ids", ""), 1, []),
        (parameter("gpu_device_ids", "-1"), 1, ["TRT243"]),
        (parameter("participant_ids", "1,2;3,4"), None, []),
        (parameter("participant_ids", "1-4"), None, ["TRT242"]),
        (parameter("lora_prefetch_dir", "${lora_prefetch_dir}"), None, ["TRT240"]),
        (
            parameter("max_beam_width", "${a}") + parameter("sink_token_length", "${b}"),
            None,
            ["TRT240"],
        ),
    ],
)
def test_tensorrtllm_parameters(
    tmp_path: Path, more: str, target: int | None, expected: list[str]
) -> None:
    files = {"m/config.pbtxt": TRTLLM + ENGINE + more, "m/1/.keep": ""}
    assert ids(audit_files(tmp_path, files, target)) == expected


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (parameter("gpt_model_path", "/e"), ["TRT241"]),
        (parameter("gpt_model_type", "V1"), ["TRT241"]),
        (parameter("gpt_model_type", "V1") + parameter("encoder_model_path", "/e"), []),
        (parameter("gpt_model_type", "fused") + parameter("gpt_model_path", "/e"), ["TRT241"]),
        (parameter("gpt_model_type", "V1") + parameter("gpt_model_path", "${e}"), ["TRT240"]),
        (parameter("gpt_model_type", "${t}") + parameter("gpt_model_path", "/e"), ["TRT240"]),
        (parameter("batching_strategy", "V1") + parameter("gpt_model_path", "/e"), ["TRT241"]),
    ],
)
def test_tensorrtllm_parameters_that_it_needs(
    tmp_path: Path, parameters: str, expected: list[str]
) -> None:
    files = {"m/config.pbtxt": TRTLLM + parameters, "m/1/.keep": ""}
    assert ids(audit_files(tmp_path, files)) == expected


@pytest.mark.parametrize(
    ("key", "value", "reported"),
    [
        ("a", "${engine_dir}", True),
        ("a", "/models/${name}/x", True),
        ("a", "{{ engine_dir }}", True),
        ("a", "{{engine.dir|default('x')}}", True),
        ("a", "$ENGINE_DIR", True),
        ("a", "<path to the engine>", True),
        ("a", "@ENGINE_DIR@/1", True),
        ("a", "<%= engine_dir %>", True),
        ("a", "me@EXAMPLE.org", False),
        ("a", "US$", False),
        ("a", "$5", False),
        ("a", "<s>", False),
        ("a", "<|im_end|>", False),
        ("a", "{}", False),
        ("a", "{'a': 1}", False),
        ("chat_template", "{{ message.content }}", False),
        ("a", "{% for m in x %}{{ m }}{% endfor %}", False),
        ("a", "^[a-z]+$", False),
    ],
)
def test_placeholder_in_parameter(tmp_path: Path, key: str, value: str, reported: bool) -> None:
    config = 'backend: "python"\ninstance_group [ { kind: KIND_CPU count: 1 } ]\n'
    files = {"m/config.pbtxt": config + parameter(key, value), "m/1/.keep": ""}
    assert ids(audit_files(tmp_path, files)) == (["TRT240"] if reported else [])


def test_finding_about_a_parameter_is_at_its_value(tmp_path: Path) -> None:
    files = {"m/config.pbtxt": TRTLLM + ENGINE + parameter("max_beam_width", "x"), "m/1/.keep": ""}
    (finding,) = audit_files(tmp_path, files)
    assert (finding.line, finding.column) == (5, 44)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("$TRITON_MODEL_DIRECTORY/env", "two dollar signs"),
        ("${TRITON_MODEL_DIRECTORY}/env", "two dollar signs"),
        ("TRITON_MODEL_DIRECTORY/env", "two dollar signs"),
        ("$$TRITON_MODEL_DIRECTORYenv", "must start with"),
        ("file:$$TRITON_MODEL_DIRECTORY/env", "must start with"),
        ("./envs/a.tar.gz", "relative path"),
        ("~/a.tar.gz", "of variables"),
        ("$ENVS/a.tar.gz", "of variables"),
        ("$$TRITON_MODEL_DIRECTORY/gone.tar.gz", "isn't there"),
        ("$$TRITON_MODEL_DIRECTORY/env/lib/link", "leads nowhere"),
        ("$$TRITON_MODEL_DIRECTORY/pointer.tar.gz", "git lfs pull"),
        ("$$TRITON_MODEL_DIRECTORY/text.tar.gz", "no tar archive"),
        ("$$TRITON_MODEL_DIRECTORY/1", "no bin/activate"),
        ("/nowhere/env.tar.gz", "isn't on this machine"),
        ("$$TRITON_MODEL_DIRECTORY/env", ""),
        ("", ""),
    ],
)
def test_execution_environment(tmp_path: Path, value: str, expected: str) -> None:
    config = 'backend: "python"\ninstance_group [ { kind: KIND_CPU count: 1 } ]\n'
    files = {
        "m/config.pbtxt": config + parameter("EXECUTION_ENV_PATH", value),
        "m/1/.keep": "",
        "m/env/bin/activate": "#",
        "m/env/lib/link": "-> nowhere",
        "m/pointer.tar.gz": "version https://git-lfs.github.com/spec/v1\n",
        "m/text.tar.gz": "hello",
    }
    findings = audit_files(tmp_path, files)
    assert len(findings) == (1 if expected else 0)
    assert all(expected in one.message for one in findings)
