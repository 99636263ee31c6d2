"""The GPUs of a server: what it has (`Hardware`) and what was asked for (`HardwareRequest`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

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


_NEW_ENOUGH = (99, 0)  # the compute capability of GPUs of which only the number is known


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
    if request.kind != "count" or not 0 < (request.count or 0) <= MAX_GPUS:
        raise OptionError(f"{text!r}: give the number of GPUs instead, up to {MAX_GPUS}")
    gpus = tuple(Gpu(index, _NEW_ENOUGH) for index in range(request.count or 0))
    return Hardware(gpus, simulated=False)


RequestKind = Literal["none", "all", "count", "ids", "uuids", "sim", "own"]


@dataclass(frozen=True)
class HardwareRequest:
    """The hardware that was asked for; `parse()` reads the form that the command line takes."""

    kind: RequestKind
    count: int | None = None
    gpus: tuple[str, ...] = ()
    compute_capability: tuple[int, int] | None = None

    @classmethod
    def parse(cls, spec: str) -> HardwareRequest:
        """Read `none`, `all`, `2`, `0,1`, `GPU-uuid,...`, `sim:2`, `sim:2@7.5` or `own`.

        Raises OptionError, with a list of all forms, for anything else.
        """
        text = spec.strip()
        word = text.lower()
        if word == "none":
            return cls("none", count=0)
        if word == "all" or word == "own":
            return cls("all" if word == "all" else "own")
        if word.startswith("sim"):
            return cls._parse_simulated(spec, word)
        if re.fullmatch(r"\d+", text, re.ASCII):
            if int(text) == 0:
                raise _malformed(spec, '0 GPUs is "none", the GPU with id 0 is "0,"')
            if len(text) > 4 or int(text) > MAX_GPUS:
                raise _malformed(spec, f"at most {MAX_GPUS} GPUs")
            return cls("count", count=int(text))
        return cls._parse_list(spec, text)

    @classmethod
    def _parse_simulated(cls, spec: str, word: str) -> HardwareRequest:
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
        return cls("sim", count=count, compute_capability=capability)

    @classmethod
    def _parse_list(cls, spec: str, text: str) -> HardwareRequest:
        items = tuple(item.strip() for item in text.split(","))
        if len(items) > 1 and not items[-1]:
            items = items[:-1]
        if all(re.fullmatch(r"\d{1,4}", item, re.ASCII) for item in items):
            items, kind = tuple(str(int(item)) for item in items), "ids"
        elif all(re.fullmatch(r"(GPU|MIG)-[0-9A-Za-z/_-]+", item, re.ASCII) for item in items):
            kind = "uuids"
        else:
            raise _malformed(spec)
        if len(set(items)) != len(items):
            raise _malformed(spec, "a GPU is named twice")
        return cls("ids" if kind == "ids" else "uuids", count=len(items), gpus=items)

    def __str__(self) -> str:
        """The spec again, in its shortest form: `parse(str(request)) == request`."""
        if self.kind == "count":
            return str(self.count)
        if self.kind in ("ids", "uuids"):
            # The comma makes "0," an id; a bare number is a count.
            return ",".join(self.gpus) + ("," if self.kind == "ids" and self.count == 1 else "")
        if self.kind == "sim":
            return f"sim:{self.count}{self._at_capability}"
        return self.kind

    @property
    def _at_capability(self) -> str:
        if self.compute_capability is None:
            return ""
        return "@{}.{}".format(*self.compute_capability)

    @property
    def id(self) -> str:
        """The pytest parameter id: "no-gpu", "all-gpus", "2-gpus", "sim-2@7.5", "own-gpus"."""
        if self.kind == "none":
            return "no-gpu"
        if self.kind in ("all", "own"):
            return f"{self.kind}-gpus"
        if self.kind == "count":
            return "1-gpu" if self.count == 1 else f"{self.count}-gpus"
        if self.kind == "sim":
            return f"sim-{self.count}{self._at_capability}"
        return "gpus-" + ",".join(self.gpus)

    @property
    def label(self) -> str:
        """A few words for tables: "no GPU", "2 GPUs (simulated, 7.5)", "all GPUs", "GPUs 0, 1"."""
        if self.kind in ("all", "own"):
            return "all GPUs" if self.kind == "all" else "the server's GPUs"
        if self.kind == "ids":
            return ("GPU " if self.count == 1 else "GPUs ") + ", ".join(self.gpus)
        if self.kind == "uuids":
            return ", ".join(self.gpus)
        words = _counted(self.count or 0)
        if self.kind == "sim":
            capability = self._at_capability.replace("@", ", ")
            words += f" (simulated{capability})"
        return words

    @property
    def simulated(self) -> bool:
        return self.kind == "sim"

    def hardware(self) -> Hardware | None:
        """The hardware, when it is known before a server starts (none, simulated), else None."""
        if self.kind == "none":
            return NO_GPU
        if self.kind == "sim":
            return simulated_gpus(
                self.count or 0, self.compute_capability or DEFAULT_SIMULATED_CAPABILITY
            )
        return None


OWN_GPUS = HardwareRequest("own")
"""What an attached server has, whatever that is."""


def _counted(count: int) -> str:
    return {0: "no GPU", 1: "1 GPU"}.get(count, f"{count} GPUs")


def _malformed(spec: str, why: str = "") -> OptionError:
    reason = f": {why}" if why else ""
    return OptionError(f"{spec!r} names no hardware{reason}. Valid forms:\n{HARDWARE_FORMS}")
