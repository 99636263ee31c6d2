"""What the statements of a model's code do."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pytest_triton.audit.model_code.expressions import (
    Expressions,
)
from pytest_triton.audit.model_code.operations import (
    is_environment,
    last_name,
    name_of,
    names_cpu,
)
from pytest_triton.audit.model_code.report import (
    NO_GPU_ERROR,
    Frame,
    Raised,
)
from pytest_triton.audit.model_code.values import (
    CPU,
    UNKNOWN,
    Class,
    Const,
    Device,
    Function,
    Instance,
    LocalModule,
    Map,
    Member,
    Ref,
    Selector,
    Seq,
    Value,
    depends_on_given,
    mapping,
    seq,
)

_UNROLLED = 8
_OTHER_ERRORS = frozenset(
    (
        *("KeyError", "ImportError", "ModuleNotFoundError", "IndexError", "FileNotFoundError"),
        *("AttributeError", "TypeError", "JSONDecodeError", "UnicodeDecodeError", "TimeoutError"),
        *("KeyboardInterrupt", "StopIteration", "NotImplementedError", "ZeroDivisionError"),
    )
)


class Statements(Expressions):
    """Statements, each a method `do_` its node's name."""

    def block(self, body: Sequence[ast.stmt], frame: Frame) -> bool:
        return all(self.statement(one, frame) for one in body)

    def statement(self, node: ast.stmt, frame: Frame) -> bool:
        self.spend()
        kind = type(node)
        if kind not in self.methods:
            self.methods[kind] = getattr(self, f"do_{name_of(kind)}", None)
        method = self.methods[kind]
        return method is None or method(node, frame) is not False

    def do_expr(self, node: ast.Expr, frame: Frame) -> None:
        self.value(node.value, frame)

    def do_assign(self, node: ast.Assign, frame: Frame) -> None:
        value = self.value(node.value, frame)
        for target in node.targets:
            self.assign(target, value, frame)

    def do_ann_assign(self, node: ast.AnnAssign, frame: Frame) -> None:
        if node.value is not None:
            self.assign(node.target, self.value(node.value, frame), frame)

    def do_aug_assign(self, node: ast.AugAssign, frame: Frame) -> None:
        load = ast.copy_location(ast.BinOp(node.target, node.op, node.value), node)
        self.assign(node.target, self.value(load, frame), frame)

    def do_delete(self, node: ast.Delete, frame: Frame) -> None:
        for target in node.targets:
            if isinstance(target, ast.Subscript) and is_environment(
                self.value(target.value, frame)
            ):
                self.state.pop(("visible", ""), None)

    def do_return(self, node: ast.Return, frame: Frame) -> bool:
        value = self.value(node.value, frame) if node.value is not None else Const(None)
        frame.returns.append((value, self.state))
        return False

    def do_raise(self, node: ast.Raise, frame: Frame) -> bool:
        names: tuple[str, ...] = ("Exception",)
        if node.exc is not None:
            what = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            self.value(node.exc, frame)
            names = (last_name(what),)
        raise Raised(names, node)

    def do_assert(self, node: ast.Assert, frame: Frame) -> None:
        truth, _ = self.truth(self.value(node.test, frame))
        if truth is False:
            raise Raised(("AssertionError",), node)

    def do_break(self, node: ast.Break, frame: Frame) -> bool:
        if frame.loops:
            frame.loops[-1].append(self.state)
        return False

    do_continue = do_break

    def do_global(self, node: ast.Global, frame: Frame) -> None:
        frame.globals.update(node.names)

    def do_function_def(self, node: ast.FunctionDef | ast.AsyncFunctionDef, frame: Frame) -> None:
        self.state[frame.number, node.name] = self.decorated(
            node, Function(node, frame.module, frame.number), frame
        )

    do_async_function_def = do_function_def

    def do_class_def(self, node: ast.ClassDef, frame: Frame) -> None:
        bases = tuple(self.value(base, frame) for base in node.bases)
        cls = Class(node, frame.module, self.number(), bases)
        inner = Frame(cls.frame, frame.module, frame.number, is_class=True)
        self.frames[cls.frame] = inner
        self.block(node.body, inner)
        self.state[frame.number, node.name] = cls

    def do_if(self, node: ast.If, frame: Frame) -> bool:
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

    def do_for(self, node: ast.For | ast.AsyncFor, frame: Frame) -> bool:
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

    def do_while(self, node: ast.While, frame: Frame) -> bool:
        truth, _ = self.truth(self.value(node.test, frame))
        if truth is False:
            return self.block(node.orelse, frame)
        self.loop_body(node.body, frame)
        return True

    def do_with(self, node: ast.With | ast.AsyncWith, frame: Frame) -> bool:
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

    def do_try(self, node: ast.Try, frame: Frame) -> bool:
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
            if NO_GPU_ERROR in certain.names:
                if names_cpu(handler):
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

    def do_match(self, node: Any, frame: Frame) -> bool:
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

    def do_import(self, node: ast.Import, frame: Frame) -> None:
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

    def do_import_from(self, node: ast.ImportFrom, frame: Frame) -> None:
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

    def decorated(self, node: Any, function: Function, frame: Frame) -> Value:
        if not node.decorator_list:
            return function
        names = {last_name(d.func if isinstance(d, ast.Call) else d) for d in node.decorator_list}
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
            if isinstance(value, Ref) and value.name == "numba.cuda.jit":
                return Ref("numba.cuda.jit()")
        return function  # a wrapper, which calls it

    def loop_body(self, body: Sequence[ast.stmt], frame: Frame) -> bool:
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

    def handler_for(
        self, error: Raised, handlers: Sequence[ast.ExceptHandler], frame: Frame
    ) -> ast.ExceptHandler | None:
        for handler in handlers:
            if handler.type is None:
                return handler
            types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
            for one in types:
                name = last_name(one)
                if name in ("Exception", "BaseException") or name in error.names:
                    return handler
                if NO_GPU_ERROR in error.names and name not in _OTHER_ERRORS:
                    return handler
                if name == "LookupError" and "KeyError" in error.names:
                    return handler
        return None

    def assign(self, target: ast.expr, value: Value, frame: Frame) -> None:
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

    def assign_name(self, name: str, value: Value, frame: Frame) -> None:
        number = frame.module.number if name in frame.globals else frame.number
        self.state[number, name] = value

    def assign_item(self, target: ast.Subscript, value: Value, frame: Frame) -> None:
        owner = self.value(target.value, frame)
        key = self.value(target.slice, frame)
        if is_environment(owner):
            if key == Const("CUDA_VISIBLE_DEVICES"):
                self.set_visible(target, value)
            if key in (Const("JAX_PLATFORMS"), Const("JAX_PLATFORM_NAME")):
                self.state["current", "jax"] = CPU if value == Const("cpu") else UNKNOWN
            return
        if isinstance(owner, Map):
            self.spend(1 + len(owner.items) // 4)
            known = isinstance(key, Const) and isinstance(key.value, (str, int))
            new = owner.with_item(key.value, value) if known else mapping((), False)  # type: ignore[union-attr, arg-type]
            self.replace(target.value, new, frame)
        elif isinstance(owner, Seq):
            self.replace(target.value, seq((), False), frame)

    def replace(self, where: ast.expr, value: Value, frame: Frame) -> None:
        """A list or dict was changed in place."""
        if isinstance(where, ast.Name):
            for number in self.scopes(frame):
                if (number, where.id) in self.state:
                    self.state[number, where.id] = value
                    return
        elif isinstance(where, ast.Attribute):
            self.assign(where, value, frame)
