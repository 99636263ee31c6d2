"""What really answers at a server's URL."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import get_args

from pytest_triton.client.address import Endpoint, Scheme
from pytest_triton.client.tls import Access
from pytest_triton.errors import PytestTritonError

_HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_ALERT = 2.0  # seconds, at most, until a server that misses a certificate says so, or speaks
_SETTINGS = 4  # the type of a server's first frame


class NotReached(PytestTritonError):
    """There is no way to the server. `cause` is a stable name.

    The causes: dns, refused, timeout, tls, protocol, not allowed, not Triton, not live, no answer.
    """

    def __init__(self, what: str, *, cause: str, fix: str, tried: tuple[str, ...] = ()) -> None:
        super().__init__(what, fix=fix, tried=tried)
        self.cause = cause


def reach(endpoint: Endpoint, access: Access, timeout: float) -> None:
    """Connect, and with TLS shake hands. Raises NotReached with the cause, or BadCredentials."""
    try:
        with _connected(endpoint, timeout) as plain:
            if not endpoint.secure:
                return
            context = access.context("h2" if endpoint.is_grpc else "http/1.1")
            with context.wrap_socket(plain, server_hostname=endpoint.host):
                return
    except (socket.gaierror, UnicodeError) as error:  # the latter for what can't be a name
        said = getattr(error, "strerror", None) or error
        raise NotReached(
            f"{endpoint}: the name {endpoint.host} can't be resolved ({said}).",
            cause="dns",
            fix="correct the name, or check the DNS and VPN of this machine",
        ) from error
    except ConnectionRefusedError as error:
        raise NotReached(
            f"{endpoint}: nothing listens on port {endpoint.port} of {endpoint.host}.",
            cause="refused",
            fix="check that the server runs, the port (Triton's are 8000 for HTTP and 8001 for "
            "gRPC), and that the port is published or forwarded",
        ) from error
    except TimeoutError as error:
        raise NotReached(
            f"{endpoint}: no connection within {timeout:g} s.",
            cause="timeout",
            fix="check the address and firewalls; raise --triton-timeout if the way is that long",
        ) from error
    except ssl.SSLCertVerificationError as error:
        raise NotReached(
            f"{endpoint}: the server's certificate isn't trusted: {error.verify_message}.",
            cause="tls",
            fix="name the authority that signed it (--triton-tls-ca=FILE), and use the host's "
            "name as the certificate has it",
        ) from error
    except OSError as error:
        raise not_understood(endpoint, access, timeout, str(error)) from error


def not_understood(endpoint: Endpoint, access: Access, timeout: float, said: str) -> NotReached:
    """The error for a port that is open and gave no proper answer, by what it speaks."""
    timeout = min(timeout, _ALERT)  # there was no proper answer: this only says why
    spoken = schemes_spoken(endpoint, access, timeout)
    if spoken and endpoint.scheme not in spoken:
        others = " or ".join(f"{scheme}://{endpoint.address}" for scheme in spoken)
        return NotReached(
            f"{endpoint}: port {endpoint.port} speaks {' and '.join(spoken)}, not "
            f"{endpoint.scheme}.",
            cause="protocol",
            fix=f"--triton-server={others}",
            tried=(said,),
        )
    may_want_one = endpoint.secure and not spoken and access.certificate is None
    if may_want_one and _hangs_up(endpoint, access, timeout):
        return NotReached(
            f"{endpoint}: the server refused the TLS connection: {said}",
            cause="tls",
            fix="it may want a client certificate: --triton-tls-cert=FILE, --triton-tls-key=FILE",
        )
    return NotReached(
        f"{endpoint}: no proper answer: {said}",
        cause="tls" if "ssl" in said.lower() or "certificate" in said.lower() else "no answer",
        fix="check that a Triton server listens there; its log or its proxy's may say more",
    )


def schemes_spoken(endpoint: Endpoint, access: Access, timeout: float) -> tuple[Scheme, ...]:
    """What is spoken on a port: the schemes that got an answer. No headers are sent."""
    tls = ssl.create_default_context()
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE  # nothing is believed that is read here
    access.add_certificate(tls)
    secure = [
        scheme
        for scheme, alpn in (("grpcs", "h2"), ("https", "http/1.1"))
        if _answers(endpoint, timeout, tls, alpn)
    ]
    plain = [
        scheme
        for scheme, alpn in (("grpc", "h2"), ("http", "http/1.1"))
        if not secure and _answers(endpoint, timeout, None, alpn)
    ]
    return tuple(known for known in get_args(Scheme) if known in secure + plain)


def _hangs_up(endpoint: Endpoint, access: Access, timeout: float) -> bool:
    """Whether a server ends the connection right after the TLS handshake, without being asked.

    Since TLS 1.3 that is how it says that it misses a client certificate.
    """
    context = access.context("h2" if endpoint.is_grpc else "http/1.1")
    try:
        with (
            _connected(endpoint, timeout) as plain,
            context.wrap_socket(plain, server_hostname=endpoint.host) as secured,
        ):
            return not secured.recv(1)
    except TimeoutError:
        return False
    except OSError:
        return True


def _answers(endpoint: Endpoint, timeout: float, context: ssl.SSLContext | None, alpn: str) -> bool:
    hello = f"GET /v2 HTTP/1.1\r\nHost: {endpoint.host}\r\nConnection: close\r\n\r\n".encode()
    try:
        with contextlib.ExitStack() as stack:
            used = stack.enter_context(_connected(endpoint, timeout))
            if context is not None:
                context.set_alpn_protocols([alpn])
                used = stack.enter_context(context.wrap_socket(used))
            used.sendall(_HTTP2_HELLO if alpn == "h2" else hello)
            answer = used.recv(9)
            if alpn == "h2":
                return len(answer) > 3 and answer[3] == _SETTINGS
            return answer.startswith(b"HTTP/1.")
    except OSError:
        return False


def _connected(endpoint: Endpoint, timeout: float) -> socket.socket:
    return socket.create_connection((endpoint.host, endpoint.port), timeout)
