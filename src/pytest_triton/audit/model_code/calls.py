"""Calls in a model's code: of its own functions and classes, of methods, of libraries."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from pytest_triton.audit.model_code import facts
from pytest_triton.audit.model_code.library import (
    Library,
)
from pytest_triton.audit.model_code.operations import (
    is_environment,
)
from pytest_triton.audit.model_code.report import (
    Frame,
)
from pytest_triton.audit.model_code.state import (
    DEEPEST_CALL,
)
from pytest_triton.audit.model_code.values import (
    CPU,
    UNKNOWN,
    UNKNOWN_ITEMS,
    Class,
    Const,
    Function,
    Instance,
    Map,
    Member,
    Obj,
    Ref,
    Seq,
    Value,
    join,
    mapping,
    merged,
    seq,
)


class Calls(Library):
    """Calls of any kind."""

    def of_call(self, node: ast.Call, frame: Frame) -> Value:
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
        self, node: ast.Call, function: Value, arguments: Sequence[Value], frame: Frame
    ) -> Value | None:
        """A method of a list or dict that changes it."""
        if not isinstance(node.func, ast.Attribute) or not isinstance(function, Member):
            return None
        owner, name, where = function.of, function.name, node.func.value
        if is_environment(owner):
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
            added = more_items if isinstance(more_items, Map) else UNKNOWN_ITEMS
            self.replace(where, merged(owner, added), frame)
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
        if len(self.calls) >= DEEPEST_CALL or sum(f.node is function.node for f in self.calls) > 1:
            return UNKNOWN
        frame = Frame(self.number(), function.module, function.frame, function)
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
        self, spec: ast.arguments, values: list[Value], named: dict[str, Value], frame: Frame
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
        return deep < DEEPEST_CALL and any(
            (isinstance(base, Ref) and base.name in ("torch.nn.Module", "torch.jit.ScriptModule"))
            or (isinstance(base, Class) and self.is_torch_module(base, deep + 1))
            for base in cls.bases
        )
