"""Texts that name pytest's options, as commands show them: by the options that they have.

The texts are written for runs of pytest, with its options (`--triton-values=FILE`). What a command
doesn't have stays pytest's, and is called so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_READING = {name: f"--{name}" for name in ("weights", "values")}
_SERVER = {"release": "--release", "own-backends": "--own-backend", "server-args": "--server-args"}
_DEPLOYMENT = {name: f"--{name}" for name in ("deployment", "deployment-repo", "target")}
_PLANNED = {**_READING, **_SERVER, **_DEPLOYMENT}

OWN: Mapping[str, Mapping[str, str]] = {
    "audit": {**_PLANNED, "audit-select": "--select", "audit-ignore": "--ignore"},
    "diff": _DEPLOYMENT,
    "doctor": {name: f"--{name}" for name in ("image", "binary", "version", "python", "timeout")},
    "image": {"image": "--base"},
    "merge": {**_PLANNED, "repo": "--repo"},
    "plan": _PLANNED,
    "predict": {**_READING, **_SERVER, "gpus": "--gpus", "config-name": "--config-name"},
}
"""The options of each command that do what one of pytest's does, by the name of that."""

_COMMAND_LINE = r"\bpytest(?:'s)?(?:\s+-\S+|\s+[^\s-]\S*/\S*)+"
_OPTIONS = re.compile(rf"(?P<pytest>{_COMMAND_LINE})|--triton-[a-z](?:\S*\s--triton-)*[a-z-]*")
_OPTION = re.compile(r"--triton-([a-z-]*[a-z])")


def with_own_options(command: str, text: str) -> str:
    """The text with this command's own options in place of pytest's."""
    if "--triton-" not in text:
        return text
    own = OWN.get(command, {})

    def named(found: re.Match[str]) -> str:
        options = _OPTION.findall(found[0])
        if found["pytest"]:
            return found[0]
        if not all(one in own for one in options):
            return f"pytest's {found[0]}"
        return _OPTION.sub(lambda one: own[one[1]], found[0])

    return _OPTIONS.sub(named, text)
