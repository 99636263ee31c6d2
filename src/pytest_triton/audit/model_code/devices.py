"""What a value means where a library wants a device, in each form of the table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pytest_triton.audit.model_code.facts import Form, Place
from pytest_triton.audit.model_code.values import (
    ALL,
    CPU,
    GIVEN,
    UNKNOWN,
    Const,
    Device,
    Map,
    Mark,
    Member,
    OneOf,
    Probe,
    Ref,
    Seq,
    Text,
    Value,
    depends_on_given,
    seq,
)

_NAMED = re.compile(r"(?:cuda|gpu|/?(?:job:\w+/)?(?:device:)?gpu)(?::(\d{1,4}))?\Z", re.IGNORECASE)
_CPU_NAMES = re.compile(r"(?:cpu|/?(?:device:)?cpu(?::\d+)?)\Z", re.IGNORECASE)
_SPREAD = ("auto", "balanced", "balanced_low_0", "sequential")
_GPU_PROVIDERS = (
    "CUDAExecutionProvider",
    "TensorrtExecutionProvider",
    "NvTensorRTRTXExecutionProvider",
)


def argument(
    names: Sequence[str | int], arguments: Sequence[Value], named: Mapping[str, Value]
) -> Value | None:
    """The first of these arguments that a call has: keywords by name, others by position."""
    for name in names:
        if isinstance(name, str) and name in named and named[name] != Const(None):
            return named[name]
    for name in names:
        if isinstance(name, int) and name < len(arguments):
            return arguments[name]
    return None


def parsed(value: Value, form: Form = "torch") -> Device | Mark | None:
    """A device by a string, a number or itself; UNKNOWN if it may be one, None if it isn't."""
    if isinstance(value, Device):
        return value
    if value is GIVEN:
        return Device("gpu", GIVEN)
    if isinstance(value, Const):
        if isinstance(value.value, bool):
            return None
        if isinstance(value.value, int):
            return Device("gpu", value.value) if value.value >= 0 else CPU
        if isinstance(value.value, str):
            found = _NAMED.match(value.value)
            if found:
                return Device("gpu", int(found[1]) if found[1] else None)
            return CPU if _CPU_NAMES.match(value.value) else None
        return None
    if isinstance(value, Text):
        first = value.parts[0]
        if isinstance(first, str) and _NAMED.match(first.rstrip(":")) and first.endswith(":"):
            rest = value.parts[1:]
            return Device("gpu", GIVEN if rest == (GIVEN,) else UNKNOWN)
        if isinstance(first, str):
            return UNKNOWN if first.lower().startswith(("cuda", "gpu", "/")) else None
        return UNKNOWN
    if value is UNKNOWN or isinstance(value, (OneOf, Member)):
        return UNKNOWN
    return None


def is_device(value: Value) -> bool:
    """Whether it names a device for sure, as far as a reader can see."""
    if isinstance(value, OneOf):
        return all(is_device(one) for one in value.options)
    if isinstance(value, (Const, Text)) and not isinstance(getattr(value, "value", ""), str):
        return isinstance(parsed(value), Device)
    return isinstance(parsed(value), Device)


def indexed(value: Value) -> Device:
    """The GPU with this number."""
    if value is GIVEN:
        return Device("gpu", GIVEN)
    if isinstance(value, Const) and type(value.value) is int:
        return Device("gpu", value.value)
    if isinstance(value, Seq) and value.exact and len(value.items) == 1:
        return indexed(value.items[0])
    return Device("gpu", UNKNOWN)


def built(name: str, arguments: Sequence[Value], named: Mapping[str, Value]) -> Value | None:
    """The device that a constructor of devices makes."""
    if name == "torch.device":
        kind = argument(("type", "device", 0), arguments, named)
        number = argument(("index", 1), arguments, named)
        options = kind.options if isinstance(kind, OneOf) else (kind,) if kind is not None else ()
        found = [parsed(one) for one in options]
        devices = [one for one in found if isinstance(one, Device)]
        if not devices or len(devices) != len(found):
            return UNKNOWN
        if number is not None:
            devices = [indexed(number) if one.kind == "gpu" else one for one in devices]
        return devices[0] if len(set(devices)) == 1 else OneOf(frozenset(devices))
    library, _, rest = name.partition(".")
    last = rest.rpartition(".")[2]
    if library in ("mxnet", "mx") and last in ("gpu", "cpu"):
        if last == "cpu":
            return CPU
        number = argument(("device_id", 0), arguments, named)
        return indexed(number) if number is not None else Device("gpu", 0)
    if library == "paddle" and last in ("CUDAPlace", "CPUPlace"):
        return CPU if last == "CPUPlace" else indexed(arguments[0]) if arguments else UNKNOWN
    return None


