"""What may not stand among a test's own arguments and variables for tritonserver.

The plugin sets some flags itself, and others would take away what it reads from a server. With
these a server would not come up, or be waited for in vain, or prove less than it seems to. Nor may
what no tritonserver takes.

tritonserver parses with getopt_long: `--flag=value` and `--flag value` are the same, the last one
counts, and a flag may be shortened as long as only one begins so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Literal, NamedTuple

from pytest_triton.errors import PytestTritonError
from pytest_triton.placement.command_line import BadArguments, CommandLine


class ArgumentRefused(PytestTritonError):
    """An argument or variable that the plugin sets itself or that tritonserver doesn't take."""


When = Literal["always", "false", "true", "explicit"]


class _Reserved(NamedTuple):
    """A flag that is refused: with every value, with false or true, or in explicit mode only."""

    why: str
    instead: str
    when: When = "always"


_PORTS = _Reserved(
    "the plugin gives each server ports of its own on 127.0.0.1, so that servers can run side by "
    "side and no other machine reaches them",
    "leave it out: triton_server.http, .grpc and .metrics are the addresses",
)
_SHARED_PORT = _Reserved(
    "the plugin gives each server ports of its own, where no other server may answer",
    "leave it out",
    when="true",
)
_REPOSITORY = _Reserved(
    "the plugin names the model repositories itself",
    "leave it out: repo=... of the marker, the factory or make_triton_server, or --triton-repo",
)
_ENDPOINT = _Reserved(
    "the plugin and its clients talk to the server over HTTP and gRPC",
    "leave it out: only 127.0.0.1 can reach these ports",
    when="false",
)
_TLS = _Reserved(
    "the plugin's clients connect without TLS to the servers that it starts",
    "leave it out; start such a server yourself and attach to it: --triton-server=grpcs://...",
    when="true",
)
_LOG = _Reserved(
    "the plugin reads the server's log to see where models run and why they were refused",
    "leave it out: the log is shown when a test fails",
)
_OTHER_PORT = _Reserved(
    "it opens a port that other machines reach, and the plugin's servers listen on 127.0.0.1 only",
    "leave it out",
    when="true",
)
_MODELS = _Reserved(
    "a test that may load and unload models has the plugin set explicit model control itself",
    'leave it out: load=["name"] says which models are loaded at the start',
    when="explicit",
)

_RESERVED: Mapping[str, _Reserved] = {
    "http-address": _PORTS,
    "http-port": _PORTS,
    "grpc-address": _PORTS,
    "grpc-port": _PORTS,
    "metrics-address": _PORTS,
    "metrics-port": _PORTS,
    "reuse-http-port": _SHARED_PORT,
    "reuse-grpc-port": _SHARED_PORT,
    "model-repository": _REPOSITORY,
    "model-store": _REPOSITORY,
    "allow-http": _ENDPOINT,
    "allow-grpc": _ENDPOINT,
    "grpc-use-ssl": _TLS,
    "grpc-use-ssl-mutual": _TLS,
    "log-file": _LOG,
    "log-format": _LOG,
    "log-info": _LOG._replace(when="false"),
    "log-error": _LOG._replace(when="false"),
    "allow-sagemaker": _OTHER_PORT,
    "allow-vertex-ai": _OTHER_PORT,
    "model-control-mode": _MODELS,
    "load-model": _MODELS,
    "id": _Reserved(
        "the plugin gives each server an id, by which it knows that this server answers and no "
        "other",
        "leave it out",
    ),
    "exit-on-error": _Reserved(
        "the plugin sets it to false: one refused model would end the server for all others",
        "leave it out: assert_refused, test_placement and triton_server.observed() show refusals",
    ),
    "backend-directory": _Reserved(
        "the plugin names the backend directory itself: its stand-ins, or the server's own "
        "backends with a python backend for the interpreter",
        "leave it out; the backends of another installation come with its server: binary=...",
    ),
    "help": _Reserved("the server would print its usage and end", "leave it out"),
}
_RESTRICTABLE = ("http-restricted-api", "grpc-restricted-protocol")
_ASKED = ("health", "metadata", "model-config", "model-repository")
_RESTRICTED = _Reserved(
    f"the plugin asks the server for {', '.join(_ASKED[:-1])} and {_ASKED[-1]}, without a key",
    "restrict the others only (inference, statistics, ...)",
)
_SETTINGS: Mapping[str, _Reserved] = {
    "python,shm-region-prefix-name": _Reserved(
        "the plugin names the shared memory of python models, to remove what is left of it",
        "leave it out",
    ),
    "backend-directory": _RESERVED["backend-directory"],
}
_BACKEND_CONFIG = "backend-config"
_PATHS = (
    "cache-directory",
    "repoagent-directory",
    "grpc-server-cert",
    "grpc-server-key",
    "grpc-root-cert",
    "trace-file",
)
_FALSE, _TRUE = ("false", "off", "0"), ("true", "on", "1")


