"""YAML files as plain values with positions. Read safely: nothing is made but text, lists, maps.

What compose and Kubernetes would refuse or not see as the author does is an error here: duplicate
keys, templates that weren't rendered, anchors that grow beyond all bounds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from pytest_triton.errors import PytestTritonError
from pytest_triton.text.paths import shown_path

SIZE_LIMIT = 4 << 20  # bytes; a manifest has some kilobytes
_MOST_NODES = 200_000  # once all aliases are followed
_TEMPLATE = re.compile(r"\{\{-?\s*(?:[.$]|include|template|if|range|with|toYaml|end|else|/\*)")


class BadYaml(PytestTritonError):
    """A file that is no YAML, or none that can be taken at its word."""


@dataclass(frozen=True)
class Place:
    """Where something stands in a file; line and column count from 1."""

    path: Path
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{shown_path(self.path)}:{self.line}:{self.column}"


@dataclass(frozen=True, eq=False)
class Node:
    """A value of a YAML file. `text` is a scalar's, as it is written; None for others and null.

    `type` is `int`, `float` or `bool` of what tools take for one, "" for others.
    """

    place: Place
    text: str | None = None
    entries: Mapping[str, Node] = field(default_factory=dict)
    items: Sequence[Node] = ()
    kind: str = "scalar"
    keys: Mapping[str, Place] = field(default_factory=dict)
    type: str = ""

    def get(self, *path: str) -> Node | None:
        """What stands at a path of keys; None if any of them isn't there, or null."""
        node: Node | None = self
        for key in path:
            node = node.entries.get(key) if node is not None else None
        return None if node is None or node.is_null else node

    def string(self, *path: str) -> str:
        """The text at a path of keys, "" if there is none."""
        node = self.get(*path)
        return node.text or "" if node is not None else ""

    def list(self, *path: str) -> Sequence[Node]:
        node = self.get(*path)
        return node.items if node is not None else ()

    def place_of(self, *path: str) -> Place:
        """Where the last key of a path stands, or the nearest around it that there is."""
        node, place = self, self.place
        for key in path:
            if key not in node.entries:
                break
            place, node = node.keys[key], node.entries[key]
        return place

    @property
    def is_null(self) -> bool:
        return self.kind == "scalar" and self.text is None


_MOST_NESTED = 200


