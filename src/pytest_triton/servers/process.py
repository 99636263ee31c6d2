"""A tritonserver as a process of this machine: launch it, wait for it, end it.

Launching and waiting are two steps, so that several servers can start side by side. From the
launch on, a guard ends the server if pytest can't (see guard.py).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_triton.errors import PytestTritonError
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.rehearsal.completion import write_completions
from pytest_triton.rehearsal.simulation import (
    SimulatedGpus,
    assemble_backends,
    environment,
    write_control,
)
from pytest_triton.servers.death import cause_of_death, describe_exit
from pytest_triton.servers.finding import Tritonserver, find_tritonserver
from pytest_triton.servers.guard import Guard
from pytest_triton.servers.http import HttpApi
from pytest_triton.servers.log import ServerLog
from pytest_triton.servers.python_backend import assemble_python_backend
from pytest_triton.servers.server import RunningServer
from pytest_triton.servers.spec import ServerSpec

_STEP = 0.01  # seconds between two looks at a starting server
_GRACE = 10.0  # seconds from SIGTERM to SIGKILL
_WITHOUT_METRICS_ADDRESS = ("2.33.0",)  # releases that know no --metrics-address
_ATTEMPTS = 3  # starts, when others take the ports that were free a moment ago


class ServerDied(PytestTritonError):
    """A server ended while it was waited for or used. `cause` is a stable name."""

    def __init__(self, what: str, *, cause: str, cure: str) -> None:
        super().__init__(what, cure=cure)
        self.cause = cause


class ServerNotLive(PytestTritonError):
    """A server runs, and will never serve: its repository can't be read, for instance."""


class ServerTimeout(PytestTritonError):
    """A server did not become live in the given time."""


