"""The options --release, --own-backend and --server-args, for all commands that predict."""

from __future__ import annotations

import argparse
import shlex

from pytest_triton.placement.command_line import NO_ARGUMENTS, BadArguments, CommandLine
from pytest_triton.placement.predict import ServerTraits
from pytest_triton.placement.releases import (
    NEWEST_KNOWN,
    ChosenRelease,
    NotARelease,
    read_release,
    shown_release,
)


def add_release(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--release",
        type=_release,
        metavar="RELEASE",
        default=NEWEST_KNOWN,
        help="whose rules: a version of tritonserver (2.70.0) or the tag of its official image "
        f"(26.06); default: the newest known, {shown_release(NEWEST_KNOWN.version)}",
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
    line.check_known(arguments.release.version)
    return line.traits(ServerTraits(version=arguments.release.version))


def _release(text: str) -> ChosenRelease:
    try:
        return ChosenRelease(read_release(text), "--release")
    except NotARelease as error:
        raise argparse.ArgumentTypeError(str(error)) from None
