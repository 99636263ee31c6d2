"""The GPUs of a server: what it has (`Hardware`) and what was asked for (`HardwareRequest`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from pytest_triton.arguments.checked import check_fields, checked
from pytest_triton.arguments.kinds import (
    COMPUTE_CAPABILITY,
    SWITCH,
    TEXT,
    ZERO_OR_MORE,
    ArgumentKind,
    a,
    optional,
)
from pytest_triton.errors import OptionError

MAX_SIMULATED_GPUS = 16
MAX_GPUS = 1024
DEFAULT_SIMULATED_CAPABILITY = (8, 0)

HARDWARE_FORMS = """\
  none           no GPU
  all            every GPU of the machine
  2              that many GPUs
  0,1            the GPUs with these ids ("0," for the one with id 0)
  GPU-uuid,...   the GPUs with these UUIDs (as `nvidia-smi -L` shows them)
  sim:2          that many simulated GPUs, 0 to 16
  sim:2@7.5      the same, with this compute capability
  own            those that a running server has (the default with its URL)"""


@dataclass(frozen=True)
class Gpu:
    """One GPU as a server sees it; `index` is the id that `gpus: [..]` in a config means."""

    index: int
    compute_capability: tuple[int, int]
    name: str = ""
    uuid: str = ""
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        check_fields(self, _GPU_FIELDS)


@dataclass(frozen=True)
class Hardware:
    """The GPUs that a server has.

    `cuda_error` is what CUDA says when it can't even count its GPUs (other than "no device" and
    "driver too old", which Triton takes for zero GPUs): then Triton refuses every model.
    `at_least`: these GPUs are known to be there, and there may be others.
    """

    gpus: tuple[Gpu, ...]
    simulated: bool
    cuda_error: str = ""
    at_least: bool = False

    def __post_init__(self) -> None:
        check_fields(self, _HARDWARE_FIELDS)

    @property
    def count(self) -> int:
        return len(self.gpus)

    @property
    def label(self) -> str:
        """A few words for tables: "no GPU", "1 GPU", "2 GPUs (simulated)", "at least 2 GPUs"."""
        if self.at_least:
            return f"at least {_counted(self.count)}" if self.gpus else "GPUs unknown"
        return _counted(self.count) + (" (simulated)" if self.simulated else "")

    def __str__(self) -> str:
        return self.label


_GPU_FIELDS = {
    "index": ArgumentKind("the id of a GPU, 0 or more", ZERO_OR_MORE.fits),
    "compute_capability": COMPUTE_CAPABILITY,
    "name": TEXT,
    "uuid": TEXT,
    "memory_bytes": optional(ZERO_OR_MORE),
}
_A_GPU = a("a Gpu", Gpu)
_HARDWARE_FIELDS = {
    "gpus": ArgumentKind(
        "a tuple of Gpu", lambda value: isinstance(value, tuple) and all(map(_A_GPU.fits, value))
    ),
    "simulated": SWITCH,
    "cuda_error": TEXT,
    "at_least": SWITCH,
}
HARDWARE = a(
    "the GPUs of a server: NO_GPU, simulated_gpus(2), Hardware(...) or triton_server.hardware",
    Hardware,
)
_SIMULATED = ArgumentKind(
    f"a number of GPUs, 0 to {MAX_SIMULATED_GPUS}",
    lambda value: ZERO_OR_MORE.fits(value) and value <= MAX_SIMULATED_GPUS,
)

NO_GPU = Hardware(gpus=(), simulated=False)


@checked(n=_SIMULATED, cc=COMPUTE_CAPABILITY)
def simulated_gpus(n: int, cc: tuple[int, int] = DEFAULT_SIMULATED_CAPABILITY) -> Hardware:
    """`n` simulated GPUs with ids 0 to n-1 and the compute capability `cc`."""
    return Hardware(tuple(Gpu(i, cc, f"Simulated GPU {i}") for i in range(n)), simulated=True)


NEW_ENOUGH = (99, 0)  # the compute capability of GPUs of which no more than the ids is known


def newest_gpus(ids: Iterable[int]) -> Hardware:
    """Real GPUs with these ids, new enough for any Triton."""
    return Hardware(tuple(Gpu(index, NEW_ENOUGH) for index in ids), simulated=False)


def target_hardware(text: str) -> Hardware:
    """The GPUs of production, as a number (0, 4) or as sim:N@CC. Raises OptionError."""
    try:
        request = HardwareRequest.parse("none" if text.strip() == "0" else text)
    except OptionError:
        raise OptionError(
            f"{text!r} is no hardware: give a number of GPUs (0, 4), or sim:N@CC"
        ) from None
    hardware = request.hardware()
    if hardware is not None:
        return hardware
    if not isinstance(request, GpuCount):
        raise OptionError(f"{text!r}: give the number of GPUs instead, up to {MAX_GPUS}")
    return newest_gpus(range(request.number))


class HardwareRequest:
    """The hardware that was asked for. Each form that the command line takes is a class of its own.

    `is_real`: real GPUs, which their server has to report before they count. `simulated`: those of
    a rehearsal. `is_own`: whatever a running server has. `holds_attached`: a running server can be
    held to it.
    """

    is_real: ClassVar[bool] = True
    simulated: ClassVar[bool] = False
    is_own: ClassVar[bool] = False
    holds_attached: ClassVar[bool] = False

    @staticmethod
    def parse(spec: str) -> HardwareRequest:
        """Read `none`, `all`, `2`, `0,1`, `GPU-uuid,...`, `sim:2`, `sim:2@7.5` or `own`.

        Raises OptionError, with a list of all forms, for anything else.
        """
        text = spec.strip()
        word = text.lower()
        if word in _WORDS:
            return _WORDS[word]
        if word.startswith("sim"):
            return _simulated(spec, word)
        if re.fullmatch(r"\d+", text, re.ASCII):
            if int(text) == 0:
                raise _malformed(spec, '0 GPUs is "none", the GPU with id 0 is "0,"')
            if len(text) > 4 or int(text) > MAX_GPUS:
                raise _malformed(spec, f"at most {MAX_GPUS} GPUs")
            return GpuCount(int(text))
        return _named(spec, text)

    @property
    def count(self) -> int | None:
        """The number of GPUs; None if only their server knows it."""
        return None

    @property
    def gpus(self) -> tuple[str, ...]:
        """The ids or UUIDs, where the GPUs were named by those."""
        return ()

    @property
    def uuids(self) -> tuple[str, ...]:
        """The UUIDs, where the GPUs were named by those."""
        return ()

    @property
    def visible(self) -> tuple[str, ...] | None:
        """The real GPUs that a server may see, by id or UUID; None: all of the machine."""
        return self.gpus

    @property
    def compute_capability(self) -> tuple[int, int] | None:
        """The one that was asked for."""
        return None

    @property
    def id(self) -> str:
        """The pytest parameter id: "no-gpu", "all-gpus", "2-gpus", "sim-2@7.5", "own-gpus"."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """A few words for tables: "no GPU", "2 GPUs (simulated, 7.5)", "all GPUs", "GPUs 0, 1"."""
        raise NotImplementedError

    def hardware(self) -> Hardware | None:
        """The hardware, when it is known before a server starts (none, simulated), else None."""
        return None

    @property
    def or_rehearse(self) -> str:
        """The end of a sentence for who has no such GPUs: how to simulate them. "" without any."""
        if not self.is_real or self.is_own:
            return ""
        number = min(self.count or 1, MAX_SIMULATED_GPUS)
        return f"; without such GPUs, rehearse with simulated ones: --triton-gpus=sim:{number}"


@dataclass(frozen=True)
class NoGpus(HardwareRequest):
    """No GPU: `none`."""

    is_real = False
    holds_attached = True
    count = 0
    id = "no-gpu"
    label = "no GPU"

    def __str__(self) -> str:
        return "none"

    def hardware(self) -> Hardware:
        return NO_GPU


@dataclass(frozen=True)
class AllGpus(HardwareRequest):
    """Every GPU of the machine: `all`."""

    visible = None
    id = "all-gpus"
    label = "all GPUs"

    def __str__(self) -> str:
        return "all"


@dataclass(frozen=True)
class OwnGpus(HardwareRequest):
    """What a running server has, whatever that is: `own`."""

    is_own = True
    holds_attached = True
    id = "own-gpus"
    label = "the server's GPUs"

    def __str__(self) -> str:
        return "own"


@dataclass(frozen=True)
class GpuCount(HardwareRequest):
    """A number of GPUs: `2`."""

    number: int
    holds_attached = True

    def __str__(self) -> str:
        return str(self.number)

    @property
    def count(self) -> int:
        return self.number

    @property
    def visible(self) -> tuple[str, ...]:
        return tuple(map(str, range(self.number)))

    @property
    def id(self) -> str:
        return "1-gpu" if self.number == 1 else f"{self.number}-gpus"

    @property
    def label(self) -> str:
        return _counted(self.number)


@dataclass(frozen=True)
class NamedGpus(HardwareRequest):
    """GPUs with these ids (`0,1`) or UUIDs (`GPU-uuid,...`)."""

    names: tuple[str, ...]
    by_uuid: bool

    def __str__(self) -> str:
        # The comma makes "0," an id; a bare number is a count.
        return ",".join(self.names) + ("," if not self.by_uuid and len(self.names) == 1 else "")

    @property
    def count(self) -> int:
        return len(self.names)

    @property
    def gpus(self) -> tuple[str, ...]:
        return self.names

    @property
    def uuids(self) -> tuple[str, ...]:
        return self.names if self.by_uuid else ()

    @property
    def id(self) -> str:
        return "gpus-" + ",".join(self.names)

    @property
    def label(self) -> str:
        names = ", ".join(self.names)
        return names if self.by_uuid else f"GPU{'s' if len(self.names) > 1 else ''} {names}"


@dataclass(frozen=True)
class SimulatedHardware(HardwareRequest):
    """Simulated GPUs: `sim:2`, `sim:2@7.5`."""

    number: int
    capability: tuple[int, int] | None = None
    is_real = False
    simulated = True

    def __str__(self) -> str:
        return f"sim:{self.number}{self._at_capability}"

    @property
    def count(self) -> int:
        return self.number

    @property
    def compute_capability(self) -> tuple[int, int] | None:
        return self.capability

    @property
    def id(self) -> str:
        return f"sim-{self.number}{self._at_capability}"

    @property
    def label(self) -> str:
        capability = self._at_capability.replace("@", ", ")
        return f"{_counted(self.number)} (simulated{capability})"

    @property
    def _at_capability(self) -> str:
        return "@{}.{}".format(*self.capability) if self.capability else ""

    def hardware(self) -> Hardware:
        return simulated_gpus(self.number, self.capability or DEFAULT_SIMULATED_CAPABILITY)


OWN_GPUS = OwnGpus()
"""What an attached server has, whatever that is."""

_WORDS: Mapping[str, HardwareRequest] = {"none": NoGpus(), "all": AllGpus(), "own": OWN_GPUS}


def _simulated(spec: str, word: str) -> SimulatedHardware:
    match = re.fullmatch(r"sim:(\d+)(?:@(\d+)(?:\.(\d+))?)?", word, re.ASCII)
    if match is None:
        raise _malformed(spec)
    count = int(match[1])
    if count > MAX_SIMULATED_GPUS:
        raise _malformed(spec, f"at most {MAX_SIMULATED_GPUS} GPUs can be simulated")
    capability = None
    if match[2] is not None:
        capability = (int(match[2]), int(match[3] or 0))
        if capability[0] > 99 or capability[1] > 9:
            raise _malformed(spec, "a compute capability looks like 7.5 or 12.0")
    return SimulatedHardware(count, capability)


def _named(spec: str, text: str) -> NamedGpus:
    items = tuple(item.strip() for item in text.split(","))
    if len(items) > 1 and not items[-1]:
        items = items[:-1]
    by_uuid = not all(re.fullmatch(r"\d{1,4}", item, re.ASCII) for item in items)
    if not by_uuid:
        items = tuple(str(int(item)) for item in items)
    elif not all(re.fullmatch(r"(GPU|MIG)-[0-9A-Za-z/_-]+", item, re.ASCII) for item in items):
        raise _malformed(spec)
    if len(set(items)) != len(items):
        raise _malformed(spec, "a GPU is named twice")
    return NamedGpus(items, by_uuid)


def _counted(count: int) -> str:
    return {0: "no GPU", 1: "1 GPU"}.get(count, f"{count} GPUs")


def _malformed(spec: str, why: str = "") -> OptionError:
    reason = f": {why}" if why else ""
    return OptionError(f"{spec!r} names no hardware{reason}. Valid forms:\n{HARDWARE_FORMS}")
