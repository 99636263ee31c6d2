"""Compose files that are put together from others: `extends` of services, and `include`.

Parts are merged as Compose merges them (https://docs.docker.com/reference/compose-file/merge/):
maps key by key, lists one after the other; commands and the test of a health check are replaced.
Each part keeps the place where it is written, also in another file, by which relative paths go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import reduce
from pathlib import Path

from pytest_triton.deployment.variables import env_file
from pytest_triton.deployment.yaml_file import BadYaml, Node, Place, read_yaml
from pytest_triton.text.paths import without_dots

RESOLVE = "resolve the file first, and name the result: docker compose config > resolved.yaml"

_REPLACED = frozenset([("command",), ("entrypoint",), ("healthcheck", "test")])
_PAIRS = ("environment",)  # a map, or a list of NAME=VALUE
_MOST_PARTS = 100
_REMOTE = ("://", "git@", "oci:")

Filled = Callable[[Node], str]
"""A text with its variables filled in. Raises BadYaml."""


@dataclass(frozen=True)
class Part:
    """A compose file, with the variables that its texts are filled with."""

    path: Path
    document: Node
    variables: Mapping[str, str]


Fill = Callable[[Node, Part], str]
"""The same, with the variables of a file."""


def parts(document: Node, path: Path, environ: Mapping[str, str], filled: Fill) -> Iterator[Part]:
    """The file itself, and those that it includes, each once. Raises BadYaml."""
    known: set[Path] = set()
    first = Part(path, document, {**env_file(path.parent / ".env"), **environ})
    waiting: list[tuple[Part, tuple[Path, ...]]] = [(first, (path,))]
    while waiting:
        part, chain = waiting.pop(0)
        if part.path in known:
            continue
        known.add(part.path)
        if len(known) > _MOST_PARTS:
            raise BadYaml(f"{path}: includes more than {_MOST_PARTS} files", fix=RESOLVE)
        yield part
        for one in _listed(part.document.get("include")):
            file, variables = _included(one, part, filled)
            if file in chain:
                circle = " -> ".join(step.name for step in (*chain, file))
                raise BadYaml(
                    f"{one.place}: {circle} include each other, which Compose refuses.",
                    fix="end the circle",
                )
            waiting += [
                (Part(file, found, variables), (*chain, file))
                for found in _documents(file, one, "the file")
                if found.kind == "map"
            ]


def _included(node: Node, part: Part, filled: Fill) -> tuple[Path, Mapping[str, str]]:
    more = node.entries.keys() - {"path", "env_file"} if node.kind == "map" else ()
    named = _listed(node.get("path") if node.kind == "map" else node)
    if more or len(named) != 1 or named[0].kind != "scalar":
        raise BadYaml(
            f"{node.place}: what `include` has here isn't read: only one file's path is, and its "
            "env_file.",
            fix=RESOLVE,
        )
    file = _beside(named[0], filled(named[0], part))
    defaults = [env_file(file.parent / ".env")]
    if node.kind == "map" and node.get("env_file") is not None:
        files = _listed(node.get("env_file"))
        defaults = [env_file(part.path.parent / filled(one, part)) for one in files]
    variables: dict[str, str] = {}
    for values in (*defaults, part.variables):
        variables.update(values)
    return file, variables


def extended(name: str, services: Node, filled: Filled) -> Node:
    """A service with all that it extends, in this file or another. Raises BadYaml."""
    layers = [services.entries[name]]
    chain = [(services.place.path, name)]
    while (node := layers[-1].get("extends")) is not None:
        file = node.get("file") if node.kind == "map" else None
        if file is not None:
            services = _services(_beside(file, filled(file)), file, chain[-1][1])
        asked = node.get("service") if node.kind == "map" else node
        base = filled(asked) if asked is not None else ""
        path = services.place.path
        if (path, base) in chain:
            circle = " -> ".join(one for _, one in [*chain, (path, base)])
            raise BadYaml(f"{node.place}: {circle} extend each other.", fix="end the circle")
        chain.append((path, base))
        found = services.entries.get(base)
        if found is None or found.kind != "map":
            close = get_close_matches(base, services.entries, n=1) or sorted(services.entries)[:1]
            raise BadYaml(
                f"{node.place}: there is no service {base!r} to extend in {path}.",
                fix=f"did you mean {close[0]}?" if close else "name a file with services",
            )
        layers.append(found)
    return reduce(lambda over, base: merged(base, over), layers)


def _beside(node: Node, text: str) -> Path:
    """The file that is named in a file, by its path from there."""
    if any(one in text for one in _REMOTE):
        raise BadYaml(f"{node.place}: {text} isn't fetched here.", fix=RESOLVE)
    return without_dots(node.place.path.parent / text)


def _documents(path: Path, node: Node, who: str) -> tuple[Node, ...]:
    """The documents of a file that a node names. Raises BadYaml at the node if it isn't there."""
    if path.exists():
        return read_yaml(path)[1]
    try:
        there = [one for one in path.parent.iterdir() if one.is_file() and one != node.place.path]
    except OSError:
        there = []
    names = {one.stem: one for one in there if one.suffix in (".yaml", ".yml")}
    close = get_close_matches(path.stem, names, n=1)
    raise BadYaml(
        f"{node.place}: {who} needs {path}, which isn't there.",
        fix=f"did you mean {names[close[0]]}?" if close else "name a file that is there",
    )


def _services(path: Path, node: Node, name: str) -> Node:
    for document in _documents(path, node, f"the service {name} extends one of another file, and"):
        services = document.get("services")
        if services is not None and services.kind == "map":
            return services
    return Node(Place(path), kind="map")


def merged(base: Node, over: Node, at: tuple[str, ...] = ()) -> Node:
    """Two values of one field as one; `at` are the keys to it from the service."""
    if at == _PAIRS:
        base, over = _as_map(base), _as_map(over)
    if base.kind == over.kind == "map":
        entries = dict(base.entries)
        for key, value in over.entries.items():
            entries[key] = merged(entries[key], value, (*at, key)) if key in entries else value
        if not at:
            entries.pop("extends", None)
        return replace(over, entries=entries, keys={**base.keys, **over.keys})
    if base.kind == over.kind == "list" and at not in _REPLACED:
        return replace(over, items=(*base.items, *over.items))
    return over


def alike(one: Node, other: Node) -> bool:
    """Whether two values are the same, wherever they stand."""
    return (
        (one.kind, one.text) == (other.kind, other.text)
        and one.entries.keys() == other.entries.keys()
        and all(alike(value, other.entries[key]) for key, value in one.entries.items())
        and len(one.items) == len(other.items)
        and all(map(alike, one.items, other.items))
    )


def _as_map(node: Node) -> Node:
    """NAME=VALUE lines as a map; a name alone has no value, as in a map."""
    if node.kind != "list":
        return node
    entries = {}
    for one in node.items:
        name, equals, value = (one.text or "").partition("=")
        entries[name] = replace(one, text=value if equals else None)
    return replace(
        node,
        kind="map",
        items=(),
        entries=entries,
        keys={name: one.place for name, one in entries.items()},
    )


def _listed(node: Node | None) -> tuple[Node, ...]:
    if node is None:
        return ()
    return tuple(node.items) if node.kind == "list" else (node,)
