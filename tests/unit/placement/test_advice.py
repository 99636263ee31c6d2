from __future__ import annotations

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from pytest_triton.placement.advice import (
    Advice,
    advise,
    advise_on_refusal,
    advise_on_verdict,
    instance_group_lines,
)
from pytest_triton.placement.compare import READY, UNAVAILABLE, Observation, Observed, compare
from pytest_triton.placement.declared import Declared, OnDisk
from pytest_triton.placement.hardware import NO_GPU, simulated_gpus
from pytest_triton.placement.instances import NOTHING, cpu
from pytest_triton.placement.predict import DEFAULT_TRAITS, Prediction, ServerTraits, predict
from pytest_triton.placement.refusal import REASONS, Reason, Refusal
from support.short_configs import config, declared, groups
from support.strategies import group_lists


def on_cpu() -> Observed:
    return Observed(cpu())


def with_advice(text: str, advice: Advice | None) -> ModelConfig:
    """The config with the advised lines in place of its own."""
    assert advice is not None
    assert advice.lines
    changes = text_format.Parse(advice.lines, ModelConfig())
    config_ = config(text)
    if changes.instance_group:
        del config_.instance_group[:]
    config_.MergeFrom(changes)
    return config_


@pytest.mark.parametrize(
    ("text", "gpus", "then"),
    [
        ("", 0, "refused: no GPU"),
        (groups("count: 2"), 0, "refused: no GPU"),
        (groups("kind: KIND_GPU"), 0, "CPU"),
        (groups("kind: KIND_GPU", "kind: KIND_CPU count: 2"), 0, "CPU x2"),
        (groups("kind: KIND_GPU gpus: [0, 5]"), 1, "GPU 0"),
        (groups("kind: KIND_GPU gpus: [5]"), 2, "GPU 0 · GPU 1"),
        (groups("gpus: [0]"), 0, "refused: no such GPU"),
        (groups("kind: KIND_CPU gpus: [0]"), 1, "CPU"),
        (groups("kind: KIND_MODEL gpus: [0]"), 1, "MODEL"),
        (groups("kind: 9"), 1, "GPU 0"),
        (groups('kind: KIND_CPU profile: "1"'), 1, "CPU"),
        (groups("kind: KIND_GPU") + 'backend: "openvino"', 1, "CPU"),
        (groups("kind: KIND_CPU") + 'backend: "tensorrt"', 1, "GPU 0"),
    ],
)
def test_lines_of_the_advice_fix_it(text: str, gpus: int, then: str) -> None:
    read = declared(text)
    advice = advise(read, predict(read, simulated_gpus(gpus)))
    assert str(predict(with_advice(text, advice), simulated_gpus(gpus))) == then


def test_fallbacks_fix_leaves_the_placement_on_gpus_alone() -> None:
    for text in ("", groups("count: 3 name: 'a'", "kind: KIND_CPU")):
        read = declared(text)
        fixed = with_advice(text, advise(read, predict(read, NO_GPU)))
        before, after = predict(read, simulated_gpus(2)), predict(fixed, simulated_gpus(2))
        assert after.placement.devices == before.placement.devices
        assert Declared.of(fixed).is_explicit


def test_cpu_group_beside_an_undeclared_one_stays_on_the_cpu() -> None:
    text = groups("count: 3", "kind: KIND_CPU")
    read = declared(text)
    fixed = with_advice(text, advise(read, predict(read, NO_GPU)))
    assert predict(fixed, simulated_gpus(2)).placement == (
        predict(read, simulated_gpus(2)).placement
    )


def test_no_advice_for_what_runs_as_declared() -> None:
    read = declared(groups("kind: KIND_CPU"))
    assert advise(read, predict(read, NO_GPU)) is None


def test_name_of_the_directory() -> None:
    read = declared('name: "other"', on_disk=OnDisk("detector"))
    advice = advise(read, predict(read, NO_GPU))
    assert advice is not None
    assert advice.lines == 'name: "detector"'


def test_negative_batch_size() -> None:
    read = declared("max_batch_size: -1")
    advice = advise(read, predict(read, NO_GPU))
    assert advice is not None
    assert advice.lines == "max_batch_size: 0"


def test_version_that_a_step_asks_for() -> None:
    message = "ensemble 'e' depends on 'm' whose required version 0 is not loaded."
    refusal = Refusal("ensemble", message, "poll")
    advice = advise_on_refusal(declared(""), refusal, NO_GPU, DEFAULT_TRAITS)
    assert advice.lines == "model_version: -1"
    assert "Version 0 of `m`" in advice.cause


def test_misspelt_backend() -> None:
    read = declared('backend: "onnxruntme"')
    server = ServerTraits(backends=frozenset({"onnxruntime"}))
    advice = advise(read, predict(read, NO_GPU, server=server))
    assert advice is not None
    assert advice.lines == 'backend: "onnxruntime"'


