"""Runs against a server that was started by other means: pytest looks at it, and leaves it be."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from pytest_triton.checks.result import HardwareFacts
from pytest_triton.client.http import HttpApi
from pytest_triton.client.native import connect_grpc
from pytest_triton.ledger import read_ledger
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.rehearsal.simulation import OFFICIAL_BACKENDS
from pytest_triton.servers.process.server import ProcessServer, launch
from pytest_triton.servers.spec import ServerSpec
from support.builders import RepositoryBuilder
from support.fake_servers import HEAD as HTTP_HEAD
from support.fake_servers import fake_server
from support.gates import Certificates, http_gate, silent_port

TOKEN = "Bearer sesame-open-4711"
SECRETS = ("sesame", "open-4711")

Deploy = Callable[..., ProcessServer]

HEAD = """
import pytest
from pytest_triton import *
"""
ENSEMBLE = """
platform: "ensemble" max_batch_size: 8
input [{ name: "X" data_type: TYPE_FP32 dims: [ 4 ] }]
output [{ name: "Y" data_type: TYPE_FP32 dims: [ 4 ] }]
ensemble_scheduling { step {
  model_name: "pinned" model_version: -1
  input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" }
} }
"""


@pytest.fixture
def models(pytester: pytest.Pytester) -> RepositoryBuilder:
    """What the project has in its repository."""
    repository = RepositoryBuilder(pytester.path / "models")
    repository.add("pinned", "{ kind: KIND_GPU }", backend="onnxruntime")
    repository.add("mixed", "{ kind: KIND_GPU }, { kind: KIND_CPU }", backend="pytorch")
    repository.add("small", "{ kind: KIND_CPU count: 2 }")
    return repository


@pytest.fixture
def deploy(models: RepositoryBuilder) -> Iterator[Deploy]:
    """Start a server as somebody else would; at the end it must still be live, as it was."""
    started: list[ProcessServer] = []

    def deploy(
        *arguments: str,
        path: Path = models.path,
        gpus: str = "sim:2",
        explicit: bool = False,
    ) -> ProcessServer:
        server = launch(
            ServerSpec(
                (path,),
                HardwareRequest.parse(gpus),
                stand_ins=OFFICIAL_BACKENDS,
                arguments=arguments,
                model_control="explicit" if explicit else "none",
            )
        )
        started.append(server)
        server.wait_until_live()
        return server

    yield deploy
    try:
        for server in started:
            with HttpApi(server.http) as api:
                assert api.live(server.view.name), "the deployment was stopped"
    finally:
        for server in started:
            server.stop()


def check(project: pytest.Pytester, url: str, *arguments: str) -> pytest.RunResult:
    return project.runpytest_subprocess(
        "--triton-repo=models", f"--triton-server={url}", *arguments
    )


def run(project: pytest.Pytester, url: str, code: str, *arguments: str) -> pytest.RunResult:
    project.makepyfile(test_own=HEAD + code)
    project.makeini("[pytest]\ntriton_repo = models\n")
    return project.runpytest_subprocess("test_own.py", f"--triton-server={url}", *arguments)


def everything(result: pytest.RunResult, project: pytest.Pytester) -> str:
    """All that a run wrote: its output and its files."""
    files = [path for path in project.path.rglob("*") if path.suffix in (".xml", ".json", ".html")]
    return "\n".join([result.stdout.str(), result.stderr.str(), *map(Path.read_text, files)])


# --- the checks of a repository ------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["grpc", "http"])
@pytest.mark.parametrize("way", [(), ("-n2",)], ids=["alone", "workers"])
def test_deployment_that_is_as_its_repository_says(
    pytester: pytest.Pytester, deploy: Deploy, scheme: str, way: tuple[str, ...]
) -> None:
    server = deploy()
    url = f"{scheme}://{getattr(server, scheme)}"
    result = check(pytester, url, *way)
    result.assert_outcomes(passed=15)
    output = result.stdout.str()
    assert "real run" not in output
    assert "rehearsal" not in output
    result.stdout.fnmatch_lines(
        [
            f"triton: attached server at {url} · hardware: the server's GPUs · 3 models in models",
            "model * declared * the server's GPUs",
            "mixed * GPU + CPU * GPU 0 · GPU 1 · CPU",
            "pinned * GPU * GPU 0 · GPU 1",
            "small * CPU x2 * CPU x2",
            f"*(attached, {url}) reports: at least GPU 0, 1 (models run on them); its log *",
        ]
    )


def test_deployment_that_lost_its_gpus(
    pytester: pytest.Pytester, models: RepositoryBuilder, deploy: Deploy
) -> None:
    models.add("free", backend="onnxruntime")
    server = deploy(gpus="none")
    url = f"grpc://{server.grpc}"
    result = check(pytester, url, "-k", "test_placement")
    result.assert_outcomes(passed=2, failed=2, deselected=16)
    result.stdout.fnmatch_lines(
        [
            "deployed, and not served: refused: no GPU",
            "*hardware * the server's GPUs: no GPU",
            "The server has no GPU that it can use, *",
            "*--triton-gpus=none*",
            "free * nothing * CPU x2  <- fallback",
            "pinned * GPU * refused: no GPU  <- failed",
            "*reports: no GPU (as Triton said of a refused model)*",
        ]
    )
    meant = check(pytester, url, "-k", "test_placement", "--triton-gpus=none")
    meant.assert_outcomes(passed=4, deselected=16)
    held = check(pytester, url, "-k", "test_placement", "--triton-gpus=2")
    held.assert_outcomes(failed=4, deselected=16)
    held.stdout.fnmatch_lines(["2 GPUs expected, but tritonserver * reports: no GPU (*"])


def test_model_that_needs_more_gpus_than_the_deployment_has_fails(
    pytester: pytest.Pytester, models: RepositoryBuilder, deploy: Deploy
) -> None:
    models.add("big", "{ kind: KIND_GPU gpus: [ 6 ] }", backend="onnxruntime")
    url = f"grpc://{deploy().grpc}"
    result = check(pytester, url, "-k", "big and test_placement", "--triton-gpus=2")
    result.assert_outcomes(failed=1, deselected=19)
    result.stdout.fnmatch_lines(
        [
            "READY on none of this run's hardware",
            "  needs *GPU 6, so 7 GPUs",
            "    --triton-server=process --triton-gpus=none --triton-gpus=sim:7",
        ]
    )


def test_what_was_deployed_is_not_what_the_repository_has(
    pytester: pytest.Pytester, models: RepositoryBuilder, deploy: Deploy, tmp_path: Path
) -> None:
    deployed = RepositoryBuilder(tmp_path / "deployed")
    deployed.add("pinned", "{ kind: KIND_CPU }", backend="onnxruntime")
    deployed.add("mixed", "{ kind: KIND_GPU }, { kind: KIND_CPU }", backend="pytorch")
    deployed.add("forgotten", "{ kind: KIND_CPU }")
    server = deploy(path=deployed.path)
    result = check(pytester, f"grpc://{server.grpc}")
    result.assert_outcomes(passed=11, failed=2, skipped=2)
    result.stdout.fnmatch_lines(
        [
            "another config is deployed than this repository has",
            "  instance_group[[]0].kind  KIND_GPU    KIND_CPU",
            "not loaded on this server (absent)",
            "*evidence * repository index, high trust: absent (not in it)",
            "The repository has this model, and the running server doesn't serve it: *",
            "mixed * GPU 0 · GPU 1 · CPU",
            "pinned * CPU x2  <- other config",
            "small * not ready (absent)  <- failed",
            "*also has 1 model that models hasn't, not checked: forgotten",
        ]
    )


def test_model_that_nobody_loaded(pytester: pytest.Pytester, deploy: Deploy) -> None:
    server = deploy(explicit=True)
    with connect_grpc(server.view.endpoints) as client:
        client.unload_model("small")
        result = check(pytester, f"grpc://{server.grpc}", "-k", "small")
    result.assert_outcomes(passed=3, failed=1, skipped=1, deselected=10)
    result.stdout.fnmatch_lines(
        [
            "not loaded on this server (UNAVAILABLE)",
            "*repository index, high trust: UNAVAILABLE (unloaded)",
        ]
    )


@pytest.mark.parametrize(
    ("gpus", "passes"), [("2", True), ("1", False), ("none", False), ("own", True)]
)
def test_hardware_that_a_deployment_is_held_to(
    pytester: pytest.Pytester, deploy: Deploy, gpus: str, passes: bool
) -> None:
    result = check(
        pytester, f"grpc://{deploy().grpc}", f"--triton-gpus={gpus}", "-k", "test_placement"
    )
    assert (result.ret == 0) is passes


def test_models_that_would_be_held_back_from_a_server_of_our_own(
    pytester: pytest.Pytester, models: RepositoryBuilder, deploy: Deploy
) -> None:
    server = deploy()
    (models.path / "small" / "1" / "model.py").unlink()
    result = check(pytester, f"grpc://{server.grpc}", "-k", "small")
    result.assert_outcomes(passed=5, deselected=10)


def test_over_http_a_name_that_no_url_can_hold(
    pytester: pytest.Pytester, models: RepositoryBuilder, deploy: Deploy
) -> None:
    models.add("with space", "{ kind: KIND_CPU }")
    server = deploy()
    result = check(pytester, f"http://{server.http}", "-k", "test_placement")
    result.assert_outcomes(passed=3, failed=1, deselected=16)
    result.stdout.fnmatch_lines(
        ["not proven: ready, but there is no evidence *", "*attach by grpc*"]
    )
    check(pytester, f"grpc://{server.grpc}", "-k", "test_placement").assert_outcomes(
        passed=4, deselected=16
    )


# --- credentials ---------------------------------------------------------------------------------


def test_grpc_with_tls_and_a_client_certificate(
    pytester: pytest.Pytester, deploy: Deploy, certificates: Certificates
) -> None:
    server = deploy(
        "--grpc-use-ssl=1",
        "--grpc-use-ssl-mutual=1",
        f"--grpc-server-cert={certificates.server}",
        f"--grpc-server-key={certificates.server_key}",
        f"--grpc-root-cert={certificates.ca}",
    )
    url = f"grpcs://localhost:{server.grpc.rpartition(':')[2]}"
    ours = [
        f"--triton-tls-ca={certificates.ca}",
        f"--triton-tls-cert={certificates.client}",
        f"--triton-tls-key={certificates.client_key}",
    ]
    check(pytester, url, *ours, "-n2").assert_outcomes(passed=15)
    run(
        pytester,
        url,
        """
