"""What a probe or health check asks a container for, and whether Triton can ever answer it.

Triton answers HTTP, gRPC and metrics on a port each. What other ports and paths give was seen on
the releases 2.33.0 to 2.51.0: 400 or 404 for any path that there isn't, also with a `/` too many;
the metrics port gives 200 for every path from 2.42.0 on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from pytest_triton.deployment.deployed_server import DeployedServer, Probe
from pytest_triton.deployment.sizes import whole
from pytest_triton.deployment.yaml_file import Node
from pytest_triton.placement.releases import release_of_image

_URL = re.compile(
    r"(?:(?P<scheme>https?)://)?(?P<host>\[[0-9a-fA-F:]+\]|[\w.-]+)(?::(?P<port>[^/\s'\"]*))?"
    r"(?P<path>/(?:v2|metrics)\b[^\s'\"|;&)]*)",
    re.ASCII,
)
_ANY_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-fA-F:]+\]|[\w.-]+)(?::(?P<port>[^/\s'\"]*))?"
    r"(?P<path>/[^\s'\"|;&)]*)?",
    re.ASCII,
)
_GRPC_ADDRESS = re.compile(r"-addr[= ]\s*['\"]?(?P<host>[\w.-]*|\[::1?\]):(?P<port>[^\s'\"]*)")
_LOCAL = re.compile(r"localhost|127\.\d+\.\d+\.\d+|0\.0\.0\.0|\[::1?\]|", re.ASCII)
_LOOPBACK = re.compile(r"localhost|127\.\d+\.\d+\.\d+|\[?::1\]?", re.ASCII)
_PATHS = re.compile(
    r"/v2(/health/(live|ready)|/models/.+|/trace/setting|/logging|/repository/.+|"
    r"/systemsharedmemory/.+|/cudasharedmemory/.+)?",
    re.ASCII,
)
_FAILS_ON_STATUS = re.compile(r"\s(-\w*f\w*|--fail(-with-body|-early)?)\b", re.ASCII)
_ANSWERS_ALL = (2, 42, 0)  # the metrics port; 2.39.0 doesn't, those between weren't seen


@dataclass(frozen=True)
class Fault:
    """Why a probe shows nothing of the server: it fails always, or (`passes`) it never fails."""

    what: str
    fix: str
    passes: bool = False


# --- reading -------------------------------------------------------------------------------------


def asked_by(words: Sequence[str], names: Sequence[str] = ()) -> Mapping[str, str]:
    """What a command in the container asks for: fields of a Probe.

    `names` are other names of the container. A command that asks several addresses, or another
    machine, has no `how`.
    """
    text = " ".join(words)
    found = list(_URL.finditer(text)) or list(_ANY_URL.finditer(text))
    if not found:
        grpc = _GRPC_ADDRESS.search(text) if "grpc_health_probe" in text else None
        if grpc is not None and _is_local(grpc["host"], names):
            return {"how": "grpc", "port": grpc["port"], "command": text}
        return {"command": text}
    path = found[0]["path"] or "/"
    addresses = {(one["host"], one["port"]) for one in found}
    if len(addresses) > 1 or not _is_local(found[0]["host"], names):
        return {"path": path, "command": text}
    scheme = found[0]["scheme"] or "http"
    port = found[0]["port"] or ("443" if scheme == "https" else "80")
    return {"path": path, "how": scheme, "port": port, "command": text}


def _is_local(host: str, names: Sequence[str]) -> bool:
    return host in names or _LOCAL.fullmatch(host) is not None


def asked_of_kubelet(probe: Node, container: Node) -> Mapping[str, str]:
    """What a probe of a manifest asks for: fields of a Probe."""
    words = [one.text or "" for one in probe.list("exec", "command")]
    if words:
        return asked_by(words)
    http = probe.get("httpGet")
    if http is not None:
        how = http.string("scheme").lower() or "http"
        return {
            "path": http.string("path") or "/",
            # Another address, or a header that a restricted API may ask for.
            "how": "" if http.get("host") is not None else how,
            "port": _port(http, container),
            "header": "" if http.get("httpHeaders") is None else "yes",
        }
    for key, how in (("grpc", "grpc"), ("tcpSocket", "tcp")):
        asked = probe.get(key)
        if asked is not None:
            other = asked.get("host") is not None
            return {"how": "" if other else how, "port": _port(asked, container)}
    return {}


def _port(asked: Node, container: Node) -> str:
    """A port's number; one that isn't defined keeps its name."""
    text = asked.string("port")
    for one in container.list("ports"):
        if text and one.string("name") == text:
            return one.string("containerPort")
    return text


def shown_name(probe: Probe) -> str:
    """`liveness probe`, `healthcheck`."""
    return probe.what if probe.what == "healthcheck" else f"{probe.what} probe"


# --- judging -------------------------------------------------------------------------------------


Served = Mapping[str, Sequence[int]]
"""The models that a server loads at its start, and the versions of each."""


def faults(server: DeployedServer, served: Served | None = None) -> Iterator[tuple[Probe, Fault]]:
    """The probes that show nothing of the server; `served` is None where that isn't known."""
    for probe in server.probes:
        found = fault_of(server, probe)
        if found is None and served is not None:
            found = _model_fault(server, probe, served)
        if found is not None:
            yield probe, found