def test_server_with_old_gpus_is_distinguished_from_one_without() -> None:
    read = declared(groups("kind: KIND_GPU"))
    old = advise(read, predict(read, simulated_gpus(1, (5, 2))))
    none = advise(read, predict(read, NO_GPU))
    assert old is not None
    assert none is not None
    assert "below compute capability 6.0" in old.cause
    assert "sees no GPU" in none.cause


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_a_cause(reason: Reason) -> None:
    read = declared(groups("kind: KIND_GPU gpus: [1]"))
    advice = advise_on_refusal(read, Refusal(reason, "Triton's text"), NO_GPU, DEFAULT_TRAITS)
    assert advice.cause.endswith((".", ":"))


def test_backend_for_gpus_that_ended_up_on_the_cpu_is_advised_on_with_the_reason() -> None:
    causes = []
    for text in ("", groups("kind: KIND_CPU")):
        read = declared(text, backend="tensorrt")
        advice = advise(read, predict(read, NO_GPU))
        assert advice is not None
        assert "takes GPU instances only" in advice.cause
        causes.append("so the model ended up on the CPU" in advice.cause)
    assert causes == [True, False]


def test_profile_that_crashes_the_server_is_advised_on_with_its_form() -> None:
    read = declared(groups('kind: KIND_GPU profile: "2147483648"'), backend="tensorrt")
    advice = advise(read, predict(read, simulated_gpus(1)))
    assert advice is not None
    assert "the whole server ends" in advice.cause
    assert "a number that fits into 32 bits" in advice.cause


def test_observed_refusal_is_advised_on_before_the_predicted_one() -> None:
    read = declared(groups("kind: KIND_GPU"))
    seen = Observed(NOTHING, Refusal("cuda", "message"), UNAVAILABLE)
    advice = advise_on_verdict(compare(read, predict(read, NO_GPU), seen))
    assert advice is not None
    assert "CUDA itself fails" in advice.cause


@pytest.mark.parametrize(
    ("text", "gpus", "seen", "cause"),
    [
        ("", 1, Observed(NOTHING, None, UNAVAILABLE), "The server says only 'UNAVAILABLE'."),
        (groups("kind: KIND_GPU"), 0, on_cpu(), "The server loaded what Triton's rules refuse."),
        (groups("kind: KIND_GPU"), 1, on_cpu(), "The server placed the model elsewhere."),
    ],
)
def test_difference_without_a_refusal_is_advised_on_by_what_the_server_shows(
    text: str, gpus: int, seen: Observed, cause: str
) -> None:
    read = declared(text)
    advice = advise_on_verdict(compare(read, predict(read, simulated_gpus(gpus)), seen))
    assert advice is not None
    assert advice.cause.startswith(cause)
    assert advice.lines == ""


def test_model_as_predicted_is_advised_on_by_its_declaration() -> None:
    read = declared("")
    predicted = predict(read, NO_GPU)
    seen = Observed.of(READY, [Observation("core", "high", "", predicted.placement)])
    advice = advise_on_verdict(compare(read, predicted, seen))
    assert advice is not None
    assert advice == advise(read, predicted)


def instance_groups_of(group_list: list[ModelInstanceGroup]) -> Declared:
    read = config("")
    read.instance_group.extend(group_list)
    return Declared.of(read)


@given(group_lists)
def test_lines_say_what_was_declared(group_list: list[ModelInstanceGroup]) -> None:
    read = instance_groups_of([g for g in group_list if 0 <= g.kind <= 3])
    lines = instance_group_lines(read.groups)
    again = Declared.of(config(lines))
    assert again.groups == read.groups


@given(group_lists, st.integers(0, 3), st.sampled_from(["mine", "openvino", "tensorrt"]))
def test_advice_is_never_worse_than_the_disease(
    group_list: list[ModelInstanceGroup], gpus: int, backend: str
) -> None:
    """Following advice, at most a few times, ends where there is nothing left to fix."""
    read = config("", backend=backend)
    read.instance_group.extend(group_list)
    prediction: Prediction = predict(read, simulated_gpus(gpus))
    for _ in range(8):
        advice = advise(Declared.of(read), prediction)
        if advice is None:
            break
        changes = text_format.Parse(advice.lines, ModelConfig())
        assert changes.instance_group
        del read.instance_group[:]
        read.MergeFrom(changes)
        prediction = predict(read, simulated_gpus(gpus))
        if gpus == 0 and backend == "tensorrt":
            return  # nothing but a GPU can help
    assert prediction.ready
    assert not prediction.fallback


def test_advice_on_a_model_without_config_says_that_there_is_none() -> None:
    on_disk = OnDisk("m", (1,), has_config=False)
    declared = Declared.of(ModelConfig(backend="onnxruntime"), on_disk=on_disk)
    advice = advise(declared, predict(declared, NO_GPU))
    assert advice is not None
    assert advice.cause.startswith("There is no config.pbtxt (write one with these lines;")
    with_config = Declared.of(ModelConfig(backend="onnxruntime"))
    other = advise(with_config, predict(with_config, NO_GPU))
    assert other is not None
    assert "no config.pbtxt" not in other.cause