import asyncio

def test_clients(triton_server, triton_client):
    assert triton_client.is_model_ready("small")
    assert triton_server.infer("small")["Y"].shape == (1, 4)
    async def ask():
        async with triton_server.async_client() as client:
            return await client.is_model_ready("small")
    assert asyncio.run(ask())
""",
        *ours,
    ).assert_outcomes(passed=1)
    result = check(pytester, url)
    result.assert_outcomes(passed=9, failed=3, errors=1, skipped=3)
    result.stdout.fnmatch_lines(["*certificate isn't trusted*", "*--triton-tls-ca=FILE*"])


@pytest.mark.parametrize("way", [(), ("-n2",)], ids=["alone", "workers"])
def test_https_with_a_header(
    pytester: pytest.Pytester,
    deploy: Deploy,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    way: tuple[str, ...],
) -> None:
    monkeypatch.setenv("DEPLOYMENT_TOKEN", TOKEN)
    server = deploy()
    arguments = [
        f"--triton-tls-ca={certificates.ca}",
        "--triton-header=Authorization=env:DEPLOYMENT_TOKEN",
        "--triton-ledger=ledger.json",
        "--triton-html=page.html",
        "--junitxml=junit.xml",
        "--showlocals",
        "-vv",
        *way,
    ]
    with http_gate(server.http, certificates=certificates, wants=TOKEN, path="/triton") as gate:
        url = f"https://localhost:{gate}/triton"
        result = check(pytester, url, *arguments)
        result.assert_outcomes(passed=15)
        monkeypatch.setenv("DEPLOYMENT_TOKEN", "Bearer sesame-wrong-0815")
        refused = check(pytester, url, *arguments)
        monkeypatch.delenv("DEPLOYMENT_TOKEN")
        unset = check(pytester, url, *arguments)
    refused.assert_outcomes(passed=9, failed=3, skipped=3)
    refused.stdout.fnmatch_lines(["*the server does not let us in (sent: Authorization)*"])
    unset.assert_outcomes(passed=9, failed=3, skipped=3)
    unset.stdout.fnmatch_lines(["*The environment variable DEPLOYMENT_TOKEN, *isn't set*"])
    for one in (result, refused, unset):
        shown = everything(one, pytester)
        assert not [secret for secret in (*SECRETS, "wrong-0815") if secret in shown]


def test_headers_reach_the_clients_of_tests(
    pytester: pytest.Pytester, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    from support.gates import grpc_gate

    monkeypatch.setenv("DEPLOYMENT_TOKEN", TOKEN)
    server = deploy()
    code = """