def _model_fault(server: DeployedServer, probe: Probe, served: Served) -> Fault | None:
    """Why a probe of a model fails always: the server doesn't load it."""
    name, version = probe.model
    if not name or "$" in probe.path or not probe.how:
        return None
    if server.line.control_mode != "none" or server.line.namespacing:
        return None  # models may come later, or have other names
    if name not in served:
        close = get_close_matches(name, served, n=1)
        meant = f"did you mean {close[0]}? Else " if close else ""
        return Fault(
            f"it asks about the model {name}, which isn't loaded", f"{meant}ask /v2/health/ready"
        )
    if version and version not in map(str, served[name]):
        there = ", ".join(map(str, served[name])) or "none"
        return Fault(
            f"it asks about version {version} of {name}, and the versions that are loaded are: "
            f"{there}",
            "leave out the version, or ask /v2/health/ready",
        )
    return None


def fault_of(server: DeployedServer, probe: Probe) -> Fault | None:
    """Why a probe shows nothing of its server, None if it does, or if that isn't known."""
    line, environment = server.line, server.environment
    if server.unknown or server.bad_arguments is not None or not probe.how:
        return None
    if line.has("allow-sagemaker") or line.has("allow-vertex-ai") or "AIP_MODE" in environment:
        return None  # they have ports, paths and defaults of their own
    port = whole(probe.port)
    if port is None:
        if not probe.port or "$" in probe.port or probe.command or probe.port.isdigit():
            return None
        return Fault(
            f"the container has no port that is called {probe.port:.40}",
            f"write {_port_of(server, probe.how) or 'its number'}, or name the port in `ports`",
        )
    found = _port_fault(server, probe, port)
    if found is None and probe.how in ("http", "https"):
        found = _curl_fault(probe)
    return found


def _port_of(server: DeployedServer, how: str) -> int | None:
    """The port on which Triton answers HTTP, gRPC or requests for metrics, None if on none."""
    what, default = {
        "grpc": ("grpc", 8001),
        "metrics": ("metrics", 8002),
    }.get(how, ("http", 8000))
    if not server.line.switch(f"allow-{what}", default=True):
        return None
    return server.line.number(f"{what}-port", default)


def ports_of(server: DeployedServer) -> dict[str, int | None]:
    """The ports on which Triton answers, by what it answers there."""
    return {what: _port_of(server, what) for what in ("http", "grpc", "metrics")}


def _port_fault(server: DeployedServer, probe: Probe, port: int) -> Fault | None:
    ports = ports_of(server)
    asked = [what for what, one in ports.items() if one == port]
    wanted = probe.how if probe.how in ("grpc", "tcp") else "http"
    if wanted == "http" and probe.path.startswith("/metrics"):
        wanted = "metrics"
    if not asked:
        return None if _may_be_others(server, port) else _nobody(server, probe, wanted, ports)
    what = asked[0]
    address = server.line.last.get(f"{what}-address", "")
    if what == "metrics" and not address:
        address = server.line.last.get("http-address", "")
    if not server.is_compose and not probe.command and _LOOPBACK.fullmatch(address):
        return Fault(
            f"Triton answers only on {address}, and the kubelet asks the pod's own address",
            f"leave out --{what}-address",
        )
    if wanted in ("tcp", what):
        return _answer_fault(server, probe, what)
    if what == "metrics" and wanted == "http":
        return _metrics_fault(server, probe, ports["http"])
    return _nobody(server, probe, wanted, ports)


