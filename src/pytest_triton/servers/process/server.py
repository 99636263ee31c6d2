"""A tritonserver as a process of this machine: launch it, wait for it, end it.

Launching and waiting are two steps, so that several servers can start side by side. A guard starts
the server, and ends it if pytest can't (see guard.py).
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import warnings
from collections.abc import Mapping
from pathlib import Path

from pytest_triton.client.endpoints import Endpoints
from pytest_triton.client.http import HttpApi
from pytest_triton.errors import says_all
from pytest_triton.options.hosts import ProcessHost
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.servers import folders
from pytest_triton.servers import launch_arguments as command_line
from pytest_triton.servers.exit_diagnosis import cause_of_exit, describe_exit
from pytest_triton.servers.loopback import check_loopback
from pytest_triton.servers.no_simulation import check_process, check_variables
from pytest_triton.servers.process.discovery import Tritonserver, find_tritonserver
from pytest_triton.servers.process.guard import Guard
from pytest_triton.servers.process.python_backend import assemble_python_backend
from pytest_triton.servers.running_server import RunningServer
from pytest_triton.servers.server_errors import ServerExited as ServerExited
from pytest_triton.servers.server_errors import ServerNotLive as ServerNotLive
from pytest_triton.servers.server_errors import ServerTimeout as ServerTimeout
from pytest_triton.servers.server_errors import exited, not_live, timed_out
from pytest_triton.servers.server_log import ServerLog
from pytest_triton.servers.spec import ServerSpec

__tracebackhide__ = says_all

_STEP = 0.01  # seconds between two looks at a starting server
_GRACE = 10.0  # seconds from SIGTERM to SIGKILL
_END_LIMIT = 10.0  # seconds from SIGKILL to giving up: a process may hang in a driver
_WITHOUT_METRICS_ADDRESS = ("2.33.0",)  # releases that know no --metrics-address
_ATTEMPTS = 3  # starts, when others take the ports that were free a moment ago


class ProcessServer:
    """A tritonserver process. Made by `launch`; usable after `wait_until_live`.

    `http`, `grpc` and `metrics` are addresses, `127.0.0.1:port`.
    """

    def __init__(self, spec: ServerSpec, tritonserver: Tritonserver) -> None:
        command_line.check_known(spec, tritonserver.version)
        self.spec = spec
        self.tritonserver = tritonserver
        self.folder = folders.planned()
        self.log = ServerLog(self.folder / "server.log", as_given=spec.as_given)
        self.http = self.grpc = self.metrics = ""
        self._launched = 0.0
        self._log_start = 0
        self._guard: Guard | None = Guard(self.folder)  # before there is anything to end
        try:
            folders.make(self.folder)
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
        return self._guard is not None and self._guard.poll() is None

    @property
    def pid(self) -> int:
        """The process id of a server that runs."""
        assert self._guard is not None
        self._guard.poll()
        assert self._guard.pid is not None
        return self._guard.pid

    @property
    def _lacks_metrics(self) -> bool:
        return self.tritonserver.version in _WITHOUT_METRICS_ADDRESS

    @property
    def view(self) -> RunningServer:
        """For its users, in this process or another."""
        control = self.folder / command_line.CONTROL_FILE
        metrics = "" if self._lacks_metrics else self.metrics
        return RunningServer(
            spec=self.spec,
            name=self.folder.name,
            endpoints=Endpoints(self.description, self.http, self.grpc, metrics),
            log_file=self.log.path,
            control_file=control if self.spec.hardware.simulated else None,
            backends=self._backend_names,
            notes=self._notes,
        )

    def wait_until_live(self) -> None:
        """Return when the server answers; raise `ServerExited` or `ServerTimeout` otherwise."""
        deadline = self._launched + self.spec.timeout
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._wait(deadline)
                if self.spec.hardware.is_real:
                    check_process(self.pid)
                return
            except ServerExited as error:
                if error.cause != "port taken" or attempt == _ATTEMPTS:
                    raise
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
        """Raise `ServerExited`, with exit code, cause and the log's last lines, if it has ended."""
        guard = self._guard
        if guard is None or (returncode := guard.poll()) is None:
            return
        if guard.failure:
            raise ServerExited(
                f"{self.tritonserver.binary} could not be started: {os.strerror(guard.failure)}",
                cause="not startable",
                fix="name a tritonserver built for this machine (--triton-binary), or fetch "
                "one: pytest-triton install",
            )
        if guard.was_killed:
            raise exited(
                self.description,
                self.spec,
                f"has gone: the process that started it (pid {guard.guard_pid}) was killed",
                cause_of_exit(returncode, self.log.since(self._log_start)),
                self.log,
                fix="look what kills processes here: too little memory, or a clean-up of CI",
            )
        raise exited(
            self.description,
            self.spec,
            f"ended with {describe_exit(returncode)}",
            cause_of_exit(returncode, self.log.since(self._log_start)),
            self.log,
            fix="read the log above; run the same binary by hand to see more",
        )

    def begin_stop(self) -> None:
        """Ask the server to end, without waiting: `stop` waits.

        Models get SIGTERM and time to finish. Stand-ins have nothing to finish, and Triton takes
        a second or more to end properly, so they are killed.
        """
        if self._guard is not None:
            self._guard.stop()

    def stop(self) -> None:
        """End the server (in the end with SIGKILL) and remove its folder. Safe to call twice.

        A server that even SIGKILL doesn't end is waited for no longer than that, with a warning.
        """
        guard, self._guard = self._guard, None
        if guard is not None and not guard.end(self._grace + _END_LIMIT):
            warnings.warn(
                f"{self.description} (pid {guard.pid}) did not end within {_END_LIMIT:g} s of "
                f"SIGKILL; it ends, or has to be ended, without pytest. Log: {self.log.path}",
                RuntimeWarning,
                stacklevel=2,
            )

    def _launch(self) -> None:
        assert self._guard is not None
        check_loopback()
        self.http, self.grpc, self.metrics = _free_addresses(3)
        self._log_start = self.log.size()  # of this attempt, if ports had to be chosen again
        self._guard.start(_command(self), self._environment, log=self.log.path, grace=self._grace)
        self._launched = time.monotonic()
        folders.sweep_once()  # while the server starts

    @property
    def _grace(self) -> float:
        return 0.0 if self.spec.stand_ins else _GRACE

    @property
    def _shared_memory(self) -> str:
        """Prefix of the shared memory files of this server's python models."""
        return self.folder.name


