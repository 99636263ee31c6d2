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
from collections.abc import Mapping
from pathlib import Path

from pytest_triton.client.http import HttpApi
from pytest_triton.errors import tells_all
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.servers import launch_arguments as command_line
from pytest_triton.servers.exit_diagnosis import cause_of_death, describe_exit
from pytest_triton.servers.loopback import check_loopback
from pytest_triton.servers.no_simulation import check_process, check_variables
from pytest_triton.servers.process.discovery import Tritonserver, find_tritonserver
from pytest_triton.servers.process.guard import Guard
from pytest_triton.servers.process.python_backend import assemble_python_backend
from pytest_triton.servers.running_server import RunningServer
from pytest_triton.servers.server_errors import ServerDied as ServerDied
from pytest_triton.servers.server_errors import ServerNotLive as ServerNotLive
from pytest_triton.servers.server_errors import ServerTimeout as ServerTimeout
from pytest_triton.servers.server_errors import died, not_live, timed_out
from pytest_triton.servers.server_log import ServerLog
from pytest_triton.servers.spec import ServerSpec

__tracebackhide__ = tells_all

_STEP = 0.01  # seconds between two looks at a starting server
_GRACE = 10.0  # seconds from SIGTERM to SIGKILL
_WITHOUT_METRICS_ADDRESS = ("2.33.0",)  # releases that know no --metrics-address
_ATTEMPTS = 3  # starts, when others take the ports that were free a moment ago


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
            self._repositories = command_line.served_repositories(spec, self.folder)
            self._backends, self._environment, self._notes = _backends(
                spec, tritonserver, self.folder
            )
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
    def _lacks_metrics(self) -> bool:
        return self.tritonserver.version in _WITHOUT_METRICS_ADDRESS

    @property
    def view(self) -> RunningServer:
        """For its users, in this process or another."""
        control = self.folder / command_line.CONTROL_FILE
        return RunningServer(
            spec=self.spec,
            name=self.folder.name,
            description=self.description,
            http=self.http,
            grpc=self.grpc,
            metrics="" if self._lacks_metrics else self.metrics,
            log_file=self.log.path,
            control_file=control if self.spec.hardware.simulated else None,
            backends=self._backend_names,
            notes=self._notes,
        )

    def wait_until_live(self) -> None:
        """Return when the server answers; raise `ServerDied` or `ServerTimeout` otherwise."""
        deadline = self._launched + self.spec.timeout
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._wait(deadline)
                if self._process is not None and self.spec.hardware.kind not in ("none", "sim"):
                    check_process(self._process.pid)
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
                    log = self.log.since(self._log_start)
                    raise not_live(self.description, self.spec, log)
                if time.monotonic() > deadline:
                    raise timed_out(self.description, self.spec, self.log)
                time.sleep(_STEP)

    def check_alive(self) -> None:
        """Raise `ServerDied`, with exit code, cause and the log's last lines, if it has ended."""
        if self._process is None or self._process.poll() is None:
            return
        returncode = self._process.returncode
        raise died(
            self.description,
            self.spec,
            f"ended with {describe_exit(returncode)}",
            cause_of_death(returncode, self.log.since(self._log_start)),
            self.log,
            cure="read the log above; run the same binary by hand to see more",
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
        check_loopback()
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
) -> tuple[Path, dict[str, str], tuple[str, ...]]:
    """The backend directory, the environment that server and stubs need, and what to know."""
    notes: tuple[str, ...] = ()
    if spec.stand_ins:
        directory, added = command_line.stand_ins(spec, folder)
        libraries = [*map(str, tritonserver.library_dirs), os.environ.get("LD_LIBRARY_PATH", "")]
        added["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, libraries))
    else:
        python = assemble_python_backend(tritonserver, spec.python, folder / "backends")
        directory, added = python.directory, dict(python.environment)
        added["PYTHONDONTWRITEBYTECODE"] = "1"  # the repository is not ours to write to
        notes = (python.caveat,) if python.caveat else ()
    variables = {**command_line.inherited(os.environ), **added, **dict(spec.environment)}
    if spec.hardware.simulated:
        variables.pop("CUDA_VISIBLE_DEVICES", None)  # it would hide simulated GPUs as well
        variables.update(command_line.simulated_gpus(spec.hardware, folder))
    else:
        check_variables(variables)
        variables.update(_visible_gpus(spec.hardware))
    return directory, variables, notes


def _directories(folder: Path) -> frozenset[str]:
    names = (path.name for path in folder.iterdir() if path.is_dir())
    return frozenset(name for name in names if not name.startswith("."))


def _visible_gpus(hardware: HardwareRequest) -> Mapping[str, str]:
    if hardware.kind == "all":
        return {}
    if hardware.kind == "count":
        return {"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(hardware.count or 0)))}
    return {"CUDA_VISIBLE_DEVICES": ",".join(hardware.gpus)}  # empty for no GPU


def _command(server: ProcessServer) -> list[str]:
    command = [str(server.tritonserver.binary)]
    command += command_line.arguments(
        server.spec,
        name=server.folder.name,
        repositories=server._repositories,
        backends=server._backends,
    )
    root = server.tritonserver.binary.parent.parent
    command += command_line.library_directories(root, server.spec.arguments)
    command.append(f"--backend-config=python,shm-region-prefix-name={server._shared_memory}")
    endpoints = ["http", "grpc", "metrics"]
    if server._lacks_metrics:
        endpoints.remove("metrics")
        command.append("--allow-metrics=false")  # else they would be open to other machines
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
