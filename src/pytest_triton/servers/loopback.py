"""Whether this machine's loopback works: all servers of pytest's own are reached at 127.0.0.1."""

from __future__ import annotations

import errno
import socket

from pytest_triton.errors import PytestTritonError

_ANSWER = 5.0  # seconds for a connection that takes none where nothing drops it


class NoLoopback(PytestTritonError):
    """No server could be reached on this machine, however long it is waited for."""


def check_loopback() -> None:
    """Connect to a port of 127.0.0.1. Raises NoLoopback with the reason."""
    try:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen(1)
            with socket.create_connection(listening.getsockname(), _ANSWER):
                return
    except OSError as error:
        raise _no_loopback(error) from error


def _no_loopback(error: OSError) -> NoLoopback:
    ip = "`ip addr show lo` shows it; in a container or sandbox, look how its network is set up"
    tried = (f"a connection to a port of one's own on 127.0.0.1: {error.strerror or error}",)
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return NoLoopback(
            "The loopback of this machine has no 127.0.0.1, where servers are reached (::1 alone "
            "won't do).",
            tried=tried,
            fix=f"as root: ip addr add 127.0.0.1/8 dev lo. {ip}",
        )
    if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN):
        return NoLoopback(
            "The loopback of this machine is down, so that no server on it can be reached.",
            tried=tried,
            fix=f"as root: ip link set lo up. {ip}",
        )
    return NoLoopback(
        "This machine can't connect to itself at 127.0.0.1, where servers are reached.",
        tried=tried,
        fix="look for a firewall that drops connections to 127.0.0.1, for limits on open files "
        "(ulimit -n) and for ports that are used up (ss -s)",
    )
