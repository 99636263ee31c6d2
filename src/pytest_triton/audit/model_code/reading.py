"""Follows values through a model's code as a reader would, in one scenario.

In a scenario it is known of which kind the instance is, and whether the libraries see a GPU. The
code is walked through from the top, then `__init__`, `initialize` and `execute`; where a
condition can't be known, both ways are taken. What a reader couldn't follow is UNKNOWN, and
nothing is concluded from it.
"""

from __future__ import annotations

import ast

from pytest_triton.audit.model_code.modules import Module, Modules
from pytest_triton.audit.model_code.report import (
    Event,
    Frame,
    Raised,
    Report,
    Scenario,
    TooMuch,
)
from pytest_triton.audit.model_code.statements import (
    Statements,
)
from pytest_triton.audit.model_code.values import (
    CPU,
    GIVEN,
    UNKNOWN,
    Const,
    Device,
    Function,
    Map,
    Obj,
    seq,
)


def read(modules: Modules, scenario: Scenario, config: Map) -> Report | None:
    """What the model does in a scenario; None if that is more than can be followed."""
    reader = Reader(modules, scenario, config)
    try:
        reader.run()
    except (TooMuch, RecursionError):
        return None
    return reader.report


class Reader(Statements):
    """The way through a model, from the top of its code to `execute`."""

    def run(self) -> None:
        main = self.modules.main
        self.load(main)
        cls = self.state.get((main.number, "TritonPythonModel"))
        try:
            model = self.call(cls or UNKNOWN, [], {}, main.source.tree or ast.Module([], []))
            for name, arguments in (("initialize", [self.args]), ("execute", [seq((), False)])):
                method = self.attribute(model, name, ast.Name(name, ast.Load()))
                if isinstance(method, Function):
                    self.call(method, arguments, {}, method.node)
        except Raised:
            self.report.ended = False
        self.report.events = [one for one in self.report.events if not self.is_moved_on(one)]
        for (number, name), value in list(self.state.items()):
            if name == "on" and value == CPU and number in self.made:
                module, node = self.made[number]
                fact = self.state.get((number, "fact"))
                if isinstance(fact, Obj) and fact.fact is not None:
                    self.report.stays.append((module, node, fact.fact))

    def is_moved_on(self, event: Event) -> bool:
        """Whether what a library put on a GPU of its choice was moved to the given one later."""
        on = self.state.get((event.owner, "on"))
        return event.device == Device("gpu") and isinstance(on, Device) and on.index is GIVEN

    def load(self, module: Module) -> None:
        """Run a module's code, once."""
        if module.number in self.frames:
            return
        frame = Frame(module.number, module, None)
        self.frames[module.number] = frame
        if module.source.tree is None:
            return
        self.state[module.number, "__name__"] = Const(module.name)
        outer, self.module = self.module, module
        try:
            self.block(module.source.tree.body, frame)
        except Raised:
            if module is self.modules.main:
                self.report.ended = False
        finally:
            self.module = outer
