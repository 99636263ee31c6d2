"""Disagreements between `predict` and the real core, each found by asking it.

Found with tests/rehearsal/test_predict_against_core.py, or by hand with the same servers.
"""

from __future__ import annotations

import re

import pytest

from pytest_triton.placement.declared import Declared, OnDisk
from pytest_triton.placement.hardware import NO_GPU, simulated_gpus
from pytest_triton.placement.predict import ServerTraits, predict, predict_all
from pytest_triton.placement.rate_limits import RateLimits
from pytest_triton.placement.refusal import classify
from support.short_configs import config, ensemble, groups


def test_version_named_twice_counts_as_there() -> None:
    """Core inserts a wanted version into those it found, so the second mention finds it."""
    on_disk = OnDisk("m", versions=(1,))
    once = config("version_policy { specific { versions: [ 2 ] } }")
    twice = config("version_policy { specific { versions: [ 2, 2 ] } }")
    assert predict(once, NO_GPU, on_disk=on_disk).refusal is not None
    assert predict(twice, NO_GPU, on_disk=on_disk).ready


def test_ensembles_models_come_before_its_versions() -> None:
    models = {
        "gone": Declared.of(config("", name="gone"), on_disk=OnDisk("gone", ())),
        "e": Declared.of(config(ensemble("gone"), name="e"), on_disk=OnDisk("e", ())),
        "f": Declared.of(config(ensemble("fine"), name="f"), on_disk=OnDisk("f", ())),
        "fine": Declared.of(config("", name="fine")),
    }
    predictions = predict_all(models, NO_GPU)
    reasons = {name: p.refusal.reason for name, p in predictions.items() if p.refusal}
    assert reasons == {"gone": "version", "e": "ensemble", "f": "version"}


def test_ensemble_that_uses_a_circle_ends_the_server() -> None:
    """Core follows the circle until its stack is full; ensembles of the circle are refused."""
    steps = {"a": "b", "b": "a", "self": "self", "uses": "a", "uses_uses": "uses"}
    models = {n: Declared.of(config(ensemble(step), name=n)) for n, step in steps.items()}
    predictions = predict_all(models, NO_GPU)
    reasons = {name: p.refusal.reason for name, p in predictions.items() if p.refusal}
    assert reasons == {
        "a": "ensemble",
        "b": "ensemble",
        "self": "ensemble",
        "uses": "crash",
        "uses_uses": "crash",
    }


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        (" 2", None),
        ("3x", None),
        ("+4", None),
        ("0x1", None),
        ("-0", None),
        ("1 2", None),
        ("-1", "profile"),
        ("", "profile"),
        ("one", "profile"),
        ("٣", "profile"),
        ("2147483647", None),
        ("2147483648", "crash"),
        ("-2147483649", "crash"),
    ],
)
def test_profiles_are_read_as_stoi_reads_them(profile: str, reason: str | None) -> None:
    """A number that doesn't fit into an int is an exception that nobody catches in core."""
    text = groups(f'kind: KIND_GPU profile: "{profile}"')
    refusal = predict(config(text, backend="tensorrt"), simulated_gpus(1)).refusal
    assert (refusal.reason if refusal else None) == reason


def test_undeclared_python_model_is_refused_by_2_33_without_a_gpu() -> None:
    """Its backend's preference for GPUs, which later releases drop where there is none."""
    old = ServerTraits(version=(2, 33, 0))
    refusal = predict(config("", backend="python"), NO_GPU, server=old).refusal
    assert refusal is not None
    assert refusal.text == (
        "Invalid argument: instance group m of model m has kind KIND_GPU but no GPUs are available"
    )


def test_gpu_named_twice_gets_its_instances_twice() -> None:
    text = groups("kind: KIND_GPU gpus: [ 1, 0, 1 ] count: 2")
    prediction = predict(config(text), simulated_gpus(2))
    assert str(prediction.placement) == "GPU 0 x2 · GPU 1 x4"
    assert prediction.groups[0].gpus == (1, 0, 1)


