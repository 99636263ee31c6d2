"""Triton servers in compose files (https://github.com/compose-spec/compose-spec)."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from pytest_triton.deployment.commands import Found, find_tritonserver
from pytest_triton.deployment.compose_parts import Part, extended, parts
from pytest_triton.deployment.deployed_server import DeployedServer, Grant, Probe
from pytest_triton.deployment.dockerfile import Built, read_dockerfile
from pytest_triton.deployment.probes import asked_by
from pytest_triton.deployment.sizes import compose_bytes, seconds, whole
from pytest_triton.deployment.variables import Unresolved, env_file, interpolated
from pytest_triton.deployment.yaml_file import BadYaml, Node, Place
from pytest_triton.text.paths import without_dots

_TOP_LEVEL = {"name", "version", "include", "services", "networks", "volumes", "configs", "secrets"}


def is_compose(document: Node) -> bool:
    keys = document.entries.keys()
    if "include" in keys:  # which other tools have, too
        return all(key in _TOP_LEVEL or key.startswith("x-") for key in keys)
    return "services" in keys and "apiVersion" not in keys


def compose_servers(
    document: Node, path: Path, environ: Mapping[str, str] = os.environ
) -> Iterator[DeployedServer]:
    """The Triton servers among the services. Raises BadYaml for what can't be resolved here."""
    for part in parts(document, path, environ, _filled):
        services = part.document.get("services")
        if services is not None and services.kind == "map":
            yield from _servers_of(services, part)


def _servers_of(services: Node, part: Part) -> Iterator[DeployedServer]:
    for name, own in services.entries.items():
        if own.kind != "map":
            continue
        service = extended(name, services, partial(_filled, part=part))
        try:
            server = _Service(name, service, part).server()
        except BadYaml:
            if _mentions_triton(service):
                raise
            continue  # another service's variables are of no interest
        if server is not None:
            yield server


def _filled(node: Node, part: Part) -> str:
    try:
        return interpolated(node.text or "", part.variables)
    except Unresolved as error:
        raise BadYaml(
            f"{node.place}: ${{{error.name}}} has no value here, neither in the environment "
            f"nor in {part.path.parent / '.env'}.",
            fix=f"set {error.name}, or write a default: ${{{error.name}:-VALUE}}",
        ) from None


def _mentions_triton(node: Node) -> bool:
    within = (*node.entries.values(), *node.items)
    return "triton" in (node.text or "").lower() or any(map(_mentions_triton, within))


