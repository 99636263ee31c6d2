"""What probes and health checks ask, and whether Triton can ever answer it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.deployment.deployed_server import DeployedServer
from pytest_triton.deployment.noticing import never_up, noticed_by
from pytest_triton.deployment.probes import Fault, fault_of, faults
from pytest_triton.deployment.reading import read_deployments

POD = """apiVersion: v1
kind: Pod
metadata: {{ name: p }}
spec:
  {pod}
  containers:
  - name: triton
    image: {image}
    command: [{command}]
    ports: [{{ name: http, containerPort: 8000 }}, {{ name: web, containerPort: 8080 }}]
    readinessProbe: {{ {probe} }}
{more}
"""
IMAGE = "nvcr.io/nvidia/tritonserver:24.10-py3"


def server(tmp_path: Path, text: str) -> DeployedServer:
    (tmp_path / "file.yaml").write_text(text)
    return read_deployments("file.yaml", tmp_path, {})[0]


def pod(
    tmp_path: Path,
    probe: str,
    *flags: str,
    command: str = "",
    image: str = IMAGE,
    of_pod: str = "",
    more: str = "",
) -> Fault | None:
    words = command or ", ".join(["tritonserver", "--model-repository=/m", *flags])
    text = POD.format(probe=probe, command=words, image=image, pod=of_pod, more=more)
    found = server(tmp_path, text)
    return fault_of(found, found.probes[0])


def service(tmp_path: Path, check: str, *flags: str, more: str = "") -> DeployedServer:
    line = " ".join(["tritonserver --model-repository=/m", *flags])
    return server(
        tmp_path,
        f"services:\n  t:\n    command: {line}\n    container_name: named\n"
        f"    healthcheck: {{ test: '{check}' }}\n{more}",
    )


READY = "path: /v2/health/ready"


@pytest.mark.parametrize(
    ("probe", "flags"),
    [
        (f"httpGet: {{ {READY}, port: 8000 }}", ()),
        (f"httpGet: {{ {READY}, port: http }}", ()),
        (f"httpGet: {{ {READY}, port: web }}", ("--http-port=8080",)),
        ("httpGet: { path: /v2/health/ready?x=1, port: 8000 }", ()),
        ("httpGet: { path: /v2, port: 8000 }", ()),
        ("httpGet: { path: /v2/models/m/versions/1/ready, port: 8000 }", ()),
        ("httpGet: { path: /metrics, port: 8002 }", ()),
        ("httpGet: { path: /metrics, port: 9002 }", ("--metrics-port=9002",)),
        ("grpc: { port: 8001 }", ()),
        ("tcpSocket: { port: 8001 }", ()),
        ("tcpSocket: { port: http }", ()),
        ("exec: { command: [curl, -f, 'localhost:8000/v2/health/ready'] }", ()),
        ("exec: { command: [grpc_health_probe, '-addr=localhost:8001'] }", ()),
        ("exec: { command: [pgrep, tritonserver] }", ()),
        ("httpGet: { path: /x, port: 1, host: elsewhere }", ()),
        (
            "httpGet: { path: /v2/health/ready, port: 8000, httpHeaders: [{ name: k }] }",
            ("--http-restricted-api=health:k=v",),
        ),
        (f"httpGet: {{ {READY}, port: 8000 }}", ("--http-restricted-api=logging:k=v",)),
        # Vertex AI and SageMaker have ports and paths of their own.
        ("httpGet: { path: /ping, port: 8080 }", ("--allow-sagemaker=true",)),
    ],
)
def test_probe_that_triton_answers_has_no_fault(
    tmp_path: Path, probe: str, flags: tuple[str, ...]
) -> None:
    assert pod(tmp_path, probe, *flags) is None


@pytest.mark.parametrize(
    ("probe", "flags", "what", "fix"),
    [
        (
            f"httpGet: {{ {READY}, port: 8000 }}",
            ("--http-port=8080",),
            "asks port 8000, and Triton answers HTTP on port 8080",
            "ask port 8080",
        ),
        (
            f"httpGet: {{ {READY}, port: http }}",
            ("--http-port=8080",),
            "asks port 8000, and Triton answers HTTP on port 8080",
            "ask port 8080",
        ),
        (
            f"httpGet: {{ {READY}, port: htpt }}",
            (),
            "no port that is called htpt",
            "write 8000, or name the port",
        ),
        (
            f"httpGet: {{ {READY}, port: 8001 }}",
            (),
            "asks port 8001, and Triton answers HTTP on port 8000",
            "ask port 8000",
        ),
        (
            f"httpGet: {{ {READY}, port: 8000 }}",
            ("--allow-http=false",),
            "--allow-http=false: Triton answers no HTTP",
            "leave out --allow-http=false",
        ),
        ("grpc: { port: 8000 }", (), "Triton answers gRPC on port 8001", "ask port 8001"),
        ("grpc: { port: 8001 }", ("--grpc-port=9",), "Triton answers gRPC on port 9", "port 9"),
        ("grpc: { port: 8001 }", ("--allow-grpc=false",), "answers no gRPC", "--allow-grpc"),
        ("grpc: { port: 8001 }", ("--grpc-use-ssl=true",), "gRPC without TLS", "ask HTTP"),
        ("tcpSocket: { port: 80 }", (), "Triton listens on 8000, 8001, 8002", "one of the ports"),
        ("httpGet: { path: /health, port: 8000 }", (), "Triton has no /health", "/v2/health/live"),
        ("httpGet: { port: 8000 }", (), "Triton has no /,", "/v2/health/live"),
        ("httpGet: { path: /v2/health/ready/, port: 8000 }", (), "has no /v2/health/ready/", "ask"),
        ("httpGet: { path: /v2/health/redy, port: 8000 }", (), "has no /v2/health/redy", "ask"),
        ("httpGet: { path: /metrics, port: 8000 }", (), "requests for metrics on port 8002", "ask"),
        (
            f"httpGet: {{ {READY}, port: 8000, scheme: HTTPS }}",
            (),
            "asks with TLS",
            "ask with http",
        ),
        (
            f"httpGet: {{ {READY}, port: 8000 }}",
            ("--http-address=127.0.0.1",),
            "answers only on 127.0.0.1",
            "leave out --http-address",
        ),
        (
            f"httpGet: {{ {READY}, port: 8000 }}",
            ("'--http-restricted-api=metadata,health:k=v'",),
            "only requests with its header",
            "leave health out",
        ),
        (
            "exec: { command: [sh, -c, 'curl -sf http://localhost:8000/v2/health/ready'] }",
            ("--http-port=8080",),
            "asks port 8000",
            "ask port 8080",
        ),
        (
            "exec: { command: [grpc_health_probe, '-addr=:8001'] }",
            ("--grpc-port=9000",),
            "gRPC on port 9000",
            "ask port 9000",
        ),
    ],
)
def test_probe_that_triton_never_answers_fails_always(
    tmp_path: Path, probe: str, flags: tuple[str, ...], what: str, fix: str
) -> None:
    found = pod(tmp_path, probe, *flags)
    assert found is not None
    assert what in found.what
    assert fix in found.fix
    assert not found.passes


@pytest.mark.parametrize(("tag", "passes"), [("24.10", True), ("23.04", False), ("own", True)])
def test_port_of_metrics_answers_every_path_from_some_release_on(
    tmp_path: Path, tag: str, passes: bool
) -> None:
    image = IMAGE.replace("24.10", tag)
    found = pod(tmp_path, f"httpGet: {{ {READY}, port: 8002 }}", image=image)
    assert found is not None
    assert found.passes is passes
    assert "that of Triton's metrics" in found.what
    assert found.fix == "ask port 8000"


OTHER = "  - { name: other, image: nginx, ports: [{ containerPort: PORT }] }"


@pytest.mark.parametrize(
    ("more", "of_pod", "command", "is_fault"),
    [
        (OTHER.replace("PORT", "9"), "", "", True),
        (OTHER.replace("PORT", "81"), "", "", False),
        ("  - { name: other, image: nginx }", "", "", False),
        ("", "hostNetwork: true", "", False),
        ("", "initContainers: [{ name: proxy, restartPolicy: Always }]", "", False),
        ("", "initContainers: [{ name: fetch }]", "", True),
        ("", "", "sh, -c, 'nginx & tritonserver --model-repository=/m'", False),
        ("", "", "sh, -c, 'fetch && tritonserver --model-repository=/m'", True),
        ("", "", "sh, -c, 'tritonserver --model-repository=$(fetch)'", False),
    ],
)
def test_port_that_another_program_may_answer_is_no_fault(
    tmp_path: Path, more: str, of_pod: str, command: str, is_fault: bool
) -> None:
    probe = "httpGet: { path: /health, port: 81 }"
    found = pod(tmp_path, probe, command=command, of_pod=of_pod, more=more)
    assert (found is not None) is is_fault


@pytest.mark.parametrize(
    ("check", "flags", "what"),
    [
        ("curl -f localhost:8000/v2/health/ready", (), ""),
        ("curl -f http://localhost/v2/health/ready", ("--http-port=80",), ""),
        ("curl -f named:8000/v2/health/ready", ("--http-port=8080",), "asks port 8000"),
        ("curl -f t:8000/v2/health/ready", ("--http-port=8080",), "asks port 8000"),
        ("curl -f other:8000/v2/health/ready", ("--http-port=8080",), ""),
        ("curl -f http://localhost:$$PORT/v2/health/ready", ("--http-port=8080",), ""),
        ("curl -f http://localhost/v2/health/ready", (), "asks port 80, and"),
        ("wget -q localhost:8000/v2/health/live", ("--http-port=8080",), "asks port 8000"),
        ("curl -f localhost:8000/v2/health/ready || curl -f localhost:80/v2", (), ""),
        ("curl localhost:8000/v2/health/ready", (), "curl without -f"),
        ("curl -s -o /dev/null localhost:8000/v2/health/ready", (), "curl without -f"),
        ("curl -fsS localhost:8000/v2/health/ready", (), ""),
        ("curl --fail localhost:8000/v2/health/ready", (), ""),
        ("curl -s localhost:8000/v2/health/ready | grep x", (), ""),
        ("curl localhost:8000/v2/health/live", (), ""),
        ("wget -q localhost:8000/v2/health/ready", (), ""),
    ],
)
def test_health_check_of_a_service_is_judged_by_its_address(
    tmp_path: Path, check: str, flags: tuple[str, ...], what: str
) -> None:
    found = service(tmp_path, check, *flags)
    fault = fault_of(found, found.probes[0])
    if not what:
        assert fault is None
        return
    assert fault is not None
    assert what in fault.what


MODEL = "httpGet: { path: /v2/models/PATH, port: 8000 }"


@pytest.mark.parametrize(
    ("path", "flags", "what"),
    [
        ("intnt/ready", (), "asks about the model intnt, which isn't loaded"),
        ("intent/versions/4/ready", (), "version 4 of intent, and the versions that are loaded "),
        ("intnt", (), "which isn't loaded"),
        ("intent/ready", (), ""),
        ("intent/versions/1/ready", (), ""),
        ("a%20b/ready", (), ""),
        ("intnt/ready", ("--model-control-mode=explicit",), ""),
        ("intnt/ready", ("--model-namespacing=true",), ""),
        ("$NAME/ready", (), ""),
    ],
)
def test_probe_of_a_model_fails_always_if_that_is_not_loaded(
    tmp_path: Path, path: str, flags: tuple[str, ...], what: str
) -> None:
    words = ", ".join(["tritonserver", "--model-repository=/m", *flags])
    probe = MODEL.replace("PATH", path)
    found = server(tmp_path, POD.format(probe=probe, command=words, image=IMAGE, pod="", more=""))
    assert list(faults(found)) == []  # what is loaded isn't known
    shown = [fault.what for _, fault in faults(found, {"intent": (1, 3), "a b": (1,)})]
    assert shown == [] if not what else what in shown[0]
    if "intnt" in path and what:
        ((_, fault),) = faults(found, {"intent": (1,)})
        assert fault.fix == "did you mean intent? Else ask /v2/health/ready"


@pytest.mark.parametrize(
    ("service", "refused", "noticed"),
    [
        ("not ready", ["m"], True),
        ("not ready", ["other"], False),
        ("degraded", ["m"], True),
        ("degraded", ["other"], False),
        ("unnoticed", [], False),
    ],
)
def test_probe_of_a_model_notices_what_becomes_of_that_model_only(
    tmp_path: Path, service: str, refused: list[str], noticed: bool
) -> None:
    probe = MODEL.replace("PATH", "m/ready")
    words = "tritonserver, --model-repository=/m"
    found = server(tmp_path, POD.format(probe=probe, command=words, image=IMAGE, pod="", more=""))
    shown = ("the readiness probe: no traffic from the start",)
    assert noticed_by(found, service, refused) == (shown if noticed else ())


def test_probe_of_the_server_does_not_notice_a_degraded_one(tmp_path: Path) -> None:
    found = service(tmp_path, "curl -f localhost:8000/v2/health/ready")
    assert noticed_by(found, "degraded", ["m"]) == ()


def test_health_check_that_fails_always_notices_nothing_and_keeps_the_service_down(
    tmp_path: Path,
) -> None:
    check = "curl -f localhost:8000/v2/health/ready"
    good = service(tmp_path, check)
    assert noticed_by(good, "not ready") == ("the healthcheck: unhealthy 90 s after the start",)
    assert list(never_up(good)) == []
    bad = service(tmp_path, check, "--http-port=8080")
    assert noticed_by(bad, "not ready") == ()
    ((place, text),) = never_up(bad)
    assert (place.line, place.column) == (5, 5)
    assert text.startswith("t is never healthy: its healthcheck fails always.\n")
    assert "file.yaml:5:5: it asks port 8000" in text
    assert "What to do: ask port 8080." in text
    never_fails = service(tmp_path, check.replace("-f ", ""))
    assert noticed_by(never_fails, "not ready") == ()
    assert list(never_up(never_fails)) == []
