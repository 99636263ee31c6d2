"""Follows values through a model's code as a reader would, in one scenario.

In a scenario it is known of which kind the instance is, and whether the libraries see a GPU. The
code is walked through from the top, then `__init__`, `initialize` and `execute`; where a
condition can't be known, both ways are taken. What a reader couldn't follow is UNKNOWN, and
nothing is concluded from it.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from pytest_triton.audit.model_code import devices, facts
from pytest_triton.audit.model_code.modules import Module, Modules
from pytest_triton.audit.model_code.source import Place
from pytest_triton.audit.model_code.values import (
    ALL,
    CONFIG_TEXT,
    CPU,
    GIVEN,
    MOST_ITEMS,
    SOME,
    UNKNOWN,
    Class,
    Const,
    Device,
    Function,
    Instance,
    LocalModule,
    Map,
    Mark,
    Member,
    Missing,
    Obj,
    Probe,
    Ref,
    Selector,
    Seq,
    Text,
    Value,
    depends_on_given,
    join,
    mapping,
    options_of,
    seq,
    text,
    text_of,
)

_BUDGET = 40_000
_DEEPEST_CALL = 12
_UNROLLED = 8
_HARMLESS = frozenset(
    (
        *("print", "str", "int", "float", "repr", "len", "isinstance", "format", "info", "debug"),
        *("warning", "error", "exception", "log", "log_info", "log_warn", "log_error", "get"),
        *("log_verbose", "startswith", "endswith", "append", "join", "dumps", "loads", "getenv"),
        *("setdefault", "pop", "split", "upper", "lower", "device", "autocast", "deepcopy", "copy"),
        *("get_input_config_by_name", "get_output_config_by_name", "hasattr", "getattr", "type"),
    )
)
_CHAINED = frozenset(
    (
        *(
            "eval",
            "train",
            "half",
            "float",
            "double",
            "bfloat16",
            "requires_grad_",
            "to_bettertransformer",
        ),
        *("merge_and_unload", "share_memory", "compile", "fuse", "prepare_model", "requires_grad"),
    )
)
_NO_GPU_ERROR = "GPU"
NO_GPUS = Seq((), True, 2)
"""An empty list of GPUs; other empty lists have the size 1."""


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
    """Something is put on a device. `certain`: whenever the model runs, as far as one can tell."""

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
    missing: list[tuple[Module, ast.AST, str]] = field(default_factory=list)
    stays: list[tuple[Module, ast.AST, facts.Place]] = field(default_factory=list)
    ended: bool = True  # without an exception
    refused: bool = False  # for want of a GPU, with an exception that is handled
    unknown_devices: bool = False
    hands_on: bool = False


@dataclass
class _Frame:
    number: int
    module: Module
    outer: int | None
    function: Function | None = None
    returns: list[tuple[Value, dict[Any, Value]]] = field(default_factory=list)
    loops: list[list[dict[Any, Value]]] = field(default_factory=list)
    globals: set[str] = field(default_factory=set)
    yields: bool = False


def read(modules: Modules, scenario: Scenario, config: Map) -> Report | None:
    """What the model does in a scenario; None if that is more than can be followed."""
    reader = _Reader(modules, scenario, config)
    try:
        reader.run()
    except (TooMuch, RecursionError):
        return None
    return reader.report


class _Reader:
    def __init__(self, modules: Modules, scenario: Scenario, config: Map) -> None:
        self.modules = modules
        self.scenario = scenario
        self.report = Report()
        self.config = config
        self.state: dict[Any, Value] = {}
        self.made: dict[int, tuple[Module, ast.AST]] = {}
        self.left = _BUDGET
        self.numbers = 0
        self.frames: dict[int, _Frame] = {}
        self.calls: list[Function] = []
        self.handlers: list[list[tuple[Raised, dict[Any, Value]]]] = []
        self.uncertain = 0
        self.guarded = 0
        self.module = modules.main
        self.args = mapping(
            [
                ("model_config", CONFIG_TEXT),
                ("model_instance_kind", Const(scenario.kind)),
                ("model_instance_device_id", GIVEN),
            ],
            complete=False,
        )

    # The way through the model

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
        frame = _Frame(module.number, module, None)
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

    def spend(self, cost: int = 1) -> None:
        self.left -= cost
        if self.left < 0:
            raise TooMuch

    def number(self) -> int:
        self.numbers += 1
        return -self.numbers

    # Statements. Each answers whether the next one is reached.

    def block(self, body: Sequence[ast.stmt], frame: _Frame) -> bool:
        return all(self.statement(one, frame) for one in body)

    def statement(self, node: ast.stmt, frame: _Frame) -> bool:
        self.spend()
        method: Callable[[Any, _Frame], bool | None] | None
        method = getattr(self, f"do_{_name_of(type(node))}", None)
        if method is None:
            return True
        return method(node, frame) is not False

    def do_expr(self, node: ast.Expr, frame: _Frame) -> None:
        self.value(node.value, frame)

    def do_assign(self, node: ast.Assign, frame: _Frame) -> None:
        value = self.value(node.value, frame)
        for target in node.targets:
            self.assign(target, value, frame)

    def do_ann_assign(self, node: ast.AnnAssign, frame: _Frame) -> None:
        if node.value is not None:
            self.assign(node.target, self.value(node.value, frame), frame)

    def do_aug_assign(self, node: ast.AugAssign, frame: _Frame) -> None:
        load = ast.copy_location(ast.BinOp(_loaded(node.target), node.op, node.value), node)
        self.assign(node.target, self.value(load, frame), frame)

    def do_delete(self, node: ast.Delete, frame: _Frame) -> None:
        for target in node.targets:
            if (
                _is_environment(self.value(_loaded(target.value), frame))
                if isinstance(target, ast.Subscript)
                else False
            ):
                self.state.pop(("visible", ""), None)

    def do_return(self, node: ast.Return, frame: _Frame) -> bool:
        value = self.value(node.value, frame) if node.value is not None else Const(None)
        frame.returns.append((value, self.state))
        return False

    def do_raise(self, node: ast.Raise, frame: _Frame) -> bool:
        names: tuple[str, ...] = ("Exception",)
        if node.exc is not None:
            what = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            self.value(node.exc, frame)
            names = (_last_name(what),)
        raise Raised(names, node)

    def do_assert(self, node: ast.Assert, frame: _Frame) -> None:
        truth, _ = self.truth(self.value(node.test, frame))
        if truth is False:
            raise Raised(("AssertionError",), node)

    def do_break(self, node: ast.Break, frame: _Frame) -> bool:
        if frame.loops:
            frame.loops[-1].append(self.state)
        return False

    do_continue = do_break

    def do_global(self, node: ast.Global, frame: _Frame) -> None:
        frame.globals.update(node.names)

    def do_function_def(self, node: ast.FunctionDef | ast.AsyncFunctionDef, frame: _Frame) -> None:
        self.state[frame.number, node.name] = self.decorated(
            node, Function(node, frame.module, frame.number), frame
        )

    do_async_function_def = do_function_def

    def decorated(self, node: Any, function: Function, frame: _Frame) -> Value:
        if not node.decorator_list:
            return function
        names = {_last_name(d.func if isinstance(d, ast.Call) else d) for d in node.decorator_list}
        if names & {"staticmethod", "classmethod", "property", "cached_property"}:
            kind: Any = {"staticmethod": "static", "classmethod": "class"}.get(
                next(iter(names & {"staticmethod", "classmethod"}), ""), "property"
            )
            return Function(function.node, function.module, function.frame, None, kind)
        for decorator in node.decorator_list:
            value = self.value(decorator, frame)
            if isinstance(value, Member) and value.name == "pipeline_def()":
                return Ref("nvidia.dali.pipeline_def()()")
            if isinstance(value, Ref) and value.name.endswith("pipeline_def"):
                return Ref("nvidia.dali.pipeline_def()()")
        return function  # a wrapper, which calls it

    def do_class_def(self, node: ast.ClassDef, frame: _Frame) -> None:
        bases = tuple(self.value(base, frame) for base in node.bases)
        cls = Class(node, frame.module, self.number(), bases)
        inner = _Frame(cls.frame, frame.module, frame.number)
        self.frames[cls.frame] = inner
        self.block(node.body, inner)
        self.state[frame.number, node.name] = cls

    def do_if(self, node: ast.If, frame: _Frame) -> bool:
        value = self.value(node.test, frame)
        truth, probed = self.truth(value)
        if truth is not None:
            if probed:
                self.decided(node)
            return self.block(node.body if truth else node.orelse, frame)
        guarded = depends_on_given(value)
        return self.either(
            [lambda: self.block(node.body, frame), lambda: self.block(node.orelse, frame)], guarded
        )

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

    def do_for(self, node: ast.For | ast.AsyncFor, frame: _Frame) -> bool:
        items = self.value(node.iter, frame)
        known = self.items_of(items)
        if known is not None and len(known) <= _UNROLLED:
            for item in known:
                self.assign(node.target, item, frame)
                if not self.loop_body(node.body, frame):
                    return self.block(node.orelse, frame) if frame.returns else True
            return self.block(node.orelse, frame)
        self.assign(node.target, UNKNOWN, frame)
        self.loop_body(node.body, frame)
        return self.block(node.orelse, frame)

    do_async_for = do_for

    def loop_body(self, body: Sequence[ast.stmt], frame: _Frame) -> bool:
        """Once through the body, which may not be run at all; whether it got to its end."""
        before = dict(self.state)
        self.spend(1 + len(before) // 16)
        frame.loops.append([])
        try:
            reached = self.block(body, frame)
        finally:
            left = frame.loops.pop()
        states = [*left, *([self.state] if reached else [])]
        if not states:
            self.state = before
            return False
        state = states[0]
        for other in states[1:]:
            state = self.joined(state, other)
        self.state = state
        return reached

    def do_while(self, node: ast.While, frame: _Frame) -> bool:
        truth, _ = self.truth(self.value(node.test, frame))
        if truth is False:
            return self.block(node.orelse, frame)
        self.loop_body(node.body, frame)
        return True

    def do_with(self, node: ast.With | ast.AsyncWith, frame: _Frame) -> bool:
        restored = []
        for item in node.items:
            value = self.value(item.context_expr, frame)
            if isinstance(value, Device) and value.kind == "gpu":
                value = Selector("cuda", value)
            if isinstance(value, Selector):
                key = ("current", value.scope)
                restored.append((key, self.state.get(key)))
                self.select(value)
            if item.optional_vars is not None:
                self.assign(item.optional_vars, value, frame)
        reached = self.block(node.body, frame)
        for key, old in reversed(restored):
            if old is None:
                self.state.pop(key, None)
            else:
                self.state[key] = old
        return reached

    do_async_with = do_with

    def do_try(self, node: ast.Try, frame: _Frame) -> bool:
        possible: list[tuple[Raised, dict[Any, Value]]] = []
        before = dict(self.state)
        self.spend(1 + len(before) // 16)
        reached, certain = False, None
        if node.handlers:
            self.handlers.append(possible)
        try:
            reached = self.block(node.body, frame)
        except Raised as error:
            certain = error
        finally:
            if node.handlers:
                self.handlers.pop()
        if certain is not None:
            handler = self.handler_for(certain, node.handlers, frame)
            if handler is None:
                self.block(node.finalbody, frame)
                raise certain
            if _NO_GPU_ERROR in certain.names:
                if _names_cpu(handler):
                    self.decided(handler)
                else:
                    self.report.refused = True
            if handler.name:
                self.state[frame.number, handler.name] = UNKNOWN
            reached = self.block(handler.body, frame)
        elif reached:
            reached = self.block(node.orelse, frame)
        for possibly, state in possible:
            handler = self.handler_for(possibly, node.handlers, frame)
            if handler is None:
                if self.handlers:
                    self.handlers[-1].append((possibly, state))
                continue
            after, was_reached = self.state, reached
            self.state = dict(state)
            self.uncertain += 1
            try:
                if handler.name:
                    self.state[frame.number, handler.name] = UNKNOWN
                if self.block(handler.body, frame):
                    self.state = self.joined(after, self.state) if was_reached else self.state
                    reached = True
                else:
                    self.state = after
            except Raised:
                self.state = after
            finally:
                self.uncertain -= 1
        if node.finalbody:
            return self.block(node.finalbody, frame) and reached
        return reached

    do_try_star = do_try

    def handler_for(
        self, error: Raised, handlers: Sequence[ast.ExceptHandler], frame: _Frame
    ) -> ast.ExceptHandler | None:
        for handler in handlers:
            if handler.type is None:
                return handler
            types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
            for one in types:
                name = _last_name(one)
                if name in ("Exception", "BaseException") or name in error.names:
                    return handler
                if _NO_GPU_ERROR in error.names and name not in _OTHER_ERRORS:
                    return handler
                if name == "LookupError" and "KeyError" in error.names:
                    return handler
        return None

    def do_match(self, node: Any, frame: _Frame) -> bool:
        subject = self.value(node.subject, frame)
        ways: list[Callable[[], bool]] = []
        for case in node.cases:
            if type(case.pattern).__name__ == "MatchValue":
                same = self.compared(ast.Eq(), subject, self.value(case.pattern.value, frame))
                if same == Const(True) and case.guard is None:
                    return self.block(case.body, frame)
                if same == Const(False):
                    continue
            elif case.guard is None and getattr(case.pattern, "pattern", 0) is None and not ways:
                return self.block(case.body, frame)
            ways.append(partial(self.block, case.body, frame))
        ways.append(lambda: True)
        return self.either(ways, depends_on_given(subject))

    def do_import(self, node: ast.Import, frame: _Frame) -> None:
        for alias in node.names:
            self.spend(20)
            first = alias.name.partition(".")[0]
            module = self.modules.find(alias.name if alias.asname else first, self.module, 0)
            value: Value = Ref(alias.name if alias.asname else first)
            if module is not None:
                self.load(module)
                value = LocalModule(module)
            self.assign_name(alias.asname or first, value, frame)
            self.imported(alias.name, node)

    def do_import_from(self, node: ast.ImportFrom, frame: _Frame) -> None:
        self.spend(20)
        module = self.modules.find(node.module or "", self.module, node.level)
        if module is not None:
            self.load(module)
        for alias in node.names:
            if alias.name == "*":
                if module is not None:
                    for (number, name), value in list(self.state.items()):
                        if number == module.number and not str(name).startswith("__"):
                            self.state[frame.number, name] = value
                continue
            inner = self.modules.find(
                f"{node.module}.{alias.name}" if node.module else alias.name,
                self.module,
                node.level,
            )
            if module is not None and (module.number, alias.name) in self.state:
                value = self.state[module.number, alias.name]
            elif inner is not None:
                self.load(inner)
                value = LocalModule(inner)
            elif module is not None or node.level:
                value = UNKNOWN
            else:
                value = Ref(f"{node.module}.{alias.name}")
            self.assign_name(alias.asname or alias.name, value, frame)
        if not node.level and module is None:
            self.imported(node.module or "", node)
            for alias in node.names:
                self.imported(f"{node.module}.{alias.name}", node)

    def imported(self, name: str, node: ast.AST) -> None:
        if name == "pycuda.autoinit":
            fact = facts.place(name)
            if fact is not None:
                self.put(node, fact, Device("gpu"), False)

    # Assignment

    def assign(self, target: ast.expr, value: Value, frame: _Frame) -> None:
        self.spend()
        if isinstance(target, ast.Name):
            self.assign_name(target.id, value, frame)
        elif isinstance(target, ast.Attribute):
            owner = self.value(target.value, frame)
            if isinstance(owner, Instance):
                self.state[owner.number, target.attr] = value
            elif isinstance(owner, Class):
                self.state[owner.frame, target.attr] = value
            elif isinstance(owner, Ref) and target.attr == "preferred_device":
                self.state["current", "torch"] = UNKNOWN
        elif isinstance(target, ast.Subscript):
            self.assign_item(target, value, frame)
        elif isinstance(target, (ast.Tuple, ast.List)):
            items = self.items_of(value)
            fits = items is not None and len(items) == len(target.elts)
            for number, one in enumerate(target.elts):
                inner = one.value if isinstance(one, ast.Starred) else one
                known = items[number] if fits and items is not None else UNKNOWN
                self.assign(inner, UNKNOWN if inner is not one else known, frame)
        elif isinstance(target, ast.Starred):
            self.assign(target.value, UNKNOWN, frame)

    def assign_name(self, name: str, value: Value, frame: _Frame) -> None:
        number = frame.module.number if name in frame.globals else frame.number
        self.state[number, name] = value

    def assign_item(self, target: ast.Subscript, value: Value, frame: _Frame) -> None:
        owner = self.value(target.value, frame)
        key = self.value(target.slice, frame)
        if _is_environment(owner):
            if key == Const("CUDA_VISIBLE_DEVICES"):
                self.set_visible(target, value)
            return
        if isinstance(owner, Map):
            self.spend(1 + len(owner.items) // 4)
            known = isinstance(key, Const) and isinstance(key.value, (str, int))
            new = owner.with_item(key.value, value) if known else mapping((), False)  # type: ignore[union-attr, arg-type]
            self.replace(target.value, new, frame)
        elif isinstance(owner, Seq):
            self.replace(target.value, seq((), False), frame)

    def replace(self, where: ast.expr, value: Value, frame: _Frame) -> None:
        """A list or dict was changed in place."""
        if isinstance(where, ast.Name):
            for number in self.scopes(frame):
                if (number, where.id) in self.state:
                    self.state[number, where.id] = value
                    return
        elif isinstance(where, ast.Attribute):
            self.assign(where, value, frame)

    def set_visible(self, node: ast.AST, value: Value) -> None:
        self.report.visible.append((self.module, node, value))
        self.state["visible", ""] = value

    # Expressions

    def value(self, node: ast.expr, frame: _Frame) -> Value:
        self.spend()
        method = getattr(self, f"of_{_name_of(type(node))}", None)
        if method is not None:
            result: Value = method(node, frame)
            return result
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child, frame)
        return UNKNOWN

    def of_constant(self, node: ast.Constant, frame: _Frame) -> Value:
        if node.value is None or isinstance(node.value, (str, int, float, bool)):
            return Const(node.value)
        return UNKNOWN

    def of_name(self, node: ast.Name, frame: _Frame) -> Value:
        for number in self.scopes(frame):
            found = self.state.get((number, node.id))
            if found is not None:
                return found
        return Ref(f"builtins.{node.id}") if hasattr(builtins, node.id) else UNKNOWN

    def scopes(self, frame: _Frame) -> Iterator[int]:
        number: int | None = frame.number
        while number is not None:
            here = self.frames[number]
            yield number
            number = here.outer
        if frame.module.number != frame.number:
            yield frame.module.number

    def of_attribute(self, node: ast.Attribute, frame: _Frame) -> Value:
        return self.attribute(self.value(node.value, frame), node.attr, node)

    def attribute(self, owner: Value, name: str, node: ast.AST) -> Value:
        if isinstance(owner, Ref):
            return Ref(f"{owner.name}.{name}")
        if isinstance(owner, LocalModule):
            found = self.state.get((owner.module.number, name))
            if found is None:
                inner = self.modules.find(f"{owner.module.dotted}.{name}", self.module, 0)
                if inner is not None:
                    self.load(inner)
                    return LocalModule(inner)
            return found or UNKNOWN
        if isinstance(owner, Instance):
            found = self.state.get((owner.number, name))
            if found is not None:
                return found
            found = self.class_attribute(owner.cls, name)
            if isinstance(found, Function):
                bound = Function(found.node, found.module, found.frame, owner, found.kind)
                if found.kind == "property":
                    return self.call(
                        Function(found.node, found.module, found.frame, owner), [], {}, node
                    )
                return bound
            if found is not None:
                return found
            return Member(owner, name)
        if isinstance(owner, Class):
            return self.class_attribute(owner, name) or UNKNOWN
        if isinstance(owner, Device):
            if name == "type":
                return Const("cpu" if owner.kind == "cpu" else "cuda")
            if name == "index" and isinstance(owner.index, (int, Mark)):
                return owner.index if isinstance(owner.index, Mark) else Const(owner.index)
            return Member(UNKNOWN, name)
        if isinstance(owner, Obj) and name == "device":
            return self.state.get((owner.number, "on"), UNKNOWN)
        return Member(owner, name)

    def class_attribute(self, cls: Class, name: str, deep: int = 0) -> Value | None:
        found = self.state.get((cls.frame, name))
        if found is not None or deep > _DEEPEST_CALL:
            return found
        for base in cls.bases:
            if isinstance(base, Class):
                found = self.class_attribute(base, name, deep + 1)
                if found is not None:
                    return found
        return None

    def of_subscript(self, node: ast.Subscript, frame: _Frame) -> Value:
        owner = self.value(node.value, frame)
        key = self.value(node.slice, frame)
        return self.item(owner, key, node)

    def item(self, owner: Value, key: Value, node: ast.AST) -> Value:
        if isinstance(owner, Missing):
            self.miss(node, owner.key)
            return UNKNOWN
        if isinstance(key, Probe):
            self.decided(node)
            if isinstance(owner, Map) and owner.get(key.truth) is not None:
                return owner.get(key.truth) or UNKNOWN
            key = Const(int(key.truth))
        if isinstance(owner, Map) and isinstance(key, Const):
            found = owner.get(key.value)
            if found is not None:
                return found
            if owner.complete and owner.what == "parameters":
                self.miss(node, str(key.value))
            return UNKNOWN
        if owner == NO_GPUS and isinstance(owner, Seq) and owner.size == NO_GPUS.size:
            raise Raised((_NO_GPU_ERROR, "IndexError"), node)
        if isinstance(owner, Seq) and isinstance(key, Const) and type(key.value) is int:
            if owner.exact and -len(owner.items) <= key.value < len(owner.items):
                return owner.items[key.value]
            return UNKNOWN
        if isinstance(owner, Member) and owner.name == "gpus()":
            # One of the list of GPUs.
            if key is GIVEN:
                return Device("gpu", GIVEN)
            if isinstance(key, Const) and type(key.value) is int:
                return Device("gpu", key.value)
            return Device("gpu", UNKNOWN)
        if isinstance(owner, Member) and owner.name == "devices()":
            if key is GIVEN:
                return Device("gpu", GIVEN) if self.sees_gpu() else CPU
            if isinstance(key, Const) and type(key.value) is int:
                return Device("gpu", key.value) if self.sees_gpu() else CPU
            return UNKNOWN
        if isinstance(owner, Ref) and owner.name.endswith("cuda.gpus"):
            return Selector("cuda", devices.indexed(key))
        return UNKNOWN

    def miss(self, node: ast.AST, key: str) -> None:
        """A parameter is read that the config doesn't have."""
        if self.handlers:
            raise Raised(("KeyError", "TypeError"), node)
        if not self.uncertain:
            self.report.missing.append((self.module, node, key))

    def of_joined_str(self, node: ast.JoinedStr, frame: _Frame) -> Value:
        parts: list[str | Mark] = []
        for one in node.values[:MOST_ITEMS]:
            if isinstance(one, ast.FormattedValue):
                value = self.value(one.value, frame)
                plain = one.format_spec is None
                parts += text_of(value) if plain or isinstance(value, Mark) else (UNKNOWN,)
            else:
                parts += text_of(self.value(one, frame))
        return text(tuple(parts)) if len(node.values) <= MOST_ITEMS else UNKNOWN

    def of_bin_op(self, node: ast.BinOp, frame: _Frame) -> Value:
        left, right = self.value(node.left, frame), self.value(node.right, frame)
        if isinstance(node.op, ast.Add):
            if isinstance(left, Seq) and isinstance(right, Seq):
                return seq((*left.items, *right.items), left.exact and right.exact)
            if _is_text(left) or _is_text(right):
                return text((*text_of(left), *text_of(right)))
        if isinstance(node.op, ast.Mod) and isinstance(left, Const) and _is_text(left):
            return _percent(str(left.value), right)
        if isinstance(left, Const) and isinstance(right, Const):
            return _arithmetic(node.op, left.value, right.value)
        if isinstance(node.op, ast.BitOr) and isinstance(left, Map) and isinstance(right, Map):
            return mapping((*left.items, *right.items), left.complete and right.complete)
        if depends_on_given(left) or depends_on_given(right):
            return Member(GIVEN, "derived")
        return UNKNOWN

    def of_unary_op(self, node: ast.UnaryOp, frame: _Frame) -> Value:
        value = self.value(node.operand, frame)
        if isinstance(node.op, ast.Not):
            truth, probed = self.truth(value)
            if truth is None:
                return Member(GIVEN, "derived") if depends_on_given(value) else UNKNOWN
            return Probe(not truth) if probed else Const(not truth)
        known = value.value if isinstance(value, Const) else None
        if isinstance(node.op, ast.USub) and isinstance(known, (int, float)):
            return Const(-known)
        return UNKNOWN

    def of_bool_op(self, node: ast.BoolOp, frame: _Frame) -> Value:
        is_and = isinstance(node.op, ast.And)
        possible: list[Value] = []
        was_probed = tainted = False
        for one in node.values:
            value = self.value(one, frame)
            truth, probed = self.truth(value)
            was_probed, tainted = was_probed or probed, tainted or depends_on_given(value)
            decides = truth is not None and truth != is_and
            if decides and (was_probed or not possible) and _is_bool(value):
                return Probe(bool(truth)) if was_probed else Const(bool(truth))
            if truth is None or decides or one is node.values[-1]:
                possible.append(value)
            if decides:
                break
        result = possible[0]
        for other in possible[1:]:
            result = join(result, other)
        if was_probed and isinstance(result, Const) and isinstance(result.value, bool):
            return Probe(result.value)
        return Member(GIVEN, "derived") if result is UNKNOWN and tainted else result

    def of_if_exp(self, node: ast.IfExp, frame: _Frame) -> Value:
        test = self.value(node.test, frame)
        truth, probed = self.truth(test)
        if truth is not None:
            if probed:
                self.decided(node)
            return self.value(node.body if truth else node.orelse, frame)
        results: list[Value] = []

        def way(branch: ast.expr) -> Callable[[], bool]:
            def take() -> bool:
                results.append(self.value(branch, frame))
                return True

            return take

        self.either([way(node.body), way(node.orelse)], depends_on_given(test))
        if depends_on_given(test):
            return Member(GIVEN, "derived")
        return join(results[0], results[-1]) if results else UNKNOWN

    def of_named_expr(self, node: ast.NamedExpr, frame: _Frame) -> Value:
        value = self.value(node.value, frame)
        self.assign(node.target, value, frame)
        return value

    def of_compare(self, node: ast.Compare, frame: _Frame) -> Value:
        left = self.value(node.left, frame)
        results: list[Value] = []
        for op, one in zip(node.ops, node.comparators, strict=True):
            right = self.value(one, frame)
            results.append(self.compared(op, left, right))
            left = right
        if len(results) == 1:
            return results[0]
        truths = [self.truth(one) for one in results]
        if any(truth is False for truth, _ in truths):
            return Const(False)
        return Const(True) if all(truth for truth, _ in truths) else UNKNOWN

    def compared(self, op: ast.cmpop, left: Value, right: Value) -> Value:
        if isinstance(left, Missing):
            left = Const(None)
        if left is SOME or right is SOME:
            return _compared_count(op, left, right)
        if isinstance(op, (ast.In, ast.NotIn)):
            found: bool | None = None
            probed = False
            if isinstance(left, Const) and isinstance(right, Seq) and right.exact:
                found = left in right.items
                probed = any(item == Const("CPUExecutionProvider") for item in right.items)
            elif isinstance(left, Const) and isinstance(right, Map):
                found = right.get(left.value) is not None
                if not found and not right.complete:
                    found = None
            elif isinstance(left, Const) and isinstance(right, Const):
                if isinstance(left.value, str) and isinstance(right.value, str):
                    found = left.value in right.value
            elif isinstance(left, Const) and isinstance(right, Text):
                known = [part for part in right.parts if isinstance(part, str)]
                if any(str(left.value) in part for part in known):
                    found = True
            if found is not None:
                truth = found == isinstance(op, ast.In)
                return Probe(truth) if probed else Const(truth)
        elif isinstance(left, Device) or isinstance(right, Device):
            one, other = devices.parsed(left), devices.parsed(right)
            if isinstance(one, Device) and isinstance(other, Device) and one.kind != other.kind:
                return Const(isinstance(op, (ast.NotEq, ast.IsNot)))
            if one == other == CPU and isinstance(op, ast.Eq):
                return Const(True)
        elif isinstance(left, Const) and isinstance(right, Const):
            return _compared(op, left.value, right.value)
        elif isinstance(left, Probe) and isinstance(right, Const):
            result = _compared(op, left.truth, right.value)
            return Probe(bool(result.value)) if isinstance(result, Const) else UNKNOWN
        elif (
            right == Const(None)
            and isinstance(op, (ast.Is, ast.IsNot, ast.Eq, ast.NotEq))
            and (isinstance(left, _NEVER_NONE) or left is GIVEN)
        ):
            return Const(isinstance(op, (ast.IsNot, ast.NotEq)))
        if depends_on_given(left) or depends_on_given(right):
            return Member(GIVEN, "derived")
        return UNKNOWN

    def of_list(self, node: ast.List | ast.Tuple | ast.Set, frame: _Frame) -> Value:
        items: list[Value] = []
        exact = True
        for one in node.elts:
            if isinstance(one, ast.Starred):
                inner = self.items_of(self.value(one.value, frame))
                exact = exact and inner is not None
                items += inner or ()
            else:
                items.append(self.value(one, frame))
        return seq(items, exact)

    of_tuple = of_set = of_list

    def of_dict(self, node: ast.Dict, frame: _Frame) -> Value:
        result = mapping(())
        complete = True
        for key, one in zip(node.keys, node.values, strict=True):
            value = self.value(one, frame)
            if key is None:
                if isinstance(value, Map):
                    complete = complete and value.complete
                    for name, inner in value.items:
                        result = result.with_item(name, inner)
                else:
                    complete = False
                continue
            name_value = self.value(key, frame)
            if isinstance(name_value, Const) and isinstance(name_value.value, (str, int)):
                self.spend(1 + len(result.items) // 4)
                result = result.with_item(name_value.value, value)
            else:
                complete = False
        return mapping(result.items, complete and result.complete)

    def of_list_comp(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp, frame: _Frame
    ) -> Value:
        items: list[Value] = []
        exact = self.comprehended(
            node.generators, frame, lambda: items.append(self.value(node.elt, frame))
        )
        return seq(items, exact)

    of_set_comp = of_generator_exp = of_list_comp

    def of_dict_comp(self, node: ast.DictComp, frame: _Frame) -> Value:
        items: list[tuple[str | int, Value]] = []
        known = [True]

        def one() -> None:
            key, value = self.value(node.key, frame), self.value(node.value, frame)
            if isinstance(key, Const) and isinstance(key.value, (str, int)):
                items.append((key.value, value))
            else:
                known[0] = False

        exact = self.comprehended(node.generators, frame, one)
        return mapping(items, exact and known[0])

    def comprehended(
        self, generators: Sequence[ast.comprehension], frame: _Frame, one: Callable[[], None]
    ) -> bool:
        """Whether exactly the items were made that there are."""
        first, *others = generators
        items = self.items_of(self.value(first.iter, frame))
        exact = items is not None
        for item in items if items is not None else (UNKNOWN,):
            self.assign(first.target, item, frame)
            truth: bool | None = True
            for test in first.ifs:
                truth = truth and self.truth(self.value(test, frame))[0]
            if truth is False:
                continue
            exact = exact and bool(truth)
            if others:
                exact = self.comprehended(others, frame, one) and exact
            else:
                one()
        return exact

    def items_of(self, value: Value) -> tuple[Value, ...] | None:
        if isinstance(value, Seq) and value.exact:
            return value.items
        if isinstance(value, Map) and value.complete:
            return tuple(Const(name) for name, _ in value.items)
        return None

    def of_lambda(self, node: ast.Lambda, frame: _Frame) -> Value:
        return Function(node, frame.module, frame.number)

    def of_yield(self, node: ast.Yield | ast.YieldFrom, frame: _Frame) -> Value:
        if node.value is not None:
            self.value(node.value, frame)
        frame.yields = True
        return UNKNOWN

    of_yield_from = of_yield

    def of_await(self, node: ast.Await, frame: _Frame) -> Value:
        return self.value(node.value, frame)

    def of_starred(self, node: ast.Starred, frame: _Frame) -> Value:
        return self.value(node.value, frame)

    # Truth

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
            self.report.decisions.append(Decision(self.module, node, _names_cpu(node)))

    # Calls

    def of_call(self, node: ast.Call, frame: _Frame) -> Value:
        function = self.value(node.func, frame)
        arguments: list[Value] = []
        known = True
        for one in node.args:
            value = self.value(one, frame)
            if isinstance(one, ast.Starred):
                items = self.items_of(value)
                known = known and items is not None
                arguments += items or ()
            else:
                arguments.append(value)
        named: dict[str, Value] = {}
        for keyword in node.keywords:
            value = self.value(keyword.value, frame)
            if keyword.arg is not None:
                named[keyword.arg] = value
            elif isinstance(value, Map):
                named |= {str(name): inner for name, inner in value.items}
                known = known and value.complete
            else:
                known = False
        if not known:
            named["**"] = UNKNOWN
        changed = self.changed_in_place(node, function, arguments, frame)
        if changed is not None:
            return changed
        return self.call(function, arguments, named, node)

    def changed_in_place(
        self, node: ast.Call, function: Value, arguments: Sequence[Value], frame: _Frame
    ) -> Value | None:
        """A method of a list or dict that changes it."""
        if not isinstance(node.func, ast.Attribute) or not isinstance(function, Member):
            return None
        owner, name, where = function.of, function.name, node.func.value
        if _is_environment(owner):
            first = arguments[0] if arguments else UNKNOWN
            if (
                name in ("setdefault", "update")
                and len(arguments) == 2
                and (first == Const("CUDA_VISIBLE_DEVICES"))
            ):
                self.set_visible(node, UNKNOWN)
            if name == "update" and isinstance(first, Map):
                value = first.get("CUDA_VISIBLE_DEVICES")
                if value is not None:
                    self.set_visible(node, value)
            return None
        if isinstance(owner, Seq):
            self.spend(1 + len(owner.items) // 4)
            if name == "append" and len(arguments) == 1:
                self.replace(where, seq((*owner.items, arguments[0]), owner.exact), frame)
            elif name == "insert" and len(arguments) == 2 and arguments[0] == Const(0):
                self.replace(where, seq((arguments[1], *owner.items), owner.exact), frame)
            elif name == "extend" and len(arguments) == 1:
                more = self.items_of(arguments[0])
                exact = owner.exact and more is not None
                self.replace(where, seq((*owner.items, *(more or ())), exact), frame)
            elif name in ("insert", "remove", "pop", "sort", "reverse", "clear"):
                self.replace(where, seq((), False), frame)
            else:
                return None
            return UNKNOWN
        if isinstance(owner, Map) and name == "update":
            more_items = arguments[0] if len(arguments) == 1 else None
            if isinstance(more_items, Map):
                new = owner
                for name_, value in more_items.items:
                    new = new.with_item(name_, value)
                self.replace(where, new, frame)
            else:
                self.replace(where, mapping((), False), frame)
            return UNKNOWN
        if isinstance(owner, Map) and name in ("pop", "clear", "popitem", "setdefault"):
            key = arguments[0] if arguments else UNKNOWN
            found = owner.get(key.value) if isinstance(key, Const) else None
            if name == "pop" and isinstance(key, Const):
                if found is None and owner.complete:
                    if len(arguments) > 1:
                        return arguments[1]
                    return self.item(owner, key, node)
                kept = [item for item in owner.items if item[0] != key.value]
                self.replace(where, mapping(kept, owner.complete, owner.what), frame)
                return found if found is not None else UNKNOWN
            self.replace(where, mapping((), False), frame)
            return UNKNOWN
        return None

    def call(
        self, function: Value, arguments: Sequence[Value], named: dict[str, Value], node: ast.AST
    ) -> Value:
        if isinstance(function, Function):
            return self.inline(function, arguments, named, node)
        if isinstance(function, Class):
            return self.instantiate(function, arguments, named, node)
        if isinstance(function, Ref):
            return self.library(function.name, arguments, named, node)
        if isinstance(function, Member):
            return self.method(function, arguments, named, node)
        if isinstance(function, Obj):
            return self.method(Member(function, ""), arguments, named, node)
        if isinstance(function, Instance):
            for name in ("__call__", "forward"):
                found = self.attribute(function, name, node)
                if isinstance(found, Function):
                    return self.inline(found, arguments, named, node)
            return UNKNOWN
        self.handed_on("", arguments, named, node)
        return UNKNOWN

    def inline(
        self, function: Function, arguments: Sequence[Value], named: dict[str, Value], node: ast.AST
    ) -> Value:
        self.spend(4)
        if len(self.calls) >= _DEEPEST_CALL or sum(f.node is function.node for f in self.calls) > 1:
            return UNKNOWN
        frame = _Frame(self.number(), function.module, function.frame, function)
        self.frames[frame.number] = frame
        definition = function.node
        values = list(arguments)
        if function.bound is not None and function.kind in ("", "property"):
            values.insert(0, function.bound)
        elif function.kind == "class":
            values.insert(0, UNKNOWN if function.bound is None else function.bound.cls)
        self.bind(definition.args, values, named, frame)
        outer_module, self.module = self.module, function.module
        self.calls.append(function)
        try:
            if isinstance(definition, ast.Lambda):
                return self.value(definition.body, frame)
            if self.block(definition.body, frame):
                frame.returns.append((Const(None), self.state))
        finally:
            self.calls.pop()
            self.module = outer_module
        if not frame.returns:
            return UNKNOWN
        result, state = frame.returns[0]
        for value, other in frame.returns[1:]:
            result = join(result, value)
            if other is not state:
                state = self.joined(state, other)
        self.state = state
        return UNKNOWN if frame.yields else result

    def bind(
        self, spec: ast.arguments, values: list[Value], named: dict[str, Value], frame: _Frame
    ) -> None:
        outer = self.frames.get(frame.outer) if frame.outer is not None else None
        names = [one.arg for one in (*spec.posonlyargs, *spec.args)]
        defaults = dict(zip(reversed(names), reversed(spec.defaults), strict=False))
        for one, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True):
            names.append(one.arg)
            if default is not None:
                defaults[one.arg] = default
        positional = len(spec.posonlyargs) + len(spec.args)
        complete = "**" not in named
        for number, name in enumerate(names):
            if name in named:
                value = named[name]
            elif number < min(positional, len(values)):
                value = values[number]
            elif name in defaults and complete:
                value = self.value(defaults[name], outer or frame)
            else:
                value = UNKNOWN
            self.state[frame.number, name] = value
        if spec.vararg is not None:
            self.state[frame.number, spec.vararg.arg] = seq(values[positional:], complete)
        if spec.kwarg is not None:
            rest = [item for item in named.items() if item[0] not in names and item[0] != "**"]
            self.state[frame.number, spec.kwarg.arg] = mapping(rest, complete)

    def instantiate(
        self, cls: Class, arguments: Sequence[Value], named: dict[str, Value], node: ast.AST
    ) -> Value:
        instance = Instance(self.number(), cls)
        if self.is_torch_module(cls):
            self.made[instance.number] = (self.module, node)
            self.state[instance.number, "fact"] = Obj(instance.number, facts.MODULE)
            self.state[instance.number, "on"] = CPU
        method = self.class_attribute(cls, "__init__")
        if isinstance(method, Function):
            bound = Function(method.node, method.module, method.frame, instance)
            self.inline(bound, arguments, named, node)
        else:
            for name, value in named.items():  # a dataclass, perhaps
                if name != "**":
                    self.state[instance.number, name] = value
        return instance

    def is_torch_module(self, cls: Class, deep: int = 0) -> bool:
        return deep < _DEEPEST_CALL and any(
            (isinstance(base, Ref) and base.name in ("torch.nn.Module", "torch.jit.ScriptModule"))
            or (isinstance(base, Class) and self.is_torch_module(base, deep + 1))
            for base in cls.bases
        )

    # What libraries do

    def sees_gpu(self) -> bool:
        visible = self.state.get(("visible", ""))
        return self.scenario.sees_gpu and visible not in (Const(""), Const("-1"))

    def library(
        self, name: str, arguments: Sequence[Value], named: dict[str, Value], node: ast.AST
    ) -> Value:
        library, _, rest = name.partition(".")
        last = name.rpartition(".")[2]
        if library == "builtins":
            return self.builtin(rest, arguments, named, node)
        if name in ("json.loads",) and arguments and arguments[0] is CONFIG_TEXT:
            return self.config
        if library == "os":
            return self.of_os(name, arguments, node)
        if name in ("sys.exit", "os._exit"):
            raise Raised(("SystemExit",), node)
        if library == "copy" and arguments:
            return arguments[0]
        if library == "functools" and last == "partial":
            return UNKNOWN
        made = devices.built(name, arguments, named)
        if made is not None:
            return made
        ask = facts.ask(name)
        if ask is not None:
            return self.asked(ask, arguments, node)
        select = facts.select(name)
        if select is not None:
            value = devices.argument(select.argument, arguments, named)
            device = self.selected(value, select)
            if select.only_with:
                return Selector(select.scope, device)
            if last == "update" and not (arguments and arguments[0] == Const("jax_default_device")):
                self.state["current", select.scope] = UNKNOWN
                return UNKNOWN
            self.select(Selector(select.scope, device))
            return Selector(select.scope, device)
        fact = facts.place(name)
        if fact is not None and not facts.is_no_model(name):
            return self.placed(fact, arguments, named, node)
        if last.endswith("Config") or library in ("json", "logging"):
            return UNKNOWN
        if name.endswith("pipeline_def"):
            return Member(UNKNOWN, "pipeline_def()")
        self.handed_on(last, arguments, named, node)
        return Obj(self.number()) if last[:1].isupper() else UNKNOWN

    def selected(self, value: Value | None, select: facts.Select) -> Device | None:
        if value is None:
            return None
        if isinstance(value, Seq) and value.exact and not value.items:
            return CPU  # no GPU is visible
        if isinstance(value, Seq) and len(value.items) == 1:
            value = value.items[0]
        parsed = devices.parsed(value, select.form)
        if isinstance(parsed, Device):
            return parsed
        return Device("gpu", GIVEN if depends_on_given(value) else UNKNOWN)

    def select(self, selector: Selector) -> None:
        device = selector.device
        key = ("current", selector.scope)
        if device is None:
            self.state[key] = UNKNOWN
        elif device.kind == "cpu":
            self.state[key] = CPU
        elif isinstance(device.index, int):
            self.state[key] = Const(device.index)
        elif device.index is not None:
            self.state[key] = device.index
        if (
            device is not None
            and device.kind == "gpu"
            and not self.sees_gpu()
            and selector.scope in ("cuda", "jax")
        ):
            raise Raised((_NO_GPU_ERROR, "RuntimeError"), ast.Pass())

    def asked(self, ask: facts.Ask, arguments: Sequence[Value], node: ast.AST) -> Value:
        sees = self.sees_gpu()
        if ask.answer == "bool":
            return Probe(sees)
        if ask.answer == "count":
            return SOME if sees else Probe(False)
        if ask.answer == "providers":
            both = [Const("CUDAExecutionProvider"), Const("CPUExecutionProvider")]
            return seq(both if sees else both[1:])
        if ask.answer == "device":
            return Device("gpu") if sees else Const(None)
        if ask.answer == "gpus":
            wants = arguments[0] if arguments else UNKNOWN
            if wants in (Const("CPU"), Const("cpu")):
                return UNKNOWN
            return Member(UNKNOWN, "gpus()") if sees else NO_GPUS
        if ask.answer == "devices":
            wants = arguments[0] if arguments else Const(None)
            if isinstance(wants, Const) and wants.value in ("gpu", "cuda"):
                if not sees:
                    raise Raised((_NO_GPU_ERROR, "RuntimeError"), node)
                return Member(UNKNOWN, "gpus()")
            if wants == Const(None):
                return Member(UNKNOWN, "devices()")
            return UNKNOWN
        return Member(UNKNOWN, "name()")

    def of_os(self, name: str, arguments: Sequence[Value], node: ast.AST) -> Value:
        first = arguments[0] if arguments else UNKNOWN
        if name == "os.putenv" and first == Const("CUDA_VISIBLE_DEVICES") and len(arguments) > 1:
            self.set_visible(node, arguments[1])
        if name in ("os.environ.update",) and isinstance(first, Map):
            value = first.get("CUDA_VISIBLE_DEVICES")
            if value is not None:
                self.set_visible(node, value)
        if name == "os.environ.setdefault" and first == Const("CUDA_VISIBLE_DEVICES"):
            self.set_visible(node, UNKNOWN)
        if name == "os._exit":
            raise Raised(("SystemExit",), node)
        return UNKNOWN

    def builtin(
        self, name: str, arguments: Sequence[Value], named: dict[str, Value], node: ast.AST
    ) -> Value:
        first = arguments[0] if arguments else UNKNOWN
        if name in ("exit", "quit"):
            raise Raised(("SystemExit",), node)
        if name == "int":
            if first is GIVEN or first is SOME:
                return first
            if isinstance(first, Const) and isinstance(first.value, (str, int, float)):
                try:
                    return Const(int(first.value))
                except (ValueError, OverflowError):
                    return UNKNOWN
            return Member(GIVEN, "derived") if depends_on_given(first) else UNKNOWN
        if name == "str":
            return first if first is GIVEN else text(text_of(first)) if arguments else Const("")
        if name == "bool":
            truth, probed = self.truth(first)
            return UNKNOWN if truth is None else Probe(truth) if probed else Const(truth)
        if name == "len":
            if isinstance(first, Member) and first.name == "gpus()":
                return SOME
            if isinstance(first, Seq) and first.exact:
                count = len(first.items)
                return Probe(False) if first.size == NO_GPUS.size and not count else Const(count)
            if isinstance(first, Map) and first.complete:
                return Const(len(first.items))
            return UNKNOWN
        if name in ("list", "tuple", "sorted", "set") and isinstance(first, Seq):
            return first
        if name == "dict":
            if isinstance(first, Map) or not arguments:
                result = first if isinstance(first, Map) else mapping(())
                for key, value in named.items():
                    result = result.with_item(key, value)
                return result
            items = self.items_of(first)
            pairs = [self.items_of(item) for item in items or ()]
            if items is not None and all(p and len(p) == 2 for p in pairs):
                known = [
                    (p[0].value, p[1])
                    for p in pairs
                    if p and isinstance(p[0], Const) and isinstance(p[0].value, (str, int))
                ]
                return mapping(known, len(known) == len(pairs))
            return mapping((), False)
        if name == "getattr" and len(arguments) > 1 and isinstance(arguments[1], Const):
            return self.attribute(first, str(arguments[1].value), node)
        if name == "super":
            return UNKNOWN
        if name in ("min", "max", "abs", "any", "all", "sum", "range", "enumerate", "zip"):
            if any(depends_on_given(one) for one in arguments):
                return Member(GIVEN, "derived")
            return UNKNOWN
        self.handed_on(name, arguments, named, node)
        return UNKNOWN

    def method(
        self, member: Member, arguments: Sequence[Value], named: dict[str, Value], node: ast.AST
    ) -> Value:
        owner, name = member.of, member.name
        if isinstance(owner, Map):
            return self.of_map(owner, name, arguments, node)
        if isinstance(owner, Missing):
            if name == "get":
                self.miss(node, owner.key)
            return UNKNOWN
        if isinstance(owner, (Const, Text)) or owner is GIVEN:
            return self.of_text(owner, name, arguments, named)
        if isinstance(owner, Selector) and name in ("use", "make_context", "__enter__"):
            self.select(owner)
            return owner
        if isinstance(owner, Obj) and owner.fact is not None and name in owner.fact.later:
            if self.state.get((owner.number, "on")) is None:
                found = devices.argument(owner.fact.device, arguments, named)
                if found is not None or "**" not in named:
                    self.placed(owner.fact, [], {**named}, node, first=False)
            return UNKNOWN
        if isinstance(owner, Obj) and name == "get_providers":
            on = self.state.get((owner.number, "on"))
            if isinstance(on, Device):
                names = ["CUDAExecutionProvider"] if on.kind != "cpu" else []
                return seq([Const(one) for one in (*names, "CPUExecutionProvider")])
            return UNKNOWN
        fact = facts.METHODS.get(name)
        if fact is not None and not isinstance(owner, (Seq, Probe)):
            return self.moved(fact, owner, arguments, named, node)
        if isinstance(owner, Obj):
            if name in _CHAINED:
                return owner
            if owner.fact is not None and owner.fact.call == "Accelerator" and name == "prepare":
                return UNKNOWN
        self.handed_on(name, arguments, named, node)
        return UNKNOWN

    def of_map(self, owner: Map, name: str, arguments: Sequence[Value], node: ast.AST) -> Value:
        first = arguments[0] if arguments else UNKNOWN
        if name == "get" and isinstance(first, Const):
            found = owner.get(first.value)
            if found is not None:
                return found
            if not owner.complete:
                return UNKNOWN
            if len(arguments) > 1:
                return arguments[1]
            return Missing(str(first.value)) if owner.what == "parameters" else Const(None)
        if name == "items" and owner.complete:
            return seq([seq((Const(key), value)) for key, value in owner.items])
        if name == "values" and owner.complete:
            return seq([value for _, value in owner.items])
        if name == "keys" and owner.complete:
            return seq([Const(key) for key, _ in owner.items])
        if name == "copy":
            return owner
        return UNKNOWN

    def of_text(
        self, owner: Value, name: str, arguments: Sequence[Value], named: dict[str, Value]
    ) -> Value:
        if name == "format" and isinstance(owner, Const) and isinstance(owner.value, str):
            return _formatted(owner.value, arguments, named)
        if owner is GIVEN:
            return GIVEN if name in ("strip", "lower", "upper") else Member(GIVEN, "derived")
        if isinstance(owner, Const) and isinstance(owner.value, str):
            known = [one.value for one in arguments if isinstance(one, Const)]
            if len(known) == len(arguments) and all(isinstance(one, str) for one in known):
                return _text_method(owner.value, name, [str(one) for one in known])
        if isinstance(owner, Text) and isinstance(owner.parts[0], str) and name == "startswith":
            first = arguments[0] if arguments else UNKNOWN
            if isinstance(first, Const) and owner.parts[0].startswith(str(first.value)):
                return Const(True)
        return Member(GIVEN, "derived") if depends_on_given(owner) else UNKNOWN

    def moved(
        self,
        fact: facts.Place,
        owner: Value,
        arguments: Sequence[Value],
        named: dict[str, Value],
        node: ast.AST,
    ) -> Value:
        value = devices.argument(fact.device, arguments, named)
        if fact.name == "to" and (value is None or not devices.is_device(value)):
            if isinstance(owner, (Obj, Instance)):
                for one in (*arguments, *named.values()):
                    if one is UNKNOWN or isinstance(one, Member):
                        self.state[owner.number, "on"] = UNKNOWN
                        self.report.unknown_devices = True
                return owner
            if value is UNKNOWN or isinstance(value, Member):
                self.report.unknown_devices = True
            return UNKNOWN
        target = owner if isinstance(owner, (Obj, Instance)) else None
        if fact.name == "cpu" and target is None:
            return UNKNOWN  # a tensor on its way out
        self.placed(fact, arguments, named, node, moved=target)
        return owner if isinstance(owner, (Obj, Instance)) else UNKNOWN

    def placed(
        self,
        fact: facts.Place,
        arguments: Sequence[Value],
        named: dict[str, Value],
        node: ast.AST,
        *,
        moved: Obj | Instance | None = None,
        first: bool = True,
    ) -> Value:
        """A call of the table."""
        obj = moved or Obj(self.number(), fact)
        if moved is None:
            self.made[obj.number] = (self.module, node)
            self.state[obj.number, "fact"] = obj
        if fact.later and first:
            return obj
        for one in (*arguments, *named.values()):  # a model given to a pipeline is its own from now
            if isinstance(one, (Obj, Instance)) and one is not moved:
                self.state[one.number, "on"] = UNKNOWN
        requested = self.requested(fact, arguments, named)
        self.uncertain += len(requested) > 1
        for device, silent in requested:
            if device is None:
                self.report.unknown_devices = True
                self.state[obj.number, "on"] = UNKNOWN
            elif device.kind == "cpu":
                self.state[obj.number, "on"] = CPU if fact.model or moved is not None else UNKNOWN
            else:
                self.state[obj.number, "on"] = self.put(node, fact, device, silent, obj.number)
        self.uncertain -= len(requested) > 1
        if fact.default == "saved" and moved is None and (obj.number, "on") not in self.state:
            self.state[obj.number, "on"] = CPU
        return obj

    def requested(
        self, fact: facts.Place, arguments: Sequence[Value], named: dict[str, Value]
    ) -> Sequence[tuple[Device | None, bool]]:
        """The devices that a call may take, None for one that nobody knows.

        Each with whether it is the CPU, without an error, where there is no GPU.
        """
        value = devices.argument(fact.device, arguments, named)
        number = devices.argument(fact.number, arguments, named)
        if value is None and "**" in named and fact.device:
            return [(None, False)]
        if value is None or value == Const(None) or isinstance(value, Missing):
            return self.default(fact, number)
        found: list[tuple[Device | None, bool]] = []
        for option in options_of(value):
            found += devices.requested(fact, option, number)
        if any(one is None or one.index is GIVEN for one, _ in found) and len(found) > 1:
            return [(None, False)]
        return found

    def default(
        self, fact: facts.Place, number: Value | None
    ) -> Sequence[tuple[Device | None, bool]]:
        silent = fact.default in ("auto", "varies") or fact.without_gpu == "cpu"
        if fact.default in ("none", "saved"):
            return []
        if fact.default == "varies" and self.scenario.kind == "CPU":
            return []
        current = self.state.get(("current", fact.scope))
        if fact.default == "cpu" or (current == CPU and fact.default in ("auto", "gpu")):
            return [(CPU, False)]
        if fact.default == "all":
            return [(ALL, silent)]
        index = devices.indexed(number).index if number is not None else None
        return [(None if index is UNKNOWN else Device("gpu", index), silent)]

    def put(
        self, node: ast.AST, fact: facts.Place, device: Device, silent: bool, owner: int = 0
    ) -> Device | Mark:
        """Something is put on a GPU, if there is one."""
        selected = device.index is None and ("current", fact.scope) in self.state
        if not self.sees_gpu():
            if not silent or selected:
                raise Raised((_NO_GPU_ERROR, "RuntimeError"), node)
            device = CPU
        elif device.kind == "gpu" and device.index is None:
            current = self.state.get(("current", fact.scope))
            if isinstance(current, Const) and isinstance(current.value, int):
                device = Device("gpu", current.value)
            elif isinstance(current, Mark):
                device = Device("gpu", current)
            elif self.report.hands_on:
                device = Device("gpu", UNKNOWN)
        device = self.through_visible(device)
        self.report.events.append(
            Event(self.module, node, fact, device, not self.uncertain, bool(self.guarded), owner)
        )
        return device

    def through_visible(self, device: Device) -> Device:
        """The GPU that a number means, after CUDA_VISIBLE_DEVICES was set."""
        visible = self.state.get(("visible", ""))
        if visible is None or device.kind == "cpu":
            return device
        if visible is GIVEN or (isinstance(visible, Text) and visible.parts == (GIVEN,)):
            if device.kind == "all" or device.index in (None, 0):
                return Device("gpu", GIVEN)
            return device
        if isinstance(visible, Const) and str(visible.value).isdigit():
            if device.kind == "all" or device.index in (None, 0):
                return Device("gpu", int(str(visible.value)[:6]))
            return device
        return Device(device.kind, UNKNOWN) if device.kind == "gpu" else device

    def handed_on(
        self, name: str, arguments: Sequence[Value], named: dict[str, Value], node: ast.AST
    ) -> None:
        """Something goes to code that nobody follows."""
        if name in _HARMLESS:
            return
        for one in (*arguments, *named.values()):
            if isinstance(one, (Obj, Instance)):
                self.state[one.number, "on"] = UNKNOWN
            elif one is self.args or depends_on_given(one):
                self.report.hands_on = True
        value = named.get("device", named.get("map_location"))
        if value is not None and devices.is_device(value):
            fact = facts.Place("", name or "this call", ("device", "map_location"))
            self.placed(fact, [], {"device": value}, node)
        else:
            for one in arguments:
                if isinstance(one, Device) and one.kind == "gpu":
                    fact = facts.Place("", name or "this call", (0,))
                    self.placed(fact, [one], {}, node)


def _name_of(kind: type[ast.AST]) -> str:
    """`if_exp` for ast.IfExp."""
    name = _NAMES.get(kind)
    if name is None:
        name = _NAMES[kind] = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    return name


_NAMES: dict[type[ast.AST], str] = {}


_OTHER_ERRORS = frozenset(
    (
        *("KeyError", "ImportError", "ModuleNotFoundError", "IndexError", "FileNotFoundError"),
        *("AttributeError", "TypeError", "JSONDecodeError", "UnicodeDecodeError", "TimeoutError"),
        *("KeyboardInterrupt", "StopIteration", "NotImplementedError", "ZeroDivisionError"),
    )
)


def _names_cpu(node: ast.AST) -> bool:
    return any(
        (isinstance(one, ast.Constant) and one.value in ("cpu", "CPU", "CPUExecutionProvider", -1))
        or (isinstance(one, ast.Attribute) and one.attr == "cpu")
        for one in ast.walk(node)
    )


def _loaded(node: Any) -> Any:
    return node


def _last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _is_environment(value: Value) -> bool:
    return isinstance(value, Ref) and value.name == "os.environ"


_NEVER_NONE = (Seq, Map, Text, Obj, Instance, Function, Class)


def _is_bool(value: Value) -> bool:
    return isinstance(value, Probe) or (isinstance(value, Const) and isinstance(value.value, bool))


def _is_text(value: Value) -> bool:
    return isinstance(value, Text) or (isinstance(value, Const) and isinstance(value.value, str))


def _percent(pattern: str, right: Value) -> Value:
    items = right.items if isinstance(right, Seq) and right.exact else (right,)
    pieces = pattern.replace("%d", "%s").replace("%i", "%s").split("%s")
    if len(pieces) != len(items) + 1 or len(pieces) > MOST_ITEMS:
        return UNKNOWN
    parts: list[str | Mark] = [pieces[0]]
    for item, piece in zip(items, pieces[1:], strict=True):
        parts += [*text_of(item), piece]
    return text(tuple(parts))


def _formatted(pattern: str, arguments: Sequence[Value], named: dict[str, Value]) -> Value:
    parts: list[str | Mark] = []
    rest, number = pattern, 0
    for _ in range(MOST_ITEMS):
        before, brace, after = rest.partition("{")
        parts.append(before)
        if not brace:
            return text(tuple(parts))
        name, _, rest = after.partition("}")
        name = name.partition(":")[0].partition("!")[0]
        position = int(name) if name.isdigit() and len(name) < 4 else number
        if name == "" or name.isdigit():
            number += 1
            value = arguments[position] if position < len(arguments) else UNKNOWN
        else:
            value = named.get(name, UNKNOWN)
        parts += text_of(value)
    return UNKNOWN


def _text_method(value: str, name: str, arguments: Sequence[str]) -> Value:
    plain = ("lower", "upper", "strip", "lstrip", "rstrip", "title", "casefold", "capitalize")
    if name in plain and len(arguments) <= 1:
        return Const(getattr(value, name)(*arguments[: 1 if "strip" in name else 0]))
    if name in ("startswith", "endswith") and len(arguments) == 1:
        return Const(getattr(value, name)(arguments[0]))
    if name == "split" and len(arguments) <= 1 and arguments != [""]:
        parts = value.split(arguments[0] if arguments else None)
        return seq([Const(one) for one in parts[:MOST_ITEMS]])
    if name == "removeprefix" and len(arguments) == 1:
        return Const(value.removeprefix(arguments[0]))
    return UNKNOWN


_LARGE = 1_000_000


def _arithmetic(op: ast.operator, left: object, right: object) -> Value:
    if type(left) is not int or type(right) is not int or max(abs(left), abs(right)) > _LARGE:
        return UNKNOWN
    if isinstance(op, ast.Add):
        return Const(left + right)
    if isinstance(op, ast.Sub):
        return Const(left - right)
    if isinstance(op, ast.Mult):
        return Const(left * right)
    if isinstance(op, ast.Mod) and right:
        return Const(left % right)
    return UNKNOWN


def _compared(op: ast.cmpop, left: object, right: object) -> Value:
    if isinstance(op, (ast.Eq, ast.Is)):
        return Const(left == right)
    if isinstance(op, (ast.NotEq, ast.IsNot)):
        return Const(left != right)
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        if isinstance(op, ast.Gt):
            return Const(left > right)
        if isinstance(op, ast.GtE):
            return Const(left >= right)
        if isinstance(op, ast.Lt):
            return Const(left < right)
        if isinstance(op, ast.LtE):
            return Const(left <= right)
    return UNKNOWN


def _compared_count(op: ast.cmpop, left: Value, right: Value) -> Value:
    """A number of GPUs, 1 or more, with another number."""
    if left is not SOME:
        flipped: dict[type, ast.cmpop] = {
            ast.Lt: ast.Gt(),
            ast.LtE: ast.GtE(),
            ast.Gt: ast.Lt(),
            ast.GtE: ast.LtE(),
        }
        return _compared_count(flipped.get(type(op), op), right, left)
    if not isinstance(right, Const) or type(right.value) is not int:
        return Member(GIVEN, "derived") if depends_on_given(right) else UNKNOWN
    n = right.value
    if isinstance(op, ast.Gt) and n < 1:
        return Probe(True)
    if isinstance(op, ast.GtE) and n <= 1:
        return Probe(True)
    if isinstance(op, ast.Lt) and n <= 1:
        return Probe(False)
    if isinstance(op, ast.LtE) and n < 1:
        return Probe(False)
    if isinstance(op, ast.Eq) and n < 1:
        return Probe(False)
    if isinstance(op, ast.NotEq) and n < 1:
        return Probe(True)
    return UNKNOWN