class _Service:
    """One service, with the variables that compose fills in."""

    def __init__(self, name: str, node: Node, part: Part) -> None:
        self._name = name
        self._node = node
        self._part = part
        self._variables = part.variables

    def server(self) -> DeployedServer | None:
        node = self._node
        built = self._built()
        image = self._text("image") or built.image
        environment = {**dict(built.environment), **self._environment()}
        words = self._command(built)
        found = find_tritonserver(words, environment)
        if found is None and words[:1] and words[0].startswith("--model-"):
            # Flags for an entrypoint that isn't seen here.
            found = find_tritonserver(("tritonserver", *words), environment)
        if found is None:
            if not _may_be_triton(image) or words:
                return None
            found = Found(unknown="the image's own command isn't known here")
        environment.update(found.sets)
        grant, grant_place = self._grant(environment)
        places = {
            what: node.place_of(*keys)
            for what, keys in {
                "image": ("image",) if "image" in node.entries else ("build",),
                "command": ("command",) if "command" in node.entries else ("entrypoint",),
                "environment": ("environment",),
                "shm": ("shm_size",),
            }.items()
            if keys[0] in node.entries
        }
        shm = self._text("shm_size")
        ipc = self._text("ipc")
        return DeployedServer(
            name=self._name,
            path=self._part.path,
            node=node,
            image=image,
            arguments=found.arguments,
            unknown=found.unknown,
            unknown_fix=found.fix,
            environment=environment,
            grant=grant,
            grant_place=grant_place,
            probes=tuple(self._healthcheck()),
            mounts=dict(self._mounts()),
            shm_bytes=None if ipc == "host" else compose_bytes(shm) if shm else 64 << 20,
            restarts=self._text("restart") not in ("", "no", "false")
            or node.get("deploy", "restart_policy") is not None,
            starts_others=found.beside,
            places=places,
        )

    # --- texts -------------------------------------------------------------------------------

    def _filled(self, node: Node) -> str:
        return _filled(node, self._part)

    def _text(self, *path: str) -> str:
        node = self._node.get(*path)
        return "" if node is None or node.text is None else self._filled(node)

    def _words(self, node: Node | None) -> list[str] | None:
        """Of a list, or of a text that is split as a shell splits it; None if it isn't there."""
        if node is None:
            return None
        if node.kind == "list":
            return [self._filled(one) for one in node.items]
        try:
            return shlex.split(self._filled(node))
        except ValueError as error:
            raise BadYaml(
                f"{node.place}: not readable as shell words ({error})", fix="correct the quotes"
            ) from None

    def _command(self, built: Built) -> list[str]:
        entrypoint = self._words(self._node.get("entrypoint"))
        command = self._words(self._node.get("command"))
        if entrypoint is None:
            entrypoint = list(built.entrypoint)
            command = list(built.command) if command is None else command
        return [*entrypoint, *(command or [])]

    def _built(self) -> Built:
        build = self._node.get("build")
        if build is None:
            return Built()
        context = self._filled(build) if build.kind == "scalar" else self._text("build", "context")
        file = self._text("build", "dockerfile") or "Dockerfile"
        arguments = dict(self._pairs(build.get("args"))) if build.kind == "map" else {}
        folder = without_dots(build.place.path.parent / (context or "."))
        return read_dockerfile(folder / file, arguments) or Built()

    def _pairs(self, node: Node | None) -> Iterator[tuple[str, str]]:
        """Of a map, or a list of NAME=VALUE; a name alone has the value of the environment."""
        if node is None:
            return
        if node.kind == "map":
            for key, given in node.entries.items():
                if given.text is not None:
                    yield key, self._filled(given)
                elif key in self._variables:
                    yield key, self._variables[key]
            return
        for one in node.items:
            name, equals, value = self._filled(one).partition("=")
            if equals:
                yield name, value
            elif name in self._variables:
                yield name, self._variables[name]

    def _environment(self) -> dict[str, str]:
        found: dict[str, str] = {}
        files = self._node.get("env_file")
        for one in () if files is None else files.items or (files,):
            file = self._filled(one) if one.kind == "scalar" else one.string("path")
            found.update(env_file(one.place.path.parent / file))
        found.update(self._pairs(self._node.get("environment")))
        return found

    # --- GPUs --------------------------------------------------------------------------------

    def _grant(self, environment: Mapping[str, str]) -> tuple[Grant, Place | None]:
        devices = ("deploy", "resources", "reservations", "devices")
        place = self._node.place_of(*devices)
        asked = _listed(self._node, *devices)
        gpus = self._node.get("gpus")
        if gpus is not None:
            place = self._node.place_of("gpus")
            if gpus.kind == "scalar":
                _check_all(self._filled(gpus), place)
                return Grant("all"), place
            asked = _listed(self._node, "gpus")
        else:
            for one in asked:
                if one.get("capabilities") is None:
                    raise BadYaml(
                        f"{one.place}: a reserved device has no `capabilities`, which Compose "
                        "asks for.",
                        fix="add capabilities: [gpu]",
                    )
        found = [self._device(one) for one in asked if self._is_gpu(one, gpus is not None)]
        if len(set(found)) > 1:
            raise BadYaml(
                f"{place}: GPUs are asked for {len(found)} times, also by what the service "
                "extends, and which of them Docker grants isn't known here.",
                fix="write one device, with a count or device_ids",
            )
        if found:
            return found[0], place
        if self._text("runtime") != "nvidia":
            return Grant(), None
        visible = environment.get("NVIDIA_VISIBLE_DEVICES", "all")
        place = self._node.place_of("runtime")
        if visible in ("void", "none", ""):
            return Grant(), place
        if visible == "all":
            return Grant("all"), place
        ids = tuple(visible.split(","))
        return Grant("count", len(ids), ids), place

    def _is_gpu(self, device: Node, gpus: bool) -> bool:
        listed = _listed(device, "capabilities")
        capabilities = [one.text or "" for one in listed]
        nested = [one.text or "" for each in listed for one in each.items]
        return gpus or "gpu" in (*capabilities, *nested) or device.string("driver") == "nvidia"

    def _device(self, device: Node) -> Grant:
        ids = [self._filled(one) for one in _listed(device, "device_ids")]
        count = device.get("count")
        if count is not None and device.get("device_ids") is not None:
            raise BadYaml(
                f"{device.place_of('count')}: `count` stands beside `device_ids`, which Compose "
                "refuses.",
                fix="keep one of them: device_ids for these GPUs, count for any so many",
            )
        if ids:
            return Grant("count", len(ids), tuple(ids))
        if count is None:
            return Grant("all")
        return _counted(self._filled(count), device.place_of("count"))

    # --- the rest ----------------------------------------------------------------------------

    def _healthcheck(self) -> Iterator[Probe]:
        check = self._node.get("healthcheck")
        if check is None or self._text("healthcheck", "disable") == "true":
            return
        words = self._words(check.get("test")) or []
        if words[:1] == ["NONE"]:
            return
        own = (self._name, self._text("container_name"), self._text("hostname"))
        yield Probe(
            "healthcheck",
            place=self._node.place_of("healthcheck"),
            delay=seconds(self._text("healthcheck", "start_period")) or 0,
            period=seconds(self._text("healthcheck", "interval")) or 30,
            failures=whole(self._text("healthcheck", "retries")) or 3,
            **asked_by(words, own),
        )

    def _short_mount(self, node: Node) -> tuple[str, str]:
        """Of `SOURCE:TARGET[:OPTIONS]`; the source is "" if its variable has no value here."""
        try:
            source, _, rest = self._filled(node).partition(":")
        except BadYaml:
            found = re.search(r"\}:(/[^:]*)", node.text or "")
            return "", found[1] if found is not None else ""
        return source, rest.partition(":")[0]

    def _mounts(self) -> Iterator[tuple[str, Path | None]]:
        for one in self._node.list("volumes"):
            if one.kind == "map":
                source, target = one.string("source"), one.string("target")
                source, target = self._short_mount(_joined(one, source, target))
            else:
                source, target = self._short_mount(one)
            if not target:
                continue
            if source.startswith((".", "/", "~")):
                folder = without_dots(one.place.path.parent / os.path.expanduser(source))
                yield target, folder
            else:
                yield target, None


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


def _joined(node: Node, source: str, target: str) -> Node:
    return Node(node.place, f"{source}:{target}")


def _may_be_triton(image: str) -> bool:
    name = image.partition("@")[0].rpartition("/")[2]
    return "tritonserver" in name and not name.endswith(("-sdk", "-min"))
