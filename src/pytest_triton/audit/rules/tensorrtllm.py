"""TRT24.: parameters, whose strings nobody checks before the backend reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from pytest_triton.audit.parameters import parameter, parameter_fields
from pytest_triton.audit.rule import rule
from pytest_triton.audit.subject import Subject
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.text.shown_text import printable

_CPU = 'backend: "tensorrtllm"\ninstance_group [ { kind: KIND_MODEL count: 1 } ]\n'


def _parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'


_ENGINE = _parameter("gpt_model_type", "inflight_fused_batching") + _parameter(
    "gpt_model_path", "/engines/llama"
)

# Templates of strings: ${name}, {{ name }}, $NAME, @NAME@, <%= name %>, <path to it>.
_PLACEHOLDER = re.compile(
    r"\$\{[\w.:-]+\}|\{\{-?\s*[\w.]+(?:\s*\|[^}]*)?\s*-?\}\}|(?<![$\w])\$[A-Z_][A-Z0-9_]+"
    r"|@[A-Z][A-Z0-9_]+@|<%[^%]*%>|<(?:path|your|PATH|YOUR)[^<>]*>"
)
_MARKS = ("$", "{{", "<", "@")  # one of which each of them has
_OF_TRITON = "$$TRITON_MODEL_DIRECTORY"
_MOST_SHOWN = 5

# What the TensorRT-LLM backend reads, in its model_state.cc and model_instance_state.cc: strings
# that it can't convert are "not specified" to it, with a warning in the log.
_WHOLE = re.compile(r"\s*[-+]?\d+\s*\Z")
_FRACTION = re.compile(r"\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*\Z")
_BOOLS = ("True", "true", "TRUE", "1", "False", "false", "FALSE", "0")
_TYPES = ("v1", "V1", "inflight_batching", "inflight_fused_batching")
_PATHS = ("gpt_model_path", "encoder_model_path")


def _are_whole(text: str) -> bool:
    return all(_WHOLE.match(part) for part in text.split(","))


def _are_ids(text: str) -> bool:
    return all(_are_whole(part) for part in text.split(";"))


_READ_AS: dict[str, tuple[str, Callable[[str], object]]] = {
    **dict.fromkeys(
        (
            *("max_beam_width", "iter_stats_max_iterations", "request_stats_max_iterations"),
            *("max_tokens_in_paged_kv_cache", "sink_token_length", "num_nodes"),
            *("lora_cache_max_adapter_size", "lora_cache_optimal_adapter_size"),
            *("lora_cache_host_memory_bytes", "kv_cache_host_memory_bytes"),
            *("cuda_graph_cache_size", "recv_poll_period_ms", "cancellation_check_period_ms"),
            *("stats_check_period_ms", "lookahead_window_size", "lookahead_ngram_size"),
            "lookahead_verification_set_size",
        ),
        ("a whole number", _WHOLE.match),
    ),
    **dict.fromkeys(
        (
            *("kv_cache_free_gpu_mem_fraction", "cross_kv_cache_fraction"),
            *("lora_cache_gpu_memory_fraction", "gpu_weights_percent"),
        ),
        ("a number such as 0.9", _FRACTION.match),
    ),
    **dict.fromkeys(
        (
            *("kv_cache_onboard_blocks", "enable_kv_cache_reuse", "multi_block_mode"),
            *("enable_context_fmha_fp32_acc", "cuda_graph_mode", "enable_trt_overlap"),
            *("speculative_decoding_fast_logits", "normalize_log_probs"),
            *("enable_chunked_context", "exclude_input_in_output"),
        ),
        ("true or false", _BOOLS.__contains__),
    ),
    "participant_ids": ("ranks with commas, and semicolons between instances", _are_ids),
    "max_attention_window_size": ("whole numbers with commas", _are_whole),
    "batch_scheduler_policy": (
        "max_utilization or guaranteed_no_evict",
        ("max_utilization", "guaranteed_no_evict").__contains__,
    ),
    "decoding_mode": (
        "top_k, top_p, top_k_top_p, beam_search, medusa, redrafter, lookahead or eagle",
        (
            *("top_k", "top_p", "top_k_top_p", "beam_search", "medusa", "redrafter"),
            *("lookahead", "eagle"),
        ).__contains__,
    ),
}


def _is_tensorrtllm(subject: Subject) -> bool:
    return subject.declared.backend == "tensorrtllm"


def placeholder_in(text: str) -> str:
    """A template's placeholder that is still in a string, "" if there is none."""
    found = _PLACEHOLDER.search(text.replace(_OF_TRITON, ""))
    return found.group() if found else ""


@rule(
    "TRT240",
    "placeholder-left",
    "warning",
    failing=_CPU + _ENGINE.replace("/engines/llama", "${engine_dir}"),
    fixed=_CPU + _ENGINE,
)
def placeholder_left(subject: Subject) -> Iterator[Diagnostic]:
    """A placeholder of a template is still in a parameter's string.

    Triton takes `${engine_dir}` as it is: the config parses, and the backend or model.py finds no
    such directory, number or name. Fill the template (TensorRT-LLM has tools/fill_template.py), or
    delete the parameter. Of TensorRT-LLM's parameters that may be left out, a placeholder means the
    default: these are reported together.
    """
    optional = []
    for key, value in sorted(subject.config.parameters.items()):
        text = value.string_value
        found = placeholder_in(text) if any(mark in text for mark in _MARKS) else ""
        if not found or "{%" in text or "template" in key or "prompt" in key:
            continue
        if key == "EXECUTION_ENV_PATH":
            continue  # a rule of its own
        if _is_tensorrtllm(subject) and key not in ("gpt_model_type", *_PATHS):
            optional.append((key, found))
            continue
        yield subject.at(
            parameter_fields(subject, key),
            f"`{printable(found)}` was never filled in, and Triton doesn't do it",
        )
    if optional:
        shown = ", ".join(printable(key) for key, _ in optional[:_MOST_SHOWN])
        more = len(optional) - _MOST_SHOWN
        yield subject.at(
            parameter_fields(subject, optional[0][0]),
            f"`{printable(optional[0][1])}` was never filled in; TensorRT-LLM takes its defaults "
            f"for {shown}" + (f" and {more} more" if more > 0 else ""),
        )