def requested(
    fact: Place, value: Value, number: Value | None
) -> Sequence[tuple[Device | None, bool]]:
    """The device that an argument asks for, None if nobody knows.

    With whether it is the CPU, without an error, where there is no GPU.
    """
    device = _requested(fact, value, number)
    silent = fact.without_gpu == "cpu"
    if fact.form == "providers":
        silent = has_cpu_provider(value)
    elif fact.form == "map":
        silent = device == ALL
    elif value == Const("auto"):
        silent = True
    return [(device, silent)]


def _requested(fact: Place, value: Value, number: Value | None) -> Device | None:
    if fact.form == "providers":
        return _providers(value, number)
    if fact.form == "map":
        return _mapped(value)
    index = _number(number)
    if fact.form == "flag" and isinstance(value, (Const, Probe)):
        truth = value.truth if isinstance(value, Probe) else value.value
        if isinstance(truth, bool):
            return Device("gpu", index) if truth else CPU
    if fact.form == "count":
        if not isinstance(value, Const) or type(value.value) is not int:
            return None
        if value.value == 0:
            return CPU
        return ALL if value.value > 1 or value.value < 0 else Device("gpu", index)
    if fact.form == "target":
        name = value.name if isinstance(value, (Ref, Member)) else ""
        if "CUDA" in name:
            return Device("gpu")
        return CPU if name.endswith("_CPU") else None
    if value == Const("auto"):
        return Device("gpu", index) if index is not UNKNOWN else None
    if isinstance(value, Seq):
        if not value.exact or not value.items or depends_on_given(value):
            return None if len(value.items) != 1 else _single(value.items[0])
        if len(value.items) > 1:
            return ALL
        value = value.items[0]
    device = _single(value)
    if number is None or device is None or device.kind != "gpu" or device.index is not None:
        return device
    if isinstance(number, Seq) and number.exact and len(number.items) > 1:
        return None if depends_on_given(number) else ALL
    return Device("gpu", index) if index is not UNKNOWN else None


def _single(value: Value) -> Device | None:
    name = value.name if isinstance(value, Ref) else getattr(value, "value", "")
    if isinstance(name, str) and name.startswith("torch.cuda.") and name.endswith("Tensor"):
        return Device("gpu")
    device = parsed(value)
    return device if isinstance(device, Device) else None


def _number(value: Value | None) -> int | Mark | None:
    return indexed(value).index if value is not None else None


def _mapped(value: Value) -> Device | None:
    """accelerate's device_map."""
    if isinstance(value, Const) and value.value in _SPREAD:
        return ALL
    if not isinstance(value, Map):
        return _single(value)
    if not value.complete or not value.items:
        return None
    devices = {_single(one) for _, one in value.items}
    if len(devices) == 1:
        return devices.pop()
    known = all(one is not None and one.index not in (GIVEN, UNKNOWN) for one in devices)
    return (
        ALL if known and sum(one is not None and one.kind == "gpu" for one in devices) > 1 else None
    )


def _providers(value: Value, options: Value | None) -> Device | None:
    """The first of onnxruntime's providers."""
    if isinstance(value, Const) and isinstance(value.value, str):
        value = seq((value,))
    if not isinstance(value, Seq) or not value.exact:
        return None
    for place, item in enumerate(value.items):
        name, settings = item, None
        if isinstance(item, Seq) and item.items:
            name = item.items[0]
            settings = item.items[1] if len(item.items) > 1 else None
        if not isinstance(name, Const):
            return None
        if name.value in _GPU_PROVIDERS:
            if isinstance(options, Seq) and options.exact and place < len(options.items):
                settings = options.items[place]
            elif options is not None and settings is None:
                return None
            index = _setting(settings)
            return None if index is UNKNOWN else Device("gpu", index)
        if name.value == "CPUExecutionProvider":
            return CPU
    return None


def _setting(settings: Value | None) -> int | Mark | None:
    if settings is None:
        return None
    if not isinstance(settings, Map):
        return UNKNOWN
    found = settings.get("device_id")
    if found is None:
        return None if settings.complete else UNKNOWN
    if isinstance(found, Const) and isinstance(found.value, str) and found.value.isdigit():
        return int(found.value[:6])
    return indexed(found).index


def has_cpu_provider(value: Value | None) -> bool:
    """Whether onnxruntime's CPU provider is listed, after others."""
    if not isinstance(value, Seq):
        return False
    return any(
        one == Const("CPUExecutionProvider")
        or (isinstance(one, Seq) and one.items[:1] == (Const("CPUExecutionProvider"),))
        for one in value.items
    )
