"""The GPUs of this machine as NVIDIA's driver reports them, and whether Triton would see them."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_triton.doctor.programs import Answer, ask
from pytest_triton.doctor.report import Finding

# https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
_LEAST_DRIVER = {11: 450, 12: 525, 13: 580}
_LEAST_CAPABILITY = (6, 0)  # of builds up to now; newer ones may ask for 7.5

_FIELDS = ("index", "uuid", "name", "driver_version", "memory.total", "compute_cap")
_SINCE_510 = "compute_cap"  # the one field that older drivers don't know
_SILENT = (
    "Triton takes this for a machine without a GPU, and says nothing: models that aren't pinned "
    "come up on the CPU"
)


@dataclass(frozen=True)
class RealGpu:
    """A GPU by nvidia-smi. `memory_mib` is None where it isn't reported, as is `capability`."""

    index: int
    uuid: str
    name: str
    driver: str
    memory_mib: int | None
    capability: tuple[int, int] | None

    @property
    def usable(self) -> bool:
        return self.capability is None or self.capability >= _LEAST_CAPABILITY


def examine_gpus(seconds: float, environ: Mapping[str, str]) -> tuple[Finding, tuple[RealGpu, ...]]:
    """The GPUs that Triton could use, by nvidia-smi."""
    program = shutil.which("nvidia-smi", path=environ.get("PATH", ""))
    if program is None:
        return Finding(
            "GPUs",
            "missing",
            "none: nvidia-smi, which comes with NVIDIA's driver, is not on PATH",
            "rehearsals need no GPU. If this machine has one: install NVIDIA's driver; in a "
            "container: docker run --gpus all",
        ), ()
    answer = _query(program, _FIELDS, seconds, environ)
    if "is not a valid field" in answer.text:
        older = [field for field in _FIELDS if field != _SINCE_510]
        answer = _query(program, older, seconds, environ)
    gpus = _gpus_in(answer)
    if answer.flaw or answer.code != 0 or not gpus:
        return _failure(program, answer), ()
    facts = {"gpus": [vars(gpu) for gpu in gpus]}
    listed = " · ".join(f"{gpu.index}: {gpu.name}" for gpu in gpus)
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1", "NoDevFiles"):
        return Finding(
            "GPUs",
            "missing",
            f"{listed}, hidden by CUDA_VISIBLE_DEVICES={visible!r} in the environment",
            "unset CUDA_VISIBLE_DEVICES, or let it name the GPUs to use",
            facts,
        ), ()
    old = [gpu for gpu in gpus if not gpu.usable]
    if old:
        return Finding(
            "GPUs",
            "missing" if len(old) == len(gpus) else "warning",
            f"{listed}. Too old for Triton (compute capability under 6.0), and dropped by it "
            f"without a word: {', '.join(gpu.name for gpu in old)}",
            "use newer cards, or count only the others",
            facts,
        ), tuple(gpu for gpu in gpus if gpu.usable)
    return Finding("GPUs", "ok", listed, facts=facts), gpus


def _query(
    program: str, fields: Sequence[str], seconds: float, environ: Mapping[str, str]
) -> Answer:
    command = [program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    return ask(command, seconds, environ)


def _gpus_in(answer: Answer) -> tuple[RealGpu, ...]:
    found = []
    for row in csv.reader(answer.text.splitlines(), skipinitialspace=True):
        if len(row) < len(_FIELDS) - 1 or not row[0].strip().isdigit():
            continue  # warnings stand between the rows
        values = [value.strip() for value in row]
        capability = re.fullmatch(r"(\d+)\.(\d+)", values[5]) if len(values) > 5 else None
        found.append(
            RealGpu(
                index=int(values[0]),
                uuid=values[1],
                name=values[2],
                driver=values[3],
                memory_mib=int(values[4]) if values[4].isdigit() else None,
                capability=(int(capability[1]), int(capability[2])) if capability else None,
            )
        )
    return tuple(found)


def _failure(program: str, answer: Answer) -> Finding:
    """Why nvidia-smi names no GPU, from what it says."""
    said = answer.text.strip().splitlines()
    message = " ".join(" ".join(said[:3]).split()) or "no output"
    fix = "fix the driver (`dmesg | grep -i nvrm` has its messages), or have the machine rebooted"
    if answer.flaw:
        text = f"{program} {answer.flaw}: the driver hangs"
    elif "Driver/library version mismatch" in answer.text:
        text = f"the driver was updated while the old one is loaded. {program}: {message}"
        fix = "reboot, or unload the old kernel modules (rmmod nvidia_uvm nvidia_drm nvidia)"
    elif "couldn't communicate with the NVIDIA driver" in answer.text:
        text = f"NVIDIA's driver is not loaded. {program}: {message}"
        fix = (
            "load it (modprobe nvidia); after an update of the kernel, reinstall it. In a "
            "container: docker run --gpus all"
        )
    elif "No devices were found" in answer.text:
        text = f"the driver finds no GPU. {program}: {message}"
        fix = "look for the card (lspci -d 10de:) and at the driver's messages (dmesg)"
    elif "GPU is lost" in answer.text or "Unable to determine the device handle" in answer.text:
        text = f"a GPU is lost. {program}: {message}"
        fix = "reboot the machine; if it comes back, look for Xid errors in dmesg"
    elif answer.code == 0:
        text = f"{program} names no GPU: {message}"
    else:
        text = f"{program} failed with {answer.code}: {message}"
    return Finding("GPUs", "missing", f"{text}. {_SILENT}", fix, {"said": answer.text[-2000:]})


def examine_driver(
    name: str, gpus: Sequence[RealGpu], cuda: tuple[int, int] | None, needed_by: str
) -> Finding | None:
    """Whether the driver is new enough for a server's CUDA; None if there is nothing to compare."""
    if not gpus or cuda is None:
        return None
    driver = gpus[0].driver
    shown = f"{cuda[0]}.{cuda[1]}"
    facts = {"driver": driver, "cuda": shown}
    least = _LEAST_DRIVER.get(cuda[0])
    major = driver.partition(".")[0]
    if least is None or not major.isdigit():
        return Finding(
            name,
            "warning",
            f"driver {driver}; it isn't known whether {needed_by} (CUDA {shown}) runs on it",
            "compare with the release notes of that Triton",
            facts,
        )
    if int(major) < least:
        return Finding(
            name,
            "missing",
            f"driver {driver} is too old for {needed_by} (CUDA {shown} needs {least} or newer). "
            f"{_SILENT}",
            f"update the driver to {least} or newer, or use an older Triton. Data-centre GPUs may "
            "do with the compatibility package in NVIDIA's images: a run of "
            "pytest --triton-gpus=all --triton-require=gpus shows it",
            facts,
        )
    text = f"driver {driver} is new enough for {needed_by} (CUDA {shown})"
    return Finding(name, "ok", text, facts=facts)