@rule(
    "TRT241",
    "tensorrtllm-refused",
    "error",
    failing=_CPU + _parameter("gpt_model_path", "/engines/llama"),
    fixed=_CPU + _ENGINE,
)
def tensorrtllm_refused(subject: Subject) -> Iterator[Diagnostic]:
    """A TensorRT-LLM model lacks a parameter that its backend can't do without.

    `gpt_model_type` must be one of v1, inflight_batching and inflight_fused_batching, and one of
    `gpt_model_path` and `encoder_model_path` a directory with an engine; empty ones and
    placeholders are none. The backend refuses the model when it makes an instance. In NVIDIA's
    template `gpt_model_type` is filled with what fill_template.py calls `batching_strategy`.
    """
    if not _is_tensorrtllm(subject):
        return
    kind = parameter(subject, "gpt_model_type")
    if kind not in _TYPES and not placeholder_in(kind):
        yield subject.at(
            parameter_fields(subject, "gpt_model_type"),
            (f"gpt_model_type is {printable(kind)!r}" if kind else "gpt_model_type isn't given")
            + f": the backend knows {', '.join(_TYPES[1:])}",
            _parameter("gpt_model_type", "inflight_fused_batching").rstrip(),
        )
    paths = [parameter(subject, key) for key in _PATHS]
    if not any(paths):
        yield subject.at(
            parameter_fields(subject, "gpt_model_path"),
            "gpt_model_path isn't given, nor encoder_model_path: there is no engine to load",
            _parameter("gpt_model_path", "/path/of/the/engine").rstrip(),
        )


@rule(
    "TRT242",
    "tensorrtllm-parameter-ignored",
    "warning",
    failing=_CPU + _ENGINE + _parameter("max_beam_width", "one"),
    fixed=_CPU + _ENGINE + _parameter("max_beam_width", "1"),
)
def tensorrtllm_parameter_ignored(subject: Subject) -> Iterator[Diagnostic]:
    """A parameter of a TensorRT-LLM model isn't the number, list or bool that it must be.

    All parameters are strings to Triton. What the backend can't convert counts as not given: it
    writes a warning into the log and takes its default. Of a text that starts with a number it
    takes that number, so that "0,9" is 0. Empty strings are the usual way to leave a parameter out.
    """
    if not _is_tensorrtllm(subject):
        return
    for key, value in sorted(subject.config.parameters.items()):
        text = value.string_value
        if key not in _READ_AS or not text or placeholder_in(text):
            continue
        wanted, fits = _READ_AS[key]
        if not fits(text):
            started = re.match(r"\s*[-+]?\d+", text) if "number" in wanted else None
            taken = f"takes {started.group().strip()}" if started else "takes its default"
            yield subject.at(
                parameter_fields(subject, key),
                f"{key} is {printable(text)[:40]!r}, and must be {wanted}: the backend {taken}",
            )


@rule(
    "TRT243",
    "tensorrtllm-gpu-ids",
    "error",
    target=2,
    failing=_CPU + _ENGINE + _parameter("gpu_device_ids", "0,2"),
    fixed=_CPU + _ENGINE + _parameter("gpu_device_ids", "0,1"),
)
def tensorrtllm_gpu_ids(subject: Subject) -> Iterator[Diagnostic]:
    """gpu_device_ids of a TensorRT-LLM model doesn't fit the target, or its instances.

    It has the GPUs of each instance, with commas between GPUs and semicolons between instances:
    `0,1;2,3` is for two instances on two GPUs each. An id that the target doesn't have makes the
    engine fail; lists beyond the number of instances are never used. What can't be read counts as
    not given, and the engine takes the first GPUs.

    With a target (`--target 2`) the ids are compared with its GPUs.
    """
    text = parameter(subject, "gpu_device_ids") if _is_tensorrtllm(subject) else ""
    if not text.strip() or placeholder_in(text):
        return
    fields = parameter_fields(subject, "gpu_device_ids")
    shown = printable(text)[:40]
    lists = [part for part in text.split(";") if part.strip()]
    if not lists or not all(map(_are_whole, lists)):
        yield subject.at(
            fields,
            f"gpu_device_ids is {shown!r}, and must be numbers with commas between GPUs and "
            "semicolons between instances: the engine takes the first GPUs",
        )
        return
    groups = subject.declared.groups
    instances = sum(max(group.count, 1) for group in groups) if groups else 1
    if len(lists) > instances and not any(group.kind in ("GPU", "AUTO") for group in groups):
        yield subject.at(
            fields,
            f"gpu_device_ids has GPUs for {len(lists)} instances, and there "
            f"{'are' if instances > 1 else 'is'} {instances}: {';'.join(lists[instances:])[:40]} "
            "is never used (commas are for the GPUs of one instance)",
        )
    usable = subject.audited.usable
    if usable is None:
        return
    for gpu in dict.fromkeys(int(one) for part in lists for one in part.split(",")):
        if gpu not in usable:
            there = ", ".join(map(str, usable)) or "none"
            yield subject.at(
                fields, f"GPU {gpu} is not on the target, whose usable GPUs are: {there}"
            )
            return
