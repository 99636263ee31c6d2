"""Short spellings of configs for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import TYPE_FP32, ModelConfig

from pytest_triton.placement.declared import Declared, OnDisk


def config(text: str, *, name: str = "m", backend: str = "mine") -> ModelConfig:
    """The config with this text, called `name` and of `backend` unless it says otherwise.

    It takes and gives what `ensemble` hands on, unless it says otherwise.
    """
    read = text_format.Parse(text, ModelConfig())
    if not read.input and not read.output:
        read.input.add(name="IN", data_type=TYPE_FP32, dims=[4])
        read.output.add(name="OUT", data_type=TYPE_FP32, dims=[4])
    read.name = read.name or name
    if not (read.backend or read.platform or read.default_model_filename):
        read.backend = backend
    return read


def declared(text: str, *, backend: str = "mine", on_disk: OnDisk | None = None) -> Declared:
    return Declared.of(config(text, backend=backend), on_disk=on_disk)


def groups(*bodies: str) -> str:
    """`instance_group` with these bodies: groups("kind: KIND_GPU", "kind: KIND_CPU")."""
    return "".join(f"instance_group {{ {body} }}\n" for body in bodies)


def ensemble(*steps: str, versions: Sequence[int | None] = ()) -> str:
    """An ensemble that hands one tensor through these models.

    `versions` are what its steps ask for, -1 where nothing is given; None leaves it out.
    """
    tensor = "data_type: TYPE_FP32 dims: [ 4 ]"
    names = ["IN", *(f"T{index}" for index in range(1, len(steps))), "OUT"]
    text = f'platform: "ensemble" input {{ name: "IN" {tensor} }}\n'
    text += f'output {{ name: "OUT" {tensor} }}\nensemble_scheduling {{\n'
    for index, step in enumerate(steps):
        version = versions[index] if index < len(versions) else -1
        text += (
            f'step {{ model_name: "{step}" '
            f"{'' if version is None else f'model_version: {version} '}"
            f'input_map {{ key: "IN" value: "{names[index]}" }} '
            f'output_map {{ key: "OUT" value: "{names[index + 1]}" }} }}\n'
        )
    return text + "}\n"