def launch(spec: ServerSpec) -> ProcessServer:
    """Start a server and return at once. `PytestTritonError` says why when it can't be done."""
    host = _host(spec)
    return ProcessServer(spec, find_tritonserver(host.binary, host.version))


def _host(spec: ServerSpec) -> ProcessHost:
    assert isinstance(spec.host, ProcessHost)
    return spec.host


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
        python = assemble_python_backend(tritonserver, _host(spec).python, folder / "backends")
        directory, added = python.directory, dict(python.environment)
        added["PYTHONDONTWRITEBYTECODE"] = "1"  # the repository is not ours to write to
        notes = (python.caveat,) if python.caveat else ()
    inherited = command_line.inherited(os.environ)
    if spec.hardware.simulated:
        inherited.pop("CUDA_VISIBLE_DEVICES", None)  # it would hide simulated GPUs as well
    variables = {**inherited, **added, **dict(spec.environment)}
    if spec.hardware.simulated:
        variables.update(command_line.simulated_gpus(spec.hardware, folder))
    else:
        check_variables(variables)
        variables.update(_visible_gpus(spec.hardware))
    return directory, variables, notes


def _directories(folder: Path) -> frozenset[str]:
    names = (path.name for path in folder.iterdir() if path.is_dir())
    return frozenset(name for name in names if not name.startswith("."))


def _visible_gpus(hardware: HardwareRequest) -> Mapping[str, str]:
    visible = hardware.visible
    return {} if visible is None else {"CUDA_VISIBLE_DEVICES": ",".join(visible)}


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
