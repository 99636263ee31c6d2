"""Who would notice what becomes of a deployed server, and when."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_triton.deployment.deployed_server import DeployedServer
from pytest_triton.deployment.probes import fault_of, faults
from pytest_triton.deployment.yaml_file import Place


def noticed_by(server: DeployedServer, service: str) -> tuple[str, ...]:
    """What the file's own means show of a server that `stops`, is `not ready`, ...; () for none."""
    if service == "stops":
        return (_exit(server),)
    if service == "not ready":
        return tuple(_asking_ready(server))
    return ()


def _exit(server: DeployedServer) -> str:
    if not server.is_compose:
        again = "is restarted, over and over" if server.restarts else "has failed"
        return f"the container ends with an exit code, and the pod {again}"
    again = "Docker restarts it, over and over" if server.restarts else "nobody restarts it"
    return f"the container ends with an exit code; {again}"


def _asking_ready(server: DeployedServer) -> Iterator[str]:
    for probe in server.probes:
        if not probe.asks_ready or fault_of(server, probe) is not None:
            continue
        after = f"{probe.patience} s after the start"
        if probe.what == "healthcheck":
            yield f"the healthcheck: unhealthy {after}"
        elif probe.what == "readiness":
            yield "the readiness probe: no traffic from the start"
        else:
            yield f"the {probe.what} probe: restarted {after}, over and over"


_NEVER = {
    "healthcheck": "is never healthy",
    "readiness": "is never ready",
    "liveness": "is restarted over and over",
    "startup": "is restarted over and over",
}


def never_up(server: DeployedServer) -> Iterator[tuple[Place, str]]:
    """The places of probes that fail always, with what becomes of the server, why, and the fix."""
    for probe, fault in faults(server):
        if not fault.passes:
            name = probe.what if probe.what == "healthcheck" else f"{probe.what} probe"
            yield (
                probe.place,
                f"{server.name} {_NEVER[probe.what]}: its {name} fails always.\n"
                f"  {probe.place}: {fault.what}\n"
                f"  What to do: {fault.fix}.",
            )
