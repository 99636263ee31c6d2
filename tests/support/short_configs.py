"""Short spellings of configs for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from pytest_triton.placement.declared import Declared, OnDisk


def config(text: str, *, name: str = "m", backend: str = "mine") -> ModelConfig:
    """The config with this text, called `name` and of `backend` unless it says otherwise."""
    read = text_format.Parse(text, ModelConfig())
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
    text = f'platform: "ensemble" input {{ name: "T0" {tensor} }}\n'
    text += f'output {{ name: "T{len(steps)}" {tensor} }}\nensemble_scheduling {{\n'
    for index, step in enumerate(steps):
        version = versions[index] if index < len(versions) else -1
        text += (
            f'step {{ model_name: "{step}" '
            f"{'' if version is None else f'model_version: {version} '}"
            f'input_map {{ key: "IN" value: "T{index}" }} '
            f'output_map {{ key: "OUT" value: "T{index + 1}" }} }}\n'
        )
    return text + "}\n"
