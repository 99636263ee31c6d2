"""What Triton in a container needs: a Docker daemon, the image, and for GPUs NVIDIA's toolkit."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_triton.doctor.report import Finding

if TYPE_CHECKING:
    import docker

_IMAGE_BYTES = 25 << 30  # an official image is 15 GB and more once unpacked, and is packed before
_HOOKS = ("nvidia-container-runtime-hook", "nvidia-container-toolkit")
_CDI_FOLDERS = ("/etc/cdi", "/var/run/cdi")
_CDI_KIND = re.compile(rb"""["']?kind["']?\s*:\s*["']?nvidia\.com/gpu\b""")
_TOOLKIT = (
    "install the NVIDIA Container Toolkit (package nvidia-container-toolkit), then "
    "`nvidia-ctk runtime configure --runtime=docker` and restart Docker"
)


@dataclass(frozen=True)
class DockerDaemon:
    """A daemon that answered.

    `info` is its /info, `image` the wanted image's inspection (None: not there), `own_image` that
    of the one in which rehearsals run. `local` is whether its files are this machine's.
    """

    host: str
    local: bool
    info: Mapping[str, Any] = field(hash=False)
    image: Mapping[str, Any] | None = field(default=None, hash=False)
    own_image: Mapping[str, Any] | None = field(default=None, hash=False)

    @property
    def runtimes(self) -> tuple[str, ...]:
        return tuple(self.info.get("Runtimes") or ())


def examine_docker(
    image: str, seconds: float, environ: Mapping[str, str], own_image: str | None = None
) -> tuple[Finding, DockerDaemon | None]:
    """Ask the daemon that a test container would run on."""
    import docker
    from docker.errors import DockerException

    host = _host(environ)
    try:
        tls = docker.utils.kwargs_from_env(environment=dict(environ)).get("tls", False)
        client = docker.DockerClient(base_url=host, tls=tls, timeout=seconds)
        try:
            info = client.info()
            version = client.version().get("Version", "?")
            found = _inspected(client, image)
            own = _inspected(client, own_image) if own_image else None
        finally:
            client.close()
    except (DockerException, OSError, ValueError) as error:
        return unreachable(host, error, seconds), None
    daemon = DockerDaemon(host, host.startswith("unix://"), info, found, own)
    facts = {
        "host": host,
        "version": version,
        "architecture": info.get("Architecture"),
        "storage": info.get("Driver"),
        "runtimes": list(daemon.runtimes),
    }
    if info.get("OSType") not in (None, "linux"):
        return Finding(
            "Docker",
            "missing",
            f"the daemon at {host} runs {info['OSType']} containers; Triton's are for Linux",
            "switch Docker to Linux containers",
            facts,
        ), None
    shown = f"daemon {version} at {host} ({info.get('OperatingSystem', 'unknown system')})"
    return Finding("Docker", "ok", shown, facts=facts), daemon


def _inspected(client: docker.DockerClient, image: str) -> Mapping[str, Any] | None:
    from docker.errors import APIError

    try:
        found: Mapping[str, Any] = client.api.inspect_image(image)
    except APIError:
        return None
    return found


def _host(environ: Mapping[str, str]) -> str:
    """The daemon's address: DOCKER_HOST, else that of Docker's current context."""
    if named := environ.get("DOCKER_HOST"):
        return named
    try:
        from docker.context import ContextAPI

        context = ContextAPI.get_current_context()
        if context is not None and context.Name != "default" and context.Host:
            return str(context.Host)
    except Exception:  # a broken ~/.docker: its owner hears of it from docker itself
        pass
    return "unix:///var/run/docker.sock"


def unreachable(host: str, error: BaseException, seconds: float) -> Finding:
    """Why there is no daemon, from what its client raised."""
    from pytest_triton.servers.container.engine import causes_of

    causes = list(causes_of(error))
    kinds = {type(cause).__name__ for cause in causes}
    facts = {"host": host, "error": str(error)[:500]}
    start = "start Docker (systemctl start docker), or name its daemon in DOCKER_HOST"
    if any(isinstance(cause, PermissionError) for cause in causes):
        why = "permission denied"
        start = "add this user to the group docker (usermod -aG docker USER), and log in again"
    elif any(isinstance(cause, FileNotFoundError) for cause in causes):
        why = "no such socket"
        start = "install and " + start
    elif any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        why = "connection refused: nothing listens there"
    elif kinds & {"ReadTimeout", "ConnectTimeout", "TimeoutError", "timeout", "ReadTimeoutError"}:
        why = f"no answer within {seconds:g} s"
        start = "restart Docker (systemctl restart docker); it hangs"
    elif kinds & {"gaierror", "NameResolutionError"}:
        why = "no such host"
        start = "correct DOCKER_HOST, or Docker's current context (docker context ls)"
    else:
        why = " ".join(str(error).split())[:300]
        start = "correct DOCKER_HOST, or Docker's current context (docker context ls)"
    return Finding("Docker", "missing", f"no daemon at {host}: {why}", start, facts)


def examine_toolkit(
    daemon: DockerDaemon, environ: Mapping[str, str], more: str = "/usr/bin:/usr/local/bin"
) -> Finding:
    """Whether the daemon can give GPUs to a container (`docker run --gpus`).

    `more` are folders that a daemon may have on its PATH, beside ours.
    """
    name = "NVIDIA toolkit"
    facts = {"runtimes": list(daemon.runtimes), "default": daemon.info.get("DefaultRuntime")}
    if "nvidia" in daemon.runtimes:
        if daemon.info.get("DefaultRuntime") == "nvidia":
            return Finding(
                name,
                "warning",
                "the runtime nvidia is Docker's default: containers get GPUs without asking",
                "nothing, as long as all tests start their servers with this plugin, which hides "
                "GPUs where none are wanted; else set default-runtime to runc in daemon.json",
                facts,
            )
        return Finding(name, "ok", "Docker has the runtime nvidia", facts=facts)
    if not daemon.local:
        return Finding(
            name,
            "missing",
            f"the daemon at {daemon.host} has no runtime nvidia; whether it has the toolkit's hook "
            "can't be seen from here",
            _TOOLKIT + ", on that machine",
            facts,
        )
    path = os.pathsep.join([environ.get("PATH", ""), more])
    for hook in _HOOKS:
        if found := shutil.which(hook, path=path):
            return Finding(name, "ok", f"{found}: Docker accepts --gpus", facts=facts)
    text = "none: Docker has no runtime nvidia, and this machine no nvidia-container-runtime-hook"
    return Finding(name, "missing", text, _TOOLKIT, facts)


def examine_cdi(daemon: DockerDaemon, *, gpus: int) -> Finding | None:
    """The other way to give a container GPUs: named devices (CDI), written down in a file.

    Where there are no `gpus`, none could be described: that it isn't set up is nothing to warn of.
    """
    found = _cdi(daemon)
    return None if not gpus and daemon.local and found.status == "warning" else found


def _cdi(daemon: DockerDaemon) -> Finding:
    reported = daemon.info.get("CDISpecDirs")
    facts: dict[str, object] = {"folders": reported}
    fix = (
        "only needed where --gpus doesn't work: `nvidia-ctk cdi generate "
        "--output=/etc/cdi/nvidia.yaml`"
    )
    devices = daemon.info.get("DiscoveredDevices") or ()
    if any("nvidia.com/gpu" in str(device) for device in devices):
        return Finding("CDI", "ok", "Docker knows devices nvidia.com/gpu", facts=facts)
    if reported is not None and not reported:
        return Finding(
            "CDI",
            "warning",
            "off in this Docker",
            f"{fix}, and features.cdi in /etc/docker/daemon.json",
            facts,
        )
    if not daemon.local:
        return Finding("CDI", "warning", f"can't be seen from here ({daemon.host})", fix, facts)
    for folder in reported or _CDI_FOLDERS:
        for file in sorted(Path(folder).glob("*")):
            try:
                if file.suffix in (".json", ".yaml", ".yml") and _CDI_KIND.search(
                    file.read_bytes()
                ):
                    if reported is None:
                        return Finding(
                            "CDI",
                            "warning",
                            f"{file} describes nvidia.com/gpu, but "
                            "this Docker says nothing about CDI",
                            "update Docker to 25 or newer",
                            facts,
                        )
                    return Finding("CDI", "ok", f"{file} describes nvidia.com/gpu", facts=facts)
            except OSError:
                continue
    where = ", ".join(reported or _CDI_FOLDERS)
    return Finding("CDI", "warning", f"no file in {where} describes nvidia.com/gpu", fix, facts)


def examine_image(image: str, daemon: DockerDaemon) -> Finding:
    """Whether the image is there, or there is room for it."""
    name = "image"
    if daemon.image is not None:
        size = daemon.image.get("Size") or 0
        facts = {"image": image, "size_bytes": size, "id": daemon.image.get("Id")}
        return Finding(name, "ok", f"{image} is there ({size / 1e9:.1f} GB)", facts=facts)
    facts = {"image": image, "size_bytes": None}
    pull = f"it is pulled at the first run; docker pull {image} does it now"
    root = daemon.info.get("DockerRootDir")
    if daemon.local and root:
        try:
            free = shutil.disk_usage(root).free
        except OSError:
            pass  # not ours to look into
        else:
            facts["free_bytes"] = free
            if free < _IMAGE_BYTES:
                return Finding(
                    name,
                    "missing",
                    f"{image} is not there, and {root} has only {free / 1e9:.0f} GB free; an "
                    f"official image takes up to {_IMAGE_BYTES / 1e9:.0f} GB while it is unpacked",
                    "make room (docker system df, docker system prune), or name a smaller image "
                    "with --triton-image",
                    facts,
                )
            text = f"{image} is not there; {free / 1e9:.0f} GB free in {root}"
            return Finding(name, "warning", text, pull, facts)
    return Finding(name, "warning", f"{image} is not there", pull, facts)


def examine_own_image(image: str, daemon: DockerDaemon) -> Finding:
    """The image in which rehearsals run, where no tritonserver runs as a process."""
    name, facts = "rehearsal image", {"image": image}
    if daemon.own_image is not None:
        text = f"{image} is there; rehearsals run in it without further options"
        return Finding(name, "ok", text, facts=facts)
    return Finding(
        name,
        "missing",
        f"{image}, in which rehearsals run here, is not there",
        "build it: pytest-triton image. Or have rehearsals run as processes again: pytest-triton "
        "image --remove",
        facts,
    )


def cuda_of_image(image: str, daemon: DockerDaemon | None) -> tuple[int, int] | None:
    """The CUDA in an image, by its environment (CUDA_VERSION), or of the official image by its
    tag; None if neither says so."""
    inspected = daemon.image if daemon is not None else None
    for variable in ((inspected or {}).get("Config") or {}).get("Env") or ():
        if match := re.fullmatch(r"CUDA_VERSION=(\d+)\.(\d+).*", variable):
            return int(match[1]), int(match[2])
    tag = re.search(r"nvidia/tritonserver:(\d\d)\.(\d\d)-", image)
    if tag is None:
        return None
    released = int(tag[1]), int(tag[2])
    # NVIDIA's release notes: CUDA 12.1.0 in 23.04, 12.8.1 in 25.03, 13.0.0 in 25.08.
    return (13, 0) if released >= (25, 8) else (12, 0) if released >= (23, 4) else (11, 0)
