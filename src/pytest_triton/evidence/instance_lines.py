"""Evidence: the log lines that backends write when they make an instance.

    TRITONBACKEND_ModelInstanceInitialize: <instance> (GPU device 0)     by most backends
    TRITONBACKEND_ModelInstanceInitialize: <instance> (CPU)              by openvino, for one
    Creating instance <instance> on GPU 0 (8.0) using artifact '...'     with --log-verbose=1

A backend writes its line when it is asked to make the instance, before it has done so; it says what
core gave the backend, independently of the configuration that core shows. Trust it less than that:
wording and presence are up to each backend (pytorch dropped its line in r26.05).

The lines name instances, not models, and a model may be loaded more than once, so they are read
together with the lines on loading (`model_lifecycle.cc`):

    loading: <model>:<version> ... successfully loaded '<model>' ... successfully unloaded ...
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pytest_triton.evidence.log_messages import messages
from pytest_triton.placement.instances import Kind, Placement, placed
from pytest_triton.placement.predict import NUMBERED_INSTANCES

_INITIALIZE = "TRITONBACKEND_ModelInstanceInitialize: "
_CREATING = "Creating instance "
_INITIALIZED = re.compile(
    r"(?P<instance>.*) \((?P<kind>GPU|CPU|MODEL)(?: device (?P<device>-?\d+))?\)", re.DOTALL
)
_CREATED = re.compile(
    r"(?P<instance>.*) on (?:(?P<cpu>CPU)|(?P<model>model-specified devices)"
    r"|GPU (?P<device>\d+) \([\d.]+\)) using artifact '",
    re.DOTALL,
)
_LOADING = re.compile(r"loading: (.*):(-?\d+)", re.DOTALL)
_EVENT = re.compile(
    r"(successfully loaded|successfully unloaded|failed to load) '(.*?)'(?= version -?\d+|\Z)",
    re.DOTALL,
)
_VERSION = re.compile(r"^\| *server_version *\| *(\d+)\.(\d+)\.(\d+)", re.MULTILINE)
_NUMBER = re.compile(r"_\d+\Z")
_KINDS: Mapping[str, Kind] = {"GPU": "GPU", "CPU": "CPU", "MODEL": "MODEL"}
_SHOWN = 8  # instances as text


class InstanceLine(NamedTuple):
    """One instance that a backend was asked to make: the number of its message, its name, where.

    `device` is None where a GPU's line doesn't name it, and for instances on no GPU.
    """

    at: int
    instance: str
    kind: Kind
    device: int | None


class ReportedInstances(NamedTuple):
    """What the lines say of one model: its placement, or None and why they don't say."""

    placement: Placement | None
    text: str


@dataclass(eq=False)
class _Load:
    """One time that a model was loaded, all its versions together."""

    start: int
    versions: set[str] = field(default_factory=set)
    end: int | None = None  # where the model's next load begins
    over: bool = False
    failed: bool = False
    old_versions: int = 0  # versions of the load that it replaced, until those are unloaded


@dataclass
class _Life:
    """The loads of one model: the last, and the one that is served."""

    last: _Load | None = None
    served: _Load | None = None

    def loading(self, at: int, version: str) -> None:
        if self.last is None or self.last.over or version in self.last.versions:
            if self.last is not None:
                self.last.end = at
            self.last = _Load(at)
        self.last.versions.add(version)

    def loaded(self) -> None:
        load = self.last
        if load is None:
            return
        load.over = True
        if not load.failed and load is not self.served:
            load.old_versions = len(self.served.versions) if self.served is not None else 0
            self.served = load

    def failed(self) -> None:
        if self.last is not None and self.last is not self.served:
            self.last.over = self.last.failed = True

    def unloaded(self) -> None:
        if self.served is not None and self.served.old_versions:
            self.served.old_versions -= 1
        else:
            self.served = None


