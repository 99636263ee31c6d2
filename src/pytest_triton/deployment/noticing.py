"""Who would notice what becomes of a deployed server, and when."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pytest_triton.deployment.deployed_server import DeployedServer, Probe
from pytest_triton.deployment.probes import Served, fault_of, faults, ports_of, shown_name
from pytest_triton.deployment.sizes import whole as number
from pytest_triton.deployment.yaml_file import Place


def noticed_by(
    server: DeployedServer, service: str, refused: Collection[str] = ()
) -> tuple[str, ...]:
    """What the file's own means show of a server that `stops`, is `not ready`, ...; () for none.

    `refused` are the models that it doesn't load.
    """
    if service == "stops":
        return tuple(_stopped(server))
    if service in ("not ready", "degraded"):
        return tuple(_asking_ready(server, refused, whole=service == "not ready"))
    return ()


def ends_unseen(server: DeployedServer) -> bool:
    """Whether nothing shows that tritonserver has ended: its container goes on, and none asks."""
    asking = any(_asks_triton(server, probe) for probe in server.probes)
    return server.ending == "goes on" and not asking


def _stopped(server: DeployedServer) -> Iterator[str]:
    if ends_unseen(server):
        yield "nobody: the container goes on with other programs"
    elif server.ending == "goes on":
        yield from (_seen_by(probe) for probe in server.probes if _asks_triton(server, probe))
    elif server.ending == "another code" and not server.restarts_after_success:
        yield "nobody restarts it: the container ends with another command's exit code"
    else:
        yield _exit(server)


def _asks_triton(server: DeployedServer, probe: Probe) -> bool:
    """Whether a probe fails where nobody listens on Triton's ports."""
    fault = fault_of(server, probe)
    port = number(probe.port)
    is_triton = port is not None and port in ports_of(server).values()
    return probe.how != "" and is_triton and (fault is None or fault.passes)


def _exit(server: DeployedServer) -> str:
    if not server.is_compose:
        again = "is restarted, over and over" if server.restarts else "has failed"
        return f"the container ends with an exit code, and the pod {again}"
    again = "Docker restarts it, over and over" if server.restarts else "nobody restarts it"
    return f"the container ends with an exit code; {again}"


def _asking_ready(
    server: DeployedServer, refused: Collection[str], *, whole: bool
) -> Iterator[str]:
    """The probes that fail for these models; `whole`: those that ask about the server, too."""
    for probe in server.probes:
        if not probe.asks_ready or fault_of(server, probe) is not None:
            continue
        name, _ = probe.model
        if name not in refused if name else not whole:
            continue
        yield _seen_by(probe)


def _seen_by(probe: Probe) -> str:
    after = f"{probe.patience} s after the start"
    if probe.what == "healthcheck":
        return f"the healthcheck: unhealthy {after}"
    if probe.what == "readiness":
        return "the readiness probe: no traffic from the start"
    return f"the {probe.what} probe: restarted {after}, over and over"


_NEVER = {
    "healthcheck": "is never healthy",
    "readiness": "is never ready",
    "liveness": "is restarted over and over",
    "startup": "is restarted over and over",
}


def never_up(server: DeployedServer, served: Served | None = None) -> Iterator[tuple[Place, str]]:
    """The places of probes that fail always, with what becomes of the server, why, and the fix."""
    for probe, fault in faults(server, served):
        if not fault.passes:
            yield (
                probe.place,
                f"{server.name} {_NEVER[probe.what]}: its {shown_name(probe)} fails always.\n"
                f"  {probe.place}: {fault.what}\n"
                f"  What to do: {fault.fix}.",
            )
