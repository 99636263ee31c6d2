"""The GPUs that a service of a compose file is given.

Docker has the device drivers `nvidia`, `amd` and `cdi`, each with the capabilities that may be
asked of it (https://github.com/moby/moby, daemon/devices*.go); a request that fits none keeps the
container from starting.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches

from pytest_triton.deployment.deployed_server import Grant
from pytest_triton.deployment.granted_gpus import NO_DEVICES, without_libcuda
from pytest_triton.deployment.sizes import whole
from pytest_triton.deployment.yaml_file import BadYaml, Node, Place

_DEVICES = ("deploy", "resources", "reservations", "devices")
_CAPABILITIES = (
    *("gpu", "nvidia", "compute", "utility", "compat32", "graphics", "video", "display", "ngx"),
)
_DRIVERS = ("nvidia", "cdi", "amd")
_CDI = re.compile(r"(?:[\w-]+\.)*nvidia\.com/(?:gpu|mig)=(?P<id>.+)", re.ASCII)
_CDI_DEVICE = re.compile(r"(?P<kind>[\w.-]+/[\w.-]+)=(?P<id>[^:]+)", re.ASCII)

Filled = Callable[[Node], str]
"""A text with its variables filled in. Raises BadYaml."""


def granted_to(
    service: Node, environment: Mapping[str, str], filled: Filled
) -> tuple[Grant, Place | None]:
    """The GPUs of a service, and where they stand. Raises BadYaml for what Docker refuses."""
    place = service.place_of(*_DEVICES)
    asked = _listed(service, *_DEVICES)
    gpus = service.get("gpus")
    if gpus is not None:
        place = service.place_of("gpus")
        if gpus.kind == "scalar":
            _check_all(filled(gpus), place)
            return without_libcuda(Grant("all"), environment), place
        asked = _listed(service, "gpus")
    requests = _Requests(filled, environment, is_gpus=gpus is not None)
    found = [grant for one in asked for grant in requests.of(one)]
    listed = [(one, filled(one)) for one in _listed(service, "devices") if one.kind == "scalar"]
    devices = [text for one, text in listed if _is_nvidias(text, one.place)]
    if devices:
        found.append(_of_cdi(devices))
        place = service.place_of("devices") if len(found) == 1 else place
    nvidias = [one for one in found if not one.others]
    if len(set(nvidias)) > 1:
        raise BadYaml(
            f"{place}: GPUs are asked for {len(nvidias)} times, also by what the service "
            "extends, and which of them Docker grants isn't known here.",
            fix="write one device, with a count or device_ids",
        )
    if found:
        return (nvidias or found)[0], place
    return _of_runtime(service, environment, filled)


class _Requests:
    """Devices that are asked for, in `gpus` or in `deploy.resources.reservations.devices`."""

    def __init__(self, filled: Filled, environment: Mapping[str, str], *, is_gpus: bool) -> None:
        self._filled = filled
        self._environment = environment
        self._is_gpus = is_gpus

    def of(self, device: Node) -> Iterator[Grant]:
        """What a request grants, and nothing for one that isn't about GPUs."""
        driver = self._driver(device)
        ids = [self._filled(one) for one in _listed(device, "device_ids")]
        count = device.get("count")
        if count is not None and device.get("device_ids") is not None:
            raise BadYaml(
                f"{device.place_of('count')}: `count` stands beside `device_ids`, which Compose "
                "refuses.",
                fix="keep one of them: device_ids for these GPUs, count for any so many",
            )
        capabilities = self._capabilities(device)
        if driver == "cdi":
            nvidias = [one for one in ids if _is_nvidias(one, device.place_of("device_ids"))]
            yield (
                _of_cdi(nvidias)
                if nvidias
                else Grant(others=f"{', '.join(ids) or 'driver: cdi'} is no GPU of NVIDIA's")
            )
            return
        if not self._is_gpus and device.get("capabilities") is None:
            raise BadYaml(
                f"{device.place}: a reserved device has no `capabilities`, which Compose asks for.",
                fix="add capabilities: [gpu]",
            )
        if driver not in ("", "nvidia"):
            yield Grant(others=f"driver: {driver} grants no GPU of NVIDIA's")
        elif strange := [one for one in capabilities if one not in _CAPABILITIES]:
            shown = ", ".join(strange)
            yield Grant(others=f"no driver of Docker for NVIDIA GPUs has the capability {shown}")
        else:
            if ids:
                grant = Grant("count", len(ids), tuple(ids))
            elif count is None:
                grant = Grant("all")
            else:
                grant = _counted(self._filled(count), device.place_of("count"))
            yield without_libcuda(grant, self._environment, capabilities)

    def _driver(self, device: Node) -> str:
        node = device.get("driver")
        text = "" if node is None else self._filled(node)
        close = get_close_matches(text.lower(), _DRIVERS, n=1, cutoff=0.6)
        if text and text not in _DRIVERS and close:
            raise BadYaml(
                f"{device.place_of('driver')}: Docker has no device driver {text}, and doesn't "
                "start the container.",
                fix=f"did you mean {close[0]}?",
            )
        return text

    def _capabilities(self, device: Node) -> list[str]:
        found = []
        for one in _listed(device, "capabilities"):
            for each in (one, *one.items):
                text = "" if each.text is None else self._filled(each)
                if not text:
                    continue
                found.append(text)
                close = get_close_matches(text.lower(), _CAPABILITIES, n=1, cutoff=0.75)
                if close and text not in _CAPABILITIES:
                    raise BadYaml(
                        f"{each.place}: Docker's devices have no capability {text}: the container "
                        "isn't started.",
                        fix=f"did you mean {close[0]}?",
                    )
        return found