class InstanceLog:
    """A server's log, read for its instances."""

    def __init__(self, log: str) -> None:
        self._lives: dict[str, _Life] = {}
        self._initialized: dict[str, list[InstanceLine]] = {}
        self._created: dict[str, list[InstanceLine]] = {}
        found = _VERSION.search(log)
        version = tuple(map(int, found.groups())) if found is not None else (0, 0, 0)
        self._all_numbered = version >= NUMBERED_INSTANCES
        for at, message in enumerate(messages(log)):
            if not self._read(at, message.text) and message.more:
                self._read(at, message.whole)  # a name with a line break

    def reported(self, groups: Mapping[str, Iterable[str]]) -> Mapping[str, ReportedInstances]:
        """What the log reports of each READY model.

        `groups` are the names of each one's instance groups, as core resolved them: the lines say
        only instances, whose names begin with their group's.
        """
        owners: dict[str, list[str]] = {}
        for model, names in groups.items():
            for name in set(names):
                owners.setdefault(name, []).append(model)
        return {model: self._reported(model, set(names), owners) for model, names in groups.items()}

    def _reported(
        self, model: str, names: set[str], owners: Mapping[str, list[str]]
    ) -> ReportedInstances:
        life = self._lives.get(model)
        if life is None or life.served is None:
            return ReportedInstances(None, "nothing about a load that succeeded")
        if life.last is not None and not life.last.over:
            return ReportedInstances(None, "a load that has not ended")
        if life.served.old_versions:  # in place, only new instances have a line
            return ReportedInstances(
                None, "nothing certain: it was loaded over itself, maybe in place"
            )
        lines = self._of(self._initialized, life.served, names)
        lines = lines or self._of(self._created, life.served, names)
        for line in lines:
            others = {other for key in self._groups(line.instance) for other in owners.get(key, ())}
            if len(others) > 1:
                return ReportedInstances(
                    None, f"{line.instance} is an instance of {_listed(others)}"
                )
        if names and not lines:
            return ReportedInstances(None, "nothing about its instances")
        if any(line.kind == "GPU" and line.device is None for line in lines):
            return ReportedInstances(None, "no device ids")
        return _placement(lines, len(life.served.versions))

    def _of(
        self, found: Mapping[str, list[InstanceLine]], load: _Load, names: set[str]
    ) -> list[InstanceLine]:
        """The lines of a load, of instances of these groups, each once."""
        lines = {line.at: line for name in names for line in found.get(name, ())}
        end = load.end if load.end is not None else math.inf
        return [line for at, line in lines.items() if load.start < at < end]

    def _groups(self, instance: str) -> Iterator[str]:
        """The names that the group of an instance may have."""
        numbered = _NUMBER.search(instance)
        if numbered is not None:
            yield instance[: numbered.start()]
        if numbered is None or not self._all_numbered:
            yield instance  # before 2.37 a group's only instance had the group's name

    def _read(self, at: int, text: str) -> bool:
        """Take in a message; False if it isn't one of those that say something here."""
        if text.startswith(_INITIALIZE):
            found = _INITIALIZED.match(text, len(_INITIALIZE))
            if found is not None:
                device = found["device"] if found["kind"] == "GPU" else None
                self._add(self._initialized, at, found["instance"], _KINDS[found["kind"]], device)
            return found is not None
        if text.startswith(_CREATING):
            found = _CREATED.match(text, len(_CREATING))
            if found is not None:
                kind: Kind = "CPU" if found["cpu"] else "MODEL" if found["model"] else "GPU"
                self._add(self._created, at, found["instance"], kind, found["device"])
            return found is not None
        found = _LOADING.match(text)
        if found is not None:
            self._life(found[1]).loading(at, found[2])
            return True
        found = _EVENT.match(text)
        if found is not None:
            life = self._life(found[2])
            if found[1] == "successfully loaded":
                life.loaded()
            elif found[1] == "failed to load":
                life.failed()
            else:
                life.unloaded()
        return found is not None

    def _add(
        self,
        lines: dict[str, list[InstanceLine]],
        at: int,
        instance: str,
        kind: Kind,
        device: str | None,
    ) -> None:
        line = InstanceLine(at, instance, kind, int(device) if device is not None else None)
        for group in self._groups(instance):
            lines.setdefault(group, []).append(line)

    def _life(self, model: str) -> _Life:
        return self._lives.setdefault(model, _Life())


def _placement(lines: Sequence[InstanceLine], versions: int) -> ReportedInstances:
    counted = Counter((line.kind, line.device) for line in lines)
    if any(count % versions for count in counted.values()):
        return ReportedInstances(
            None, f"{len(lines)} instances of {versions} versions, not the same of each"
        )
    placement = placed(
        *[(kind, device, count // versions) for (kind, device), count in counted.items()]
    )
    names = ", ".join(
        f"{line.instance} ({line.kind}{'' if line.device is None else f' device {line.device}'})"
        for line in lines[:_SHOWN]
    )
    more = len(lines) - _SHOWN
    return ReportedInstances(
        placement, f"{names}, and {more} more" if more > 0 else names or "no instances"
    )


def _listed(models: Iterable[str]) -> str:
    return " and of ".join(sorted(models)[:_SHOWN])
