"""What calls of libraries do with devices, by the tables of facts."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from pytest_triton.audit.model_code import devices, facts
from pytest_triton.audit.model_code.operations import (
    formatted,
    text_method,
)
from pytest_triton.audit.model_code.report import (
    NO_GPU_ERROR,
    Event,
    Raised,
)
from pytest_triton.audit.model_code.state import (
    NO_GPUS,
    State,
)
from pytest_triton.audit.model_code.values import (
    ALL,
    CONFIG_TEXT,
    CPU,
    GIVEN,
    SOME,
    UNKNOWN,
    UNKNOWN_ITEMS,
    Const,
    Device,
    Function,
    Instance,
    Map,
    Mark,
    Member,
    Missing,
    Obj,
    Probe,
    Selector,
    Seq,
    Text,
    Value,
    depends_on_given,
    mapping,
    merged,
    options_of,
    seq,
    text,
    text_of,
)

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


class Library(State):
    """Calls of libraries."""

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
            pipeline = facts.place(f"{library}.dali.pipeline_def()()")
            if pipeline is not None and "device_id" in named:
                self.placed(pipeline, [], named, node)
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
            raise Raised((NO_GPU_ERROR, "RuntimeError"), ast.Pass())

    def asked(self, ask: facts.Ask, arguments: Sequence[Value], node: ast.AST) -> Value:
        sees = self.sees_gpu()
        self.report.asked = True
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
                    raise Raised((NO_GPU_ERROR, "RuntimeError"), node)
                return Member(UNKNOWN, "gpus()")
            if wants == Const(None):
                if not sees and self.state.get(("current", "jax")) is UNKNOWN:
                    raise Raised((NO_GPU_ERROR, "RuntimeError"), node)  # JAX_PLATFORMS
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
            made = self.made_dict(first) if arguments else mapping(())
            for key, value in named.items():
                made = made.with_item(key, value)
            return made
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

    def made_dict(self, first: Value) -> Map:
        """Of another dict, or of pairs; as far as their keys are known."""
        if isinstance(first, Map):
            return first
        items = self.items_of(first)
        found = UNKNOWN_ITEMS if items is None else mapping(())
        for pair in map(self.items_of, items or ()):
            key = pair[0] if pair is not None and len(pair) == 2 else UNKNOWN
            if pair and isinstance(key, Const) and isinstance(key.value, (str, int)):
                found = found.with_item(key.value, pair[1])
            else:
                found = merged(found, UNKNOWN_ITEMS)
        return found

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
            return formatted(owner.value, arguments, named)
        if owner is GIVEN:
            return GIVEN if name in ("strip", "lower", "upper") else Member(GIVEN, "derived")
        if isinstance(owner, Const) and isinstance(owner.value, str):
            known = [one.value for one in arguments if isinstance(one, Const)]
            if len(known) == len(arguments) and all(isinstance(one, str) for one in known):
                return text_method(owner.value, name, [str(one) for one in known])
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
                is_model = fact.model or moved is not None or fact.default in ("auto", "varies")
                self.state[obj.number, "on"] = CPU if is_model else UNKNOWN
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
            if any(named.get(one, Const(False)) != Const(False) for one in fact.gpu_with):
                return [(Device("gpu"), False)]
            return self.default(fact, number)
        if isinstance(value, Function):  # map_location=lambda storage, location: storage
            return [(CPU if fact.default == "saved" else None, False)]
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
                raise Raised((NO_GPU_ERROR, "RuntimeError"), node)
            device = CPU
        elif device.kind == "gpu" and device.index is None:
            current = self.state.get(("current", fact.scope))
            if isinstance(current, Const) and isinstance(current.value, int):
                device = Device("gpu", current.value)
            elif isinstance(current, Mark):
                device = Device("gpu", current)
            elif self.report.hands_on:
                device = Device("gpu", UNKNOWN)
        seen = self.through_visible(device)
        event = Event(self.module, node, fact, seen, not self.uncertain, bool(self.guarded), owner)
        self.report.events.append(event)
        if device.index is GIVEN and seen.index is UNKNOWN:
            self.report.lost.append(event)
        return seen

    def through_visible(self, device: Device) -> Device:
        """The GPU that a number means, after CUDA_VISIBLE_DEVICES was set."""
        visible = self.state.get(("visible", ""))
        if visible is None or device.kind == "cpu":
            return device
        if visible is GIVEN or (isinstance(visible, Text) and visible.parts == (GIVEN,)):
            if device.kind == "all" or device.index in (None, 0):
                return Device("gpu", GIVEN)
            hidden = device.index is GIVEN and self.state.get(("visible", "late")) is None
            return Device("gpu", UNKNOWN) if hidden else device
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

    def imported(self, name: str, node: ast.AST) -> None:
        if name == "pycuda.autoinit":
            fact = facts.place(name)
            if fact is not None:
                self.put(node, fact, Device("gpu"), False)
