"""Witness: the configuration as core resolved it (ModelConfig), which only READY models have.

Core writes kind, count and gpus of every instance group into it before it makes the instances:
trust it for what core decided, not for what a backend then did.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_triton.placement.values import NOTHING, Placement, cpu, gpu, on_model
from pytest_triton.servers.http import ServerSilent


def placement_of(config: Mapping[str, Any]) -> Placement:
    """The placement that a resolved configuration (as JSON) describes."""
    placement = NOTHING
    for group in config.get("instance_group", ()):
        count = int(group.get("count", 1))
        kind = group.get("kind", "KIND_AUTO")
        if kind == "KIND_GPU":
            for device in group.get("gpus", ()):
                placement += gpu(int(device), count=count)
        elif kind == "KIND_CPU":
            placement += cpu(count=count)
        else:
            placement += on_model(count=count)
    return placement


def grpc_model_config(address: str, model: str) -> Mapping[str, Any]:
    """The configuration of a READY model, as JSON, asked over gRPC at `host:port`.

    Slower to begin with than HTTP, since grpc has to be imported; but it can say every name.
    Raises ServerSilent.
    """
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    client = InferenceServerClient(address)
    try:
        answer = client.get_model_config(model, as_json=True)
    except InferenceServerException as error:
        raise ServerSilent(
            f"The server at {address} did not tell the configuration of {model!r}: {error}",
            cure="check that the model is still loaded; the server's log may tell more",
        ) from error
    finally:
        client.close()
    config: Mapping[str, Any] = answer["config"]
    return config
