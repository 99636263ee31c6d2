"""Attached servers: real ones that were started otherwise, also behind TLS and a gate."""

from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_triton.client.address import BadUrl, Endpoint
from pytest_triton.client.api import open_api
from pytest_triton.client.endpoints import Endpoints
from pytest_triton.client.grpc import grpc_client
from pytest_triton.client.http import HttpApi
from pytest_triton.client.native import NoSuchEndpoint, connect_grpc, connect_http
from pytest_triton.client.probe import NotReached
from pytest_triton.client.tls import OPEN, Access, BadCredentials
from pytest_triton.evidence.reported_gpus import reported_gpus
from pytest_triton.inference.infer import infer
from pytest_triton.options.hosts import AttachedHost
from pytest_triton.placement.hardware import OWN_GPUS, HardwareRequest
from pytest_triton.rehearsal.simulation import OFFICIAL_BACKENDS
from pytest_triton.servers.attached.server import AttachedServer
from pytest_triton.servers.process.server import ProcessServer, launch
from pytest_triton.servers.running_server import RunningServer
from pytest_triton.servers.spec import ServerSpec
from support.builders import RepositoryBuilder
from support.gates import Certificates, grpc_gate, http_gate, silent_port

TOKEN = "Bearer sesame-open-4711"
HEADERS = (("Authorization", "DEPLOYMENT_TOKEN"),)


def started(repository: RepositoryBuilder, *arguments: str, gpus: str = "sim:2") -> ProcessServer:
    server = launch(
        ServerSpec(
            (repository.path,),
            HardwareRequest.parse(gpus),
            stand_ins=OFFICIAL_BACKENDS,
            arguments=arguments,
        )
    )
    try:
        server.wait_until_live()
    except BaseException:
        server.stop()
        raise
    return server


def tls_arguments(certificates: Certificates) -> list[str]:
    return [
        "--grpc-use-ssl=1",
        f"--grpc-server-cert={certificates.server}",
        f"--grpc-server-key={certificates.server_key}",
        f"--grpc-root-cert={certificates.ca}",
    ]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> RepositoryBuilder:
    repository = RepositoryBuilder(tmp_path_factory.mktemp("attached") / "models")
    repository.add("pinned", "{ kind: KIND_GPU }")
    repository.add("cpu", "{ kind: KIND_CPU count: 2 }")
    repository.add("missing", "{ kind: KIND_GPU gpus: [ 7 ] }")
    repository.add("with space", "{ kind: KIND_CPU }")
    return repository


@pytest.fixture(scope="module")
def deployment(models: RepositoryBuilder) -> Iterator[ProcessServer]:
    server = started(models)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def tls_deployment(
    models: RepositoryBuilder, certificates: Certificates
) -> Iterator[ProcessServer]:
    server = started(models, *tls_arguments(certificates))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def mutual_deployment(
    models: RepositoryBuilder, certificates: Certificates
) -> Iterator[ProcessServer]:
    server = started(models, *tls_arguments(certificates), "--grpc-use-ssl-mutual=1")
    yield server
    server.stop()


def attached(url: str, access: Access = OPEN, timeout: float = 20.0) -> AttachedServer:
    spec = ServerSpec((), OWN_GPUS, AttachedHost.at(url, access), timeout=timeout)
    server = AttachedServer(spec)
    server.wait_until_live()
    return server


def not_reached(url: str, access: Access = OPEN, timeout: float = 20.0) -> NotReached:
    with pytest.raises(NotReached) as caught:
        attached(url, access, timeout)
    assert str(caught.value).startswith(url), "which server it is about"
    assert caught.value.fix
    return caught.value


def port(address: str) -> str:
    return address.rpartition(":")[2]


# ---- what works --------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_running_server_is_asked_and_left_running(deployment: ProcessServer, scheme: str) -> None:
    at = getattr(deployment, scheme)
    server = attached(f"{scheme}://{at}")
    assert f"(attached, {scheme}://{at})" in server.view.description
    assert server.view.description.startswith("tritonserver 2.")
    assert (server.view.log_file, server.view.backends, server.view.metrics) == (None, None, "")
    assert {"http": server.view.http, "grpc": server.view.grpc}[scheme] == at
    assert server.log.since() == ""
    server.check_alive()
    server.begin_stop()
    server.stop()
    assert deployment.running
    with HttpApi(deployment.http) as api:
        assert api.live(deployment.folder.name)


