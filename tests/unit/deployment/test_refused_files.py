"""What Compose and Kubernetes refuse of a file with a Triton server."""

from __future__ import annotations

import json
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from pytest_triton.deployment import compose_keys
from pytest_triton.deployment.deployed_server import DeployedServer
from pytest_triton.deployment.reading import read_deployments
from pytest_triton.deployment.yaml_file import BadYaml


def _one(tmp_path: Path, text: str) -> DeployedServer:
    (tmp_path / "file.yaml").write_text(text)
    (found,) = read_deployments("file.yaml", tmp_path, {})
    return found


def compose(tmp_path: Path, line: str) -> DeployedServer:
    command = "" if line.startswith("command") else "    command: tritonserver\n"
    return _one(tmp_path, f"services:\n  t:\n    image: x/tritonserver\n{command}    {line}\n")


REFUSED = [
    ("enviroment: {CUDA_VISIBLE_DEVICES: ''}", "no `enviroment` here", "mean environment?"),
    ("volume: [./m:/m]", "no `volume` here", "did you mean volumes?"),
    ("healtcheck: {test: x}", "no `healtcheck` here", "did you mean healthcheck?"),
    ("healthcheck: {test: x, start-period: 1s}", "no `start-period` here", "start_period?"),
    (
        "deploy: {resources: {reservations: {devices: [{counts: 1, capabilities: [gpu]}]}}}",
        "no `counts` here",
        "did you mean count?",
    ),
    ("deploy: {resource: {}}", "no `resource` here", "did you mean resources?"),
    ("healthcheck: {test: [curl, -f, x]}", "none of CMD, CMD-SHELL and NONE", "CMD first"),
    ("healthcheck: {test: x, interval: 10}", "`interval: 10` has no unit", "write 10s"),
    ("healthcheck: {test: x, start_period: '120'}", "`start_period: 120` has", "write 120s"),
    ("command: [tritonserver, --http-port, 9000]", "9000 is no text", 'quote it: "9000"'),
]


@pytest.mark.parametrize(("line", "what", "fix"), REFUSED)
def test_service_that_compose_refuses_is_an_error(
    tmp_path: Path, line: str, what: str, fix: str
) -> None:
    with pytest.raises(BadYaml) as caught:
        compose(tmp_path, line)
    assert what in caught.value.what
    assert "refuses the file" in caught.value.what
    assert fix in caught.value.fix


@pytest.mark.compose
@pytest.mark.parametrize("line", [line for line, _, _ in REFUSED])
def test_service_that_is_an_error_is_refused_by_a_real_compose(tmp_path: Path, line: str) -> None:
    with pytest.raises(BadYaml):
        compose(tmp_path, line)
    arguments = ["docker-compose", "-f", str(tmp_path / "file.yaml"), "config"]
    assert subprocess.run(arguments, capture_output=True, check=False).returncode != 0
    sound = compose(tmp_path, "hostname: triton")
    assert sound.name == "t"
    assert subprocess.run(arguments, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    "line",
    [
        "x-enviroment: {A: 1}",
        "some_key_of_tomorrow: 1",
        "healthcheck: {test: [CMD, curl], interval: 1m30s, retries: 3, timeout: '10s'}",
        "healthcheck: {test: curl x}",
        'command: [tritonserver, --http-port, "9000"]',
        "command: [tritonserver, --strict-readiness, on, --id, 1:30]",
        "environment: {A: 1}",
        "models: [m]",
    ],
)
def test_service_that_compose_may_take_is_read(tmp_path: Path, line: str) -> None:
    assert compose(tmp_path, line).name == "t"


def test_known_keys_are_those_of_the_compose_specification() -> None:
    found = find_spec("check_jsonschema")
    if found is None or found.origin is None:
        pytest.skip("check-jsonschema, which brings the schema, isn't installed")
    path = Path(found.origin).parent / "builtin_schemas/vendor/compose-spec.json"
    schema = json.loads(path.read_text())
    known = set(compose_keys.SERVICE.split())
    kinds = schema.get("$defs") or schema["definitions"]
    named = ("service", "container_spec", "workload_spec")
    keys = {key for kind in named for key in kinds.get(kind, {}).get("properties", {})}
    assert keys <= known
    assert kinds["healthcheck"]["properties"].keys() <= set(
        compose_keys.KNOWN[("healthcheck",)].split()
    )


