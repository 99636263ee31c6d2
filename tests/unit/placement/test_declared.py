from __future__ import annotations

import subprocess
import sys

import pytest
from short_configs import config, declared, ensemble, groups
from tritonclient.grpc.model_config_pb2 import ModelConfig

from pytest_triton.placement.backends import (
    BACKENDS,
    backend_named,
    backend_of_file,
    backend_of_files,
    backend_of_platform,
)
from pytest_triton.placement.declared import Declared, OnDisk

GPU, CPU = "kind: KIND_GPU", "kind: KIND_CPU"


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("", "nothing"),
        (groups(GPU), "GPU"),
        (groups(GPU, CPU), "GPU + CPU"),
        (groups(f"{CPU} count: 2"), "CPU x2"),
        (groups(f"{GPU} gpus: [1]"), "GPU 1"),
        (groups(f"{GPU} gpus: [0, 1] count: 3"), "GPU 0,1 x3"),
        (groups(""), "AUTO"),
        (groups("kind: KIND_MODEL"), "MODEL"),
        (groups(CPU, f"{GPU} passive: true"), "CPU + GPU (passive)"),
        (groups("kind: 9"), "kind 9"),
        (ensemble("a"), "ensemble"),
    ],
)
def test_summary(text: str, summary: str) -> None:
    assert declared(text).summary == summary


@pytest.mark.parametrize(
    ("text", "backend", "explicit", "falls_back", "pins"),
    [
        ("", "mine", False, True, False),
        ("", "python", False, True, False),
        ("", "openvino", True, False, False),
        (groups(""), "mine", False, True, False),
        (groups(""), "openvino", False, False, False),
        (groups("gpus: [0]"), "mine", False, False, False),
        (groups(GPU), "mine", True, False, True),
        (groups(CPU), "mine", True, False, False),
        (groups(CPU, GPU), "mine", True, False, True),
        (groups(CPU, ""), "mine", False, True, False),
        (groups("kind: KIND_MODEL"), "mine", True, False, False),
        (ensemble("a"), "mine", True, False, False),
    ],
)
def test_what_can_become_of_it(
    text: str, backend: str, explicit: bool, falls_back: bool, pins: bool
) -> None:
    read = declared(text, backend=backend)
    assert read.is_explicit == explicit
    assert read.can_fall_back == falls_back
    assert read.pins_gpu == pins


def test_reads_every_field_of_a_group() -> None:
    text = groups(
        'name: "g" kind: KIND_GPU count: 3 gpus: [ 2, 0 ] passive: true profile: [ "1", "2" ] '
        'host_policy: "numa" secondary_devices { kind: KIND_NVDLA device_id: 5 }'
    )
    (group,) = declared(text).groups
    assert group.name == "g"
    assert group.kind == "GPU"
    assert group.count == 3
    assert group.gpus == (2, 0)
    assert group.passive
    assert group.profile == ("1", "2")
    assert group.host_policy == "numa"
    assert group.secondary_devices == ((0, 5),)


@pytest.mark.parametrize(
    ("text", "backend", "platform"),
    [
        ('platform: "tensorrt_plan"', "tensorrt", "tensorrt_plan"),
        ('platform: "onnxruntime_onnx"', "onnxruntime", "onnxruntime_onnx"),
        ('platform: "pytorch_libtorch"', "pytorch", "pytorch_libtorch"),
        ('platform: "tensorflow_savedmodel"', "tensorflow", "tensorflow_savedmodel"),
        ('backend: "tensorrt"', "tensorrt", "tensorrt_plan"),
        ('backend: "openvino"', "openvino", ""),
        ('default_model_filename: "model.onnx"', "onnxruntime", "onnxruntime_onnx"),
        ('default_model_filename: "model.py"', "python", ""),
        ('default_model_filename: "model.graphdef"', "tensorflow", "tensorflow_graphdef"),
        ('backend: "mine" platform: "mine"', "mine", "mine"),
    ],
)
def test_completes_backend_and_platform(text: str, backend: str, platform: str) -> None:
    read = declared(text)
    assert (read.backend, read.platform) == (backend, platform)
    assert not read.flaws


def test_backend_from_the_models_name() -> None:
    read = Declared.of(ModelConfig(), on_disk=OnDisk("a.b.c"))
    assert read.backend == "b.c"


def test_table_of_backends() -> None:
    platform, of_file = backend_of_platform("onnxruntime_onnx"), backend_of_file("model.py")
    assert platform is not None
    assert platform.name == "onnxruntime"
    assert of_file is not None
    assert of_file.name == "python"
    assert backend_of_files(["x", "model.pt"]) == BACKENDS["pytorch"]
    assert backend_of_files(["model.savedmodel"]) is None
    assert backend_of_files(["model.savedmodel/"]) == BACKENDS["tensorflow"]
    assert backend_named("of my own").only is None
    for backend in BACKENDS.values():
        assert (backend.only is None) == (backend.reason is None) == (backend.words == "")


def test_needs_neither_protobuf_nor_pytest() -> None:
    """Importing all of placement must not import what it only reads by duck typing."""
    code = (
        "import sys, pytest_triton.placement.advice, pytest_triton.placement.predict\n"
        "heavy = {'google.protobuf', 'tritonclient', 'numpy', 'pytest', 'grpc', 'docker'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or None)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_a_config_is_only_read() -> None:
    before = config(groups(""))
    copy = ModelConfig()
    copy.CopyFrom(before)
    Declared.of(before, on_disk=OnDisk("other"))
    assert before == copy
