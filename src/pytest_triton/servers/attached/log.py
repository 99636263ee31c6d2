"""The log of a server that somebody else runs, where the user says where it is.

A log is evidence only from the server's last start on: what stands before is about another one.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_triton.errors import PytestTritonError
from pytest_triton.options.values import LogPlace
from pytest_triton.servers import folders
from pytest_triton.servers.server_log import ServerLog

if TYPE_CHECKING:
    from docker.models.containers import Container

    from pytest_triton.servers.container.engine import Otherwise
    from pytest_triton.servers.container.log_stream import LogStream

_STEP = 0.05  # seconds
_QUIET = 0.3  # seconds without another line, after which all that was written has arrived
_MOST = 64 << 20  # bytes of a log, its last ones, that a start is looked for in
# The first line of a build with GPU support; one without begins with what it loads.
_FIRST = re.compile(rb"^.*(?:pinned memory pool|memory pool (?:is created|disabled))", re.I | re.M)
# The table that every start ends with, before the first request is answered.
_TABLE = re.compile(rb"^\| Option +\| Value.*?(?=^[^|+])", re.DOTALL | re.MULTILINE)
_ROW = re.compile(rb"^\| (server_id|server_version) +\| (.*?) *\|\s*$", re.MULTILINE)


class LogUnusable(PytestTritonError):
    """The log that was named for a running server can't be read, or isn't that server's."""


class AttachedLog:
    """The log at a place, from the server's last start on. `path` is a file of this machine."""

    def __init__(self, place: LogPlace, timeout: float) -> None:
        self._place = place
        self._timeout = timeout
        self._folder: Path | None = None
        self._stream: LogStream | None = None
        self.path = place.path

    def start(self, name: str, version: str) -> int:
        """Where the last start of the server of this name and version begins, in bytes.

        Raises LogUnusable.
        """
        if self.path is None:
            self.path = self._follow()
        try:
            with self.path.open("rb") as file:
                skipped = max(0, file.seek(0, os.SEEK_END) - _MOST)
                file.seek(skipped)
                content = file.read(_MOST)
        except OSError as error:
            raise LogUnusable(
                f"--triton-log={self._place}: the file can't be read: {error.strerror}",
                fix="correct the path, or let the user who runs pytest read the file",
            ) from None
        tables = list(_TABLE.finditer(content))
        if not tables:
            raise LogUnusable(
                f"--triton-log={self._place}: no start of a tritonserver is in this log, so that "
                "what it says can't be separated from what was before",
                tried=[
                    "the table of options (server_id, server_version, ...), which each start logs"
                ],
                fix="name the log from the server's start on, with its standard error, and leave "
                "--log-info on; a log that was rotated since isn't enough",
            )
        self._check_same(tables[-1][0], name, version)
        earlier = tables[-2].end() if len(tables) > 1 else 0
        first = _FIRST.search(content, earlier)
        return skipped + (first.start() if first is not None else earlier)

    def close(self) -> None:
        """Stop following, and remove the copy."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        if self._folder is not None:
            folders.remove_owned(self._folder, anywhere=True)
            self._folder = None

    def _check_same(self, table: bytes, name: str, version: str) -> None:
        logged = {
            key.decode(): value.decode(errors="replace") for key, value in _ROW.findall(table)
        }
        server = {"server_id": name, "server_version": version}
        others = [
            f"{key} {logged[key]}, and the server says {value}"
            for key, value in server.items()
            if value and logged.get(key, value) != value
        ]
        if others:
            raise LogUnusable(
                f"--triton-log={self._place} is the log of another server: {'; '.join(others)}",
                fix="name the log of the server that --triton-server names",
            )

    def _follow(self) -> Path:
        """Copy a container's log into a file, for as long as this server is looked at."""
        from pytest_triton.servers.container.engine import engine_errors
        from pytest_triton.servers.container.log_stream import LogStream

        container = self._container()
        self._folder = folders.planned()
        folders.make(self._folder)
        path = self._folder / "server.log"
        with engine_errors(_otherwise()):
            self._stream = LogStream(container, path)
        self._wait_for_quiet(ServerLog(path))
        return path

    def _wait_for_quiet(self, log: ServerLog) -> None:
        """Until all that the container has written by now is in the file."""
        until, quiet, size = time.monotonic() + self._timeout, 0.0, -1
        while quiet < _QUIET and time.monotonic() < until:
            time.sleep(_STEP)
            quiet, size = (quiet + _STEP, size) if log.size() == size else (0.0, log.size())

    def _container(self) -> Container:
        import docker.errors
        from testcontainers.core.docker_client import DockerClient

        from pytest_triton.servers.container.engine import connecting

        with connecting(_otherwise()):
            client = DockerClient(timeout=self._timeout).client
            try:
                return client.containers.get(self._place.container)
            except docker.errors.NotFound:
                raise LogUnusable(
                    f"--triton-log={self._place}: there is no container of that name",
                    fix="`docker ps` lists the containers; for one of another machine or of "
                    "Kubernetes, write its log to a file and name that",
                ) from None


def _otherwise() -> Otherwise:
    from pytest_triton.servers.container.engine import Otherwise

    return Otherwise(
        without="Without Docker: write the container's log to a file and name that (--triton-log)",
        slow="raise --triton-timeout",
    )
