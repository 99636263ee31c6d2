"""A real tritonserver as a process, for tests of the native libraries alone.

Knows nothing of the package's servers: the libraries must be testable without them.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pytest_triton.rehearsal.simulation import (
    OFFICIAL_BACKENDS,
    SimulatedGpus,
    assemble_backends,
    environment,
    write_control,
)

START_SECONDS = 120.0
STARTS = 30  # core's race ends about a third of them on a busy machine
# Read when tests are collected: while they run, our variables are hidden from them.
NAMED_BINARY = os.environ.get("PYTEST_TRITON_BINARY")


@dataclass
class BareServer:
    """A running server; `control` is the simulated GPUs' control file."""

    process: subprocess.Popen[bytes]
    url: str
    grpc_url: str
    metrics_url: str
    log_path: Path
    control: Path
    name: str = ""  # its --id

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def version(self) -> tuple[int, ...]:
        """The server's own version, (2, 51, 0)."""
        return tuple(int(part) for part in self.request("/v2")["version"].split("."))

    def request(self, path: str, body: object | None = None) -> Any:
        """The JSON answer to a GET, or to a POST when there is a body. HTTP errors too."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            text = error.read()
        return json.loads(text) if text.strip() else None

    def metrics(self) -> str:
        with urllib.request.urlopen(self.metrics_url + "/metrics", timeout=60) as answer:
            return str(answer.read().decode())

    def read_index(self) -> dict[str, dict[str, Any]]:
        """Model name -> state and reason, of the models that have a state."""
        entries = self.request("/v2/repository/index", {})
        return {entry["name"]: entry for entry in entries}

    def groups(self, model: str) -> list[dict[str, Any]]:
        """The instance groups that core resolved."""
        return list(self.request(f"/v2/models/{model}/config")["instance_group"])

    def placement(self, model: str) -> str:
        """`gpu(0) gpu(1) cpu x2`, from the resolved groups; the reason when it was refused."""
        entry = self.read_index()[model]
        if entry.get("state") != "READY":
            return str(entry.get("reason", "no state"))
        parts = []
        for group in self.groups(model):
            kind = group["kind"].removeprefix("KIND_").lower()
            count = "" if group["count"] == 1 else f" x{group['count']}"
            ids = group.get("gpus") or [None]
            parts += [kind + ("" if i is None else f"({i})") + count for i in ids]
        return " ".join(parts)

    def infer(self, model: str, inputs: list[dict[str, Any]], **more: Any) -> Any:
        return self.request(f"/v2/models/{model}/infer", {"inputs": inputs, **more})

    def load(self, model: str) -> Any:
        return self.request(f"/v2/repository/models/{model}/load", {})

    def unload(self, model: str) -> None:
        """Unloads and waits until the index says so."""
        self.request(f"/v2/repository/models/{model}/unload", {})
        while (entry := self.read_index()[model]).get("state") != "UNAVAILABLE" or (
            entry.get("reason") != "unloaded"
        ):
            time.sleep(0.01)

    def set_gpus(self, gpus: SimulatedGpus) -> None:
        write_control(self.control, gpus)


def tritonserver() -> Path:
    """The server to test with: PYTEST_TRITON_BINARY, else what the package finds."""
    if NAMED_BINARY:
        return Path(NAMED_BINARY)
    from pytest_triton.servers.process.discovery import find_tritonserver

    return find_tritonserver().binary


def server_libraries(binary: Path) -> list[Path]:
    """Where an nvidia-pytriton wheel keeps the libraries of its server."""
    tree = binary.parent.parent
    return [
        path
        for path in (tree / "external_libs", tree.parent.parent / "nvidia_pytriton.libs")
        if path.is_dir()
    ]


@lru_cache
def knows_metrics_address(binary: Path, library_path: str) -> bool:
    """Does this server know --metrics-address? 2.33.0 doesn't, and would listen to the world."""
    asked = subprocess.run(
        [str(binary), "--help"],
        env={"LD_LIBRARY_PATH": library_path},
        capture_output=True,
        text=True,
        check=False,
    )
    return "--metrics-address" in asked.stdout + asked.stderr


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


