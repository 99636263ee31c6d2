"""GPUs of a container: how to ask for them, how to hide them, and whether they arrived."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.servers.gpus_in_log import GpusMissing, usable_gpus

if TYPE_CHECKING:
    from docker.models.containers import Container

_DRIVER = re.compile(
    r"This container was built for NVIDIA Driver Release.*|"
    r".*CUDA driver version is insufficient.*|.*NVIDIA Driver was not detected.*"
)

# Hides GPUs also where NVIDIA's runtime is the default one, and from an image that asks for all.
_HIDDEN = {"NVIDIA_VISIBLE_DEVICES": "void", "CUDA_VISIBLE_DEVICES": ""}


def environment(hardware: HardwareRequest) -> dict[str, str]:
    """The variables that hide real GPUs, if none were asked for."""
    if hardware.is_real:
        return {}
    if hardware.simulated:
        return {"NVIDIA_VISIBLE_DEVICES": "void"}  # the other one would hide simulated ones too
    return dict(_HIDDEN)


def device_requests(hardware: HardwareRequest, driver: str) -> list[Any]:
    """What Docker is asked for; empty for no GPU and for simulated ones."""
    if not hardware.is_real:
        return []
    from docker.types import DeviceRequest

    if driver == "cdi":
        names = ("all",) if hardware.visible is None else hardware.visible
        return [DeviceRequest(driver="cdi", device_ids=[f"nvidia.com/gpu={n}" for n in names])]
    if hardware.gpus:
        return [DeviceRequest(device_ids=list(hardware.gpus), capabilities=[["gpu"]])]
    count = -1 if hardware.count is None else hardware.count
    return [DeviceRequest(count=count, capabilities=[["gpu"]])]


def check_gpus(hardware: HardwareRequest, log: str, container: Container) -> None:
    """Raise GpusMissing unless the server itself reports the real GPUs that were asked for.

    `log` is the server's, up to its being live. Nothing is checked for no GPU and simulated ones.
    """
    if not hardware.is_real:
        return
    usable = usable_gpus(log)
    asked = hardware.count
    if usable and (asked is None or len(usable) == asked):
        return
    devices = _devices(container)
    why, fix = _why(devices, len(usable), log)
    seen = f"{len(usable) or 'no'} GPU{'s' if len(usable) != 1 else ''}"
    raise GpusMissing(
        f"{hardware.label} asked for, but the server in the container can use {seen}: {why}.",
        tried=[
            f"GPUs requested of the container engine: {hardware}",
            f"devices in the container: {', '.join(devices) or 'none'}",
            "the server's log: 'CUDA memory pool is created on device ...' for each usable GPU",
        ],
        fix=fix + hardware.or_rehearse,
    )


def _why(devices: list[str], usable: int, log: str) -> tuple[str, str]:
    driver = _DRIVER.search(log)
    if not devices:
        return (
            "the container engine attached none (Podman's Docker API takes such a request and "
            "attaches nothing)",
            "install the NVIDIA Container Toolkit; with Podman, or where CDI is set up, "
            "ask with --triton-gpu-driver=cdi",
        )
    if driver:
        return (
            f"the driver is too old for this image ({driver[0].strip()})",
            "update the machine's NVIDIA driver, or take an image of an older Triton",
        )
    if len(devices) < usable or usable == 0:
        return (
            "they are in the container, and CUDA can't use them",
            "the driver may be too old for the image, or the cards' compute capability below "
            "Triton's minimum (6.0, newer releases 7.5): compare `nvidia-smi` with the release "
            "notes of the image",
        )
    return (
        "the others are missing, or too old for Triton (compute capability)",
        "compare `nvidia-smi -L` on the machine with what was asked for",
    )


def _devices(container: Container) -> list[str]:
    """The NVIDIA devices inside the container (/dev/dxg is WSL's)."""
    listed = container.exec_run(["ls", "/dev"])
    if listed.exit_code != 0:
        return []
    names = str(listed.output.decode(errors="replace")).split()
    return [f"/dev/{name}" for name in names if re.fullmatch(r"nvidia\d+|dxg", name)]
