"""Evidence: what a server that somebody else runs has deployed: its configs and versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_triton.client.api import open_api
from pytest_triton.client.configs import resolved_configs
from pytest_triton.errors import says_all
from pytest_triton.placement.compare import READY
from pytest_triton.repository import model_config_type
from pytest_triton.servers.running_server import RunningServer

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

__tracebackhide__ = says_all


@dataclass(frozen=True)
class DeployedConfigs:
    """The models of a server, by name: the configs of READY ones, the versions that are READY."""

    configs: Mapping[str, ModelConfig]
    versions: Mapping[str, Sequence[int]]


def deployed_configs(server: RunningServer) -> DeployedConfigs:
    """Ask a server for all that it has deployed. Raises ServerSilent."""
    from google.protobuf.json_format import ParseDict

    with open_api(server.endpoints) as api:
        index = api.index()
    versions: dict[str, list[int]] = {}
    for entry in index:
        if entry.get("state") == READY and entry.get("version", "").isdecimal():
            versions.setdefault(entry["name"], []).append(int(entry["version"]))
    config_type = model_config_type()
    configs = {
        name: ParseDict(dict(config), config_type(), ignore_unknown_fields=True)
        for name, config in resolved_configs(server.endpoints, list(versions))
        if config is not None
    }
    return DeployedConfigs(configs, {name: sorted(found) for name, found in versions.items()})