@contextmanager
def bare_server(
    repository: Path,
    gpus: SimulatedGpus | None = None,
    *,
    control: Path | None = None,
    arguments: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    backends: Path | None = None,
    binary: Path | None = None,
) -> Iterator[BareServer]:
    """Runs the server on `repository` until the block ends.

    `gpus` are written to the control file; a `control` file of the caller's is used as it is.
    `backends` defaults to stand-ins under every official name. The server is started again when
    another process took its port, or when it crashed: every release does so now and then when it
    ends the thread of a refused model that has hardly started.
    """
    binary = binary or tritonserver()
    with tempfile.TemporaryDirectory(prefix="bare-server-") as scratch_name:
        scratch = Path(scratch_name)
        if control is None:
            control = scratch / "gpus"
            write_control(control, gpus or SimulatedGpus(0))
        backends = backends or assemble_backends(scratch / "backends", OFFICIAL_BACKENDS)
        env = {**os.environ, **environment(control), **(variables or {})}
        old = env.get("LD_LIBRARY_PATH")
        paths = [str(path) for path in server_libraries(binary)] + ([old] if old else [])
        env["LD_LIBRARY_PATH"] = ":".join(paths)
        command = [
            str(binary),
            f"--model-repository={repository}",
            f"--backend-directory={backends}",
            "--exit-on-error=false",
            "--metrics-interval-ms=100",  # the server waits for it when it stops
            *arguments,
        ]
        for start in range(1, STARTS + 1):
            server = start_server(command, env, scratch / "log", control)
            try:
                try:
                    wait_until_live(server)
                except (PortTaken, Crashed):
                    if start == STARTS:
                        raise
                    continue
                yield server
                return
            finally:
                end(server.process)


class PortTaken(RuntimeError):
    """Another process took a port between our look for free ones and the server's start."""


class Crashed(RuntimeError):
    """A signal ended the server before it was live."""


def start_server(
    command: Sequence[str], env: Mapping[str, str], log_path: Path, control: Path
) -> BareServer:
    ports = dict(zip(("http", "grpc", "metrics"), free_ports(3), strict=True))
    if knows_metrics_address(Path(command[0]), env["LD_LIBRARY_PATH"]):
        metrics_options = ["--metrics-address=127.0.0.1", f"--metrics-port={ports['metrics']}"]
    else:
        metrics_options = ["--allow-metrics=false"]
    name = f"bare-{uuid.uuid4().hex}"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [
                command[0],
                f"--id={name}",
                "--http-address=127.0.0.1",
                "--grpc-address=127.0.0.1",
                f"--http-port={ports['http']}",
                f"--grpc-port={ports['grpc']}",
                *metrics_options,
                *command[1:],
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=env,
        )
    return BareServer(
        process,
        f"http://127.0.0.1:{ports['http']}",
        f"127.0.0.1:{ports['grpc']}",
        f"http://127.0.0.1:{ports['metrics']}",
        log_path,
        control,
        name,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def once_counted(count: Callable[[], int], wanted: int) -> int:
    """What Triton counts, for which it has 10 s: it counts an inference after its answer."""
    deadline = time.monotonic() + 10
    while (counted := count()) < wanted and time.monotonic() < deadline:
        time.sleep(0.01)
    return counted


def wait_until_live(server: BareServer) -> None:
    deadline = time.monotonic() + START_SECONDS
    command = server.process.args
    assert isinstance(command, list)
    while True:
        if server.process.poll() is not None:
            raise _why_it_ended(server.process.returncode, server.log)
        try:
            with urllib.request.urlopen(server.url + "/v2/health/live", timeout=5) as answer:
                live = answer.status == 200
            # Else it is another server's answer, on a port that it took.
            if live and f'"{server.name}"' in json.dumps(server.request("/v2")):
                if "--allow-metrics=false" not in command:  # they start last
                    urllib.request.urlopen(server.metrics_url + "/metrics", timeout=1).close()
                return
        except (OSError, ValueError, http.client.HTTPException):
            pass
        if time.monotonic() > deadline:
            raise RuntimeError(f"tritonserver isn't live after {START_SECONDS} s\n{server.log}")
        time.sleep(0.01)


def _why_it_ended(code: int, log: str) -> RuntimeError:
    kind = PortTaken if "already in use" in log else Crashed if code < 0 else RuntimeError
    return kind(f"tritonserver ended: {code}\n{log}")


def write_model(repository: Path, name: str, config: str | None, version: str = "1") -> Path:
    """A model directory without a model file. `config` None: no config.pbtxt."""
    model = repository / name
    (model / version).mkdir(parents=True)
    if config is not None:
        (model / "config.pbtxt").write_text(config)
    return model
