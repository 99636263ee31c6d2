from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_triton.placement.refusal import REASONS, Reason, Refusal, classify, refused_steps

GROUP = "Invalid argument: instance group m_0 of model m "

# Triton's text, from the sources and logs of 2.33.0 to 2.51.0 and of NGC 26.06.
TEXTS: list[tuple[Reason, str]] = [
    ("no-gpu", GROUP + "has kind KIND_GPU but no GPUs are available"),
    ("no-gpu", GROUP + "has kind KIND_GPU but specifies no GPUs"),
    ("no-gpu-support", GROUP + "has kind KIND_GPU but server does not support GPUs"),
    (
        "gpu-id",
        GROUP
        + "specifies invalid or unsupported gpu id 7. GPUs with at least the minimum required "
        "CUDA compute compatibility of 6.000000 are: 0, 1",
    ),
    ("cpu-with-gpus", GROUP + "has kind KIND_CPU but specifies one or more GPUs"),
    ("model-with-gpus", GROUP + "has kind KIND_MODEL but specifies one or more GPUs"),
    ("kind", "Internal: instance group m_0 of model m has unexpected kind KIND_AUTO"),
    (
        "profile",
        GROUP + "and platform onnxruntime_onnxspecifies profile field which is only supported for "
        "TensorRT models",
    ),
    (
        "profile",
        GROUP + "and platform tensorrt_plan specifies invalid profile -1. The field should contain "
        "the string representation of a non-negative integer.",
    ),
    ("profile", "Invalid argument: profile name must not be empty"),
    ("profile", "Invalid argument: unable to parse 'one': stoi"),
    (
        "backend-gpu-only",
        "Invalid argument: unable to load model 'm', TensorRT backend supports only GPU device",
    ),
    (
        "backend-cpu-only",
        "Invalid argument: unable to load model 'm', openVINO backend supports only CPU device",
    ),
    (
        "backend-cpu-only",
        "Invalid argument: unable to load model 'm', Triton OpenVINO backend supports only Kind "
        "CPU and AUTO",
    ),
    ("backend-cpu-only", "Unsupported: GPU instances not supported"),
    (
        "backend-cpu-only",
        "Internal: onnx runtime error 1: CUDA execution provider is not enabled in this build. ",
    ),
    ("backend-cpu-only", "'identity' backend only supports CPU instances"),
    (
        "backend-missing",
        "Invalid argument: unable to find backend library for backend 'b', try specifying runtime "
        "on the model configuration.",
    ),
    (
        "backend-missing",
        "Invalid argument: unable to find 'libtriton_b.so' for model 'm', searched: /r/m/1, /r/m",
    ),
    (
        "backend-missing",
        "Invalid argument: unable to find 'libtriton_b.so' or 'b/model.py' for model 'm', in /b/b",
    ),
    (
        "backend-load",
        "Not found: unable to load shared library: libcudart.so.12: cannot open shared object "
        "file: No such file or directory",
    ),
    ("backend-load", "Not found: triton_python_backend_stub is not found. Searched paths: /b"),
    (
        "no-backend",
        "Invalid model name: Could not determine backend for model 'm' with no backend in model "
        "configuration. Expected model name of the form 'model.<backend_name>'.",
    ),
    ("no-backend", "unexpected platform type 'mine' for m"),
    ("no-config", "Not found: model configuration is not provided for model 'm'"),
    ("name", "unexpected directory name 'a' for model 'b', directory name must equal model name"),
    ("duplicate", "failed to poll model 'm': not unique across all model repositories"),
    (
        "version",
        "at least one version must be available under the version policy of model 'm'",
    ),
    (
        "ensemble",
        "Invalid argument: ensemble 'e' depends on 'm' which has no loaded version. Model 'm' "
        f"loading failed with error: version 1 is at UNAVAILABLE state: {GROUP}has kind KIND_GPU "
        "but no GPUs are available;",
    ),
    ("ensemble", "ensemble e contains models that are not available or ambiguous: m"),
    ("ensemble", "circular dependency between ensembles: e -> ... -> f -> e"),
    ("ensemble", "instance group should not be specified for ensemble 'e'"),
    ("ensemble", "must specify 'step' for ensemble 'e'"),
    ("ensemble", "in ensemble e, input IN in model m is not mapped to any ensemble tensors"),
    ("ensemble", "ensemble e allows maximum batch size 8, but it contains model m which only"),
    ("config", "'max_batch_size' must be non-negative value for m"),
    ("config", "unexpected 'platform' and 'backend' pair, got:onnxruntime_onnx, tensorrt"),
    ("config", "failed to read text proto from /r/m/config.pbtxt"),
    ("config", "Invalid argument: model input 'IN' must specify 'data_type' for m"),
    ("config", "dynamic batching preferred size must be positive for m"),
    ("cuda", "Internal: unable to get number of CUDA devices: unknown error"),
    ("gpu-memory", "Internal: CUDA error: out of memory"),
    (
        "gpu-memory",
        "Unavailable: can not create model 'm': memory limit set for KIND_GPU 0 has exceeded, "
        "model loading is rejected.",
    ),
    (
        "shared-memory",
        "Internal: Unable to initialize shared memory key 'k' to requested size (1048576 bytes). "
        "If you are running Triton inside docker, use '--shm-size' flag to control the shared "
        "memory region size. Error: No space left on device",
    ),
    (
        "shared-memory",
        "Internal: Unable to initialize shared memory key 'k' to requested size (67108864 bytes). "
        "Error: No such file or directory",
    ),
    (
        "rate-limit",
        'Invalid argument: Resource count for "R" is limited to 2 which will prevent scheduling of '
        "one or more model instances, the minimum required count is 4",
    ),
    (
        "rate-limit",
        'Invalid argument: Resource "R" is present as both global and device-specific resource in '
        "the model configuration.",
    ),
    ("model-file", "Internal: model.py does not exist in the model repository path: /r/m/1"),
    ("model-file", "Not found: unable to find 'model.onnx' model file for m"),
    (
        "crash",
        "terminate called after throwing an instance of 'std::out_of_range'\n  what():  stoi",
    ),
    (
        "agent-missing",
        "unable to find 'libtritonrepoagent_checksum.so' for repo agent 'checksum', searched: "
        "/opt/tritonserver/repoagents",
    ),
    (
        "warm-up",
        "Invalid argument: [request id: <id_unknown>] expected 1 inputs but got 0 inputs for model "
        "'m'. Got input(s) [], but missing required input(s) ['X']. Please provide all required "
        "input(s).",
    ),
    (
        "warm-up",
        "Invalid argument: warmup setting expects all variable-size dimensions are specified for "
        "input 'X'",
    ),
    ("config", "Invalid argument: initial_state setting expects state'S' to have state_data set"),
    ("config", "Invalid argument: State input name 'S' specified more than once."),
    ("config", "Invalid argument: unknown source input name 'X' for m"),
    ("backend-load", "backend library name 'l.so' escapes backend directory '/b', for model 'm'"),
    ("other", "Internal: ModuleNotFoundError: No module named 'torch'"),
    ("other", ""),
]


