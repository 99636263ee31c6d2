"""Evidence: the metrics, which count inferences by the GPU whose instances ran them.

    nv_inference_count{gpu_uuid="GPU-...",model="ranker",version="1"} 5
    nv_inference_count{model="ranker",version="1"} 3

Core labels what a GPU instance ran with the UUID of the device that it made the instance for;
what other instances ran (KIND_CPU, KIND_MODEL) has no such label. So the metrics say which
instances did the work, and not what a backend does with the device that it was given.

Only a model that was loaded after the server's start has labels: at the start core doesn't know
the GPUs' UUIDs yet, and counts all that such a model runs without one, wherever it runs. A label
that is missing is therefore no sign of the CPU, unless the model is known to be loaded later.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pytest_triton.errors import PytestTritonError
from pytest_triton.placement.compare import Observation, Trust
from pytest_triton.placement.instances import Placement
from pytest_triton.servers.spec import ServerSpec

METRICS = "inference metrics"

_COUNT = "nv_inference_count"
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|(?=\}))')
_VALUE = re.compile(r"\s*(\S+)(?:\s+-?\d+)?\s*")  # a time may follow
_ESCAPE = re.compile(r"\\(.)")
_SIMULATED = re.compile(r"GPU-51300000-0000-0000-0000-([0-9a-f]{12})")  # native/simulated_gpus.c


class MetricsUnreadable(PytestTritonError):
    """What a server gave as its metrics isn't in Prometheus' text format, or makes no sense."""


@dataclass(frozen=True)
class Sample:
    """One line of metrics: `name{label="text",...} value`."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Ran:
    """How many inferences of a model ran where, between two looks at the metrics.

    `by_gpu` has every GPU, by UUID, that the model has labels for: 0 where nothing ran.
    `elsewhere` has no GPU's label: that is the CPU or KIND_MODEL, if the model was loaded after the
    start, and else anywhere.
    """

    model: str
    by_gpu: Mapping[str, int]
    elsewhere: int

    @property
    def total(self) -> int:
        """All inferences that were counted; a request with a batch is as many as its size."""
        return sum(self.by_gpu.values()) + self.elsewhere

    @property
    def gpus(self) -> frozenset[str]:
        """The UUIDs of the GPUs that ran something."""
        return frozenset(uuid for uuid, count in self.by_gpu.items() if count)

    def observation(self, ids: Mapping[str, int]) -> Observation:
        """For people. `ids` are the GPUs' numbers, as far as they are known.

        Core's own word for GPUs; the rest is known to be on no GPU, and no more than that.
        """
        in_order = sorted(self.by_gpu, key=lambda uuid: (ids.get(uuid, len(ids)), uuid))
        parts = [f"{_named(uuid, ids)}: {self.by_gpu[uuid]}" for uuid in in_order]
        parts += [f"on no GPU: {self.elsewhere}"] if self.elsewhere or not parts else []
        plural = "" if self.total == 1 else "s"
        trust: Trust = "medium" if self.elsewhere else "high"
        return Observation(METRICS, trust, f"{self.total} inference{plural}, {' · '.join(parts)}")


def devices_that_ran(before: str, after: str, model: str) -> Ran:
    """Where a model's inferences ran between two readings of the metrics.

    Raises MetricsUnreadable, also if a count fell: the model was loaded again in between.
    """
    had, has = inference_counts(before, model), inference_counts(after, model)
    rose = {uuid: count - had.get(uuid, 0) for uuid, count in has.items()}
    if any(rise < 0 for rise in rose.values()) or not had.keys() <= has.keys():
        raise MetricsUnreadable(
            f"The inferences that the metrics count for {model} became fewer.",
            tried=[f"before: {_shown(had)}", f"after: {_shown(has)}"],
            fix="nothing may unload or reload the model while it is watched",
        )
    return Ran(model, {uuid: rise for uuid, rise in rose.items() if uuid}, rose.get("", 0))


@dataclass(frozen=True)
class Wrong:
    """Why inferences didn't run as wanted, or why that isn't known; and what to do.

    `why` goes on a sentence: "was to run on GPU 0, and ...". `may_change`: with more inferences.
    """

    why: str
    advice: str = ""
    may_change: bool = False

    @property
    def is_unproven(self) -> bool:
        """Nothing is known, so that nothing is said against the placement either."""
        return self.why.startswith(_UNPROVEN)


_UNPROVEN = "that is not proven: "

NO_NAMES = (
    "Triton asks DCGM for the names of its GPUs when it starts; its log says why that failed. "
    "--allow-gpu-metrics=false switches this off, too."
)
_UNCOUNTED = (
    "Triton's metrics count what an instance has run. What a response cache answers isn't run."
)
_IDLE = (
    "Triton's scheduler chooses the instance, and these requests came one after the other. Where "
    "it takes another one only while the first is busy (as for sequences), let send= keep several "
    "requests under way."
)


