from __future__ import annotations

import subprocess
import sys

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from pytest_triton.placement.backends import (
    BACKENDS,
    backend_named,
    backend_of_platform,
    guess_backend,
)
from pytest_triton.placement.core_completion import complete
from pytest_triton.placement.declared import Declared, OnDisk
from support.short_configs import config, declared, ensemble, groups

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


def test_platform_and_the_file_of_an_earlier_backend() -> None:
    """Core looks for each backend's platform and file in turn, and TensorRT's come first."""
    read = declared('platform: "onnxruntime_onnx" default_model_filename: "model.plan"')
    assert (read.backend, read.platform) == ("tensorrt", "onnxruntime_onnx")
    assert read.flaws[0].triton.endswith("pair, got:onnxruntime_onnx, tensorrt")
    beside = declared('platform: "onnxruntime_onnx" default_model_filename: "model.graphdef"')
    assert beside.backend == "onnxruntime"
    assert not beside.flaws


@pytest.mark.parametrize("text", ['platform: "torch_aoti"', 'default_model_filename: "model.pt2"'])
def test_torch_aoti_is_new(text: str) -> None:
    read = declared(text)
    assert read.backend == "pytorch"
    assert (read.flaws[0].reason, read.flaws[0].until) == ("no-backend", (2, 67, 0))
    assert not any(flaw.lasting for flaw in read.flaws)


def test_pair_with_torch_aoti_is_new() -> None:
    (flaw,) = declared('backend: "pytorch" platform: "torch_aoti"').flaws
    assert (flaw.reason, flaw.until) == ("config", (2, 67, 0))
    assert not declared('backend: "mine" platform: "torch_aoti"').flaws


@pytest.mark.parametrize(
    ("name", "files", "backend", "platform"),
    [
        ("m", ["model.pt2"], "pytorch", "torch_aoti"),
        ("m", ["model.pt2", "model.pt"], "pytorch", "pytorch_libtorch"),
        ("m", ["model.pt2", "model.pt/"], "", ""),
        ("m", ["model.pt2/"], "", ""),
        ("m", ["model.pt2", "model.py"], "python", ""),
        ("m.mine", ["model.pt2"], "mine", ""),
    ],
)
def test_file_of_torch_aoti(name: str, files: list[str], backend: str, platform: str) -> None:
    read = Declared.of(ModelConfig(), on_disk=OnDisk(name, files=frozenset(files)))
    assert (read.backend, read.platform) == (backend, platform)
    new = platform == "torch_aoti"
    assert bool(read.flaws) == (new or not backend)
    assert any(flaw.lasting for flaw in read.flaws) == (not backend)


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ('platform: "tensorflow_graphdef" backend: "mine"', "model.graphdef"),
        ('backend: "tensorrt"', "model.plan"),
        ('backend: "pytorch"', "model.pt"),
        ('backend: "pytorch" platform: "torch_aoti"', "model.pt2"),
        ('backend: "python" default_model_filename: "other.py"', "other.py"),
        ('backend: "openvino"', "model.xml"),
        ('backend: "mine"', ""),
        ('backend: "tensorflow"', ""),
    ],
)
def test_completes_the_models_file(text: str, file: str) -> None:
    assert complete(config(text), "m", ()).default_model_filename == file


def test_backend_from_the_models_name() -> None:
    read = Declared.of(ModelConfig(), on_disk=OnDisk("a.b.c"))
    assert read.backend == "b.c"
    assert complete(ModelConfig(), "a.b.c", ()).default_model_filename == "model.b.c"
    assert complete(ModelConfig(name="x.y"), "m.mine", ()).backend == "mine"


def test_table_of_backends() -> None:
    platform, of_file = backend_of_platform("onnxruntime_onnx"), guess_backend("", "model.py")
    assert platform is not None
    assert platform.name == "onnxruntime"
    assert of_file is not None
    assert of_file.name == "python"
    assert guess_backend("", "", ["x", "model.pt"]) == BACKENDS["pytorch"]
    assert guess_backend("", "", ["model.savedmodel"]) is None
    assert guess_backend("", "", ["model.savedmodel/"]) == BACKENDS["tensorflow"]
    assert backend_named("of my own").only is None
    for backend in BACKENDS.values():
        assert (backend.only is None) == (backend.reason is None) == (backend.text == "")


def test_needs_neither_protobuf_nor_pytest() -> None:
    """Importing all of placement must not import what it only reads by duck typing."""
    code = (
        "import sys, pytest_triton.placement.advice, pytest_triton.placement.predict\n"
        "heavy = {'google.protobuf', 'tritonclient', 'numpy', 'pytest', 'grpc', 'docker'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or None)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_config_is_only_read() -> None:
    before = config(groups(""))
    copy = ModelConfig()
    copy.CopyFrom(before)
    Declared.of(before, on_disk=OnDisk("other"))
    assert before == copy


def test_versions_of_steps_and_of_models() -> None:
    text = ensemble("a", "b", "c", versions=[-1, None, 3])
    read = declared(text)
    assert read.steps == ("a", "b", "c")
    assert read.step_versions == (-1, 0, 3)
    assert read.versions == ()  # nobody has looked at the directory
    assert declared(text, on_disk=OnDisk("m", (1, 2))).versions == (2,)
    every = declared("version_policy { all { } }", on_disk=OnDisk("m", (1, 2)))
    assert every.versions == (1, 2)
    assert every.step_versions == ()
    assert declared("", on_disk=OnDisk("m", ())).versions == ()