import asyncio

def test_clients(triton_server, triton_client):
    assert triton_client.is_model_ready("small")
    assert triton_server.infer("small")["Y"].shape == (1, 4)
    async def ask():
        async with triton_server.async_client() as client:
            return await client.is_model_ready("small")
    assert asyncio.run(ask())

def test_that_fails(triton_server, triton_client):
    asked = triton_client
    assert triton_server.placement("small") == gpu(0)
"""
    with grpc_gate(server.grpc, TOKEN) as gate:
        result = run(
            pytester,
            f"grpc://localhost:{gate}",
            code,
            "--triton-header=Authorization=env:DEPLOYMENT_TOKEN",
            "--showlocals",
            "-vv",
        )
    result.assert_outcomes(passed=1, failed=1)
    shown = everything(result, pytester)
    assert not [secret for secret in SECRETS if secret in shown]


def test_credentials_that_a_server_repeats_are_shown_nowhere(
    pytester: pytest.Pytester, models: RepositoryBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is a fake: Triton repeats no headers, models and proxies may."""
    user = base64.b64encode(b"deploy:open-sesame-77").decode()
    monkeypatch.setenv("DEPLOYMENT_TOKEN", f"Basic {user}")
    said = [f"Basic {user}", user, "deploy:open-sesame-77", "open-sesame-77"]
    said += [base64.b64encode(f"{n * 'x'}Basic {user}".encode()).decode() for n in range(4)]
    said += [quote(f"Basic {user}"), "open-sesame-77".join("ab")]

    def answer(connection: socket.socket, request: bytes) -> None:
        path = request.split(b" ")[1]
        body: object = {"name": "x", "version": "2.51.0", "extensions": ["model_repository"]}
        if path.endswith(b"/index"):
            states = {"version": "1", "state": "UNAVAILABLE", "reason": " ".join(said)}
            body = [{"name": name, **states} for name in ("small", "big", "pinned", "cpu")]
        elif path.endswith(b"/config"):
            body = {"error": " ".join(said)}
        text = json.dumps(body).encode()
        connection.sendall(HTTP_HEAD + b"Content-Length: %d\r\n\r\n" % len(text) + text)

    code = """
from pytest_triton import gpu

def test_that_fails(triton_server, triton_http_client):
    assert triton_server.placement("small") == gpu(0)

def test_own_client(triton_server, triton_http_client):
    raise Exception(triton_http_client.get_model_config("small"))
"""
    with fake_server(answer) as address:
        result = run(
            pytester,
            f"http://{address}",
            code,
            "--triton-header=Authorization=env:DEPLOYMENT_TOKEN",
            "--junit-xml=junit.xml",
            "--triton-ledger=ledger.json",
            "--triton-html=report.html",
            "--showlocals",
            "-vv",
        )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    shown = everything(result, pytester)
    assert "***" in shown
    hidden = [user, "open-sesame-77"]
    hidden += [base64.b64encode(f"{n * 'x'}Basic {user}".encode()).decode()[8:-8] for n in range(3)]
    assert not [secret for secret in hidden if secret in shown]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--triton-server=http://h:1/?token=pass-word-1"], "'http://h:1/?...' is not the URL"),
        (["--triton-server=http://h:1/#pass-word-1"], "'http://h:1/?...' is not the URL"),
        (["--triton-server=grpc://me:pass-word-1@host"], "has a user or password in it"),
        (["--triton-server=grpc://host/path"], "gRPC knows no path"),
        (["--triton-server=ftp://host"], "is not the URL of a Triton server"),
        (["--triton-server=grpc://h", "--triton-header=X-Key=pass-word-1"], "NAME=env:VARIABLE"),
        (["--triton-server=grpc://h", "--triton-gpus=sim:2"], "has the GPUs that it has"),
        (["--triton-server=grpc://h", "--triton-gpus=own", "--triton-gpus=2"], "given 2 times"),
        (["--triton-server=grpc://h", "--triton-backends=stand-in"], "has the backends"),
        (["--triton-server=grpc://h", "--triton-tls-key=k.pem"], "needs --triton-tls-cert"),
        (["--triton-gpus=own"], "only a running server has GPUs of its own"),
    ],
)
def test_what_cannot_be_asked_for(
    pytester: pytest.Pytester, models: RepositoryBuilder, arguments: list[str], message: str
) -> None:
    result = pytester.runpytest_subprocess("--triton-repo=models", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    shown = everything(result, pytester)
    assert message in shown
    assert "pass-word-1" not in shown
    assert "Traceback" not in shown


def test_reports_never_call_it_a_real_run_or_a_rehearsal(
    pytester: pytest.Pytester, deploy: Deploy
) -> None:
    reports = ["--triton-ledger=ledger.json", "--triton-html=p.html", "--triton-markdown=p.md"]
    check(pytester, f"grpc://{deploy().grpc}", *reports).assert_outcomes(passed=15)
    ledger = read_ledger(pytester.path / "ledger.json")
    assert {entry.result.run for entry in ledger.entries} == {"attached server"}
    entries = [entry.hardware for entry in ledger.placements]
    assert entries == [HardwareFacts("own", "the server's GPUs")] * 3
    for name in ("p.html", "p.md"):
        text = (pytester.path / name).read_text()
        assert "ttached server" in text
        shown = re.sub(r"<(style|script)\b.*?</\1>|<[^>]*>", "", text, flags=re.DOTALL)
        assert not re.search("rehearsal|real run", shown, re.IGNORECASE), name


# --- a server that isn't there -------------------------------------------------------------------


def test_dead_server_is_reported_once(pytester: pytest.Pytester, models: RepositoryBuilder) -> None:
    with silent_port() as closed:
        pass
    result = check(pytester, f"grpc://127.0.0.1:{closed}")
    result.assert_outcomes(passed=9, failed=3, skipped=3)
    shown, _, _ = result.stdout.str().partition("short test summary")  # in CI it repeats texts
    assert shown.count("check that the server runs, the port") == 1, "the fix, once"
    assert shown.count("(reported in full above)") == 2
    result.stdout.fnmatch_lines([f"*grpc://127.0.0.1:{closed}: nothing listens on port {closed} *"])
    assert "Traceback" not in shown


# --- tests of one's own --------------------------------------------------------------------------


def test_fixtures_and_assertions(pytester: pytest.Pytester, deploy: Deploy) -> None:
    server = deploy()
    code = """
def test_looks(triton_server):
    assert triton_server.placement("mixed") == gpu(0) + gpu(1) + cpu()
    assert_placed_as_declared(triton_server)
    assert_no_fallback(triton_server)
    assert_ready_models(triton_server, {"pinned", "mixed", "small"})
    assert triton_server.run == "attached server"
    assert triton_server.hardware.label == "at least 2 GPUs"
    assert triton_server.log == ""

@pytest.mark.triton_models(declares="gpu")
def test_each(triton_server, triton_model, triton_hardware):
    assert triton_server.placement(triton_model).devices == (0, 1)
    assert triton_server.infer(triton_model)["Y"].shape == (1, 4)

@pytest.mark.triton(gpus=2)
def test_counted(triton_server):
    assert triton_server.hardware.label == "2 GPUs"

def test_wrong(triton_server):
    assert_refused(triton_server, "small")
"""
    for way in ((), ("-n2",)):
        result = run(pytester, f"grpc://{server.grpc}", code, *way)
        result.assert_outcomes(passed=3, failed=1)
        result.stdout.fnmatch_lines(
            ["*small was to be refused, and runs: CPU x2", "*server * attached server"]
        )


def test_needs_are_met_by_the_gpus_that_it_reports(
    pytester: pytest.Pytester, deploy: Deploy
) -> None:
    code = """
@pytest.mark.triton_requires(gpus=2)
def test_two(triton_server):
    assert triton_server.hardware.count == 2

@pytest.mark.triton_requires(gpus=3)
def test_three(triton_server):
    pass
"""
    url = f"grpc://{deploy().grpc}"
    run(pytester, url, code).assert_outcomes(passed=1, skipped=1)
    required = run(pytester, url, code, "--triton-require=gpus=3")
    required.stdout.fnmatch_lines(["*requires 3 real GPUs*the server has 2 of them*"])
    assert required.ret == 1


def test_marker_names_the_server(pytester: pytest.Pytester, deploy: Deploy) -> None:
    pytester.makeini("[pytest]\ntriton_repo = models\n")
    pytester.makepyfile(
        test_own=HEAD
        + f"""
@pytest.mark.triton(server="grpc://{deploy().grpc}")
def test_there(triton_server):
    assert triton_server.run == "attached server"
    assert triton_server.placement("pinned") == gpu(0) + gpu(1)

def test_here(triton_server):
    assert triton_server.run.startswith("rehearsal")
    assert_refused(triton_server, "pinned", reason="no-gpu")
"""
    )
    pytester.runpytest_subprocess("test_own.py").assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "@pytest.mark.triton(changes=True)\ndef test_it(triton_server): ...",
            "that is only looked at*--triton-allow-changes=on",
        ),
        (
            '@pytest.mark.triton(gpus="sim:2")\ndef test_it(triton_server): ...',
            "wants gpus='sim:2', and the server at grpc://* is a running one",
        ),
        (
            '@pytest.mark.triton(backends="stand-in")\ndef test_it(triton_server): ...',
            "wants backends='stand-in', and",
        ),
        (
            '@pytest.mark.triton(arguments=["--log-verbose=1"])\ndef test_it(triton_server): ...',
            "wants a server with arguments",
        ),
        (
            "def test_it(make_triton_server):\n    make_triton_server()",
            "starts a server of its own*run it without --triton-server",
        ),
        ("def test_it(triton_gpu_loss): ...", "starts a server of its own*"),
        (
            "def test_it(triton_server):\n    triton_server.unload('small')",
            "ServerNotYours: This server is shared",
        ),
    ],
)
def test_what_a_running_server_is_not_for(
    pytester: pytest.Pytester, deploy: Deploy, code: str, message: str
) -> None:
    server = deploy(explicit=True)
    result = run(pytester, f"grpc://{server.grpc}", code)
    shown = " ".join(result.stdout.str().split())
    outcomes = result.parseoutcomes()
    assert outcomes.get("failed", 0) + outcomes.get("errors", 0) == 1, shown
    from fnmatch import fnmatchcase

    assert fnmatchcase(shown, f"*{message}*"), shown


