"""All witnesses together: what a server made of each model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from pytest_triton.placement.compare import Observed
from pytest_triton.placement.predict import ServerTraits
from pytest_triton.placement.refusal import Refusal, classify
from pytest_triton.placement.values import NOTHING
from pytest_triton.servers.http import HttpApi, NotAddressable
from pytest_triton.servers.server import RunningServer
from pytest_triton.witnesses.log_lines import refusals
from pytest_triton.witnesses.resolved_config import grpc_model_config, placement_of

# An answer takes the server longer than us, so several are asked for at a time.
_CONNECTIONS = 4
_WORTH_THREADS = 50  # models


def observe(server: RunningServer, models: Iterable[str]) -> Mapping[str, Observed]:
    """What the server made of each of these models, by name, after start-up loading has ended.

    Raises ServerSilent if it can't be asked.
    """
    with HttpApi(server.http) as api:
        index: dict[str, dict[str, str]] = {}
        for entry in api.index():
            known = index.get(entry["name"])
            if known is None or entry.get("state") == "READY":
                index[entry["name"]] = entry
    logged = refusals(server.log.since())
    names = tuple(models)
    shares = [names[start::_CONNECTIONS] for start in range(_CONNECTIONS)]

    def observe_share(share: tuple[str, ...]) -> dict[str, Observed]:
        with HttpApi(server.http) as api:
            return {
                name: _observe_one(server, api, name, index.get(name), logged) for name in share
            }

    if len(names) < _WORTH_THREADS:
        return observe_share(names)
    with ThreadPoolExecutor(_CONNECTIONS) as threads:
        found = {
            name: one for part in threads.map(observe_share, shares) for name, one in part.items()
        }
    return {name: found[name] for name in names}


def _observe_one(
    server: RunningServer,
    api: HttpApi,
    name: str,
    entry: Mapping[str, str] | None,
    logged: Mapping[str, str],
) -> Observed:
    state = entry.get("state", "") if entry is not None else ""
    if state == "READY":
        try:
            placement = placement_of(api.model_config(name))
        except NotAddressable:
            placement = placement_of(grpc_model_config(server.grpc, name))
        return Observed(placement, None, "READY", ("repository index", "resolved config"))
    if entry is not None and entry.get("reason"):
        refusal = Refusal(classify(entry["reason"]), entry["reason"], "load")
        return Observed(NOTHING, refusal, state, ("repository index",))
    if name in logged:
        refusal = Refusal(classify(logged[name]), logged[name], "poll")
        return Observed(NOTHING, refusal, state or "absent", ("server log",))
    return Observed(NOTHING, None, state or "absent", ())


def traits_of(server: RunningServer) -> ServerTraits:
    """What of this server Triton's rules depend on: its release, and the backends it has."""
    with HttpApi(server.http) as api:
        version = str(api.metadata().get("version", ""))
    return ServerTraits(version=_release(version), backends=server.backends)


def _release(version: str) -> tuple[int, int, int]:
    numbers = [int(part) for part in re.findall(r"\d+", version)[:3]]
    major, minor, patch = (numbers + [0, 0, 0])[:3]
    return major, minor, patch
