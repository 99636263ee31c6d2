"""What stands before a deployment's server, on the loopback: TLS, and who may come in."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_KEPT = ("Inference-Header-Content-Length", "Content-Type")  # what Triton's own protocol needs
_NONE: Mapping[str, str] = {}


@dataclass(frozen=True)
class Certificates:
    """PEM files: an authority, and a server's and a client's certificate that it signed."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def make_certificates(folder: Path) -> Certificates:
    """With openssl; the server's certificate is for localhost only."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, cwd=folder, capture_output=True)

    new = ("req", "-newkey", "rsa:2048", "-nodes", "-subj")
    openssl(
        *new, "/CN=test authority", "-x509", "-days", "2", "-keyout", "ca.key", "-out", "ca.pem"
    )
    (folder / "localhost.ext").write_text("subjectAltName=DNS:localhost")
    for name, extra in (("server", ["-extfile", "localhost.ext"]), ("client", [])):
        openssl(*new, f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signed, *extra)
    return Certificates(
        *(
            folder / name
            for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")
        )
    )


@contextmanager
def http_gate(
    behind: str,
    *,
    certificates: Certificates | None = None,
    mutual: bool = False,
    wants: str = "",
    path: str = "",
    refuses_with: int = 401,
) -> Iterator[int]:
    """A proxy in front of an HTTP endpoint; gives its port. It repeats a wrong credential."""

    class Gate(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def answer(self) -> None:
            given = self.headers.get("Authorization", "")
            if wants and given != wants:
                self.say(refuses_with, f"not you: {given}".encode())
                return
            if not self.path.startswith(path):
                self.say(404, b"nothing here")
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection = http.client.HTTPConnection(behind, timeout=10)
            kept = {name: self.headers[name] for name in _KEPT if name in self.headers}
            connection.request(self.command, self.path.removeprefix(path), body, kept)
            response = connection.getresponse()
            kept = {name: response.headers[name] for name in _KEPT if name in response.headers}
            self.say(response.status, response.read(), kept)
            connection.close()

        def say(self, status: int, body: bytes, headers: Mapping[str, str] = _NONE) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def finish_request(self, request: Any, client_address: Any) -> None:
            if context is None:
                super().finish_request(request, client_address)
                return
            with context.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)

        def handle_error(self, *arguments: Any) -> None:
            pass  # clients that turn away are what is tested

    context = None
    if certificates is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.server, certificates.server_key)
        context.set_alpn_protocols(["http/1.1"])
        if mutual:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(certificates.ca)
    with Server(("127.0.0.1", 0), Gate) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def grpc_gate(behind: str, wants: str) -> Iterator[int]:
    """A proxy in front of a gRPC endpoint that wants `authorization`; gives its port."""
    import grpc  # type: ignore[import-untyped]

    channel = grpc.insecure_channel(behind)

    class Gate(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, details: Any) -> Any:
            forward = channel.unary_unary(details.method)

            def answer(request: bytes, context: Any) -> Any:
                given = dict(context.invocation_metadata()).get("authorization", "")
                if given != wants:
                    context.abort(grpc.StatusCode.UNAUTHENTICATED, f"not you: {given}")
                return forward(request)

            return grpc.unary_unary_rpc_method_handler(answer)

    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads, handlers=[Gate()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port
        finally:
            server.stop(None).wait()
            channel.close()


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