class ProcessServer:
    """A tritonserver process. Made by `launch`; usable after `wait_until_live`.

    `http`, `grpc` and `metrics` are addresses, `127.0.0.1:port`.
    """

    def __init__(self, spec: ServerSpec, tritonserver: Tritonserver) -> None:
        self.spec = spec
        self.tritonserver = tritonserver
        self.folder = Path(tempfile.mkdtemp(prefix="pytest-triton-"))
        self.log = ServerLog(self.folder / "server.log")
        self.http = self.grpc = self.metrics = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._told_to_end: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None
        self._launched = 0.0
        self._log_start = 0
        try:
            self._repositories = _without_left_out(spec, self.folder)
            self._backends, self._environment = _backends(spec, tritonserver, self.folder)
            self._backend_names = _directories(self._backends)
            self._launch()
        except BaseException:
            self.stop()
            raise

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        return f"<{self.description}, {self.spec.hardware.label}, http {self.http}, {state}>"

    @property
    def description(self) -> str:
        """Which server this is, for people: `tritonserver 2.51.0 (process, installed release)`."""
        return describe(self.tritonserver)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def view(self) -> RunningServer:
        """For its users, in this process or another."""
        control = self.folder / "simulated-gpus"
        return RunningServer(
            spec=self.spec,
            name=self.folder.name,
            description=self.description,
            http=self.http,
            grpc=self.grpc,
            metrics=self.metrics,
            log_file=self.log.path,
            control_file=control if self.spec.hardware.simulated else None,
            backends=self._backend_names,
        )

    def wait_until_live(self) -> None:
        """Return when the server answers; raise `ServerDied` or `ServerTimeout` otherwise."""
        deadline = self._launched + self.spec.timeout
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._wait(deadline)
                return
            except ServerDied as death:
                if death.cause != "port taken" or attempt == _ATTEMPTS:
                    raise
                self._end()
                self._launch()

    def _wait(self, deadline: float) -> None:
        with HttpApi(self.http, timeout=1.0) as api:
            while not (live := api.live(self.folder.name)):
                self.check_alive()
                if live is False:  # Triton answers only once its start is over
                    self._fail_to_live()
                if time.monotonic() > deadline:
                    raise ServerTimeout(
                        f"{self.description} was not live after {self.spec.timeout:g} s "
                        f"(serving {_list(self.spec.repositories)} with "
                        f"{self.spec.hardware.label}).\n"
                        f"The last lines of its log:\n{_indent(self.log.tail())}",
                        cure="raise --triton-timeout if it was still loading models; the log "
                        "above shows what it was doing",
                    )
                time.sleep(_STEP)

    def _fail_to_live(self) -> None:
        log = self.log.since(self._log_start)
        cause = cause_of_death(0, log)
        said = [line for line in log.splitlines() if line.startswith("E")]
        raise ServerNotLive(
            f"{self.description} is up and says that it is not live "
            f"(serving {_list(self.spec.repositories)} with {self.spec.hardware.label}).\n"
            f"Cause: {cause.name}: {cause.meaning}.\n"
            f"The errors in its log:\n{_indent(chr(10).join(said[-20:]))}",
            cure=cause.cure or "read the log above",
        )

    def check_alive(self) -> None:
        """Raise `ServerDied`, with exit code, cause and the log's last lines, if it has ended."""
        if self._process is None or self._process.poll() is None:
            return
        returncode = self._process.returncode
        tail = self.log.tail()
        cause = cause_of_death(returncode, self.log.since(self._log_start))
        said = f"It said: {cause.line}\n" if cause.line and cause.line not in tail else ""
        raise ServerDied(
            f"{self.description} ended with {describe_exit(returncode)} "
            f"(serving {_list(self.spec.repositories)} with {self.spec.hardware.label}).\n"
            f"Cause: {cause.name}: {cause.meaning}.\n{said}"
            f"The last lines of its log:\n{_indent(tail)}",
            cause=cause.name,
            cure=cause.cure or "read the log above; run the same binary by hand to see more",
        )

    def begin_stop(self) -> None:
        """Tell the server to end, without waiting: `stop` waits.

        Models get SIGTERM and time to finish. Stand-ins have nothing to finish, and Triton takes
        a second or more to end properly, so they are killed.
        """
        if self._process is None or self._process is self._told_to_end:
            return  # a second SIGTERM would make Triton drop everything
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL if self.spec.stand_ins else signal.SIGTERM)
        self._told_to_end = self._process

    def stop(self) -> None:
        """End the server (in the end with SIGKILL) and remove its folder. Safe to call twice."""
        self._end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _launch(self) -> None:
        self.http, self.grpc, self.metrics = _free_addresses(3)
        self._log_start = self.log.size()  # of this attempt, if ports had to be chosen again
        command = _command(self)
        with self.log.path.open("ab") as log:
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environment,
                    cwd=self.folder,
                    start_new_session=True,  # Ctrl-C is pytest's to handle
                )
            except OSError as error:
                raise ServerDied(
                    f"{self.tritonserver.binary} could not be started: {error.strerror or error}",
                    cause="not startable",
                    cure="name a tritonserver built for this machine (--triton-binary), or fetch "
                    "one: python -m pytest_triton install",
                ) from error
        self._guard = Guard(self._process.pid, self.folder, self._shared_memory)
        self._launched = time.monotonic()

    @property
    def _shared_memory(self) -> str:
        """Prefix of the shared memory files of this server's python models."""
        return self.folder.name

    def _end(self) -> None:
        self.begin_stop()
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # stubs that outlived it, or itself
            process.wait()
            for left in Path("/dev/shm").glob(self._shared_memory + "*"):
                left.unlink(missing_ok=True)
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.dismiss()


def launch(spec: ServerSpec) -> ProcessServer:
    """Start a server and return at once. `PytestTritonError` says why when it can't be done."""
    return ProcessServer(spec, find_tritonserver(spec.binary, spec.version))


def describe(tritonserver: Tritonserver) -> str:
    """`tritonserver 2.51.0 (process, installed release)`; a value, so that headers may use it."""
    version = f" {tritonserver.version}" if tritonserver.version else ""
    return f"tritonserver{version} (process, {tritonserver.origin})"