CHANGING = """
@pytest.mark.triton(changes=True)
def test_changes(triton_server):
    triton_server.unload("small")
    assert not triton_server.is_ready("small")
    triton_server.reload("pinned", instance_group="{ kind: KIND_CPU count: 3 }")
    assert triton_server.placement("pinned") == cpu(count=3)

def test_looks(triton_server):
    assert_placed_as_declared(triton_server)
"""


def state_of(server: ProcessServer) -> object:
    with HttpApi(server.http) as api:
        groups = api.model_config("pinned")["instance_group"]
        states = {entry["name"]: entry.get("state") for entry in api.index()}
        return states, [(group["kind"], group["count"]) for group in groups]


def test_changes_that_were_allowed_are_put_back(pytester: pytest.Pytester, deploy: Deploy) -> None:
    server = deploy(explicit=True)
    before = state_of(server)
    url = f"grpc://{server.grpc}"
    result = run(pytester, url, CHANGING, "--triton-allow-changes=on")
    result.assert_outcomes(passed=2)
    assert state_of(server) == before
    workers = run(pytester, url, CHANGING, "--triton-allow-changes=on", "-n2")
    workers.assert_outcomes(passed=1, errors=1)
    workers.stdout.fnmatch_lines(["*run the tests that change it without workers: -n0"])
    assert state_of(server) == before


