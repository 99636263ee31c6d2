"""What the expressions of a model's code are."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Sequence

from pytest_triton.audit.model_code import devices
from pytest_triton.audit.model_code.calls import (
    Calls,
)
from pytest_triton.audit.model_code.operations import (
    arithmetic,
    compared_constants,
    compared_count,
    is_bool,
    is_text,
    name_of,
    percent,
)
from pytest_triton.audit.model_code.report import (
    NO_GPU_ERROR,
    Frame,
    Raised,
)
from pytest_triton.audit.model_code.state import (
    DEEPEST_CALL,
    NO_GPUS,
)
from pytest_triton.audit.model_code.values import (
    CPU,
    GIVEN,
    MOST_ITEMS,
    SOME,
    UNKNOWN,
    UNKNOWN_ITEMS,
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
    merged,
    seq,
    text,
    text_of,
)

_NEVER_NONE = (Seq, Map, Text, Obj, Instance, Function, Class)


class Expressions(Calls):
    """Expressions, each a method `of_` its node's name."""

    def value(self, node: ast.expr, frame: Frame) -> Value:
        self.spend()
        kind = type(node)
        if kind not in self.methods:
            self.methods[kind] = getattr(self, f"of_{name_of(kind)}", None)
        method = self.methods[kind]
        if method is not None:
            result: Value = method(node, frame)
            return result
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child, frame)
        return UNKNOWN

    def of_constant(self, node: ast.Constant, frame: Frame) -> Value:
        if node.value is None or isinstance(node.value, (str, int, float, bool)):
            return Const(node.value)
        return UNKNOWN

    def of_name(self, node: ast.Name, frame: Frame) -> Value:
        for number in self.scopes(frame):
            found = self.state.get((number, node.id))
            if found is not None:
                return found
        return Ref(f"builtins.{node.id}") if hasattr(builtins, node.id) else UNKNOWN

    def of_attribute(self, node: ast.Attribute, frame: Frame) -> Value:
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
        if found is not None or deep > DEEPEST_CALL:
            return found
        for base in cls.bases:
            if isinstance(base, Class):
                found = self.class_attribute(base, name, deep + 1)
                if found is not None:
                    return found
        return None

    def of_subscript(self, node: ast.Subscript, frame: Frame) -> Value:
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
            raise Raised((NO_GPU_ERROR, "IndexError"), node)
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
        if owner == Ref("numba.cuda.jit()"):
            return owner  # kernel[blocks, threads]
        if isinstance(owner, Ref) and owner.name.endswith("cuda.gpus"):
            return Selector("cuda", devices.indexed(key))
        return UNKNOWN

    def of_joined_str(self, node: ast.JoinedStr, frame: Frame) -> Value:
        parts: list[str | Mark] = []
        for one in node.values[:MOST_ITEMS]:
            if isinstance(one, ast.FormattedValue):
                value = self.value(one.value, frame)
                plain = one.format_spec is None
                parts += text_of(value) if plain or isinstance(value, Mark) else (UNKNOWN,)
            else:
                parts += text_of(self.value(one, frame))
        return text(tuple(parts)) if len(node.values) <= MOST_ITEMS else UNKNOWN

    def of_bin_op(self, node: ast.BinOp, frame: Frame) -> Value:
        left, right = self.value(node.left, frame), self.value(node.right, frame)
        if isinstance(node.op, ast.Add):
            if isinstance(left, Seq) and isinstance(right, Seq):
                return seq((*left.items, *right.items), left.exact and right.exact)
            if is_text(left) or is_text(right):
                return text((*text_of(left), *text_of(right)))
        if isinstance(node.op, ast.Mod) and isinstance(left, Const) and is_text(left):
            return percent(str(left.value), right)
        if isinstance(left, Const) and isinstance(right, Const):
            return arithmetic(node.op, left.value, right.value)
        if isinstance(node.op, ast.BitOr) and isinstance(left, Map) and isinstance(right, Map):
            return merged(left, right)
        if depends_on_given(left) or depends_on_given(right):
            return Member(GIVEN, "derived")
        return UNKNOWN

    def of_unary_op(self, node: ast.UnaryOp, frame: Frame) -> Value:
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

    def of_bool_op(self, node: ast.BoolOp, frame: Frame) -> Value:
        is_and = isinstance(node.op, ast.And)
        possible: list[Value] = []
        was_probed = tainted = False
        for one in node.values:
            value = self.value(one, frame)
            truth, probed = self.truth(value)
            was_probed, tainted = was_probed or probed, tainted or depends_on_given(value)
            decides = truth is not None and truth != is_and
            if decides and (was_probed or not possible) and is_bool(value):
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

    def of_if_exp(self, node: ast.IfExp, frame: Frame) -> Value:
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

    def of_named_expr(self, node: ast.NamedExpr, frame: Frame) -> Value:
        value = self.value(node.value, frame)
        self.assign(node.target, value, frame)
        return value

    def of_compare(self, node: ast.Compare, frame: Frame) -> Value:
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
            return compared_count(op, left, right)
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
            return compared_constants(op, left.value, right.value)
        elif isinstance(left, Probe) and isinstance(right, Const):
            result = compared_constants(op, left.truth, right.value)
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

    def of_list(self, node: ast.List | ast.Tuple | ast.Set, frame: Frame) -> Value:
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

    def of_dict(self, node: ast.Dict, frame: Frame) -> Value:
        result = mapping(())
        for key, one in zip(node.keys, node.values, strict=True):
            value = self.value(one, frame)
            self.spend(1 + len(result.items) // 4)
            if key is None:
                result = merged(result, value if isinstance(value, Map) else UNKNOWN_ITEMS)
                continue
            name_value = self.value(key, frame)
            if isinstance(name_value, Const) and isinstance(name_value.value, (str, int)):
                result = result.with_item(name_value.value, value)
            else:
                result = merged(result, UNKNOWN_ITEMS)
        return result

    def of_list_comp(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp, frame: Frame
    ) -> Value:
        items: list[Value] = []
        exact = self.comprehended(
            node.generators, frame, lambda: items.append(self.value(node.elt, frame))
        )
        return seq(items, exact)

    of_set_comp = of_generator_exp = of_list_comp

    def of_dict_comp(self, node: ast.DictComp, frame: Frame) -> Value:
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
        self, generators: Sequence[ast.comprehension], frame: Frame, one: Callable[[], None]
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

    def of_lambda(self, node: ast.Lambda, frame: Frame) -> Value:
        return Function(node, frame.module, frame.number)

    def of_yield(self, node: ast.Yield | ast.YieldFrom, frame: Frame) -> Value:
        if node.value is not None:
            self.value(node.value, frame)
        frame.yields = True
        return UNKNOWN

    of_yield_from = of_yield

    def of_await(self, node: ast.Await, frame: Frame) -> Value:
        return self.value(node.value, frame)

    def of_starred(self, node: ast.Starred, frame: Frame) -> Value:
        return self.value(node.value, frame)