DEPLOYMENT = """
apiVersion: apps/v1
kind: KIND
metadata: { name: t }
spec:
  selector: { matchLabels: { app: SELECTED } }
  CLAIMS
  template:
    metadata: { labels: { app: triton } }
    spec:
      containers:
        - name: t
          image: x
          command: [tritonserver]
          volumeMounts: [{ name: MOUNTED, mountPath: /models }]
      volumes: [{ name: models, emptyDir: {} }]
"""


def deployment(
    tmp_path: Path, *, kind: str = "Deployment", claims: str = "", **words: str
) -> DeployedServer:
    text = DEPLOYMENT.replace("KIND", kind).replace("CLAIMS", claims)
    for name, default in (("SELECTED", "triton"), ("MOUNTED", "models")):
        text = text.replace(name, words.get(name.lower(), default))
    return _one(tmp_path, text)


def test_mounted_volume_that_the_pod_has_not_is_an_error(tmp_path: Path) -> None:
    assert deployment(tmp_path).name == "Deployment/t"
    with pytest.raises(BadYaml) as caught:
        deployment(tmp_path, mounted="model")
    assert "file.yaml:15:26: the pod has no volume 'model'" in caught.value.what
    assert caught.value.fix == "did you mean models?"


def test_volume_of_a_claim_template_is_a_volume(tmp_path: Path) -> None:
    claims = "volumeClaimTemplates: [{ metadata: { name: data } }]"
    deployment(tmp_path, kind="StatefulSet", claims=claims, mounted="data")
    with pytest.raises(BadYaml, match="no volume 'other'"):
        deployment(tmp_path, kind="StatefulSet", claims=claims, mounted="other")


def test_volumes_of_other_kinds_may_come_from_elsewhere(tmp_path: Path) -> None:
    deployment(tmp_path, kind="Rollout", mounted="injected", selected="other")


def test_selector_of_other_labels_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadYaml) as caught:
        deployment(tmp_path, selected="other")
    assert (
        "file.yaml:6:30: the selector asks for app: other, and the pod template has app: triton"
        in caught.value.what
    )


POD = """
apiVersion: v1
kind: Pod
metadata: { name: t }
spec:
  containers: [{ name: t, image: x, LINE }]
"""


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("command: [tritonserver, --http-port, 9000]", "the argument 9000 is no text"),
        ("command: [tritonserver], args: [--strict-readiness, true]", "the argument true is no"),
        (
            "command: [tritonserver], env: [{ name: CUDA_VISIBLE_DEVICES, value: 0 }]",
            "the value of CUDA_VISIBLE_DEVICES is no text",
        ),
    ],
)
def test_argument_or_variable_that_is_no_text_is_an_error(
    tmp_path: Path, line: str, what: str
) -> None:
    with pytest.raises(BadYaml, match=what):
        _one(tmp_path, POD.replace("LINE", line))
    quoted = line.replace("9000", '"9000"').replace("true", '"true"')
    _one(tmp_path, POD.replace("LINE", quoted.replace("value: 0", "value: '0'")))


@pytest.mark.parametrize(
    "line",
    [
        "envFrom: [{ configMapRef: { name: m } }]",
        "env: [{ name: X, valueFrom: { configMapKeyRef: { name: m, key: X } } }]",
    ],
)
def test_value_of_a_used_config_map_that_is_no_text_is_an_error(tmp_path: Path, line: str) -> None:
    text = POD.replace("LINE", f"command: [tritonserver], {line}")
    settings = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: m }\ndata: { X: VALUE }\n"
    assert _one(tmp_path, text + settings.replace("VALUE", "'1'")).environment == {"X": "1"}
    with pytest.raises(BadYaml, match="the value of the ConfigMap's key X is no text"):
        _one(tmp_path, text + settings.replace("VALUE", "1"))
    _one(tmp_path, POD.replace("LINE", "command: [tritonserver]") + settings)
