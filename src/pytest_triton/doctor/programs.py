"""Run a program of this machine without waiting for it for ever."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """How a program ended: its exit code, and all that it wrote. `flaw` says why there is no
    answer ("did not answer within 5 s"); "" if there is one."""

    code: int = -1
    text: str = ""
    flaw: str = ""

    @property
    def last_line(self) -> str:
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        return lines[-1] if lines else "no output"


def ask(command: Sequence[str], seconds: float, environ: Mapping[str, str]) -> Answer:
    """The answer of a program; whatever it started is ended with it when the time is over."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environ),
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return Answer(flaw=f"can't be started ({error.strerror})")
    try:
        text, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=1)  # a process that hangs in a driver can't be ended
        return Answer(flaw=f"did not answer within {seconds:g} s")
    return Answer(process.returncode, text)