def test_grpc_reports_what_http_reports(deployment: ProcessServer) -> None:
    answers = []
    for scheme in ("grpc", "http"):
        view = attached(f"{scheme}://{getattr(deployment, scheme)}").view
        with open_api(view.endpoints) as api:
            index = sorted(api.index(), key=lambda entry: entry["name"])
            config = api.model_config("pinned")
            groups = [(group["kind"], group.get("gpus")) for group in config["instance_group"]]
            answers.append((api.metadata()["name"], index, groups, api.ready()))
            assert api.live(view.name) is True
            assert api.live("somebody else") is None
    assert answers[0] == answers[1]
    assert answers[0][2:] == ([("KIND_GPU", [0, 1])], False)
    view = attached(f"grpc://{deployment.grpc}").view
    with open_api(view.endpoints) as api:
        assert api.model_config("with space")["instance_group"][0]["kind"] == "KIND_CPU"


def test_grpc_with_tls(tls_deployment: ProcessServer, certificates: Certificates) -> None:
    url = f"grpcs://localhost:{port(tls_deployment.grpc)}"
    access = Access(ca=certificates.ca)
    server = attached(url, access)
    with open_api(Endpoints.at(server.endpoint, access, "it")) as api:
        assert {entry["name"] for entry in api.index()} >= {"pinned", "cpu"}
    with grpc_client(server.endpoint.address, access) as client:
        assert infer(Endpoints("it"), "cpu", client=client)["Y"].shape == (1, 4)


def test_grpc_with_a_client_certificate(
    mutual_deployment: ProcessServer, certificates: Certificates
) -> None:
    url = f"grpcs://localhost:{port(mutual_deployment.grpc)}"
    attached(url, Access(certificates.ca, certificates.client, certificates.client_key))
    error = not_reached(url, Access(certificates.ca))
    assert error.cause == "tls", error
    assert "--triton-tls-cert" in error.fix


