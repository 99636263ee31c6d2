"""Witness: the metrics, which count inferences by the GPU whose instances ran them.

    nv_inference_count{gpu_uuid="GPU-...",model="ranker",version="1"} 5
    nv_inference_count{model="ranker",version="1"} 3

Core labels what a GPU instance ran with the UUID of the device that it made the instance for;
what other instances ran (KIND_CPU, KIND_MODEL) has no such label. So the metrics tell which
instances did the work, and not what a backend does with the device that it was told.

Only a model that was loaded after the server's start has labels: at the start core doesn't know
the GPUs' UUIDs yet, and counts all that such a model runs without one, wherever it runs. A label
that is missing is therefore no sign of the CPU, unless the model is known to be loaded later.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pytest_triton.errors import PytestTritonError
from pytest_triton.placement.compare import Testimony
from pytest_triton.servers.server import RunningServer
from pytest_triton.servers.spec import ServerSpec

METRICS = "inference metrics"

_COUNT = "nv_inference_count"
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|(?=\}))')
_VALUE = re.compile(r"\s*(\S+)(?:\s+-?\d+)?\s*")  # a time may follow
_ESCAPE = re.compile(r"\\(.)")
_SIMULATED = re.compile(r"GPU-51300000-0000-0000-0000-([0-9a-f]{12})")  # native/simulated_gpus.c
_ANSWER = 10.0  # seconds


class NoMetrics(PytestTritonError):
    """A server whose metrics can't be had."""


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

    def testimony(self, ids: Mapping[str, int]) -> Testimony:
        """For people. `ids` are the GPUs' numbers, as far as they are known.

        Core's own word for GPUs; the rest is known to be on no GPU, and no more than that.
        """
        named = sorted((ids.get(uuid, len(ids)), uuid) for uuid in self.by_gpu)
        parts = [
            f"{f'GPU {ids[uuid]}' if uuid in ids else uuid}: {self.by_gpu[uuid]}"
            for _, uuid in named
        ]
        parts += [f"on no GPU: {self.elsewhere}"] if self.elsewhere or not parts else []
        plural = "" if self.total == 1 else "s"
        trust = "medium" if self.elsewhere else "high"
        return Testimony(METRICS, trust, f"{self.total} inference{plural}, {' · '.join(parts)}")


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
            cure="nothing may unload or reload the model while it is watched",
        )
    return Ran(model, {uuid: rise for uuid, rise in rose.items() if uuid}, rose.get("", 0))


def inference_counts(text: str, model: str) -> dict[str, int]:
    """The inferences of a model so far, all its versions together, by GPU UUID; "" for no GPU."""
    found: dict[str, int] = {}
    for sample in samples(text, _COUNT):
        if sample.labels.get("model") == model:
            uuid = sample.labels.get("gpu_uuid", "")
            found[uuid] = found.get(uuid, 0) + round(sample.value)
    return found


def labelled_gpus(text: str) -> frozenset[str]:
    """The UUIDs of the GPUs that the metrics tell of: without any, no model has labels."""
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
        cure="check that the address is that of Triton's metrics",
    )


def _shown(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{uuid or 'no GPU'}: {count}" for uuid, count in counts.items()) or "nothing"


def gpu_ids(spec: ServerSpec, uuids: frozenset[str]) -> Mapping[str, int]:
    """Which GPU (its number, as in a config's `gpus`) has which UUID, as far as that is certain.

    Simulated GPUs have their number in the UUID, and a process whose GPUs were given by UUID
    numbers them in that order. Nothing else tells: the metrics have no order, and CUDA's is not
    nvidia-smi's on every machine.
    """
    if spec.hardware.simulated:
        matches = ((uuid, _SIMULATED.fullmatch(uuid)) for uuid in uuids)
        return {uuid: int(match[1], 16) for uuid, match in matches if match is not None}
    if spec.hardware.kind == "uuids" and spec.where == "process":
        known = {}
        for number, given in enumerate(spec.hardware.gpus):
            meant = [one for one in uuids if one.lower().startswith(given.lower())]  # may be short
            if len(meant) == 1:
                known[meant[0]] = number
        return known
    return {}


def read_metrics(server: RunningServer) -> str:
    """The server's metrics, as text. Raises NoMetrics."""
    if server.spec.where == "attached" or not server.metrics:
        raise NoMetrics(
            f"{server.description}: the address of its metrics isn't known.",
            cure="let pytest-triton start the server (a process or a container)",
        )
    host, _, port = server.metrics.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=_ANSWER)
    try:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise NoMetrics(
            f"{server.description} gave no metrics at {server.metrics}: {error!r}",
            cure="leave --allow-metrics alone; tritonserver 2.33.0 and older can't offer metrics "
            "to this machine alone, so that they are off there: take a newer one",
        ) from error
    finally:
        connection.close()
    if response.status != 200:
        raise NoMetrics(
            f"{server.description} answered {server.metrics}/metrics with {response.status}.",
            cure="check that this port is the server's own",
        )
    return body.decode(errors="replace")
