"""How many GPUs a deployed server has, who says so, and what to do where they are too few."""

from __future__ import annotations

from pytest_triton.deployment.deployed_server import DeployedServer
from pytest_triton.placement.advice import Advice
from pytest_triton.text.shown_text import printable

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def why_unknown(server: DeployedServer) -> str:
    """Why nobody can count a server's GPUs here, with the place in the file."""
    place = server.grant_place or server.node.place
    why = server.grant.unknown or "it is granted all GPUs of its host"
    return f"{why} ({place})"


def assumed_note(server: DeployedServer, host: int | None, option: str) -> str:
    """That a number of GPUs is assumed, and the option that says how many; "" if it is known."""
    if server.visible(host) is not None:
        return ""
    return f"1 GPU, {option}=N says how many: {why_unknown(server)}"


def advise_on_fewer(server: DeployedServer, host: int | None, fewest: int, option: str) -> Advice:
    """What to do for models that need more GPUs than Triton sees; `option` gives their number."""
    visible, granted = server.visible(host), server.granted(host)
    if visible is None:
        return Advice(
            f"How many GPUs {server.name} has isn't known: {why_unknown(server)}. 1 GPU is "
            f"assumed. If the host has {fewest} or more, say how many:",
            f"{option}={fewest}",
        )
    if granted is None or granted >= fewest:
        return Advice(
            f"{shown_by_variable(server, visible)} ({server.place('environment')}). Leave the "
            f"variable out there, or name {fewest} GPUs in it."
        )
    place = server.grant_place or server.node.place
    why = f": {server.grant.others}" if server.grant.others and not granted else ""
    return Advice(f"{_gpus(granted)} granted ({place}){why}. Grant {fewest} there.")


def shown_by_variable(server: DeployedServer, visible: int) -> str:
    """What CUDA_VISIBLE_DEVICES leaves of a server's GPUs."""
    given = printable(server.environment.get(_VISIBLE, ""))
    of = f" of {server.grant.count} GPUs" if server.grant.kind == "count" else " of its GPUs"
    return f"{_VISIBLE}={given} shows Triton {visible or 'none'}{of}"


def _gpus(count: int) -> str:
    if not count:
        return "No GPU is"
    return f"{count} GPUs are" if count > 1 else "1 GPU is"
