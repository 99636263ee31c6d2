"""`pytest-triton COMMAND`, or `python -m pytest_triton COMMAND`: what isn't a test.

Each command is a module in `pytest_triton.cli` with `add_arguments(parser)` and
`run(arguments) -> exit code`; only the one that is asked for is imported. Exit codes: 0 done,
1 failed (the reason is on standard error), 2 wrong usage, 130 interrupted.
"""
# PYTHON_ARGCOMPLETE_OK

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from pytest_triton.errors import PytestTritonError

COMMANDS = {
    "install": "fetch a real tritonserver into a cache of yours",
    "image": "build a small image of Triton for rehearsals, with Docker alone",
    "predict": "show what would run where on given hardware, without a server",
    "audit": "find every risk that can be seen in the configs, without a server",
    "plan": "show the jobs that a repository needs to be proven",
    "merge": "put the jobs' ledgers together; fail if anything is unproven",
    "diff": "show which placements changed between two ledgers, and why",
    "doctor": "show what this machine can run, and why not",
    "report": "make a page, a summary or annotations of a ledger",
    "clean": "remove containers that were kept for reuse, or left behind",
}
PROGRAM = "pytest-triton"


class _Parser(argparse.ArgumentParser):
    """Of one command, whose own options its errors name."""

    def error(self, message: str) -> NoReturn:
        from pytest_triton.cli.option_names import with_own_options

        super().error(with_own_options(self.prog.rpartition(" ")[2], message))


def main(argv: Sequence[str] | None = None) -> int:
    if "_ARGCOMPLETE" in os.environ:
        from pytest_triton.cli.completion import complete

        complete(PROGRAM, COMMANDS)
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [--version] COMMAND ...",
        description="What pytest-triton does besides tests.",
        epilog="commands:\n"
        + "\n".join(f"  {name:10}{text}" for name, text in COMMANDS.items())
        + f"\n\n`{PROGRAM} COMMAND --help` says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    parser.add_argument("command", nargs="?", metavar="COMMAND", choices=COMMANDS, help="see below")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    chosen = parser.parse_args(argv)
    if chosen.version:
        from pytest_triton._version import __version__

        print(f"pytest-triton {__version__}")
        return 0
    if chosen.command is None:
        parser.print_help()
        return 2
    command = importlib.import_module(f"pytest_triton.cli.{chosen.command}")
    subparser = _Parser(prog=f"{PROGRAM} {chosen.command}")
    command.add_arguments(subparser)
    try:
        code: int = command.run(subparser.parse_args(chosen.rest))
        sys.stdout.flush()
        return code
    except PytestTritonError as error:
        from pytest_triton.cli.option_names import with_own_options

        print(with_own_options(chosen.command, f"error: {error}"), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has gone: nothing is left to say, not even by the interpreter.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
