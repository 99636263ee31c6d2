"""The state of following a model's code: what names are, in which scenario, within a budget."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pytest_triton.audit.model_code.modules import Module, Modules
from pytest_triton.audit.model_code.operations import (
    names_cpu,
)
from pytest_triton.audit.model_code.report import (
    Decision,
    Frame,
    Raised,
    Report,
    Scenario,
    TooMuch,
)
from pytest_triton.audit.model_code.values import (
    CONFIG_TEXT,
    GIVEN,
    SOME,
    UNKNOWN,
    Class,
    Const,
    Device,
    Function,
    Instance,
    Map,
    Member,
    Missing,
    Obj,
    Probe,
    Selector,
    Seq,
    Text,
    Value,
    join,
    mapping,
)

_BUDGET = 40_000
DEEPEST_CALL = 12
NO_GPUS = Seq((), True, 2)
"""An empty list of GPUs; other empty lists have the size 1."""


class State:
    """What is known at a point of the code, and what was reported so far."""

    def __init__(self, modules: Modules, scenario: Scenario, config: Map) -> None:
        self.modules = modules
        self.scenario = scenario
        self.report = Report()
        self.config = config
        self.state: dict[Any, Value] = {}
        self.made: dict[int, tuple[Module, ast.AST]] = {}
        self.left = _BUDGET
        self.numbers = 0
        self.frames: dict[int, Frame] = {}
        self.calls: list[Function] = []
        self.handlers: list[list[tuple[Raised, dict[Any, Value]]]] = []
        self.uncertain = 0
        self.guarded = 0
        self.module = modules.main
        self.methods: dict[type[ast.AST], Callable[[Any, Frame], Any] | None] = {}
        self.args = mapping(
            [
                ("model_config", CONFIG_TEXT),
                ("model_instance_kind", Const(scenario.kind)),
                ("model_instance_device_id", GIVEN),
            ],
            complete=False,
        )

    def spend(self, cost: int = 1) -> None:
        self.left -= cost
        if self.left < 0:
            raise TooMuch

    def number(self) -> int:
        self.numbers += 1
        return -self.numbers

    def sees_gpu(self) -> bool:
        visible = self.state.get(("visible", ""))
        return self.scenario.sees_gpu and visible not in (Const(""), Const("-1"))

    def truth(self, value: Value) -> tuple[bool | None, bool]:
        """Whether a value is true, if that is known, and whether it follows from seeing GPUs."""
        if isinstance(value, Probe):
            return value.truth, True
        if isinstance(value, Const):
            return bool(value.value), False
        if isinstance(value, Missing):
            return False, False
        if value is SOME:
            return True, True
        if isinstance(value, (Function, Class, Instance, Obj, Device, Selector)):
            return True, False
        if isinstance(value, Text):
            return True, False
        if isinstance(value, (Seq, Map)) and value.items:
            return True, False
        if isinstance(value, Seq) and value.exact:
            return False, value.size == NO_GPUS.size
        if isinstance(value, Map) and value.complete:
            return False, False
        if isinstance(value, Member) and value.name == "gpus()":
            return True, True
        return None, False

    def decided(self, node: ast.AST) -> None:
        """Something was decided by whether a GPU is seen."""
        if not self.sees_gpu():
            self.report.decisions.append(Decision(self.module, node, names_cpu(node)))

    def items_of(self, value: Value) -> tuple[Value, ...] | None:
        if isinstance(value, Seq) and value.exact:
            return value.items
        if isinstance(value, Map) and value.complete:
            return tuple(Const(name) for name, _ in value.items)
        return None

    def scopes(self, frame: Frame) -> Iterator[int]:
        number: int | None = frame.number
        while number is not None:
            here = self.frames[number]
            if number == frame.number or not here.is_class:
                yield number
            number = here.outer
        if frame.module.number != frame.number:
            yield frame.module.number

    def joined(self, one: dict[Any, Value], other: dict[Any, Value]) -> dict[Any, Value]:
        self.spend(1 + len(one) // 16)
        result = dict(other)
        for key, value in one.items():
            if key in result:
                if result[key] is not value:
                    result[key] = join(value, result[key])
            elif key[0] == "current" or key[0] == "visible":
                result[key] = UNKNOWN
            else:
                result[key] = value
        for key in other:
            if key not in one and key[0] in ("current", "visible"):
                result[key] = UNKNOWN
        return result

    def either(self, ways: Sequence[Callable[[], bool]], guarded: bool = False) -> bool:
        """Take several ways from here on; nobody knows which."""
        before = self.state
        after: dict[Any, Value] | None = None
        raised: Raised | None = None
        self.uncertain += 1
        self.guarded += guarded
        try:
            for way in ways:
                self.spend(1 + len(before) // 16)
                self.state = dict(before)
                try:
                    if way():
                        after = self.state if after is None else self.joined(after, self.state)
                except Raised as error:
                    raised = error
                    if self.handlers:
                        self.handlers[-1].append((error, self.state))
                else:
                    continue
        finally:
            self.uncertain -= 1
            self.guarded -= guarded
        if after is None:
            self.state = before
            if raised is not None:
                raise raised
            return False
        self.state = after
        return True

    def set_visible(self, node: ast.AST, value: Value) -> None:
        if self.report.events or self.report.asked:
            self.state["visible", "late"] = Const(True)  # CUDA has read the variable by then
        self.report.visible.append((self.module, node, value))
        self.state["visible", ""] = value

    def miss(self, node: ast.AST, key: str) -> None:
        """A parameter is read that the config doesn't have."""
        if self.handlers:
            raise Raised(("KeyError", "TypeError"), node)
        if not self.uncertain:
            self.report.missing.append((self.module, node, key))

    # What the classes below add, in terms of each other

    def value(self, node: ast.expr, frame: Frame) -> Value:
        raise NotImplementedError

    def block(self, body: Sequence[ast.stmt], frame: Frame) -> bool:
        raise NotImplementedError

    def assign(self, target: ast.expr, value: Value, frame: Frame) -> None:
        raise NotImplementedError

    def replace(self, where: ast.expr, value: Value, frame: Frame) -> None:
        raise NotImplementedError

    def attribute(self, owner: Value, name: str, node: ast.AST) -> Value:
        raise NotImplementedError

    def class_attribute(self, cls: Class, name: str, deep: int = 0) -> Value | None:
        raise NotImplementedError

    def item(self, owner: Value, key: Value, node: ast.AST) -> Value:
        raise NotImplementedError

    def call(
        self, function: Value, arguments: Sequence[Value], named: dict[str, Value], node: ast.AST
    ) -> Value:
        raise NotImplementedError

    def load(self, module: Module) -> None:
        raise NotImplementedError