@pytest.mark.skipif(
    importlib.util.find_spec("geventhttpclient") is None, reason="needs tritonclient[http]"
)
def test_all_of_it_over_http(
    pytester: pytest.Pytester,
    deploy: Deploy,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEPLOYMENT_TOKEN", TOKEN)
    server = deploy(explicit=True)
    before = state_of(server)
    code = (
        CHANGING
        + """
def test_infers(triton_server, triton_http_client):
    assert triton_server.infer("small")["Y"].shape == (1, 4)
    assert triton_http_client.is_model_ready("small")

def test_no_grpc(triton_server, triton_client):
    pass
"""
    )
    with http_gate(server.http, certificates=certificates, wants=TOKEN, path="/triton") as gate:
        result = run(
            pytester,
            f"https://localhost:{gate}/triton",
            code,
            f"--triton-tls-ca={certificates.ca}",
            "--triton-header=Authorization=env:DEPLOYMENT_TOKEN",
            "--triton-allow-changes=on",
        )
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*The gRPC endpoint of tritonserver * is not known.*"])
    assert state_of(server) == before
    shown = everything(result, pytester)
    assert not [secret for secret in SECRETS if secret in shown]


def test_changes_of_a_server_that_takes_none(pytester: pytest.Pytester, deploy: Deploy) -> None:
    server = deploy()
    result = run(pytester, f"grpc://{server.grpc}", CHANGING, "--triton-allow-changes=on")
    result.stdout.fnmatch_lines(
        ["*loads and unloads no models when it is asked*", "*--model-control-mode=explicit*"]
    )
    assert result.ret == 1


def test_server_of_its_own_beside_a_running_one(pytester: pytest.Pytester, deploy: Deploy) -> None:
    code = """
@pytest.mark.triton(server="process")
def test_own(triton_server):
    assert triton_server.run.startswith("rehearsal")
    assert_refused(triton_server, "pinned", reason="no-gpu")

def test_made(make_triton_server):
    server = make_triton_server(server="process", gpus="sim:1")
    assert server.lose_gpus().refused == ("mixed", "pinned")
"""
    result = run(pytester, f"grpc://{deploy().grpc}", code)
    result.assert_outcomes(passed=2)


# --- drift ---------------------------------------------------------------------------------------


def test_deployed_config_that_differs_is_shown_field_by_field(
    pytester: pytest.Pytester, models: RepositoryBuilder, deploy: Deploy, tmp_path: Path
) -> None:
    deployed = RepositoryBuilder(tmp_path / "deployed")
    deployed.add("pinned", "{ kind: KIND_CPU }", backend="onnxruntime")
    deployed.add("mixed", "{ kind: KIND_GPU }, { kind: KIND_CPU }", backend="pytorch")
    deployed.add("small", "{ kind: KIND_CPU count: 2 }")
    (deployed.path / "small" / "2").mkdir()
    server = deploy(path=deployed.path)
    result = check(pytester, f"grpc://{server.grpc}", "-k", "deployed_config or test_placement")
    result.assert_outcomes(passed=3, failed=2, skipped=1, deselected=9)
    result.stdout.fnmatch_lines(
        [
            "*pinned::test_deployed_config*",
            "another config is deployed than this repository has",
            "  config  models/pinned/config.pbtxt:5",
            "  field                   repository  deployed",
            "  instance_group[[]0].kind  KIND_GPU    KIND_CPU",
            "*small::test_deployed_config*",
            "  versions  1           2",
            "pinned * CPU x2  <- other config",
        ]
    )
    alone = check(pytester, f"grpc://{server.grpc}", "-k", "pinned and test_placement")
    alone.assert_outcomes(failed=1, deselected=14)
    alone.stdout.fnmatch_lines(["The deployed config differs from the repository's, and that is *"])


def test_deployed_config_of_a_refused_model_is_not_compared(
    pytester: pytest.Pytester, deploy: Deploy
) -> None:
    url = f"grpc://{deploy(gpus='none').grpc}"
    chosen = ["-k", "deployed_config or test_placement", "-rs"]
    result = check(pytester, url, "--triton-gpus=none", *chosen)
    result.assert_outcomes(passed=4, skipped=2, deselected=9)
    result.stdout.fnmatch_lines(["SKIPPED * refused by the server, which reports no config of *"])


def test_deployed_config_is_no_check_of_servers_that_pytest_starts(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    result = pytester.runpytest_subprocess("--triton-repo=models", "--collect-only", "-q")
    result.stdout.no_fnmatch_line("*test_deployed_config*")


def test_ensemble_on_a_running_server_whose_model_is_refused_points_at_that(
    pytester: pytest.Pytester, models: RepositoryBuilder, deploy: Deploy
) -> None:
    models.add_config("chain", ENSEMBLE)
    url = f"grpc://{deploy(gpus='none').grpc}"
    result = check(pytester, url, "-k", "(chain or pinned) and test_placement", "-rs")
    result.assert_outcomes(failed=1, skipped=1, deselected=18)
    result.stdout.fnmatch_lines(
        [
            "chain * not served, as one of its models",
            "SKIPPED * its model pinned isn't loaded, see test_placement[[]own-gpus] of pinned",
        ]
    )
    alone = check(pytester, url, "-k", "chain and test_placement")
    alone.assert_outcomes(failed=1, deselected=19)
    alone.stdout.fnmatch_lines(
        ["*depends on 'pinned', which isn't READY (UNAVAILABLE: *no GPUs are available*"]
    )
    meant = check(pytester, url, "--triton-gpus=none", "-k", "(chain or pinned) and test_placement")
    meant.assert_outcomes(passed=2, deselected=18)


@pytest.mark.parametrize("way", ["-n0", "-n2"])
@pytest.mark.parametrize("tests", ["", "def test_other(): pass"])
def test_running_server_without_a_repository_is_a_usage_error(
    pytester: pytest.Pytester, tests: str, way: str
) -> None:
    pytester.makepyfile(tests)
    result = pytester.runpytest_subprocess("--triton-server=grpc://127.0.0.1:1", way)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = result.stdout.str() + result.stderr.str()
    assert "ERROR: --triton-server=grpc://127.0.0.1:1 (command line) is a running server, " in text
    assert "name the repository that it serves" in text


def test_running_server_of_the_ini_file_leaves_other_tests_alone(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeini("[pytest]\ntriton_server = grpc://127.0.0.1:1\n")
    pytester.makepyfile("def test_other(): pass")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


# --- metrics and the log, where they are named ---------------------------------------------------

RAN_ON = """
pytestmark = pytest.mark.triton(changes=True)

@pytest.mark.parametrize(("model", "where"), [("pinned", gpu(0) + gpu(1)), ("small", cpu())])
def test_right(triton_server, model, where):
    assert_ran_on(triton_server, model, where)

def test_wrong(triton_server):
    with pytest.raises(AssertionError, match="^pinned was to run on GPU 0, and can run on "):
        assert_ran_on(triton_server, "pinned", 0)
"""
LOOKS = """
def test_looks(triton_server):
    assert_ran_on(triton_server, "small", cpu())
"""


def test_assert_ran_on_works_where_the_metrics_of_a_running_server_are_named(
    pytester: pytest.Pytester, deploy: Deploy
) -> None:
    server = deploy(explicit=True)
    metrics = f"--triton-metrics=http://{server.metrics}"
    url = f"grpc://{server.grpc}"
    run(pytester, url, RAN_ON, metrics, "--triton-allow-changes=on").assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("none", ["*address of the metrics of tritonserver * isn't known", "*--triton-metrics=*"]),
        ("closed", ["*gave no metrics at 127.0.0.1:*", "*check the address in --triton-metrics*"]),
        ("other", ["*answered 127.0.0.1:*/metrics with 404", "*path in --triton-metrics*"]),
        ("at start", ["*it was loaded when the server started", "*--triton-allow-changes=on*"]),
    ],
)
def test_assert_ran_on_without_metrics_says_nothing_against_the_placement(
    pytester: pytest.Pytester, deploy: Deploy, way: str, said: list[str]
) -> None:
    server = deploy()
    with silent_port() as closed:
        pass
    at = {"closed": f"127.0.0.1:{closed}", "other": server.http, "at start": server.metrics}
    named = [f"--triton-metrics=http://{at[way]}"] if way in at else []
    result = run(pytester, f"grpc://{server.grpc}", LOOKS, *named)
    result.assert_outcomes(failed=1)
    headline = f"*small was to run on CPU, and that is not proven: {said[0]}"
    result.stdout.fnmatch_lines([headline, said[1]])
    result.stdout.no_fnmatch_line("*placed the model elsewhere*")
    result.stdout.no_fnmatch_line("*let pytest-triton start the server*")


def test_log_of_a_running_server_is_a_second_source(
    pytester: pytest.Pytester, models: RepositoryBuilder, deploy: Deploy, tmp_path: Path
) -> None:
    models.add_config("chain", ENSEMBLE)
    earlier = deploy(gpus="sim:2")
    server = deploy(gpus="none")
    log = tmp_path / "triton.log"
    logs = [one.view.log_file for one in (earlier, server)]
    log.write_text("\n".join(path.read_text() for path in logs if path is not None))
    named = f"--triton-log={log}"
    url = f"grpc://{server.grpc}"
    result = check(pytester, url, named, "-k", "test_placement", "--triton-gpus=none", "-n2")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines([f"*reports: no GPU (its log says so); its log: {log}"])
    alone = check(pytester, url, named, "-k", "chain and test_placement")
    alone.stdout.fnmatch_lines(
        ["*server log, medium trust: refused: ensemble *ensemble 'chain' depends on 'pinned' *"]
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "*triton.log: the file can't be read: No such file or directory*"),
        ("no start\n", "*no start of a tritonserver is in this log*"),
        ("other", "*is the log of another server: server_version 2.99.0, and the server says *"),
    ],
)
def test_log_that_cannot_be_the_running_servers_is_refused(
    pytester: pytest.Pytester, deploy: Deploy, tmp_path: Path, content: str | None, said: str
) -> None:
    server = deploy()
    log = tmp_path / "triton.log"
    if content == "other" and server.view.log_file is not None:
        text = server.view.log_file.read_text()
        content = re.sub(r"(server_version +\| )\S+", r"\g<1>2.99.0", text)
    if content is not None:
        log.write_text(content)
    chosen = ["-k", "small and test_placement"]
    result = check(pytester, f"grpc://{server.grpc}", f"--triton-log={log}", *chosen)
    result.assert_outcomes(failed=1, deselected=14)
    result.stdout.fnmatch_lines([said])


@pytest.mark.parametrize("option", ["--triton-log=a.log", "--triton-metrics=http://a:8002"])
def test_log_and_metrics_are_for_running_servers(
    pytester: pytest.Pytester, models: RepositoryBuilder, option: str
) -> None:
    result = pytester.runpytest_subprocess("--triton-repo=models", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: * (command line) is for a running server, and pytest *"])