def _backends(
    spec: ServerSpec, tritonserver: Tritonserver, folder: Path
) -> tuple[Path, dict[str, str]]:
    """The backend directory to serve from, and the environment that server and stubs need."""
    if spec.stand_ins:
        directory = assemble_backends(folder / "backends", spec.stand_ins)
        libraries = [*map(str, tritonserver.library_dirs), os.environ.get("LD_LIBRARY_PATH", "")]
        added = {"LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries))}
        added |= write_completions(folder / "completions", spec.completed)
    else:
        python = assemble_python_backend(tritonserver, spec.python, folder / "backends")
        directory, added = python.directory, dict(python.environment)
    variables = {**os.environ, **added, **dict(spec.environment)}
    if spec.hardware.simulated:
        variables.pop("CUDA_VISIBLE_DEVICES", None)  # it would hide simulated GPUs as well
        variables.update(_simulate(spec.hardware, folder))
    else:
        variables.update(_visible_gpus(spec.hardware))
    return directory, variables


def _directories(folder: Path) -> frozenset[str]:
    names = (path.name for path in folder.iterdir() if path.is_dir())
    return frozenset(name for name in names if not name.startswith("."))


def _visible_gpus(hardware: HardwareRequest) -> Mapping[str, str]:
    if hardware.kind == "all":
        return {}
    if hardware.kind == "count":
        return {"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(hardware.count or 0)))}
    return {"CUDA_VISIBLE_DEVICES": ",".join(hardware.gpus)}  # empty for no GPU


def _simulate(hardware: HardwareRequest, folder: Path) -> Mapping[str, str]:
    control = folder / "simulated-gpus"
    gpus = SimulatedGpus(hardware.count or 0)
    if hardware.compute_capability is not None:
        gpus = replace(gpus, compute_capability=hardware.compute_capability)
    write_control(control, gpus)
    return environment(control)


def _without_left_out(spec: ServerSpec, folder: Path) -> tuple[Path, ...]:
    """The repositories, or folders of links to all in them that isn't left out."""
    served = []
    for number, repository in enumerate(spec.repositories):
        left_out = {path.name for path in spec.left_out if path.parent == repository}
        if left_out:
            links = folder / "repositories" / f"{number}-{repository.name}"
            links.mkdir(parents=True)
            for entry in os.listdir(repository):
                if entry not in left_out:
                    (links / entry).symlink_to(repository / entry)
            repository = links
        served.append(repository)
    return tuple(served)


def _command(server: ProcessServer) -> list[str]:
    command = [str(server.tritonserver.binary), "--exit-on-error=false"]
    command.append(f"--id={server.folder.name}")  # so that no other server is taken for this one
    command += [f"--model-repository={path}" for path in server._repositories]
    command.append(f"--backend-directory={server._backends}")
    command.append(f"--backend-config=python,shm-region-prefix-name={server._shared_memory}")
    endpoints = ["http", "grpc", "metrics"]
    if server.tritonserver.version in _WITHOUT_METRICS_ADDRESS:
        endpoints.remove("metrics")
        command.append("--allow-metrics=false")  # else they would be open to other machines
    if server.spec.changed_by:
        command.append("--model-control-mode=explicit")
        loaded = ["*"] if server.spec.load is None else server.spec.load
        command += [f"--load-model={model}" for model in loaded]
    for endpoint in endpoints:
        host, _, port = getattr(server, endpoint).rpartition(":")
        command += [f"--{endpoint}-address={host}", f"--{endpoint}-port={port}"]
    return command + list(server.spec.arguments)


def _free_addresses(count: int) -> list[str]:
    """Addresses on the loopback whose ports are free now, each handed out once."""
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        while len(ports) < count:
            candidate = held.enter_context(socket.socket())
            candidate.bind(("127.0.0.1", 0))
            port = candidate.getsockname()[1]
            if port not in _handed_out:  # a server that is starting may not have it open yet
                _handed_out.add(port)
                ports.append(port)
    return [f"127.0.0.1:{port}" for port in ports]


_handed_out: set[int] = set()


def _list(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths)


def _indent(text: str) -> str:
    return "\n".join("  " + line for line in text.splitlines()) or "  (empty)"
