"""What the variants of NVIDIA's images have; images of users' own are not judged."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pytest_triton.deployment.deployed_server import DeployedServer
from pytest_triton.placement.backend_names import OFFICIAL_BACKENDS
from pytest_triton.placement.declared import Declared

_OFFICIAL = "nvcr.io/nvidia/tritonserver:"
_IN_VARIANTS = {
    "py3": frozenset(OFFICIAL_BACKENDS) - {"vllm", "tensorrtllm"},
    "pyt-python-py3": frozenset({"pytorch", "python"}),
    "tf2-python-py3": frozenset({"tensorflow", "python"}),
    "vllm-python-py3": frozenset({"vllm", "python"}),
    "trtllm-python-py3": frozenset({"tensorrtllm", "python"}),
}
_SERVERLESS = {
    "-sdk": "clients and their tools",
    "-clientsdk": "clients and their tools",
    "-min": "only what images of your own are built on",
}
_VARIANT_OF = {"vllm": "vllm-python-py3", "tensorrtllm": "trtllm-python-py3"}


def lacking_server(server: DeployedServer) -> str:
    """Why NVIDIA's image has no tritonserver, or isn't there at all; "" for any that may have."""
    if server.is_built or server.has_digest or not server.image.startswith(_OFFICIAL):
        return ""
    tag = server.tag
    found = re.fullmatch(r"(\d\d)\.(\d\d)(-.+)?", tag, re.ASCII)
    if found is None:
        return ""
    release, variant = f"{found[1]}.{found[2]}", found[3] or ""
    if not 1 <= int(found[2]) <= 12:
        return f"NVIDIA has no image `{tag}`: a tag begins with a year and a month"
    if not variant:
        return f"NVIDIA has no image `{tag}` without a variant: take `{release}-py3`"
    for ending, has in _SERVERLESS.items():
        if variant.endswith(ending):
            return f"`{tag}` has {has}, and no tritonserver: take `{release}-py3`"
    return ""


class LackingBackend(NamedTuple):
    """A model whose backend its server's image lacks; `take` is a tag of one that has it."""

    model: str
    backend: str
    tag: str
    take: str

    def __str__(self) -> str:
        return (
            f"`{self.model}` needs the {self.backend} backend, which `{self.tag}` hasn't: take "
            f"`{self.take}`"
        )


def lacking_backends(
    server: DeployedServer, models: Mapping[str, Declared]
) -> Iterator[LackingBackend]:
    """The models that this server's image has no backend for."""
    there = _IN_VARIANTS.get(server.variant)
    if there is None or not server.image.startswith(_OFFICIAL):
        return
    for name, declared in models.items():
        backend = declared.backend
        if backend in OFFICIAL_BACKENDS and backend not in there and not declared.is_ensemble:
            take = f"{server.container_release}-{_VARIANT_OF.get(backend, 'py3')}"
            yield LackingBackend(name, backend, server.tag, take)
