"""Triton in a container: `TritonContainer` to use by itself, `ContainerServer` for the pool.

A container sees the repositories, the server's folder and the rehearsal's libraries under the
paths that they have on this machine (container_files.py), so the server in it is started with
what a process would be started with (command_line.py).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker.errors
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer, Reaper
from testcontainers.core.labels import create_labels

from pytest_triton.arguments.checked import checked
from pytest_triton.arguments.kinds import (
    ANYTHING,
    CALLABLE,
    NAME,
    PATH,
    SECONDS,
    TEXT,
    a,
    either,
    mapping,
    optional,
    several,
)
from pytest_triton.client.endpoints import Endpoints
from pytest_triton.client.http import HttpApi
from pytest_triton.errors import says_all
from pytest_triton.options.hosts import ContainerHost
from pytest_triton.options.server_arguments import check_arguments, check_environment
from pytest_triton.options.settings import ContainerOptions
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.rehearsal.simulation import NATIVE_DIRECTORY
from pytest_triton.repository.models import check_directories
from pytest_triton.servers import folders
from pytest_triton.servers import launch_arguments as command_line
from pytest_triton.servers.container import gpu_requests as container_gpus
from pytest_triton.servers.container import guard_process as container_guard
from pytest_triton.servers.container import ownership as container_owners
from pytest_triton.servers.container import reuse as container_reuse
from pytest_triton.servers.container import shared_files as container_files
from pytest_triton.servers.container.docker_deadline import AnswerTime, bound, within
from pytest_triton.servers.container.engine import (
    ENGINE_ERRORS,
    Otherwise,
    connecting,
    engine_errors,
    explanation,
    is_local,
    places,
    runs_beside_us,
)
from pytest_triton.servers.container.image import OFFICIAL_IMAGE, Image, Say, get_image
from pytest_triton.servers.container.libraries import libraries_for
from pytest_triton.servers.container.log_stream import LogStream
from pytest_triton.servers.container.reach import Shown, shown
from pytest_triton.servers.container.restrictions import restrictions
from pytest_triton.servers.exit_diagnosis import cause_of_exit, describe_exit
from pytest_triton.servers.loopback import check_loopback
from pytest_triton.servers.no_simulation import check_container, check_variables
from pytest_triton.servers.process.guard import Guard
from pytest_triton.servers.running_server import RunningServer
from pytest_triton.servers.server_errors import exited, not_live, timed_out
from pytest_triton.servers.server_log import ServerLog
from pytest_triton.servers.spec import ServerSpec
from pytest_triton.text.paths import without_dots

if TYPE_CHECKING:
    from types import TracebackType

    from docker.models.containers import Container

HTTP, GRPC, METRICS = 8000, 8001, 8002
BACKENDS = "/opt/tritonserver/backends"  # of official images

__tracebackhide__ = says_all

_STEP = 0.02  # seconds between two looks at a starting server
_STATE_STEP = 0.5  # seconds between two looks at its container
_LAST_LINES = 5.0  # seconds for the log of a dead container to arrive
_GUARD_LIMIT = 10.0  # seconds for a guard to remove the folder
_START_LOGGED = 2.0  # seconds for a live server's own lines on its start to arrive
_STARTED = "Started HTTPService at"  # written once all models have been loaded


class TritonContainer(DockerContainer):
    """A Triton Inference Server in a container, as testcontainers has containers.

        with TritonContainer("models", gpus="none") as triton:
            print(triton.http, triton.grpc, triton.metrics)

    `repository` is a model repository, or several. `gpus` takes what `--triton-gpus` takes:
    "none", "all", "2", "0,1", UUIDs, "sim:2". `arguments` are added to tritonserver's command
    line, `environment` to its variables. With `stand_ins`, the names of backends, none of the
    image's is used. `timeout`, in seconds, bounds the start, without the fetching of the image.
    `options` says how the container is run. `say` is called with what takes long.

    testcontainers' own `with_...` methods work; `with_kwargs` adds to what is set here.
    `start` returns when the server answers. It raises NoDocker, ContainerRefused, ImageUnavailable,
    ServerExited, ServerNotLive, ServerTimeout or GpusMissing, and leaves nothing behind then.
    Arguments that are set here already raise ArgumentRefused at once.
    """

    @checked(
        repository=either(PATH, several(PATH, "a list of them")),
        image=NAME,
        gpus=either(NAME, a("a HardwareRequest", HardwareRequest)),
        arguments=several(TEXT, "a list of texts"),
        environment=optional(mapping(NAME, TEXT, "texts by name, such as {'TOKEN': 'x'}")),
        stand_ins=several(NAME, "a list of backends' names"),
        timeout=SECONDS,
        options=optional(a("ContainerOptions(...)", ContainerOptions)),
        say=CALLABLE,
        _spec=ANYTHING,
    )
    def __init__(
        self,
        repository: str | Path | Sequence[str | Path],
        *,
        image: str = OFFICIAL_IMAGE,
        gpus: str | HardwareRequest = "none",
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        stand_ins: Sequence[str] = (),
        timeout: float = 120.0,
        options: ContainerOptions | None = None,
        say: Say = lambda line: None,
        _spec: ServerSpec | None = None,
    ) -> None:
        check_arguments(arguments)
        check_environment(environment or {})
        repositories = [repository] if isinstance(repository, (str, Path)) else repository
        self.spec = _spec or ServerSpec(
            repositories=tuple(Path(path).absolute() for path in repositories),
            hardware=HardwareRequest.parse(gpus) if isinstance(gpus, str) else gpus,
            timeout=timeout,
            arguments=tuple(arguments),
            stand_ins=tuple(stand_ins),
            host=ContainerHost(image, options or ContainerOptions()),
            environment=tuple((environment or {}).items()),
        )
        assert isinstance(self.spec.host, ContainerHost)
        self._host = self.spec.host
        name = self._host.image or OFFICIAL_IMAGE
        self._say = say
        self._guard: Guard | None = None
        self._may_exist = False  # the container: it has been asked for, and not been removed
        self._stream: LogStream | None = None
        self._image: Image | None = None
        self._backends: frozenset[str] | None = frozenset(self.spec.stand_ins) or None
        self._addresses: dict[int, str] = {}
        self._notes: tuple[str, ...] = ()
        self._launched = 0.0
        self._kept = False  # others may use it, so it isn't ours to end
        seconds = self.spec.timeout
        self._otherwise = _OF_ITS_OWN if _spec is None else _in_a_run(self.spec.hardware)
        with connecting(self._otherwise):
            within(
                seconds,
                lambda: super(TritonContainer, self).__init__(
                    name, docker_client_kw={"timeout": seconds}
                ),
            )
        self._answers = AnswerTime(seconds)
        bound(self.get_docker_client().client, seconds, self._answers)
        if "." in name.partition("/")[0]:
            self.image = name  # testcontainers puts its prefix before other registries as well
        self._private = folders.planned()
        self.folder = self._private  # what the container is shown of it
        self.log = ServerLog(self._private / "server.log", as_given=self.spec.as_given)
        self.with_name(self._private.name)
        self.with_exposed_ports(HTTP, GRPC, METRICS)

    def __repr__(self) -> str:
        state = f"http {self.http}" if self._addresses else "not started"
        return f"<{self.description}, {self.spec.hardware.label}, {state}>"

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def description(self) -> str:
        """Which server this is, for people: `tritonserver 2.51.0 (container, IMAGE)`."""
        version = self._image.version if self._image is not None else None
        return f"tritonserver{' ' + version if version else ''} (container, {self.image})"

    @property
    def http(self) -> str:
        """`host:port`; "" before `start`."""
        return self._addresses.get(HTTP, "")

    @property
    def grpc(self) -> str:
        """`host:port`; "" before `start`."""
        return self._addresses.get(GRPC, "")

    @property
    def metrics(self) -> str:
        """`host:port`; "" before `start`."""
        return self._addresses.get(METRICS, "")

    @property
    def view(self) -> RunningServer:
        """For its users, in this process or another."""
        control = self.folder / command_line.CONTROL_FILE
        return RunningServer(
            spec=self.spec,
            name=str(self._name),
            endpoints=Endpoints(self.description, self.http, self.grpc, self.metrics),
            log_file=self.log.path,
            control_file=control if self.spec.hardware.simulated else None,
            backends=self._backends,
            notes=self._notes,
            image=self._image.name if self._image else None,
            image_digest=(self._image.digest or self._image.id) if self._image else None,
        )

    def start(self) -> TritonContainer:
        """Start it and wait until it answers. Raises RepositoryNotFound, and why it can't be."""
        check_directories(self.spec.repositories)  # Docker would make one that isn't there
        try:
            self.launch()
            self.wait_until_live()
        except BaseException:
            self._kept = False
            self.stop()
            raise
        return self

    def launch(self) -> None:
        """Start it, without waiting for the server in it."""
        self._answers.start()
        try:
            with engine_errors(self._otherwise):
                self._launch()
        except BaseException:
            self._kept = False
            self.stop()
            raise

    def wait_until_live(self) -> None:
        """Return when it answers; raise with the named cause otherwise."""
        deadline = self._launched + min(self.spec.timeout, self._answers.left)
        looked = time.monotonic()
        self._answers.until = deadline
        try:
            with engine_errors(self._otherwise):
                self._answers.within(self._look_at_backends)
            while not self._is_live():
                now = time.monotonic()
                if self._stream is None or self._stream.ended or now - looked > _STATE_STEP:
                    self.check_alive()
                    looked = now
                if now > deadline:
                    raise timed_out(self.description, self.spec, self.log)
                time.sleep(_STEP)
            self._answers.until = math.inf
            with engine_errors(self._otherwise):
                self._answers.within(self._look_inside)
        except BaseException:
            self._kept = False  # of no use to anybody
            raise
        finally:
            self._answers.end_start()
        if self._kept and self._guard is not None:
            self._guard.forget_at_end()

    def check_alive(self) -> None:
        """Raise ServerExited, with exit code, cause and the log's last lines, if it has ended."""
        with engine_errors(self._otherwise):
            container = self.get_wrapped_container()
            try:
                container.reload()
                state: dict[str, Any] = container.attrs["State"]
            except docker.errors.NotFound:
                state = {"Status": "removed"}
        if state["Status"] in ("created", "running", "paused"):
            return
        if self._stream is not None:
            self._stream.wait_for_end(_LAST_LINES)
        code = int(state.get("ExitCode") or 0)
        returncode = 128 - code if code > 128 else code
        how = f"ended with {describe_exit(returncode)}"
        if state["Status"] == "removed":
            how = "is gone: somebody removed the container"
        log = "Out of memory" if state.get("OOMKilled") else self.log.since()
        raise exited(
            self.description,
            self.spec,
            how,
            cause_of_exit(returncode, "\n".join((state.get("Error") or "", log))),
            self.log,
            fix=f"read the log above; look around in the image: docker run -it {self.image} bash",
        )

    def begin_stop(self) -> None:
        """Kill the server, without waiting: Triton's own end takes up to 30 s."""
        if self._container is not None and not self._kept:
            with contextlib.suppress(*ENGINE_ERRORS):
                self._container.kill()

    def stop(self, force: bool = True, delete_volume: bool = True) -> None:
        """Remove the container, its volumes and its folder. Safe to call twice.

        One that is kept for the next session goes on running.
        """
        self._answers.end_start()
        container, self._container = self._container, None
        if container is not None and not self._kept:
            try:
                container.remove(force=force, v=delete_volume)
                self._may_exist = False
            except docker.errors.NotFound:
                self._may_exist = False
            except docker.errors.APIError as error:
                if error.status_code == 409:  # somebody is removing it already
                    self._may_exist = False
            except ENGINE_ERRORS:
                pass
        if self._stream is not None:
            self._stream.close()
        if not self._kept and self.folder != self._private:
            folders.remove_owned(self.folder, anywhere=True)
        guard, self._guard = self._guard, None
        if guard is not None and self._may_exist and not self._kept:
            guard.let_go()  # the daemon did not answer, or Ctrl-C came while it made the container
        elif guard is not None:
            guard.forget_at_end()
            guard.end(_GUARD_LIMIT)
        self.get_docker_client().client.close()

    # --- how it is started -----------------------------------------------------------------------

    def _launch(self) -> None:
        client = self.get_docker_client().client
        if is_local(self.get_docker_client()):
            check_loopback()
        if self._guard is None:
            self._guard = Guard(self._private)  # before there is anything to remove
            folders.make(self._private)
            folders.sweep_once()
        container_owners.remove_orphans(client)
        self._image = get_image(client, self.image, self._host.options, self._say)
        command_line.check_known(self.spec, self._image.version)
        _start_reaper(client)
        if self._host.options.reuse and not self.spec.owner:
            self._launch_for_reuse(self._image)
        else:
            self._make({})
        self._stream = LogStream(self.get_wrapped_container(), self.log.path)

    def _launch_for_reuse(self, image: Image) -> None:
        """Take the container of an earlier session if it would be the same, else make one."""
        client = self.get_docker_client().client
        own_ways = repr((self.env, self.volumes, self.ports, self._kwargs, self._command))
        key = container_reuse.key_of(self.spec, self._host, own_ways)
        what = self._shown()
        name = container_reuse.PREFIX + container_reuse.signature_of(key, image.id, what)
        self.with_name(name)
        self.folder = folders.kept_folder(name)
        with container_reuse.alone():
            for found in container_owners.kept(client, key):
                if found.name == name and found.status == "running":
                    self._container = found
                else:
                    container_owners.remove(found)
            if self._container is None:
                folders.make_kept(name)
                self._make({container_owners.REUSE: key})
            else:
                self._launched = time.monotonic()
                self._notes = (image.note, "container of an earlier session")
            self._kept = True

    def _make(self, labels: Mapping[str, str]) -> None:
        """Make a container and start it."""
        self.folder.chmod(0o755)  # the server may be another user
        served = command_line.served_repositories(self.spec, self.folder)
        repositories = [without_dots(path) for path in served]
        libraries = libraries_for(self._client(), self._image) if self.spec.is_rehearsal else None
        backends, variables = self._rehearsal(libraries or NATIVE_DIRECTORY)
        command = command_line.arguments(
            self.spec, name=str(self._name), repositories=repositories, backends=backends
        )
        command += self.spec.arguments
        if self._image is None or not self._image.runs_server:
            command.insert(0, "tritonserver")
        what = self._shown(self.folder, *filter(None, [libraries]))
        if self._guard is not None:
            self._guard.run_at_end(
                *container_guard.removal(str(self._name), self.folder, container_owners.SESSION_ID)
            )
        how = self._create(what, self._settings(what, command, variables, labels))
        self._notes = (self._image.note if self._image else "", f"repository {how}")
        self._launched = time.monotonic()
        container = self.get_wrapped_container()
        try:
            container.start()
        except docker.errors.APIError as error:
            raise exited(
                self.description,
                self.spec,
                f"could not be started: {explanation(error)}",
                cause_of_exit(1, explanation(error)),
                self.log,
                fix="read what the container engine says above",
            ) from None
        container.reload()

    def _shown(self, *own: Path) -> Shown:
        """What the container is to see, besides what is its `own`."""
        named = [*self.spec.repositories, *self._host.options.mount]
        return shown(named, own=own, left_out=self.spec.left_out)

    def _client(self) -> docker.DockerClient:
        client: docker.DockerClient = self.get_docker_client().client
        return client

    def _rehearsal(self, libraries: Path) -> tuple[Path | None, dict[str, str]]:
        """The backend directory of stand-ins (None: the image's), and the server's variables."""
        hardware, backends = self.spec.hardware, None
        variables = dict(self.spec.environment)
        if self.spec.stand_ins:
            backends, completions = command_line.stand_ins(self.spec, self.folder, libraries)
            variables = {**completions, **variables}
        variables.update(container_gpus.environment(hardware))
        if not hardware.simulated:
            check_variables({**variables, **self.env})
        else:
            variables.update(
                command_line.simulated_gpus(hardware, self.folder, variables, libraries)
            )
        return backends, variables

    def _create(self, what: Shown, settings: Mapping[str, Any]) -> str:
        """Make the container with its files, and say how those got into it."""
        way = self._host.options.transfer
        if way == "mount" or (way == "auto" and what.mountable):
            try:
                self._create_with(settings, container_files.mounts(what))
            except docker.errors.APIError as error:
                if way == "mount" or not container_files.is_mount_refused(explanation(error)):
                    raise
            else:
                container = self.get_wrapped_container()
                if way == "mount" or container_files.have_arrived(container, what):
                    return "mounted read-only"
                container.remove(force=True, v=True)
        self._create_with(settings, container_files.volumes(what))
        container_files.copy_into(self.get_wrapped_container(), what)
        return "copied: changes after the start don't reach the server"

    def _create_with(self, settings: Mapping[str, Any], files: list[Any]) -> None:
        client = self.get_docker_client().client
        given = dict(settings)
        mounts = [*files, *given.pop("mounts", ())]
        self._may_exist = True
        try:
            self._container = client.containers.create(self.image, mounts=mounts, **given)
        except docker.errors.APIError:
            self._may_exist = False  # refused; at Ctrl-C or without an answer, it may be made yet
            raise

    def _settings(
        self,
        what: Shown,
        command: Sequence[str],
        variables: Mapping[str, str],
        labels: Mapping[str, str],
    ) -> dict[str, Any]:
        """All arguments of docker-py's `create`, but for the files."""
        client, options = self.get_docker_client(), self._host.options
        settings = restrictions(options, reads_others_files=what.needs_rights)
        settings["tmpfs"] = {**settings.get("tmpfs", {}), **getattr(self, "tmpfs", {})}
        settings["device_requests"] = container_gpus.device_requests(
            self.spec.hardware, options.gpu_driver
        )
        if self._network is not None:
            settings["network"] = self._network.name
        elif runs_beside_us(client):
            settings["network"] = client.find_host_network()
        given = dict(self._kwargs)
        ours = container_owners.labels(str(self._name), self.folder)
        all_labels = {**given.pop("labels", {}), **ours, **labels}
        address = "127.0.0.1" if is_local(client) else ""
        return {
            **settings,
            "name": self._name,
            "command": self._command or list(command),
            "environment": {**variables, **self.env},
            "ports": {f"{port}/tcp": (address, fixed) for port, fixed in self.ports.items()},
            "volumes": {path: dict(mount) for path, mount in self.volumes.items()},
            "labels": create_labels(self.image, all_labels),
            "detach": True,
            **given,
        }

    # --- how it is waited for --------------------------------------------------------------------

    def _is_live(self) -> bool:
        """Whether it answers at one of the places where it may be. Raises ServerNotLive."""
        container = self.get_wrapped_container()
        known = places(self.get_docker_client(), container, (HTTP, GRPC, METRICS))
        if not any(map(self._answers_at, known)):
            return False
        # Once more, the best first: the server may have come up just after that one was tried.
        self._addresses = next(filter(self._answers_at, known), {})
        return bool(self._addresses)

    def _answers_at(self, addresses: Mapping[int, str]) -> bool:
        with HttpApi(addresses[HTTP], timeout=1.0) as api:
            live = api.live(str(self._name))
        if live is False:  # Triton answers only once its start is over
            raise not_live(self.description, self.spec, self.log.since())
        return bool(live)

    def _look_at_backends(self) -> None:
        """List the image's backends while the server starts, which takes longer."""
        if self._backends is None:
            with contextlib.suppress(docker.errors.APIError):  # it has ended: looked at later
                self._backends = _backends_in(self.get_wrapped_container())

    def _look_inside(self) -> None:
        """What is known of a server only when it runs. Raises GpusMissing."""
        deadline = time.monotonic() + _START_LOGGED
        while _STARTED not in self.log.since() and time.monotonic() < deadline:
            time.sleep(_STEP)  # the log comes by way of the daemon, a moment later
        container = self.get_wrapped_container()
        if self.spec.hardware.is_real:
            check_container(container)
        container_gpus.check_gpus(self.spec.hardware, self.log.since(), container)


