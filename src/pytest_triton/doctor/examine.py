"""Look at this machine, at everything at once, and say what follows from it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pytest_triton.doctor.containers import (
    cuda_of_image,
    examine_cdi,
    examine_docker,
    examine_image,
    examine_own_image,
    examine_toolkit,
)
from pytest_triton.doctor.gpus import examine_driver, examine_gpus
from pytest_triton.doctor.process import (
    cuda_of,
    examine_libraries,
    examine_python_backend,
    examine_shared_memory,
    examine_tritonserver,
)
from pytest_triton.doctor.report import Ability, Diagnosis, Finding
from pytest_triton.options.rehearsal_image import rehearsal_image

T = TypeVar("T")

# What each way to run Triton needs, by the names of the findings; a driver that wasn't compared
# stands in nobody's way.
_PROCESS = ("tritonserver",)
_IN_IMAGE = ("Docker", "rehearsal image")  # a rehearsal, where one is named for it
_NEEDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "rehearsal": (
        "a real tritonserver with simulated GPUs and stand-in backends",
        (*_PROCESS, "rehearsal libraries"),
    ),
    "real-backends": (
        "python models on a tritonserver process",
        (*_PROCESS, "python backend", "shared memory"),
    ),
    "gpus": ("real GPUs for a tritonserver process", (*_PROCESS, "GPUs", "driver")),
    "container": ("Triton in a container", ("Docker", "image")),
    "container-gpus": (
        "real GPUs for Triton in a container",
        ("Docker", "image", "NVIDIA toolkit", "GPUs", "driver for image"),
    ),
}
ABILITIES = tuple(_NEEDS)


@dataclass(frozen=True)
class Wanted:
    """What is to be run, as pytest's options of these names say; `seconds` is how long each
    program or daemon may take to answer."""

    image: str
    binary: Path | None = None
    version: str | None = None
    python: Path | None = None
    seconds: float = 10.0


def examine(wanted: Wanted, environ: Mapping[str, str] = os.environ) -> Diagnosis:
    """What this machine can run. Where nothing answers, it takes some times `wanted.seconds`."""
    seconds = wanted.seconds
    own_image = rehearsal_image(environ)
    docker = _Question(lambda: examine_docker(wanted.image, seconds, environ, own_image))
    smi = _Question(lambda: examine_gpus(seconds, environ))
    triton = _Question(
        lambda: examine_tritonserver(wanted.binary, wanted.version, seconds, environ)
    )
    # Twice the time: each of them has a limit of its own, and names what it waited for.
    triton_finding, server = triton.answer(2 * seconds, (_silent("tritonserver", seconds), None))
    python = _Question(lambda: examine_python_backend(server, wanted.python, environ))
    gpu_finding, gpus = smi.answer(2 * seconds, (_silent("GPUs", seconds), ()))
    findings = [
        triton_finding,
        *([examine_libraries()] if own_image is None else []),
        python.answer(seconds, _silent("python backend", seconds)),
        examine_shared_memory(),
        gpu_finding,
        examine_driver("driver", gpus, cuda_of(server), str(server)),
    ]
    docker_finding, daemon = docker.answer(2 * seconds, (_silent("Docker", seconds), None))
    findings.append(docker_finding)
    if daemon is not None:
        cuda = cuda_of_image(wanted.image, daemon)
        findings += [
            examine_image(wanted.image, daemon),
            examine_own_image(own_image, daemon) if own_image is not None else None,
            examine_toolkit(daemon, environ),
            examine_cdi(daemon, gpus=len(gpus)),
            examine_driver("driver for image", gpus, cuda, wanted.image),
        ]
    found = tuple(finding for finding in findings if finding is not None)
    return Diagnosis(found, abilities(found, in_image=own_image is not None), len(gpus))


def abilities(findings: Sequence[Finding], *, in_image: bool = False) -> tuple[Ability, ...]:
    """What follows from the findings; one that was never made doesn't count.

    `in_image`: rehearsals run in an image, not as processes.
    """
    by_name = {finding.name: finding for finding in findings}
    found = []
    for name, (what, needs) in _NEEDS.items():
        if name == "rehearsal" and in_image:
            needs = _IN_IMAGE
        needed = [by_name[need] for need in needs if need in by_name]
        lacks = tuple(finding.name for finding in needed if finding.status == "missing")
        limits = tuple(finding.name for finding in needed if finding.status == "warning")
        found.append(Ability(name, what, lacks, limits))
    return tuple(found)


def _silent(name: str, seconds: float) -> Finding:
    return Finding(
        name,
        "missing",
        f"could not be looked at within {seconds:g} s",
        "something there hangs (a network folder, a driver, a name server): find out what, or "
        "give it more time (--timeout)",
    )


class _Question(Generic[T]):
    """Asks in a thread that nobody has to wait for."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._asked = time.monotonic()
        self._answers: list[T] = []
        self._failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(ask,), daemon=True)
        self._thread.start()

    def _run(self, ask: Callable[[], T]) -> None:
        try:
            self._answers.append(ask())
        except BaseException as error:
            self._failures.append(error)

    def answer(self, seconds: float, otherwise: T) -> T:
        """The answer, if it is there `seconds` after the question was put. Raises what asking
        raised."""
        self._thread.join(max(0.0, self._asked + seconds - time.monotonic()))
        if self._failures:
            raise self._failures[0]
        return self._answers[0] if self._answers else otherwise
