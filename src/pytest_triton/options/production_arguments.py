"""Production's arguments for tritonserver (`--triton-server-args`), for the plugin's servers.

What the plugin sets itself is replaced, not refused: a production line has addresses, ports and a
repository. A test's own arguments go before all of it, and are passed on as they are.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from pytest_triton.options.hosts import ContainerHost
from pytest_triton.options.server_arguments import ArgumentRefused, check_reserved
from pytest_triton.options.settings import Settings
from pytest_triton.placement.command_line import BadArguments, CommandLine

_OF_PRODUCTIONS_MACHINE = ("host-policy", "trace-config", "trace-file")
_DIRECTORIES = ("cache-directory", "repoagent-directory")


class Adapted(NamedTuple):
    """Arguments that a server of the plugin's own gets, and the flags that it doesn't get."""

    arguments: tuple[str, ...]
    replaced: tuple[str, ...]


def command_line(settings: Settings) -> CommandLine:
    """What the servers of these settings are started with, addresses and the like included.

    Raises BadArguments for what tritonserver wouldn't take, if it isn't a
    test's own: such a test may want to see just that.
    """
    if settings.sources.get("arguments", "default") == "default":
        return CommandLine.parse(production_arguments(settings))
    try:
        return CommandLine.parse(settings.arguments)
    except BadArguments:
        return CommandLine()


def production_arguments(settings: Settings) -> tuple[str, ...]:
    words = tuple(word for words in settings.server_args for word in words)
    if settings.config_name is None:
        return words
    return (*words, f"--model-config-name={settings.config_name}")


def server_arguments(settings: Settings) -> Adapted:
    """What a server is given beside the plugin's own arguments. Raises BadArguments."""
    if settings.sources.get("arguments", "default") != "default":
        return Adapted(settings.arguments, ())
    return adapted(
        command_line(settings),
        in_container=isinstance(settings.host, ContainerHost),
        explicit=settings.changes,
    )


def adapted(line: CommandLine, *, in_container: bool = False, explicit: bool = False) -> Adapted:
    """Production's arguments without those that the plugin sets itself.

    Neither do those go on that are about production's machine: its CPUs, its files. With
    `explicit` the plugin controls which models are loaded.
    """
    replaced = {
        one.name
        for one in line.given
        if _is_set_by_plugin(one.name, one.value, explicit)
        or one.name in _OF_PRODUCTIONS_MACHINE
        or (one.name == "cache-config" and not in_container and _is_other_cache(one.value))
        or (one.name in _DIRECTORIES and not in_container and not os.path.isdir(Path(one.value)))
    }
    return Adapted(line.without(replaced).arguments, tuple(sorted(replaced)))


def _is_other_cache(setting: str) -> bool:
    """Whether it is of a cache that the installed releases don't have: they have `local` only."""
    return setting.partition(",")[0] != "local"


def _is_set_by_plugin(name: str, value: str, explicit: bool) -> bool:
    try:
        check_reserved([f"--{name}={value}"], explicit=explicit)
    except ArgumentRefused:
        return True
    return False
