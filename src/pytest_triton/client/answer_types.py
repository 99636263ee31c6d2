"""Whether a server's JSON is of the types that Triton's protocol has."""

from __future__ import annotations

from collections.abc import Iterable

_TEXTS = ("name", "version", "state", "reason")


def is_metadata(answer: object) -> bool:
    """`{"name": ..., "version": ..., "extensions": [...]}`; other servers may lack any of it."""
    if not isinstance(answer, dict) or not isinstance(answer.get("extensions", []), list):
        return False
    return _are_texts(answer.get(key, "") for key in ("name", "version"))


def is_index(answer: object) -> bool:
    """`[{"name": ..., "version": ..., "state": ..., "reason": ...}, ...]`"""
    return isinstance(answer, list) and all(
        isinstance(entry, dict)
        and "name" in entry
        and _are_texts(entry.get(key, "") for key in _TEXTS)
        for entry in answer
    )


def is_config(answer: object) -> bool:
    """A model's configuration, as far as it is looked at."""
    if not isinstance(answer, dict):
        return False
    groups = answer.get("instance_group", [])
    return isinstance(groups, list) and all(map(_is_group, groups))


def _is_group(group: object) -> bool:
    if not isinstance(group, dict):
        return False
    gpus = group.get("gpus", [])
    return (
        _are_texts(group.get(key, "") for key in ("name", "kind"))
        and _are_whole([group.get("count", 1)])
        and isinstance(group.get("passive", False), bool)
        and isinstance(gpus, list)
        and _are_whole(gpus)
    )


def _are_texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _are_whole(values: Iterable[object]) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) for value in values)