def what_is_wrong(
    ran: Ran, sent: int, wanted: Placement, ids: Mapping[str, int], placed: Placement | None = None
) -> Wrong | None:
    """None if `sent` requests ran on all devices that are wanted, and on no other.

    The model is `placed` where it is wanted, and may have passive instances besides, which never
    run. So if as many GPUs ran as are wanted, these are the ones, even if nobody knows which is
    which; the `ids` that are known must fit.
    """
    devices = set(wanted.devices)
    placed_on = len((placed or wanted).devices)
    off_gpus = [instances.kind for instances in wanted if instances.kind != "GPU"]
    if ran.total < sent:
        why = f"that is not proven: the metrics count {ran.total} of {sent} inferences"
        return Wrong(why, _UNCOUNTED)
    if len(ran.by_gpu) != placed_on:
        named = f"{len(ran.by_gpu)} GPU{'' if len(ran.by_gpu) == 1 else 's'}"
        why = f"that is not proven: the metrics name {named} for its {placed_on}"
        return Wrong(why, NO_NAMES)
    others = {uuid for uuid in ran.gpus if ids.get(uuid) not in {None, *devices}}
    if others:
        return Wrong(f"ran on {_listed(others, ids)}")
    if len(ran.gpus) > len(devices):
        return Wrong(f"ran on {_listed(ran.gpus, ids)}")
    if ran.elsewhere and not off_gpus:
        return Wrong(f"{ran.elsewhere} of {ran.total} inferences ran on no GPU")
    idle = {uuid for uuid in ran.by_gpu.keys() - ran.gpus if ids.get(uuid) in {None, *devices}}
    nowhere = [_listed(idle, ids)] if len(ran.gpus) < len(devices) else []
    nowhere += off_gpus if not ran.elsewhere else []
    if nowhere:
        return Wrong(f"nothing ran on {' and '.join(nowhere)}", _IDLE, may_change=True)
    return None


def _listed(uuids: Iterable[str], ids: Mapping[str, int]) -> str:
    in_order = sorted(uuids, key=lambda uuid: (ids.get(uuid, len(ids)), uuid))
    return " and ".join(_named(uuid, ids) for uuid in in_order)


def _named(uuid: str, ids: Mapping[str, int]) -> str:
    return f"GPU {ids[uuid]}" if uuid in ids else uuid


def inference_counts(text: str, model: str) -> dict[str, int]:
    """The inferences of a model so far, all its versions together, by GPU UUID; "" for no GPU."""
    found: dict[str, int] = {}
    for sample in samples(text, _COUNT):
        if sample.labels.get("model") == model:
            uuid = sample.labels.get("gpu_uuid", "")
            found[uuid] = found.get(uuid, 0) + round(sample.value)
    return found


def labelled_gpus(text: str) -> frozenset[str]:
    """The UUIDs of the GPUs that the metrics report: without any, no model has labels."""
    found = (sample.labels.get("gpu_uuid", "") for sample in samples(text, "nv_gpu_"))
    return frozenset(filter(None, found))


def samples(text: str, prefix: str = "") -> Iterator[Sample]:
    """The metrics whose names begin so, from Prometheus' text format.

    Raises MetricsUnreadable for a line that isn't in it.
    """
    for line in text.split("\n"):
        if line.startswith(prefix) and line.strip() and not line.lstrip().startswith("#"):
            yield _sample(line)


def _sample(line: str) -> Sample:
    name = _NAME.match(line)
    if name is None:
        raise _unreadable(line)
    labels: dict[str, str] = {}
    at = name.end()
    if line[at:].lstrip().startswith("{"):
        at = line.index("{", at) + 1
        while label := _LABEL.match(line, at):
            labels[label[1]] = _ESCAPE.sub(_unescaped, label[2])
            at = label.end()
        closed = re.compile(r"\s*\}").match(line, at)
        if closed is None:
            raise _unreadable(line)
        at = closed.end()
    value = _VALUE.fullmatch(line, at)
    try:
        return Sample(name[0], labels, float(value[1] if value else ""))
    except ValueError:
        raise _unreadable(line) from None


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


def _unreadable(line: str) -> MetricsUnreadable:
    return MetricsUnreadable(
        f"This is no line of metrics: {line[:200]!r}",
        fix="check that the address is that of Triton's metrics",
    )


def _shown(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{uuid or 'no GPU'}: {count}" for uuid, count in counts.items()) or "nothing"


def gpu_ids(spec: ServerSpec, uuids: frozenset[str]) -> Mapping[str, int]:
    """Which GPU (its number, as in a config's `gpus`) has which UUID, as far as that is certain.

    Simulated GPUs have their number in the UUID, and a process whose GPUs were given by UUID
    numbers them in that order. Nothing else says so: the metrics have no order, and CUDA's is not
    nvidia-smi's on every machine.
    """
    if spec.hardware.simulated:
        matches = ((uuid, _SIMULATED.fullmatch(uuid)) for uuid in uuids)
        return {uuid: int(match[1], 16) for uuid, match in matches if match is not None}
    if spec.host.keeps_gpu_order:
        known = {}
        for number, given in enumerate(spec.hardware.uuids):
            meant = [one for one in uuids if one.lower().startswith(given.lower())]  # may be short
            if len(meant) == 1:
                known[meant[0]] = number
        return known
    return {}