def _nobody(
    server: DeployedServer, probe: Probe, wanted: str, ports: Mapping[str, int | None]
) -> Fault:
    names = {"http": "HTTP", "grpc": "gRPC", "metrics": "requests for metrics"}
    if wanted == "tcp":
        shown = ", ".join(str(one) for one in ports.values() if one is not None)
        return Fault(
            f"it asks port {probe.port}, and Triton listens on {shown or 'none'}",
            f"ask one of the ports {shown}" if shown else "let Triton listen: --allow-http=true",
        )
    port = ports[wanted]
    if port is None:
        return Fault(
            f"--allow-{wanted}=false: Triton answers no {names[wanted]}",
            f"leave out --allow-{wanted}=false, or ask in another way",
        )
    return Fault(
        f"it asks port {probe.port}, and Triton answers {names[wanted]} on port {port}",
        f"ask port {port}",
    )


def _answer_fault(server: DeployedServer, probe: Probe, what: str) -> Fault | None:
    """What is wrong with a request to the port that it is meant for."""
    if probe.how == "https":
        return Fault("it asks with TLS, which Triton's HTTP port doesn't have", "ask with http")
    if probe.how == "grpc" and not probe.command and server.line.has("grpc-use-ssl"):
        return Fault(
            "--grpc-use-ssl: the kubelet asks gRPC without TLS",
            "ask HTTP instead: httpGet: { path: /v2/health/ready, port: 8000 }",
        )
    if probe.how != "http" or what != "http":
        return None
    path = probe.path.partition("?")[0]
    if ("$" not in path and _PATHS.fullmatch(path) is None) or path.endswith("/"):
        return Fault(
            f"Triton has no {path}, and answers with an error",
            "ask /v2/health/ready, or /v2/health/live",
        )
    restricted = server.line.all("http-restricted-api")
    if not probe.header and "-H" not in probe.command and "header" not in probe.command:
        for one in restricted:
            if path.startswith("/v2/health") and "health" in one.partition(":")[0].split(","):
                return Fault(
                    "--http-restricted-api: Triton answers only requests with its header (403)",
                    "leave health out of --http-restricted-api, or send the header",
                )
    return None


def _metrics_fault(server: DeployedServer, probe: Probe, http: int | None) -> Fault | None:
    if probe.path.rstrip("/") in ("", "/metrics"):
        return None
    release = release_of_image(server.image)
    passes = release is None or release >= _ANSWERS_ALL
    does = "with 200 to every path, whatever the server's state is" if passes else "with an error"
    return Fault(
        f"port {probe.port} is that of Triton's metrics, which answers {probe.path} {does}",
        f"ask port {http}" if http is not None else "leave out --allow-http=false",
        passes=passes,
    )


def _curl_fault(probe: Probe) -> Fault | None:
    """curl takes an answer that says `not ready` for a success, unless `-f` is given."""
    command = probe.command
    if not probe.asks_ready or re.search(r"(^|[\s/])curl\s", command) is None:
        return None
    if _FAILS_ON_STATUS.search(command) or re.search(r"\||\s-\w*w|--write-out|\$\(|`", command):
        return None
    return Fault(
        "curl without -f ends with 0 also when the server answers that it isn't ready",
        "write curl -f",
        passes=True,
    )


def _may_be_others(server: DeployedServer, port: int) -> bool:
    """Whether another program may answer on a port, that shares the network with tritonserver."""
    if server.starts_others:
        return True
    if server.pod is None:
        shared = server.node.string("network_mode")
        return shared.startswith(("service:", "container:")) or shared == "host"
    if server.pod.string("hostNetwork") == "true":
        return True
    beside = [one for one in server.pod.list("containers") if one.place != server.node.place]
    beside += [
        one for one in server.pod.list("initContainers") if one.string("restartPolicy") == "Always"
    ]
    for one in beside:
        ports = [each.string("containerPort") for each in one.list("ports")]
        if not ports or str(port) in ports:
            return True
    return False