def check_arguments(
    arguments: Iterable[str], *, explicit: bool = False, complete: bool = False
) -> None:
    """Raise ArgumentRefused for the first argument that can't be given, with the reason.

    `explicit`: the plugin starts the server in explicit model control (changes=True). `complete`:
    no others join them, so that those can be missed which one of them needs.
    """
    words = tuple(arguments)
    check_reserved(words, explicit=explicit)
    try:
        line = CommandLine.read(words)
        if complete:
            line.check_load_models()
    except BadArguments as error:
        raise ArgumentRefused(
            f"arguments: {error.what}", tried=error.tried, fix=error.fix
        ) from None


def check_reserved(arguments: Iterable[str], *, explicit: bool = False) -> None:
    """Raise ArgumentRefused for the first argument that the plugin sets itself, or needs."""
    for flag in _flags(tuple(arguments)):
        name, reserved = _reserved(flag, explicit)
        if reserved is not None:
            short = f" (short for --{name})" if name != flag.name else ""
            raise ArgumentRefused(
                f"arguments: {flag.shown}{short} can't be given: {reserved.why}.",
                fix=reserved.instead,
            )
        if any(known.startswith(flag.name) for known in _PATHS) and _is_relative(flag.value):
            raise ArgumentRefused(
                f"arguments: {flag.shown} is a relative path, and the server runs in a folder of "
                "its own.",
                fix="give an absolute path, in a container one that it has",
            )
        if flag.spaced:
            raise ArgumentRefused(
                f"arguments: {flag.shown!r} is one text with a space in it, which tritonserver "
                "takes for the name of a flag.",
                fix=f"write --{flag.name}={flag.value}",
            )


def check_environment(environment: Mapping[str, str]) -> None:
    """Raise ArgumentRefused for a variable with which the server would not come up."""
    if environment.get("AIP_MODE") == "PREDICTION":
        raise ArgumentRefused(
            "environment: AIP_MODE=PREDICTION can't be given: tritonserver closes HTTP and gRPC "
            f"with it, and {_ENDPOINT.why}.",
            fix="leave it out",
        )


def names_flag(arguments: Iterable[str], name: str) -> bool:
    """Whether a flag is among the arguments, shortened or not."""
    return any(name.startswith(flag.name) for flag in _flags(tuple(arguments)))


class _Flag(NamedTuple):
    """A flag as it stands there; `value` is "" for none; `spaced`: both are one text."""

    shown: str
    name: str
    value: str
    spaced: bool = False


def _flags(arguments: tuple[str, ...]) -> Iterator[_Flag]:
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        name, equals, value = argument[2:].partition("=")
        if not argument.startswith("--") or not name.strip():
            continue
        if len(name.split()) > 1:
            first, rest = argument[2:].split(None, 1)
            yield _Flag(argument, first, rest, spaced=True)
        elif equals or not following or following.startswith("--"):
            yield _Flag(argument, name, value)
        else:
            yield _Flag(f"{argument} {following}", name, following)


def _reserved(flag: _Flag, explicit: bool) -> tuple[str, _Reserved | None]:
    """The full name of a flag, and why it can't have this value (None: it can)."""
    name, value = flag.name, flag.value
    for known in (name, *(one for one in _RESERVED if one.startswith(name))):
        reserved = _RESERVED.get(known)
        if reserved is not None and _applies(reserved.when, value, explicit):
            return known, reserved
    for known in _RESTRICTABLE:
        features = value.partition(":")[0].split(",")
        if known.startswith(name) and any(feature in _ASKED for feature in features):
            return known, _RESTRICTED
    for setting, reserved in _SETTINGS.items():
        if _BACKEND_CONFIG.startswith(name) and value.lstrip(",").startswith(f"{setting}="):
            return _BACKEND_CONFIG, reserved
    return name, None


def _is_relative(path: str) -> bool:
    return path != "" and not Path(path).is_absolute()


def _applies(when: When, value: str, explicit: bool) -> bool:
    if when == "explicit":
        return explicit
    if when == "always":
        return True
    return value.lower() in (_TRUE if when == "true" else _FALSE)