@pytest.mark.parametrize(("reason", "message"), TEXTS)
def test_texts_of_triton_are_classified(reason: Reason, message: str) -> None:
    assert classify(message) == reason


@pytest.mark.parametrize(("reason", "message"), TEXTS)
def test_quoting_and_surroundings_change_nothing(reason: Reason, message: str) -> None:
    assert classify(json.dumps(message)) == reason
    assert classify(message.replace(" ", "\n")) == reason
    assert classify(message.upper()) == reason
    assert classify(f"E0101 00:00:00.0 1 lifecycle.cc:642] failed to load 'm': {message}") == reason


def test_every_reason_has_text() -> None:
    assert {reason for reason, _ in TEXTS} == set(REASONS)


@given(st.text())
def test_any_text_has_a_class(text: str) -> None:
    assert classify(text) in REASONS


def test_labels() -> None:
    assert str(Refusal("no-gpu", "message")) == "refused: no GPU"
    assert str(Refusal("cpu-with-gpus", "message")) == "refused: KIND_CPU with gpus"
    assert str(Refusal("backend-gpu-only", "message")) == "refused: backend takes GPU only"


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("ensemble 'e' depends on 'a' which has no loaded version", ("a",)),
        ("ensemble e contains models that are not available or ambiguous: b", ("b",)),
        ("ensemble e contains models that are not available or ambiguous: b, c", ("b", "c")),
        ("must specify 'step' for ensemble 'e'", ()),
    ],
)
def test_refusal_of_an_ensemble_names_its_refused_steps(text: str, steps: tuple[str, ...]) -> None:
    assert refused_steps(text) == steps