def _is_nvidias(text: str, place: Place) -> bool:
    """Whether a device's name, as CDI has it, is of NVIDIA GPUs. Raises BadYaml if misspelt."""
    found = _CDI_DEVICE.fullmatch(text)
    if _CDI.fullmatch(text) or found is None:
        return found is not None
    close = get_close_matches(found["kind"].lower(), ["nvidia.com/gpu"], n=1, cutoff=0.85)
    if close:
        raise BadYaml(
            f"{place}: no CDI device is called {text}, and the container isn't started.",
            fix=f"did you mean {close[0]}={found['id']}?",
        )
    return False


def _of_cdi(names: Sequence[str]) -> Grant:
    ids = tuple(one.rpartition("=")[2] for one in names)
    return Grant("all") if "all" in ids else Grant("count", len(ids), ids)


def _of_runtime(
    service: Node, environment: Mapping[str, str], filled: Filled
) -> tuple[Grant, Place | None]:
    node = service.get("runtime")
    runtime = "" if node is None else filled(node)
    place = service.place_of("runtime")
    if runtime != "nvidia":
        if get_close_matches(runtime.lower(), ["nvidia"], n=1, cutoff=0.75):
            raise BadYaml(
                f"{place}: runtime: {runtime} isn't NVIDIA's, and Docker doesn't start the "
                "container.",
                fix="did you mean nvidia?",
            )
        return Grant(), None
    visible = environment.get("NVIDIA_VISIBLE_DEVICES", "all")
    if visible in NO_DEVICES:
        return Grant(), place
    if visible == "all":
        return without_libcuda(Grant("all"), environment), place
    ids = tuple(visible.split(","))
    return without_libcuda(Grant("count", len(ids), ids), environment), place


def _check_all(text: str, place: Place) -> None:
    """`all` is the only word that Compose takes for `gpus`. Raises BadYaml."""
    if text == "all":
        return
    count = whole(text)
    listed = f"[{{ count: {1 if count is None else count} }}]"
    raise BadYaml(
        f"{place}: {f'`gpus: {text}`' if text else '`gpus`'} is neither `all` nor a list, which "
        "Compose asks for.",
        fix=f"write gpus: all, or a list of devices: gpus: {listed}",
    )


def _counted(text: str, place: Place) -> Grant:
    """Of a number of GPUs, `all`, or -1, which Docker takes for all, too. Raises BadYaml."""
    if text.lower() == "all" or text == "-1":
        return Grant("all")
    count = whole(text)
    if count is None:
        raise BadYaml(
            f"{place}: {f'`count: {text}`' if text else '`count`'} is no number of GPUs.",
            fix="write count: all, or a number: count: 1",
        )
    return Grant("count", count)


def _listed(node: Node, *path: str) -> Sequence[Node]:
    """The items of what has to be a list where it is there. Raises BadYaml."""
    found = node.get(*path)
    if found is None:
        return ()
    if found.kind != "list":
        given = f" [{found.text}]" if found.text else ", each item after a `-`"
        raise BadYaml(
            f"{node.place_of(*path)}: `{path[-1]}` isn't a list.",
            fix=f"write a list: {path[-1]}:{given}",
        )
    return found.items
