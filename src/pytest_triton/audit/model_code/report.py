"""What is seen while a model's code is followed in one scenario."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_triton.audit.model_code import facts
from pytest_triton.audit.model_code.modules import Module
from pytest_triton.audit.model_code.source import Place
from pytest_triton.audit.model_code.values import (
    Device,
    Function,
    Value,
)

NO_GPU_ERROR = "GPU"


class TooMuch(Exception):
    """More than a reader would follow: nothing is concluded."""


class Raised(Exception):
    """The code certainly raises an exception here."""

    def __init__(self, names: tuple[str, ...], node: ast.AST) -> None:
        super().__init__(names)
        self.names = names
        self.node = node


@dataclass(frozen=True)
class Scenario:
    """`kind` of the instance, and whether the libraries see GPUs."""

    kind: Literal["GPU", "CPU"]
    sees_gpu: bool


@dataclass(frozen=True)
class Event:
    """Something is put on a device. `certain`: whenever the model runs, as far as can be seen."""

    module: Module
    node: ast.AST
    fact: facts.Place
    device: Device
    certain: bool
    guarded: bool
    owner: int = 0

    @property
    def place(self) -> Place:
        return self.module.source.place(self.node)


@dataclass(frozen=True)
class Decision:
    """A branch taken because no GPU is seen, or an exception handler entered for it."""

    module: Module
    node: ast.AST
    names_cpu: bool


@dataclass
class Report:
    """What was seen in one scenario."""

    events: list[Event] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    visible: list[tuple[Module, ast.AST, Value]] = field(default_factory=list)
    lost: list[Event] = field(default_factory=list)  # the number, after all others were hidden
    asked: bool = False  # a library for GPUs
    missing: list[tuple[Module, ast.AST, str]] = field(default_factory=list)
    stays: list[tuple[Module, ast.AST, facts.Place]] = field(default_factory=list)
    ended: bool = True  # without an exception
    refused: bool = False  # for want of a GPU, with an exception that is handled
    unknown_devices: bool = False
    hands_on: bool = False


@dataclass
class Frame:
    number: int
    module: Module
    outer: int | None
    function: Function | None = None
    returns: list[tuple[Value, dict[Any, Value]]] = field(default_factory=list)
    loops: list[list[dict[Any, Value]]] = field(default_factory=list)
    globals: set[str] = field(default_factory=set)
    yields: bool = False
    is_class: bool = False
