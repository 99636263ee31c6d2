"""How many GPUs a deployed server has, who says so, and what to do where they are too few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pytest_triton.deployment.deployed_server import DeployedServer, Grant
from pytest_triton.deployment.yaml_file import Place
from pytest_triton.placement.advice import Advice
from pytest_triton.text.shown_text import printable

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_DEVICES = "NVIDIA_VISIBLE_DEVICES"
_LIBRARIES = "NVIDIA_DRIVER_CAPABILITIES"
NO_DEVICES = ("void", "none", "")


def hidden_in_pod(grant: Grant, environment: Mapping[str, str]) -> Grant:
    """A pod's grant, with what its container's variables hide of it.

    The kubelet writes them behind those of the device plugin, so that theirs count.
    """
    devices = environment.get(_DEVICES)
    if devices in NO_DEVICES:
        shown = f"{_DEVICES}={devices}" if devices else f"an empty {_DEVICES}"
        return replace(
            grant, hidden=f"{shown} takes the place of what the device plugin sets: no GPU is there"
        )
    return without_libcuda(grant, environment)


def without_libcuda(
    grant: Grant, environment: Mapping[str, str], capabilities: Sequence[str] = ()
) -> Grant:
    """A grant, with what keeps the driver's CUDA library out of the container.

    `capabilities` are those of a device of Docker; if any is one of the driver's, they count, and
    else the variable. Without either the image's count.
    """
    asked = [one for one in capabilities if one not in ("gpu", "nvidia")]
    written = f"capabilities: [{', '.join(capabilities)}]"
    if not asked:
        text = environment.get(_LIBRARIES, "")
        asked = [one.strip() for one in text.split(",") if one.strip()]
        written = f"{_LIBRARIES}={text}"
    if not asked or "compute" in asked or "all" in asked:
        return grant
    return replace(grant, hidden=f"{written} has no `compute`: libcuda isn't there")


def hidden_at(server: DeployedServer) -> Place:
    """Where it stands that a server's GPUs are hidden."""
    if server.grant.hidden.startswith("capabilities"):
        return server.grant_place or server.node.place
    return server.place("environment")


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
