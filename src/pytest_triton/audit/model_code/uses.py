"""What a model's code does with devices: the conclusions from reading it in each scenario."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_triton.audit.model_code.facts import LIBRARIES, PASSIVE
from pytest_triton.audit.model_code.modules import Module, Modules
from pytest_triton.audit.model_code.reading import read
from pytest_triton.audit.model_code.report import Event, Report, Scenario
from pytest_triton.audit.model_code.source import Place
from pytest_triton.audit.model_code.values import (
    GIVEN,
    UNKNOWN,
    Const,
    Map,
    Text,
    mapping,
    seq,
)

Kind = Literal[
    "default", "fixed", "stays", "takes", "falls-back", "spreads", "visible", "lost", "parameter"
]
_WORTH_READING = ("cuda", "gpu", "CUDA", "GPU", "parameters", "device", "pipeline")


@dataclass(frozen=True)
class Use:
    """Something that the code does with a device, and where.

    `call` is what does it, `gpu` the number of a GPU that is written into the code; `detail` says
    more, by kind: a parameter's name, the value of CUDA_VISIBLE_DEVICES.
    """

    kind: Kind
    path: Path
    place: Place
    call: str = ""
    gpu: int = 0
    detail: str = ""


def uses(
    path: Path, parameters: Sequence[tuple[str, str]], gpu: bool, cpu: bool
) -> tuple[Use, ...]:
    """What a model.py does, for its GPU instances and its CPU instances, the first of each place.

    `parameters` are those of the config. What can't be followed has no uses.
    """
    modules = Modules(path)
    source = modules.main.source
    if source.tree is None or not _is_worth_reading(source.text):
        return ()
    found: list[Use] = []
    if gpu:
        config = _config("GPU", parameters)
        with_gpu = read(modules, Scenario("GPU", True), config)
        if with_gpu is not None:
            takes = any(_is_certain(event) for event in with_gpu.events)
            without = read(modules, Scenario("GPU", False), config) if takes else None
            found += _of_gpu_instances(with_gpu, without, modules)
            found += _of_parameters(with_gpu)
    if cpu or not gpu:
        report = read(modules, Scenario("CPU", True), _config("CPU", parameters))
        if report is not None:
            if cpu:
                found += _of_cpu_instances(report)
            if not gpu:
                found += _of_parameters(report)
    return tuple(dict.fromkeys(found))


def _config(kind: str, parameters: Sequence[tuple[str, str]]) -> Map:
    """What `json.loads(args["model_config"])` is, as far as it matters."""
    given = mapping([(key, mapping([("string_value", Const(value))])) for key, value in parameters])
    return mapping(
        [
            ("parameters", Map(given.items, given.complete, "parameters", given.size)),
            ("instance_group", seq([mapping([("kind", Const(f"KIND_{kind}"))], False)])),
        ],
        False,
    )


def _is_worth_reading(text: str) -> bool:
    return any(word in text for word in _WORTH_READING) or any(
        library in text for library in LIBRARIES if library
    )


def _use(kind: Kind, event: Event, **more: object) -> Use:
    name = event.fact.name
    return Use(kind, event.module.source.path, event.place, name, **more)  # type: ignore[arg-type]


def _of_gpu_instances(report: Report, without: Report | None, modules: Modules) -> Iterator[Use]:
    shown = {value.value for _, _, value in report.visible if isinstance(value, Const)}
    for event in report.events:
        device = event.device
        if event.guarded or device.kind == "cpu":
            continue
        if device.kind == "all":
            yield _use("spreads", event)
        elif device.index is None:
            yield _use("default", event)
        elif isinstance(device.index, int) and str(device.index) not in shown:
            yield _use("fixed", event, gpu=device.index)
    for event in report.lost:
        if event.certain and not event.guarded:
            yield _use("lost", event)
    yield from _of_visible(report)
    if without is not None:
        yield from _fallbacks(report, without)
    yield from _staying(report, modules)


def _of_visible(report: Report) -> Iterator[Use]:
    for module, node, value in report.visible:
        if value is GIVEN or value is UNKNOWN or (isinstance(value, Text) and GIVEN in value.parts):
            continue
        if isinstance(value, Const) and value.value is not None:
            source = module.source
            yield Use("visible", source.path, source.place(node), detail=str(value.value)[:40])


def _is_certain(event: Event) -> bool:
    return event.certain and not event.guarded and event.device.kind != "cpu"


def _fallbacks(report: Report, without: Report) -> Iterator[Use]:
    certain = [event for event in report.events if _is_certain(event)]
    if not certain or not without.ended or not report.ended or without.refused:
        return
    by_itself = [event for event in without.events if event.device.kind == "cpu" and event.certain]
    spread = {(event.module, event.node) for event in certain if event.device.kind == "all"}
    reported = False
    for event in by_itself:
        reported = True
        if (event.module, event.node) not in spread:
            yield _use("falls-back", event)
    took = {(event.module, event.node) for event in by_itself}
    others = [event for event in certain if (event.module, event.node) not in took]
    if not others or (reported and not without.decisions):
        return
    decisions = [one for one in without.decisions if one.names_cpu] or without.decisions
    if decisions:
        first = decisions[0]
        source = first.module.source
        yield Use("falls-back", source.path, source.place(first.node))
    else:
        yield _use("falls-back", others[0])


def _staying(report: Report, modules: Modules) -> Iterator[Use]:
    if report.unknown_devices or report.hands_on or not report.stays or not report.ended:
        return
    if any(event.device.kind != "cpu" for event in report.events):
        return
    if not all(_is_passive(module) for module in modules.by_path.values() if module is not None):
        return
    module, node, fact = report.stays[0]
    source = module.source
    yield Use("stays", source.path, source.place(node), fact.name)


def _is_passive(module: Module) -> bool:
    """Whether it imports no library that may move things by itself."""
    if module.source.tree is None:
        return False
    for node in ast.walk(module.source.tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            first = name.partition(".")[0]
            if first not in PASSIVE and first not in sys.stdlib_module_names:
                return False
    return True


def _of_cpu_instances(report: Report) -> Iterator[Use]:
    for event in report.events:
        if _is_certain(event):
            yield _use("takes", event)


def _of_parameters(report: Report) -> Iterator[Use]:
    for module, node, key in report.missing:
        source = module.source
        yield Use("parameter", source.path, source.place(node), detail=key)
