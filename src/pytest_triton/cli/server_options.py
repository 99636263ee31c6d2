"""The options --release, --own-backend and --server-args, for all commands that predict."""

from __future__ import annotations

import argparse
import re
import shlex

from pytest_triton.placement.command_line import NO_ARGUMENTS, BadArguments, CommandLine
from pytest_triton.placement.predict import DEFAULT_TRAITS, ServerTraits

_OLDEST_RELEASE = (2, 33, 0)


def add_release(parser: argparse.ArgumentParser) -> None:
    default = shown_release(DEFAULT_TRAITS.version)
    parser.add_argument(
        "--release",
        type=read_release,
        metavar="RELEASE",
        default=DEFAULT_TRAITS.version,
        help=f"whose rules: a version of tritonserver (default: {default})",
    )


def add_own_backends(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--own-backend",
        action="append",
        default=[],
        metavar="NAME",
        help="a backend of your own, which the server has beside Triton's (repeatable)",
    )


def add_server_args(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server-args",
        type=read_server_args,
        metavar="ARGS",
        default=NO_ARGUMENTS,
        help="production's arguments for tritonserver, quoted as for a shell; write it with '='",
    )


def read_server_args(text: str) -> CommandLine:
    """Raises argparse.ArgumentTypeError for what tritonserver would not take."""
    try:
        return CommandLine.parse(shlex.split(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not readable as shell words ({error})") from None
    except BadArguments as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def server_of(arguments: argparse.Namespace) -> ServerTraits:
    """The server that the options describe. Raises BadArguments for flags it doesn't know."""
    line: CommandLine = arguments.server_args
    line.check_known(arguments.release)
    return line.traits(ServerTraits(version=arguments.release))


def read_release(text: str) -> tuple[int, int, int]:
    """Of `2.51.0`, `2.51` or `24.10`. Raises argparse.ArgumentTypeError."""
    if re.fullmatch(r"2\.\d{1,4}(\.\d{1,4})?", text, re.ASCII):
        version = text
    else:
        from pytest_triton.servers.process.releases import (  # rarely wanted
            UnknownRelease,
            find_release,
        )

        try:
            version = find_release(text).version
        except UnknownRelease:
            raise argparse.ArgumentTypeError(
                f"{text!r} is no release of tritonserver: give a version such as 2.51.0"
            ) from None
    major, minor, patch = (*map(int, version.split(".")), 0)[:3]
    if (major, minor, patch) < _OLDEST_RELEASE:
        raise argparse.ArgumentTypeError(
            f"{text!r}: the rules are known from release {shown_release(_OLDEST_RELEASE)} on"
        )
    return major, minor, patch


def shown_release(release: tuple[int, int, int]) -> str:
    return ".".join(map(str, release))