_OF_ITS_OWN = Otherwise(slow="give it more time (timeout=...)")


def _in_a_run(hardware: HardwareRequest) -> Otherwise:
    """What a run of pytest can do without the engine."""
    return Otherwise(
        without=f"Without Docker: --triton-server=process{hardware.or_rehearse}",
        slow="raise --triton-timeout",
    )


class ContainerServer:
    """The pool's owner of a TritonContainer."""

    def __init__(self, spec: ServerSpec, say: Say = lambda line: None) -> None:
        self.container = TritonContainer(spec.repositories, _spec=spec, say=say)
        self.container.launch()

    def __repr__(self) -> str:
        return repr(self.container)

    @property
    def spec(self) -> ServerSpec:
        return self.container.spec

    @property
    def log(self) -> ServerLog:
        return self.container.log

    @property
    def view(self) -> RunningServer:
        return self.container.view

    def wait_until_live(self) -> None:
        self.container.wait_until_live()

    def check_alive(self) -> None:
        self.container.check_alive()

    def begin_stop(self) -> None:
        self.container.begin_stop()

    def stop(self) -> None:
        self.container.stop()


def _backends_in(container: Container) -> frozenset[str] | None:
    """The backends in the image; None if they can't be listed."""
    listed = container.exec_run(["ls", "-1", BACKENDS])
    if listed.exit_code != 0:
        return None
    return frozenset(listed.output.decode(errors="replace").split())


def _start_reaper(client: docker.DockerClient) -> None:
    """testcontainers' own cleaner, Ryuk, where its image is there; our guards do without."""
    if not testcontainers_config.ryuk_disabled:
        with contextlib.suppress(docker.errors.DockerException):
            client.images.get(testcontainers_config.ryuk_image)
            Reaper.get_instance()
