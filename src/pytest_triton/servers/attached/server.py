"""A server that somebody else runs: looked at, never started, never stopped."""

from __future__ import annotations

import time
from dataclasses import replace

from pytest_triton.client.api import open_api
from pytest_triton.client.endpoints import Endpoints
from pytest_triton.client.http import NotAllowed, ServerSilent
from pytest_triton.client.probe import NotReached, not_understood, reach
from pytest_triton.options.hosts import AttachedHost
from pytest_triton.servers.attached.log import AttachedLog
from pytest_triton.servers.running_server import RunningServer
from pytest_triton.servers.server_log import ServerLog
from pytest_triton.servers.spec import ServerSpec

_ANSWER = 30.0  # seconds, at most, for one answer


class AttachedServer:
    """The server at an AttachedHost. Nothing happens to it, whatever is called here.

    Raises BadCredentials when made, NotReached when waited for.
    """

    def __init__(self, spec: ServerSpec) -> None:
        assert isinstance(spec.host, AttachedHost)
        self.spec = spec
        self.endpoint = spec.host.endpoint
        self._access = spec.host.access
        self._access.header_values()  # now, so that a missing one fails before anything is asked
        self._host = spec.host
        place = spec.host.log
        self._log = AttachedLog(place, spec.timeout) if place is not None else None
        self._view = self._seen_as("", "")

    def __repr__(self) -> str:
        return f"<{self._view.description}>"

    @property
    def view(self) -> RunningServer:
        return self._view

    @property
    def log(self) -> ServerLog:
        """Empty, unless somebody named it."""
        return self._view.log

    def wait_until_live(self) -> None:
        """Ask whether it is there and live; an attached server isn't waited for.

        The time-out holds for all of it.
        """
        timeout = min(self.spec.timeout, _ANSWER)
        until = time.monotonic() + timeout
        reach(self.endpoint, self._access, timeout)
        with open_api(self._view.endpoints, timeout=timeout, until=until) as api:
            try:
                metadata = api.metadata()
            except NotAllowed as error:
                raise self._not_allowed(error) from error
            except ServerSilent as error:
                raise self._silent(error, timeout) from error
            name, version = (str(metadata.get(key, "")) for key in ("name", "version"))
            if not name or "extensions" not in metadata:
                raise NotReached(
                    f"{self.endpoint}: this is no Triton server; it has no name and extensions.",
                    cause="not Triton",
                    fix="check the address (and the path, behind a proxy)",
                )
            if not api.live(name):
                raise NotReached(
                    f"{self.endpoint}: the server says that it is not live.",
                    cause="not live",
                    fix="its log says what is wrong",
                )
        view = self._seen_as(name, version)
        if self._log is not None:
            start = self._log.start(name, version)
            view = replace(view, log_file=self._log.path, log_start=start)
        self._view = view

    def check_alive(self) -> None:
        """Raise NotReached if it does not answer any more."""
        self.wait_until_live()

    def begin_stop(self) -> None:
        """It is not ours to stop."""

    def stop(self) -> None:
        """It is not ours to stop; only its log isn't followed any more."""
        if self._log is not None:
            self._log.close()

    def _seen_as(self, name: str, version: str) -> RunningServer:
        endpoint = self.endpoint
        release = f" {version}" if version else ""
        unsafe = self._access.headers and not endpoint.secure and not endpoint.is_local
        description = f"tritonserver{release} (attached, {endpoint})"
        return RunningServer(
            spec=self.spec,
            name=name,
            endpoints=Endpoints.at(endpoint, self._access, description, self._host.metrics),
            notes=("headers are sent unencrypted",) if unsafe else (),
        )

    def _not_allowed(self, error: ServerSilent) -> NotReached:
        sent = ", ".join(header for header, _ in self._access.headers) or "no header"
        return NotReached(
            f"{self.endpoint}: the server does not let us in (sent: {sent}).",
            cause="not allowed",
            fix="name the environment variable that has the credentials: "
            "--triton-header=Authorization=env:TOKEN",
            tried=(self._access.hide(error.what),),
        )

    def _silent(self, error: ServerSilent, timeout: float) -> NotReached:
        said = self._access.hide(error.what)
        if isinstance(error.__cause__, TimeoutError) or "DEADLINE_EXCEEDED" in said:
            return NotReached(
                f"{self.endpoint}: connected, and no answer within {timeout:g} s.",
                cause="timeout",
                fix="the server may be overloaded or stuck; raise --triton-timeout",
                tried=(said,),
            )
        if "with status " in said or "with JSON " in said:
            return NotReached(
                f"{self.endpoint}: this is no Triton server, or a proxy that does not reach it.",
                cause="not Triton",
                fix="check the address (and the path, behind a proxy)",
                tried=(said,),
            )
        return not_understood(self.endpoint, self._access, timeout, said)
