"""Triton servers in compose files (https://github.com/compose-spec/compose-spec)."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pytest_triton.deployment.commands import Found, find_in_container, may_be_triton
from pytest_triton.deployment.compose_gpus import granted_to
from pytest_triton.deployment.compose_keys import check_service
from pytest_triton.deployment.compose_parts import RESOLVE, Part, alike, extended, parts
from pytest_triton.deployment.deployed_server import DeployedServer, Probe, unset_in_command
from pytest_triton.deployment.dockerfile import Built, read_dockerfile
from pytest_triton.deployment.probes import asked_by
from pytest_triton.deployment.sizes import compose_bytes, seconds, whole
from pytest_triton.deployment.variables import Unresolved, env_file, interpolated
from pytest_triton.deployment.yaml_file import BadYaml, Node, Place
from pytest_triton.text.paths import without_dots

_TOP_LEVEL = {"name", "version", "include", "services", "networks", "volumes", "configs", "secrets"}


_VISIBLE = "CUDA_VISIBLE_DEVICES"


class _EndsAtOnce(BadYaml):
    """A service that starts Triton, if its command were right."""


def is_compose(document: Node) -> bool:
    keys = document.entries.keys()
    if "include" in keys:  # which other tools have, too
        return all(key in _TOP_LEVEL or key.startswith("x-") for key in keys)
    return "services" in keys and "apiVersion" not in keys


def compose_servers(
    document: Node, path: Path, environ: Mapping[str, str] = os.environ
) -> Iterator[DeployedServer]:
    """The Triton servers among the services. Raises BadYaml for what can't be resolved here."""
    known: dict[str, Node] = {}
    for part in parts(document, path, environ, _filled):
        services = part.document.get("services")
        if services is None or services.kind != "map":
            continue
        for server in _servers_of(services, part):
            service = services.entries[server.name]
            first = known.setdefault(server.name, service)
            if first is service:
                yield server
            elif not alike(first, service):
                raise BadYaml(
                    f"{service.place}: the service {server.name} is there for the second time, "
                    f"after {first.place}; what Compose makes of it depends on its release.",
                    fix="give one of them another name; or " + RESOLVE,
                )


def _servers_of(services: Node, part: Part) -> Iterator[DeployedServer]:
    for name, own in services.entries.items():
        if own.kind != "map":
            continue
        service = extended(name, services, partial(_filled, part=part))
        try:
            server = _Service(name, service, part).server()
        except _EndsAtOnce:
            raise
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
        check_service(node, self._filled)
        built = self._built()
        image = self._text("image") or built.image
        environment = {**dict(built.environment), **self._environment()}
        entrypoint, command = self._command(built)
        known = node.get("build") is None or (built.image and not self._text("build", "target"))
        base = (built.image or image) if known else ""
        found = find_in_container(entrypoint, command, base, environment)
        if found is None:
            if not may_be_triton(image) or entrypoint or command:
                return None
            found = Found(unknown="the image's own command isn't known here")
        if found.refused:
            keys = ("entrypoint",) if entrypoint and not command else ("command",)
            raise _EndsAtOnce(f"{node.place_of(*keys)}: {found.refused}.", fix=found.fix)
        grant, grant_place = granted_to(node, environment, self._filled)
        environment.update(found.sets)
        for one in found.unsets:
            environment.pop(one, None)
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
        mounts = list(self._mounts())
        restart = self._restart()
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
            mounts={one.target: one.folder for one in mounts},
            mounted_at={one.target: one.place for one in mounts},
            unset={one.target: one.unset for one in mounts if one.unset},
            assumed=(*self._assumed(environment), *unset_in_command(found, places, node.place)),
            shm_bytes=None if ipc == "host" else compose_bytes(shm) if shm else 64 << 20,
            restarts=restart not in ("no", "false", "none"),
            restarts_after_success=not restart.startswith(("no", "false", "on-failure")),
            starts_others=found.beside,
            ending=found.ending,
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

    def _command(self, built: Built) -> tuple[list[str], list[str]]:
        """The words of the entrypoint and of the command."""
        entrypoint = self._words(self._node.get("entrypoint"))
        command = self._words(self._node.get("command"))
        if entrypoint is None:
            entrypoint = list(built.entrypoint)
            command = list(built.command) if command is None else command
        return entrypoint, command or []

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

    def _assumed(self, environment: Mapping[str, str]) -> Iterator[tuple[Place, str]]:
        """What variables a file sets that isn't here."""
        if _VISIBLE in environment:
            return
        files = self._node.get("env_file")
        for one in () if files is None else files.items or (files,):
            name = self._filled(one) if one.kind == "scalar" else one.string("path")
            if one.string("required") != "false" and not (one.place.path.parent / name).is_file():
                yield (
                    one.place,
                    (f"{name} isn't here; it may set {_VISIBLE}, which is taken as unset"),
                )

    def _restart(self) -> str:
        """`no`, `on-failure`, or another policy."""
        if self._node.get("restart") is None and self._node.get("deploy", "restart_policy"):
            return self._text("deploy", "restart_policy", "condition") or "any"
        return self._text("restart") or "no"

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

    def _short_mount(self, node: Node) -> tuple[str, str, str]:
        """Of `SOURCE:TARGET[:OPTIONS]`, with the name of a variable that the source comes from and
        that has no value here ("" for none)."""
        try:
            source, _, rest = interpolated(node.text or "", self._variables).partition(":")
        except Unresolved as error:
            found = re.search(r"(?:\}|\$\w+)[^:{}]*:(/[^:]*)", node.text or "", re.ASCII)
            return "", found[1] if found is not None else "", error.name
        return source, rest.partition(":")[0], ""

    def _mounts(self) -> Iterator[_Mount]:
        for one in self._node.list("volumes"):
            if one.kind == "map":
                joined = _joined(one, one.string("source"), one.string("target"))
                source, target, unset = self._short_mount(joined)
            else:
                source, target, unset = self._short_mount(one)
            if not target:
                continue
            folder = None
            if source.startswith((".", "/", "~")):
                folder = without_dots(one.place.path.parent / os.path.expanduser(source))
            yield _Mount(target, folder, one.place, unset)


class _Mount(NamedTuple):
    """A directory of a container, where it is here and where that stands; and the variable without
    a value that its source comes from."""

    target: str
    folder: Path | None
    place: Place
    unset: str


def _joined(node: Node, source: str, target: str) -> Node:
    return Node(node.place, f"{source}:{target}")