def read_yaml(path: Path) -> tuple[str, tuple[Node, ...]]:
    """The text of a file, and its documents but for empty ones. Raises BadYaml."""
    try:
        with open(path, "rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise BadYaml(
            f"{path} can't be read: {error.strerror}", fix="name a file that is there"
        ) from None
    if len(data) > SIZE_LIMIT:
        raise BadYaml(
            f"{path} has more than {SIZE_LIMIT >> 20} MB, which no deployment file has.",
            fix="name the compose file or manifest itself",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadYaml(f"{path}:{line}: not UTF-8", fix="save the file as UTF-8") from None
    return text, parse_yaml(text, path)


def parse_yaml(text: str, path: Path) -> tuple[Node, ...]:
    """The documents of a text, but for empty ones. Raises BadYaml."""
    import yaml  # only who names a deployment needs it

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_depth(text, path, loader)
        found = [one for one in yaml.compose_all(text, Loader=loader) if one is not None]
        return tuple(_Converter(path, text).document(one) for one in found)
    except yaml.YAMLError as error:
        _no_yaml(path, text, error)
    except RecursionError:
        raise BadYaml(
            f"{path}: nested too deep to be read", fix="is this the right file?"
        ) from None


def _check_depth(text: str, path: Path, loader: Any) -> None:
    """Nodes are made by recursion, in C: what is nested too deep would end this process."""
    import yaml

    depth = 0
    events: Any = yaml.parse(text, Loader=loader)
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MOST_NESTED:
                mark: Any = event.start_mark
                raise BadYaml(
                    f"{path}:{mark.line + 1}: not YAML: more than {_MOST_NESTED} levels",
                    fix="is this the right file?",
                )
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _no_yaml(path: Path, text: str, error: Any) -> NoReturn:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    template = _template_place(text, path)
    if template is not None:
        _not_rendered(template)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    source = text.splitlines()[line - 1] if line <= len(text.splitlines()) else ""
    fix = "correct the file; `yamllint` shows more"
    if "\t" in source[: max(column, 1) + 1]:
        fix = "YAML takes no tabs for indentation: write spaces"
    raise BadYaml(f"{path}:{line}:{column}: not YAML: {problem}", fix=fix)


def _template_place(text: str, path: Path) -> Place | None:
    found = _TEMPLATE.search(text)
    if found is None:
        return None
    before = text[: found.start()]
    return Place(path, before.count("\n") + 1, found.start() - before.rfind("\n"))


def _not_rendered(place: Place) -> NoReturn:
    raise BadYaml(
        f"{place}: this is a template, and what it makes is what is deployed.",
        fix="render it first, and name the result: helm template NAME CHART > rendered.yaml, or "
        "kustomize build DIR > rendered.yaml",
    )


class _Converter:
    """PyYAML's nodes into ours. A node that several aliases mean is converted once."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text
        self._done: dict[int, tuple[Node, int]] = {}
        self._open: set[int] = set()

    def document(self, node: Any) -> Node:
        return self._convert(node)[0]

    def _convert(self, node: Any) -> tuple[Node, int]:
        """Our node, and how many nodes it is with all aliases followed."""
        key = id(node)
        if key in self._done:
            return self._done[key]
        place = self._place(node)
        if key in self._open:
            raise BadYaml(f"{place}: an alias that means itself", fix="remove the alias")
        self._open.add(key)
        size = 1
        if node.id == "mapping":
            made, size = self._mapping(node, place)
        elif node.id == "sequence":
            converted = [self._convert(one) for one in node.value]
            size += sum(count for _, count in converted)
            made = Node(place, kind="list", items=tuple(one for one, _ in converted))
        else:
            null = node.tag == "tag:yaml.org,2002:null"
            text = str(node.value)
            made = Node(place, None if null else text, type=_type(str(node.tag), text))
        if size > _MOST_NODES:
            raise BadYaml(
                f"{place}: more than {_MOST_NODES:,} values once all aliases are followed",
                fix="write out what the aliases stand for, or remove them",
            )
        self._open.discard(key)
        self._done[key] = (made, size)
        return made, size

    def _mapping(self, node: Any, place: Place) -> tuple[Node, int]:
        entries: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        merged: list[Node] = []
        size = 1
        for key_node, value_node in node.value:
            where = self._place(key_node)
            if key_node.id != "scalar":
                template = _template_place(self._text, self._path)
                if template is not None:
                    _not_rendered(template)
                raise BadYaml(f"{where}: a key must be a text", fix="quote it, or correct it")
            value, count = self._convert(value_node)
            size += count + 1
            name = str(key_node.value)
            if key_node.tag == "tag:yaml.org,2002:merge" or name == "<<":
                merged += value.items if value.kind == "list" else [value]
                continue
            if name in entries:
                raise BadYaml(
                    f"{where}: `{name}` stands here again; line {keys[name].line} has it already",
                    fix="keep one of them: of two, tools keep the last one, or refuse the file",
                )
            entries[name], keys[name] = value, where
        for other in merged:
            for name, value in other.entries.items():
                entries.setdefault(name, value)
                keys.setdefault(name, other.keys[name])
        return Node(place, kind="map", entries=entries, keys=keys), size

    def _place(self, node: Any) -> Place:
        return Place(self._path, node.start_mark.line + 1, node.start_mark.column + 1)


def _type(tag: str, text: str) -> str:
    name = tag.rpartition(":")[2]
    # Only YAML 1.1 takes 1:30 for a number, and `on` for a truth value.
    if name == "bool":
        return name if text.lower() in ("true", "false") else ""
    return name if name in ("int", "float") and ":" not in text else ""


def texts(nodes: Sequence[Node]) -> Iterator[str]:
    for node in nodes:
        yield node.text or ""
