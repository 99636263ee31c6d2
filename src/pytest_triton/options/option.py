"""A row of the option table, as the metadata of a field of `Settings`.

Imported at every start of pytest, so it must be cheap.
"""

from __future__ import annotations

from dataclasses import field, fields
from typing import Any, Literal, NamedTuple

ValueType = Literal[
    "deployment",
    "path",
    "text",
    "texts",
    "words",
    "deployment_file",
    "mapping",
    "gpu_loss",
    "variables",
    "hardware",
    "backends",
    "seconds",
    "expectation",
    "shard",
    "requirement",
    "target",
    "audit_selected",
    "audit_ignored",
    "server",
    "metrics",
    "log",
    "header",
    "bytes",
    "number",
    "switch",
    "gpu_driver",
    "pull",
    "transfer",
    "release",
    "weights",
    "values",
]
"""What an option's value is; `reading` knows how each is read."""

Scope = Literal["run", "server", "test"]
"""`run`: options of the whole run, on the command line, in the ini file, in the environment.
`server`: these, and arguments of the marker `triton`, of factories and fixtures as well.
`test`: arguments only."""


class Option(NamedTuple):
    """A row of the table."""

    name: str
    type: ValueType
    metavar: str
    help: str
    default: object = None
    repeatable: bool = False
    scope: Scope = "run"
    since: str = "0.1.0"  # the first version of pytest-triton that has it

    @property
    def flag(self) -> str:
        return "--triton-" + self.name.replace("_", "-")

    @property
    def ini(self) -> str:
        return "triton_" + self.name

    @property
    def environment(self) -> str:
        return "PYTEST_TRITON_" + self.name.upper()


def option(
    type: ValueType,
    metavar: str,
    help: str,
    *,
    default: object = None,
    repeatable: bool = False,
    scope: Scope = "run",
    since: str = "0.1.0",
) -> Any:
    """A field of a settings class that is an option of its name. Repeatable ones are tuples."""
    if repeatable and default is None:
        default = ()
    row = Option("", type, metavar, help, default, repeatable, scope, since)
    return field(default=default, metadata={"option": row})


def options_of(settings: type) -> tuple[Option, ...]:
    """The rows of a settings class, in the order of its fields."""
    return tuple(
        one.metadata["option"]._replace(name=one.name)
        for one in fields(settings)
        if "option" in one.metadata
    )
