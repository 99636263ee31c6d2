"""What a test asks of its server: the arguments of the marker, of factories, of fixtures alike."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pytest_triton.errors import PytestTritonError
from pytest_triton.options.settings import OptionError, read_server
from pytest_triton.placement.hardware import HardwareRequest

Backends = Literal["real", "stand-in"]


class WrongArguments(PytestTritonError):
    """Arguments that no server can be asked for with."""


@dataclass(frozen=True)
class Wanted:
    """A server, as far as a test says how it should be; None is left to the options.

    `gpus` has several values where the test is to run on each of them.
    """

    repo: str | None = None
    gpus: tuple[HardwareRequest, ...] | None = None
    backends: Backends | None = None
    server: str | None = None
    image: str | None = None
    binary: Path | None = None
    version: str | None = None
    python: Path | None = None
    arguments: tuple[str, ...] | None = None
    environment: tuple[tuple[str, str], ...] | None = None
    timeout: float | None = None
    changes: bool | None = None
    load: tuple[str, ...] | None = None

    def over(self, other: Wanted) -> Wanted:
        """These wishes, and the other's where these say nothing."""
        mine = {one.name: getattr(self, one.name) for one in fields(self)}
        return Wanted(
            **{
                name: getattr(other, name) if value is None else value
                for name, value in mine.items()
            }
        )


def wanted(
    *,
    repo: str | Path | None = None,
    gpus: str | int | Sequence[str] | None = None,
    backends: str | None = None,
    server: str | None = None,
    image: str | None = None,
    binary: str | Path | None = None,
    version: str | None = None,
    python: str | Path | None = None,
    arguments: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
    changes: bool | None = None,
    load: Sequence[str] | None = None,
) -> Wanted:
    """Check the arguments. Raises WrongArguments.

    `repo`: model repository, relative to pytest's rootdir. `gpus`: as `--triton-gpus` ("none",
    "sim:2", 1, ...), or a list of these, to run on each. `backends`: "real" or "stand-in".
    `server`, `image`, `binary`, `version`, `python`, `timeout` (seconds): as the options of these
    names. `arguments` and `environment` are added to tritonserver's. `changes`: the test may load
    and unload models. `load`: models that are loaded at the start (default: all; with `changes`).
    """
    if isinstance(arguments, str) or isinstance(load, str):
        raise WrongArguments("arguments and load are lists of texts, not one text")
    if backends not in (None, "real", "stand-in"):
        raise WrongArguments(f"backends is 'real' or 'stand-in', not {backends!r}")
    if server is not None:
        try:
            server = read_server(server)
        except OptionError as error:
            shown = "" if error.secret else f"={server!r}"
            raise WrongArguments(f"server{shown}: {error}") from None
    if not isinstance(changes, (bool, type(None))):
        raise WrongArguments(f"changes is True or False, not {changes!r}")
    if load is not None and not changes:
        raise WrongArguments("load=[...] needs changes=True: who loads models decides which")
    return Wanted(
        repo=None if repo is None else str(repo),
        gpus=_hardware(gpus),
        backends=backends,  # type: ignore[arg-type]  # checked above
        server=server,
        image=image,
        binary=None if binary is None else Path(binary),
        version=version,
        python=None if python is None else Path(python),
        arguments=None if arguments is None else tuple(map(str, arguments)),
        environment=None if environment is None else _pairs(environment),
        timeout=timeout,
        changes=changes,
        load=None if load is None else tuple(map(str, load)),
    )


ARGUMENTS = tuple(inspect.signature(wanted).parameters)
SIGNATURE = f"triton(*, {', '.join(ARGUMENTS)})"


def wanted_by_mark(args: Sequence[object], kwargs: Mapping[str, Any]) -> Wanted:
    """The wishes of a marker's arguments. Raises WrongArguments, with the signature."""
    if args:
        raise WrongArguments(
            f"The marker triton takes keyword arguments only, got {args[0]!r}: {SIGNATURE}"
        )
    check_names(kwargs, "The marker triton", SIGNATURE)
    return wanted(**kwargs)


def check_names(
    kwargs: Mapping[str, Any],
    what: str,
    signature: str,
    known: Sequence[str] = ARGUMENTS,
) -> None:
    """Raise WrongArguments for a name that isn't known, with the one that was meant."""
    for name in kwargs:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            meant = f" (did you mean {close[0]}?)" if close else ""
            raise WrongArguments(f"{what} has no argument {name}{meant}: {signature}")


def _hardware(gpus: str | int | Sequence[str] | None) -> tuple[HardwareRequest, ...] | None:
    if gpus is None:
        return None
    texts = [gpus] if isinstance(gpus, (str, int)) else list(gpus)
    if not texts:
        raise WrongArguments("gpus=[] names no hardware")
    try:
        return tuple(HardwareRequest.parse(str(text)) for text in texts)
    except ValueError as error:
        raise WrongArguments(f"gpus={gpus!r}: {error}") from None


def _pairs(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((str(name), str(value)) for name, value in environment.items()))