def test_data_type_of_a_control_is_a_matter_of_the_config() -> None:
    message = (
        "unexpected data type for control CONTROL_SEQUENCE_CORRID for m. Allowed data types are "
        "TYPE_UINT64, TYPE_INT64, TYPE_UINT32, TYPE_INT32 and TYPE_STRING"
    )
    assert classify(message) == "config"


def test_sequence_model_of_passive_instances_only_is_refused_before_2_37() -> None:
    text = "sequence_batching { } " + groups("kind: KIND_CPU passive: true")
    old = predict(config(text), NO_GPU, server=ServerTraits(version=(2, 36, 0))).refusal
    assert old is not None
    assert (old.reason, old.stage) == ("config", "load")
    assert classify(old.text) == old.reason
    assert predict(config(text), NO_GPU, server=ServerTraits(version=(2, 37, 0))).ready


def test_correlation_ids_type_is_looked_at_behind_all_controls() -> None:
    """A second control of the kind is named first, though the first one's type is wrong."""
    corrid = 'control_input {{ name: "{}" control {{ kind: CONTROL_SEQUENCE_CORRID {} }} }}'
    two = corrid.format("A", "data_type: TYPE_FP32") + corrid.format("B", "data_type: TYPE_INT32")
    read = Declared.of(config(f"sequence_batching {{ {two} }}"))
    assert read.flaws[0].triton.startswith(
        "sequence batching specifies multiple CONTROL_SEQUENCE_C"
    )
    one = corrid.format("A", "data_type: TYPE_FP32")
    read = Declared.of(config(f"sequence_batching {{ {one} }}"))
    assert read.flaws[0].triton.startswith(
        "unexpected data type for control CONTROL_SEQUENCE_CORRID"
    )


def test_releases_before_2_49_do_not_name_the_tensor() -> None:
    """And up to then an input without a data type is called an output."""
    text = 'input { name: "X" dims: [ 0 ] } output { name: "Y" data_type: TYPE_FP32 dims: [ 0 ] }'
    said = {}
    for version in ((2, 48, 0), (2, 49, 0)):
        refusal = predict(config(text), NO_GPU, server=ServerTraits(version=version)).refusal
        said[version] = refusal.text if refusal else ""
    assert said == {
        (2, 48, 0): "Invalid argument: model output must specify 'data_type' for m",
        (2, 49, 0): "Invalid argument: model input 'X' must specify 'data_type' for m",
    }


def test_releases_2_39_to_2_41_miss_a_backends_python_file() -> None:
    server = ServerTraits(version=(2, 39, 0), backends=frozenset())
    refusal = predict(config(""), NO_GPU, server=server).refusal
    assert refusal is not None
    assert refusal.text == "Invalid argument: unable to find 'mine/model.py' for model 'm'"
    assert refusal.reason == classify(refusal.text) == "backend-missing"


def test_releases_after_2_36_try_all_instances_and_report_the_last_failure() -> None:
    limited = ", ".join(
        f'{{ kind: KIND_CPU rate_limiter {{ resources {{ name: "{name}" count: 8 }} }} }}'
        for name in ("few", "many")
    )
    arguments = (
        "--rate-limit=execution_count",
        "--rate-limit-resource=few:2",
        "--rate-limit-resource=many:5",
    )
    limits = RateLimits.of_arguments(arguments)
    said = {}
    for version in ((2, 36, 0), (2, 39, 0)):
        server = ServerTraits(version=version, rate_limits=limits)
        read = Declared.of(config(f"instance_group [ {limited} ]"))
        refusal = predict_all({"m": read}, NO_GPU, server=server)["m"].refusal
        assert refusal is not None
        said[version] = re.findall('"(.*?)"', refusal.text)
    assert said == {(2, 36, 0): ["few"], (2, 39, 0): ["many"]}