def test_https_with_a_path_a_client_certificate_and_a_header(
    deployment: ProcessServer, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOYMENT_TOKEN", TOKEN + "\n")
    full = Access(certificates.ca, certificates.client, certificates.client_key, HEADERS)
    with http_gate(
        deployment.http, certificates=certificates, mutual=True, wants=TOKEN, path="/triton"
    ) as gate:
        server = attached(f"https://localhost:{gate}/triton/", full)
        with open_api(Endpoints.at(server.endpoint, full, "it")) as api:
            assert api.model_config("cpu")["instance_group"][0]["count"] == 2
            assert len(api.index()) == 4
        error = not_reached(f"https://localhost:{gate}/triton", Access(certificates.ca))
        assert error.cause == "tls"
        assert "client certificate" in error.fix
        assert not_reached(f"https://localhost:{gate}", full).cause == "not Triton"


def test_grpc_with_a_header(deployment: ProcessServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYMENT_TOKEN", TOKEN)
    access = Access(headers=HEADERS)
    with grpc_gate(deployment.grpc, TOKEN) as gate:
        attached(f"grpc://localhost:{gate}", access)
        with grpc_client(f"localhost:{gate}", None, access.header_values()) as client:
            assert infer(Endpoints("it"), "cpu", client=client)["Y"].shape == (1, 4)


def view_of(url: str, access: Access) -> RunningServer:
    return attached(url, access).view


def test_clients_are_connected_with_all_that_is_wanted(
    deployment: ProcessServer,
    mutual_deployment: ProcessServer,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEPLOYMENT_TOKEN", TOKEN)
    full = Access(certificates.ca, certificates.client, certificates.client_key, HEADERS)
    view = view_of(f"grpcs://localhost:{port(mutual_deployment.grpc)}", full)
    with connect_grpc(view.endpoints) as client:
        assert infer(Endpoints("it"), "cpu", client=client)["Y"].shape == (1, 4)
    with pytest.raises(NoSuchEndpoint, match="HTTP endpoint"):
        connect_http(view.endpoints)
    with connect_grpc(deployment.view.endpoints) as client:
        assert client.is_server_live()
    with grpc_gate(deployment.grpc, TOKEN) as gate:
        view = view_of(f"grpc://localhost:{gate}", full)
        with connect_grpc(view.endpoints) as client, open_api(view.endpoints) as api:
            assert client.is_server_live()
            assert api.live(view.name)


@pytest.mark.skipif(
    importlib.util.find_spec("geventhttpclient") is None, reason="needs tritonclient[http]"
)
def test_http_client_is_connected_with_all_that_is_wanted(
    deployment: ProcessServer, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOYMENT_TOKEN", TOKEN)
    full = Access(certificates.ca, certificates.client, certificates.client_key, HEADERS)
    with http_gate(
        deployment.http, certificates=certificates, mutual=True, wants=TOKEN, path="/triton"
    ) as gate:
        view = view_of(f"https://localhost:{gate}/triton", full)
        with connect_http(view.endpoints) as client:
            assert client.is_server_live()
            assert client.get_model_config("cpu")["name"] == "cpu"
        with pytest.raises(NoSuchEndpoint, match="gRPC endpoint"):
            connect_grpc(view.endpoints)
    with connect_http(deployment.view.endpoints) as client:
        assert infer(Endpoints("it"), "cpu", protocol="http", client=client)["Y"].shape == (1, 4)


# ---- what doesn't, and why ---------------------------------------------------------------------


def test_name_that_nobody_has() -> None:
    for scheme in ("grpc", "https"):
        for host in ("no-such-host.invalid", "two..dots"):
            assert not_reached(f"{scheme}://{host}:8001").cause == "dns"


def test_port_on_which_nothing_listens() -> None:
    with silent_port() as closed:
        pass
    for scheme in ("grpc", "grpcs", "http", "https"):
        assert not_reached(f"{scheme}://127.0.0.1:{closed}").cause == "refused"


def test_port_that_never_answers() -> None:
    with silent_port() as silent:
        for scheme in ("grpc", "grpcs", "http", "https"):
            error = not_reached(f"{scheme}://127.0.0.1:{silent}", timeout=0.3)
            assert error.cause == "timeout", scheme
            assert "0.3 s" in error.what


def test_wrong_protocol(
    deployment: ProcessServer, tls_deployment: ProcessServer, certificates: Certificates
) -> None:
    access = Access(certificates.ca)
    with http_gate(deployment.http, certificates=certificates) as gate:
        ports = {
            "grpc": port(deployment.grpc),
            "http": port(deployment.http),
            "grpcs": port(tls_deployment.grpc),
            "https": str(gate),
        }
        for spoken, at in ports.items():
            for asked in ports.keys() - {spoken}:
                error = not_reached(f"{asked}://localhost:{at}", access)
                assert error.cause == "protocol", f"{asked} at a {spoken} port: {error}"
                assert error.fix == f"--triton-server={spoken}://localhost:{at}"


def test_certificates_that_are_not_trusted(
    tls_deployment: ProcessServer, deployment: ProcessServer, certificates: Certificates
) -> None:
    with http_gate(deployment.http, certificates=certificates) as gate:
        for scheme, at in (("grpcs", port(tls_deployment.grpc)), ("https", gate)):
            error = not_reached(f"{scheme}://localhost:{at}")
            assert error.cause == "tls"
            assert "isn't trusted" in error.what
            other = not_reached(f"{scheme}://127.0.0.1:{at}", Access(certificates.ca))
            assert other.cause == "tls"
            assert "127.0.0.1" in other.what, "the certificate is for localhost"


@pytest.mark.parametrize("status", [401, 403])
def test_who_may_not_come_in_over_http(
    deployment: ProcessServer, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("DEPLOYMENT_TOKEN", "Bearer wrong-secret-0815")
    with http_gate(deployment.http, wants=TOKEN, refuses_with=status) as gate:
        error = not_reached(f"http://localhost:{gate}", Access(headers=HEADERS))
        assert error.cause == "not allowed"
        assert str(status) in str(error)
        assert "sent: Authorization" in error.what
        without = not_reached(f"http://localhost:{gate}")
    assert "sent: no header" in without.what
    shown = "".join(traceback.format_exception(error.__cause__)) + str(error) + repr(error)
    assert "wrong-secret" not in shown


def test_who_may_not_come_in_over_grpc(
    deployment: ProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOYMENT_TOKEN", "Bearer wrong-secret-0815")
    with grpc_gate(deployment.grpc, TOKEN) as gate:
        error = not_reached(f"grpc://localhost:{gate}", Access(headers=HEADERS))
    assert error.cause == "not allowed"
    assert "wrong-secret" not in str(error), "though the gate repeated it"


def test_server_that_is_no_triton(deployment: ProcessServer) -> None:
    assert not_reached(f"http://{deployment.http}/elsewhere").cause == "not Triton"
    with http_gate("127.0.0.1:9", path="/nothing") as gate:
        assert not_reached(f"http://localhost:{gate}").cause == "not Triton"


def test_server_that_went_away(models: RepositoryBuilder) -> None:
    running = started(models)
    server = attached(f"grpc://{running.grpc}")
    running.stop()
    with pytest.raises(NotReached) as caught:
        server.check_alive()
    assert caught.value.cause == "refused"


# ---- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "address", "secure"),
    [
        ("grpc://triton", "triton:8001", False),
        ("http://triton", "triton:8000", False),
        ("grpcs://triton.example", "triton.example:443", True),
        ("https://triton.example:8443/a/b/", "triton.example:8443/a/b", True),
        ("grpc://[::1]:9", "[::1]:9", False),
    ],
)
def test_urls(url: str, address: str, secure: bool) -> None:
    endpoint = Endpoint.parse(url)
    assert (endpoint.address, endpoint.secure) == (address, secure)
    assert Endpoint.parse(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    "url",
    [
        "",
        "triton:8001",
        "ftp://triton",
        "grpc://",
        "grpc://t:x",
        "grpc://t:0",
        "http://t?a=b",
        "grpc://t/path",
        "grpc://t:99999",
        "http://[::1",
    ],
)
def test_urls_of_no_server(url: str) -> None:
    with pytest.raises(BadUrl):
        Endpoint.parse(url)


def test_credentials_in_a_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(BadUrl) as caught:
        Endpoint.parse("https://me:pass-word-1@triton")
    assert "pass-word-1" not in str(caught.value)


@pytest.mark.parametrize("value", [None, "", "  ", "two\nlines-secret", "é-secret"])
def test_headers_that_cannot_be_sent(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("DEPLOYMENT_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("DEPLOYMENT_TOKEN", value)
    with pytest.raises(BadCredentials, match="DEPLOYMENT_TOKEN") as caught:
        attached("http://localhost:1", Access(headers=HEADERS))
    assert "secret" not in str(caught.value)


def test_header_values_do_not_show_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYMENT_TOKEN", TOKEN)
    access = Access(headers=HEADERS)
    values = access.header_values()
    assert values == {"Authorization": TOKEN}
    assert "sesame" not in f"{values!r} {access!r}"
    assert access.hide("got Bearer sesame-open-4711, sesame-open-4711") == "got ***, ***"


def test_tls_files_that_cannot_be_used(tmp_path: Path, certificates: Certificates) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("?")
    for access in (
        Access(ca=tmp_path / "nowhere.pem"),
        Access(ca=broken),
        Access(certificate=broken),
        Access(certificate=certificates.client, key=certificates.server_key),
        Access(key=certificates.client_key),
    ):
        with pytest.raises(BadCredentials):
            access.context("h2")


def test_headers_over_an_unencrypted_way_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYMENT_TOKEN", TOKEN)
    for url, noted in (("http://far", True), ("https://far", False), ("grpc://localhost", False)):
        access = Access(headers=HEADERS)
        spec = ServerSpec((), OWN_GPUS, AttachedHost.at(url, access))
        notes = AttachedServer(spec).view.notes
        assert bool(notes) is noted


# ---- hardware, as far as it is reported ----------------------------------------------------------


@pytest.mark.parametrize(
    ("gpus", "models", "reported"),
    [
        ("sim:2", {"missing": "gpus: [ 7 ]"}, ((0, 1), True)),
        ("none", {"missing": "gpus: [ 7 ]"}, ((), True)),
        ("none", {"pinned": ""}, ((), True)),
        ("sim:3", {"pinned": "gpus: [ 1 ]"}, ((1,), False)),
        ("sim:3", {}, ((), False)),
    ],
)
def test_gpus_that_a_server_reports(
    repository: RepositoryBuilder, gpus: str, models: dict[str, str], reported: tuple[object, bool]
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    for name, more in models.items():
        repository.add(name, f"{{ kind: KIND_GPU {more} }}")
    server = started(repository, gpus=gpus)
    try:
        with open_api(attached(f"grpc://{server.grpc}").view.endpoints) as api:
            index = api.index()
            ready = [entry["name"] for entry in index if entry.get("state") == "READY"]
            reasons = [entry.get("reason", "") for entry in index]
            found = reported_gpus(reasons, [api.model_config(name) for name in ready])
    finally:
        server.stop()
    assert (found.gpus, found.exact) == reported, [str(found), reasons]
    assert found.hardware.at_least is not found.exact
    assert tuple(gpu.index for gpu in found.hardware.gpus) == found.gpus
