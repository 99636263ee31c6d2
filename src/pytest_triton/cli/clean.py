"""`pytest-triton clean`: remove the containers that pytest-triton has left.

With `--json` one object goes to standard output, {format, removed}: the names of the containers.
"""

from __future__ import annotations

import argparse
import json

_ANSWER = 60.0  # seconds, for each answer of Docker


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Remove the containers that are kept for reuse, and those whose pytest has ended. "
        "Containers of a pytest that runs are left alone, and so are all that aren't "
        "pytest-triton's."
    )
    parser.add_argument(
        "--others",
        action="store_true",
        help="also those that other machines, or containers of a CI, have left on this Docker",
    )
    parser.add_argument("--json", action="store_true", help="for programs; nothing else is printed")


def run(arguments: argparse.Namespace) -> int:
    from pytest_triton.servers.container import ownership as container_owners
    from pytest_triton.servers.container.engine import connected, engine_errors

    with connected(_ANSWER) as client, engine_errors():
        removed = container_owners.clean(client, others=arguments.others)
    if arguments.json:
        print(json.dumps({"format": 1, "removed": removed}, indent=2))
        return 0
    for name in removed:
        print(f"removed {name}")
    print(f"{len(removed)} container{'s' if len(removed) != 1 else ''} removed")
    return 0
