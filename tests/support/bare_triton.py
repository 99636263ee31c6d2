"""Ask a real tritonserver what it makes of repositories: its index, its log, its end.

It gets no backends: core polls, completes and checks everything before it looks for one, and
names the backend that it then misses.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_triton.servers.process.discovery import Tritonserver, find_tritonserver

START_SECONDS = 120.0


@dataclass(frozen=True)
class Verdict:
    """What a server said. `index` is None if it never served one, `returncode` None if it ran on
    until it was asked to stop."""

    index: list[dict[str, Any]] | None
    log: str
    returncode: int | None

    def poll_failures(self) -> dict[str, str]:
        """Model name -> Triton's text."""
        return dict(
            re.findall(r"Poll failed for model directory '(.*?)': (.*?)\"?$", self.log, re.M)
        )

    def load_failures(self) -> dict[str, str]:
        """Model name -> Triton's text, for models that no version of was tried."""
        return dict(re.findall(r"failed to load model '(.*?)': (.*?)\"?$", self.log, re.M))

    def missing_backends(self) -> dict[str, str]:
        """Model name -> the backend that the server looked for in vain."""
        ways = (  # of saying so: from 2.42.0 on, and up to 2.36.0
            "library for backend '(.*?)'",
            r"unable to find 'libtriton_(.*?)\.so'",
        )
        found = re.findall(
            rf"failed to load '(.*?)' version -?\d+: .*?(?:{'|'.join(ways)})", self.log, re.M
        )
        return {name: "".join(backends) for name, *backends in found}


def tritonserver() -> Tritonserver:
    """The server to test with: $PYTEST_TRITON_BINARY, or one that the plugin would find."""
    named = os.environ.get("PYTEST_TRITON_BINARY")
    return find_tritonserver(Path(named) if named else None)


def ask(
    repositories: Sequence[Path],
    folder: Path,
    *,
    arguments: Sequence[str] = (),
    meanwhile: Callable[[], None] = lambda: None,
) -> Verdict:
    """Start a server on `repositories`, read its index, stop it. `folder` is for its log.

    `meanwhile` is called once, right after the start.
    """
    server = tritonserver()
    backends = folder / "no-backends"
    backends.mkdir(exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        str(server.binary),
        "--exit-on-error=false",
        f"--backend-directory={backends}",
        "--http-address=127.0.0.1",
        f"--http-port={port}",
        "--allow-grpc=false",
        "--allow-metrics=false",
        *(f"--model-repository={path}" for path in repositories),
        *arguments,
    ]
    libraries = os.pathsep.join(map(str, server.library_dirs))
    environment = {**os.environ, "LD_LIBRARY_PATH": libraries, "CUDA_VISIBLE_DEVICES": ""}
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=folder
        )
        try:
            meanwhile()
            index = _index(process, port)
            returncode = process.poll()
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    text = log.read_text(encoding="utf-8", errors="replace").replace('\\"', '"')
    return Verdict(index, text, returncode)


def _index(process: subprocess.Popen[bytes], port: int) -> list[dict[str, Any]] | None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v2/repository/index", data=b"{}", method="POST"
    )
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                found: list[dict[str, Any]] = json.loads(answer.read())
                return found
        except urllib.error.HTTPError:
            return None  # live, and unable to list the repository
        except (OSError, ValueError) as error:
            was_closed = isinstance(getattr(error, "reason", None), ConnectionRefusedError)
            if not was_closed and process.poll() is None and _answers(port):
                return None  # what it answers is no JSON
            time.sleep(0.02)
    return None


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
